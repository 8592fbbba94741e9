package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/guestlog"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// The back-off of attempts: full jitter below 1 s, 2 s, 4 s ... 5 min.
const (
	backoffFirst = time.Second
	backoffMost  = 5 * time.Minute
	// retryAfterMost caps what a guest may wish: "in a year" would be never.
	retryAfterMost = 31 * 24 * time.Hour
	// waitFrom is from where on such a wish is a wait, which is no attempt, and
	// waitsMost how many of them an execution has.
	waitFrom  = time.Second
	waitsMost = 1000
	// reconnectAgain is when to look whether a connection works again of which nobody
	// has said so, where nobody knows that it is broken: the other side may have refused
	// its credential for reasons of its own.
	reconnectAgain = time.Hour
)

// The back-off of state conflicts. Of those that conflict one always succeeds,
// so that what is needed is spread, and patience.
const (
	conflictFirst = 10 * time.Millisecond
	conflictMost  = 2 * time.Second
	conflictLimit = 100
	// conflictsTraced is of how many conflicts steps and logs are kept: the others
	// read much the same, and whoever reads a trace loads them all.
	conflictsTraced = 3
	// conflictsMost bounds the executions whose conflicts are counted.
	conflictsMost = 10_000
)

// ErrRemoved is a run that did not begin because its installation was removed.
var ErrRemoved = errors.New("the installation was removed")

// ParkedError is a run that did not begin, because it must wait for something that is
// not its own fault.
type ParkedError struct {
	// Reason is one of package execution's.
	Reason string
	// Until is when to look again.
	Until time.Time
}

// Error implements error.
func (p *ParkedError) Error() string { return "must wait: " + p.Reason }

// verdict is what is known once a run has ended.
type verdict struct {
	ended Ended
	err   error
	begun time.Time
}

// completed is a Completion before its parts are encoded.
type completed struct {
	completion execution.Completion
	attempt    execution.Attempt
	fault      *fault.Error
	// kept is nil for a run that had no journal.
	kept *Kept
	// plugin and version are what people call the version.
	plugin, version string
}

// sealed encodes the parts.
func (d *completed) sealed() execution.Completion {
	c := d.completion
	d.attempt.Outcome, d.attempt.Error = c.Outcome, d.fault
	c.Fingerprint = fault.Fingerprint(d.fault)
	if d.fault != nil {
		c.Error = encode(d.fault)
	}
	c.Attempt, c.Usage = encode(d.attempt), d.attempt.Usage
	c.Usage.Fuel -= d.attempt.ReplayedFuel
	return c
}

// keep has the next run begin with these entries.
func (d *completed) keep(next []journal.Entry) {
	if d.kept == nil {
		return
	}
	segment, err := d.kept.segment(next)
	if err != nil {
		// Entries come from the journal, whose own they are: this is a mistake of ours.
		d.completion.Outcome, d.completion.Counted = execution.Dead, true
		d.fault = fault.From(err)
		return
	}
	d.completion.Journal = segment
}

// repin has the next run begin in a world that is changed.
func (d *completed) repin(change func(*journal.World)) {
	if d.kept == nil {
		return
	}
	world := d.kept.World
	change(&world)
	d.completion.World = encode(world)
}

// entries are those of the run's journal, which begins with its start at least.
func (d *completed) entries() []journal.Entry {
	if d.kept == nil || len(d.kept.Entries) == 0 {
		return []journal.Entry{{}}
	}
	return d.kept.Entries
}

// encode gives JSON. What cannot be encoded is replaced by the reason: a
// completion is never held up by its trace.
func encode(v any) []byte {
	doc, err := json.Marshal(v)
	if err != nil {
		doc, err = json.Marshal(map[string]string{"unreadable": err.Error()})
	}
	if err != nil {
		return []byte(`{}`)
	}
	return doc
}

// decide says what follows a run. ok is false if nothing may be written any more.
func (w *Worker) decide(ctx context.Context, name string, c execution.Claimed, v verdict) (done completed, ok bool) {
	a := v.ended.Attempt
	a.Claim, a.Number, a.Worker, a.VersionID = c.Claim, c.Attempt, name, v.ended.VersionID
	a.StartedAt, a.FinishedAt = v.begun, w.c.Now()
	if a.Steps == nil {
		a.Steps = []hostfns.Step{}
	}
	if a.Logs == nil {
		a.Logs = []guestlog.Line{}
	}
	done = completed{attempt: a, kept: v.ended.Kept, plugin: v.ended.Plugin, version: v.ended.Version}
	if v.err == nil {
		done.completion = v.ended.Effects
		done.completion.Outcome, done.completion.Counted = execution.Succeeded, true
		done.keep(done.entries())
	} else {
		if ok = w.decideFailure(ctx, c, v, &done); !ok {
			return done, false
		}
	}
	done.completion.Tenant, done.completion.Execution = c.Tenant, c.Execution
	done.completion.Claim, done.completion.OrderKey, done.completion.VersionID = c.Claim, c.OrderKey, v.ended.VersionID
	return done, true
}

// decideFailure fills in what follows a run that did not succeed.
func (w *Worker) decideFailure(ctx context.Context, c execution.Claimed, v verdict, done *completed) bool {
	cause := context.Cause(ctx)
	suspended, isSuspended := errors.AsType[*hostfns.Suspended](v.err)
	switch {
	case errors.Is(cause, execution.ErrFenced), errors.Is(v.err, execution.ErrFenced):
		w.metrics.fenced.Inc()
		return false
	case ctx.Err() != nil && !errors.Is(cause, errCancelled) && !errors.Is(cause, errHandBack):
		return false // The worker has given up; the lease will lapse.
	case isSuspended && ctx.Err() == nil && suspended.Checkpoint != nil:
		w.checkpoint(v, suspended, done)
		return true
	}
	done.attempt.State = nil // Nothing of it is committed.
	to := &done.completion
	// Unless it is said otherwise, the next run goes on where this one was.
	done.keep(done.entries())
	switch {
	case errors.Is(cause, errCancelled):
		to.Outcome = execution.Cancelled
	case errors.Is(cause, errHandBack), errors.Is(v.err, hostfns.ErrNotHeld):
		to.Outcome = execution.Queued
	case isSuspended:
		to.Outcome, to.Reason, to.Until, to.WaitsFor = execution.Waiting, suspended.Reason, suspended.Until, suspended.For
	default:
		w.decideError(ctx, c, v.err, done)
	}
	return true
}

// checkpoint commits what a run has done that goes on, at a time, from its start.
func (w *Worker) checkpoint(v verdict, s *hostfns.Suspended, done *completed) {
	done.completion = v.ended.Effects
	to := &done.completion
	to.Outcome, to.Reason, to.Until, to.Checkpointed = execution.Waiting, s.Reason, s.Until, true
	done.keep(nil)
	done.repin(func(world *journal.World) { *world = world.Next(s.Checkpoint) })
}

// decideError fills in what follows a run that ended with an error.
func (w *Worker) decideError(ctx context.Context, c execution.Claimed, err error, done *completed) {
	to := &done.completion
	parked := (*ParkedError)(nil)
	failure := (*runtime.Failure)(nil)
	invalid := (*runtime.InvalidModule)(nil)
	unconfirmed := (*UnconfirmedError)(nil)
	unfetched := (*hostfns.RefetchError)(nil)
	entries := done.entries()
	switch f := hopeless(err, entries[len(entries)-1]); {
	case f != nil:
		to.Counted, to.Outcome, done.fault = true, execution.Dead, f
	case errors.As(err, &parked):
		to.Outcome, to.Reason, to.Until = execution.Waiting, parked.Reason, parked.Until
	case errors.Is(err, ErrRemoved):
		to.Outcome = execution.Cancelled
		done.fault = fault.New(fault.Conflict, "installation_removed", "the installation was removed before this ran")
	case errors.As(err, &unconfirmed):
		done.fault = ambiguous(unconfirmed.Effect, unconfirmed.Error())
		w.again(c, execution.ReasonConfirm, to)
	case errors.Is(err, hostfns.ErrChanged):
		w.decideChanged(c, err, done)
	case errors.As(err, &unfetched):
		done.fault = fault.New(fault.Network, "stream_unavailable", "%s", unfetched.Error()).
			WithHint("What had been streamed is fetched again when a run is made again. It is tried later, as far as attempts are left.")
		w.again(c, execution.ReasonRetry, to)
	case errors.As(err, &failure):
		w.decideGuest(ctx, c, failure, done)
	case errors.As(err, &invalid):
		to.Counted, to.Outcome = true, execution.Dead
		done.fault = fault.From(invalid)
	default:
		w.c.Logger.ErrorContext(ctx, "run failed by the host's doing",
			slog.String("execution", c.Execution), slog.String("tenant", c.Tenant), slog.Any("error", err))
		done.fault = fault.From(err)
		w.decideHost(c, done.fault, to)
	}
}

// again has an execution tried again after a back-off, or gives it up.
func (w *Worker) again(c execution.Claimed, reason string, to *execution.Completion) {
	to.Counted = true
	if c.Attempt >= w.c.Attempts {
		to.Outcome, to.Reason = execution.Dead, ""
		return
	}
	to.Outcome, to.Reason = execution.Waiting, reason
	to.Until = w.c.Now().Add(fullJitter(backoffFirst, backoffMost, c.Attempt-1))
}

// decideHost says what follows a failure of the host's. While the database is
// away it is not counted, so that an outage of ours costs nobody an attempt. A
// host function that fails or panics is, so that a mistake in it does not keep an
// execution busy for ever.
func (w *Worker) decideHost(c execution.Claimed, f *fault.Error, to *execution.Completion) {
	if !isOutage(f) {
		w.again(c, execution.ReasonRetry, to)
		return
	}
	to.Outcome, to.Reason = execution.Waiting, execution.ReasonRetry
	to.Until = w.c.Now().Add(fullJitter(backoffFirst, backoffMost, min(uncounted(c), 100)))
}

// uncounted is how many claims of an execution no attempt accounts for.
func uncounted(c execution.Claimed) int { return int(max(c.Claim-int64(c.Attempt), 0)) }

// isOutage says whether it is the database, or what stands before it, that does
// not answer, rather than this one thing that does not work.
func isOutage(f *fault.Error) bool {
	status := fault.Status(f)
	return f.Class == fault.Platform && (status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout)
}

// decideGuest says what follows a failure of the guest's: see package journal.
func (w *Worker) decideGuest(ctx context.Context, c execution.Claimed, f *runtime.Failure, done *completed) {
	to, entries := &done.completion, done.entries()
	done.fault = fault.From(f)
	how := journal.Failure{}
	if done.kept != nil {
		how = done.kept.Failure
	}
	code, retryAfter := saidOf(f, entries[len(entries)-1])
	how.Ending = endingOf(code)
	next := journal.After(entries, how)
	last := entries[len(entries)-1]
	if n := len(next.Entries); n > 0 {
		last = next.Entries[n-1] // The guest may have looked at its state since.
	}
	wait := min(retryAfter, retryAfterMost)
	switch {
	case next.Dead:
		to.Counted, to.Outcome = true, execution.Dead
		if next.Ambiguous != nil {
			done.fault = ambiguous(*next.Ambiguous, next.Reason).Because(f)
			done.keep(entries[:next.Ambiguous.Ordinal+1]) // What is decided about is the last.
		}
		done.fault.Hint = sentences(done.fault.Hint, "It is not tried again: "+next.Reason+".")
		return
	case next.Confirm:
		done.fault = ambiguous(last, "the plugin is asked whether it has happened").Because(f)
		w.again(c, execution.ReasonConfirm, to)
	case code == fault.CodeUpstreamAuth && last.Outcome == hostfns.NotDone && last.Account != "" && uncounted(c) < waitsMost:
		w.reconnect(ctx, c, last.Account, to)
		done.fault.Hint = "It goes on by itself once the account is connected again, where its user has connected it. For operators, `cofferdam connection health` says what is wrong and what waits."
	case how.Ending == journal.Passing && wait > waitFrom && uncounted(c) < waitsMost:
		to.Outcome, to.Reason, to.Until = execution.Waiting, execution.ReasonRateLimited, w.c.Now().Add(wait)
	default:
		w.again(c, execution.ReasonRetry, to)
		if to.Outcome == execution.Dead {
			done.fault.Hint = sentences(done.fault.Hint, fmt.Sprintf("It was tried %d times: redrive it once the cause is gone.", c.Attempt))
			return // Its journal stays as it is, for whoever looks.
		}
		if wait > 0 {
			to.Until = w.c.Now().Add(wait)
		}
	}
	done.keep(next.Entries)
	if next.Restarts {
		done.repin(func(world *journal.World) { world.Restarts++ })
	}
}

// reconnect has an execution wait for a connection to work again: until somebody has
// mended it, where it is known to be broken, for nothing would come of trying before.
func (w *Worker) reconnect(ctx context.Context, c execution.Claimed, connection string, to *execution.Completion) {
	to.Outcome, to.Reason, to.WaitsFor = execution.Waiting, execution.ReasonReconnect, connection
	broken, err := w.c.Broken(ctx, c.Tenant, connection)
	if err != nil {
		w.c.Logger.WarnContext(ctx, "look whether a connection is broken", slog.String("connection", connection), slog.Any("error", err))
	}
	if !broken {
		to.Until = w.c.Now().Add(reconnectAgain)
	}
}

// saidOf is the code with which a guest has failed, and when it wants to be run again.
// What the host has told it of a token that is not to be had is not lost on the way: not
// in a guest that passes it on as a plain error, and not in one that leaves the time out.
func saidOf(f *runtime.Failure, last journal.Entry) (runtime.Code, time.Duration) {
	if last.Outcome != hostfns.NotDone {
		return f.Code, f.RetryAfter
	}
	_, err := hostfns.Open(last.Answer)
	told, ok := errors.AsType[*hostfns.Error](err)
	switch {
	case !ok:
		return f.Code, f.RetryAfter
	case f.Code == runtime.CodePluginBug && told.Code == hostfns.CodeAuth:
		return fault.CodeUpstreamAuth, f.RetryAfter
	case string(f.Code) == string(told.Code):
		return f.Code, max(f.RetryAfter, told.RetryAfter)
	default:
		return f.Code, f.RetryAfter
	}
}

// decideChanged says what follows a run that cannot be made again as it was, because a
// body that was streamed is not what it was: it is made from its start, if nothing was
// changed outside by then.
func (w *Worker) decideChanged(c execution.Claimed, err error, done *completed) {
	how := journal.Failure{}
	if done.kept != nil {
		how = done.kept.Failure
	}
	how.Ending = journal.Changed
	next := journal.After(done.entries(), how)
	done.fault = fault.New(fault.ContractChanged, "stream_changed", "%s", err.Error())
	if next.Dead {
		done.completion.Counted, done.completion.Outcome = true, execution.Dead
		done.fault.Hint = sentences("It is not tried again: "+next.Reason+".", "Redrive it from its start if that is right: `cofferdam execution redrive ID --mode restart`.")
		return
	}
	if w.again(c, execution.ReasonRetry, &done.completion); done.completion.Outcome == execution.Dead {
		return // Its journal stays as it is, for whoever looks.
	}
	done.keep(next.Entries)
	if next.Restarts {
		done.repin(func(world *journal.World) { world.Restarts++ })
	}
}

// conflicted follows a success that could not commit because what it had read
// has changed: it runs again, soon, and reads that anew.
func (w *Worker) conflicted(c execution.Claimed, done completed, key string) completed {
	w.mu.Lock()
	if len(w.conflicts) >= conflictsMost {
		clear(w.conflicts) // Those that went on elsewhere are never settled here.
	}
	w.conflicts[c.Execution]++
	n := w.conflicts[c.Execution]
	w.mu.Unlock()
	done = withoutEffects(done)
	done.fault = fault.New(fault.Conflict, execution.ReasonConflict, "another execution has changed state that this one had read: %q", key)
	if n > conflictsTraced {
		done.attempt = bare(done.attempt)
		done.fault.Hint = fmt.Sprintf("Its steps and logs were not kept: those of the first %d runs that conflicted are.", conflictsTraced)
	}
	next := journal.After(done.entries(), journal.Failure{Ending: journal.Conflicted, Stale: journal.Stale(done.entries(), key)})
	const advice = "Use state_add for counters, which never conflicts, or a key for each thing that is counted."
	switch {
	case next.Dead:
		done.fault.Hint = sentences("It is not tried again: "+next.Reason+".", advice)
		next.Entries = done.entries()
	case n > conflictLimit:
		done.fault.Message = fmt.Sprintf("other executions have changed state that this one had read, %d times in a row, last %q", n, key)
		done.fault.Hint = advice
	default:
		done.completion.Outcome, done.completion.Reason = execution.Waiting, execution.ReasonConflict
		done.completion.Until = w.c.Now().Add(fullJitter(conflictFirst, conflictMost, n-1))
		done.keep(next.Entries)
		return done
	}
	done.completion.Outcome, done.completion.Counted = execution.Dead, true
	done.keep(next.Entries)
	return done
}

// refused follows a completion that the database does not take though it is
// well: what the run has left behind is dropped, the end of its journal included,
// and a person is told. An effect whose answer is lost so is one of which nobody
// knows: its intent is in the journal.
func refused(done completed) completed {
	done = withoutEffects(done)
	done.attempt = bare(done.attempt)
	done.completion.Outcome, done.completion.Counted = execution.Dead, true
	done.fault = fault.New(fault.Platform, "completion_refused", "the run ended, and what it left behind could not be stored").
		WithHint("Nothing of its state was changed. The operator's log says what the database refused.")
	return done
}

// bare keeps of a run's trace what has a bound.
func bare(a execution.Attempt) execution.Attempt {
	return execution.Attempt{
		Claim: a.Claim, Number: a.Number, Worker: a.Worker, VersionID: a.VersionID,
		StartedAt: a.StartedAt, FinishedAt: a.FinishedAt, Usage: a.Usage, ReplayedFuel: a.ReplayedFuel,
		Steps: []hostfns.Step{}, Logs: []guestlog.Line{},
	}
}

// withoutEffects keeps what names the run, and drops what it would have changed.
func withoutEffects(done completed) completed {
	c := done.completion
	done.completion = execution.Completion{Tenant: c.Tenant, Execution: c.Execution, Claim: c.Claim, OrderKey: c.OrderKey, VersionID: c.VersionID}
	done.attempt.State = nil
	return done
}
