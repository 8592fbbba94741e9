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
	"github.com/cofferdam-run/cofferdam/runtime"
)

// The back-off of attempts: full jitter below 1 s, 2 s, 4 s ... 5 min.
const (
	backoffFirst = time.Second
	backoffMost  = 5 * time.Minute
	// retryAfterMost caps what a guest may wish: "in a year" would be never.
	retryAfterMost = time.Hour
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
}

// sealed encodes the parts.
func (d completed) sealed() execution.Completion {
	c := d.completion
	d.attempt.Outcome, d.attempt.Error = c.Outcome, d.fault
	c.Fingerprint = fault.Fingerprint(d.fault)
	if d.fault != nil {
		c.Error = encode(d.fault)
	}
	c.Attempt, c.Usage = encode(d.attempt), d.attempt.Usage
	return c
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
	done = completed{attempt: a}
	if v.err == nil {
		done.completion = v.ended.Effects
		done.completion.Outcome, done.completion.Counted = execution.Succeeded, true
	} else {
		done.attempt.State = nil // Nothing of it is committed.
		if ok = w.decideFailure(ctx, c, v, &done); !ok {
			return done, false
		}
	}
	done.completion.Tenant, done.completion.Execution = c.Tenant, c.Execution
	done.completion.Claim, done.completion.VersionID = c.Claim, v.ended.VersionID
	return done, true
}

// decideFailure fills in what follows a run that did not succeed.
func (w *Worker) decideFailure(ctx context.Context, c execution.Claimed, v verdict, done *completed) bool {
	to := &done.completion
	parked := (*ParkedError)(nil)
	failure := (*runtime.Failure)(nil)
	invalid := (*runtime.InvalidModule)(nil)
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, execution.ErrFenced), errors.Is(v.err, execution.ErrFenced):
		w.metrics.fenced.Inc()
		return false
	case errors.Is(cause, errCancelled):
		to.Outcome = execution.Cancelled
	case errors.Is(cause, errHandBack):
		to.Outcome = execution.Queued
	case ctx.Err() != nil:
		return false // The worker has given up; the lease will lapse.
	case errors.As(v.err, &parked):
		to.Outcome, to.Reason, to.Until = execution.Waiting, parked.Reason, parked.Until
	case errors.Is(v.err, ErrRemoved):
		to.Outcome = execution.Cancelled
		done.fault = fault.New(fault.Conflict, "installation_removed", "the installation was removed before this ran")
	case errors.As(v.err, &failure):
		to.Counted = true
		done.fault = fault.From(failure)
		w.decideGuest(c, failure, to)
	case errors.As(v.err, &invalid):
		to.Counted, to.Outcome = true, execution.Dead
		done.fault = fault.From(invalid)
	default:
		w.c.Logger.ErrorContext(ctx, "run failed by the host's doing",
			slog.String("execution", c.Execution), slog.String("tenant", c.Tenant), slog.Any("error", v.err))
		done.fault = fault.From(v.err)
		w.decideHost(c, done.fault, to)
	}
	return true
}

// decideHost says what follows a failure of the host's. While the database is
// away it is not counted, so that an outage of ours costs nobody an attempt. A
// host function that fails or panics is, so that a mistake in it does not keep an
// execution busy for ever.
func (w *Worker) decideHost(c execution.Claimed, f *fault.Error, to *execution.Completion) {
	to.Outcome, to.Reason = execution.Waiting, execution.ReasonRetry
	if isOutage(f) {
		// The claims that no attempt accounts for say how long it has lasted.
		uncounted := int(min(max(c.Claim-int64(c.Attempt), 0), 100))
		to.Until = w.c.Now().Add(fullJitter(backoffFirst, backoffMost, uncounted))
		return
	}
	to.Counted = true
	if c.Attempt >= w.c.Attempts {
		to.Outcome, to.Reason = execution.Dead, ""
		return
	}
	to.Until = w.c.Now().Add(fullJitter(backoffFirst, backoffMost, c.Attempt-1))
}

// isOutage says whether it is the database, or what stands before it, that does
// not answer, rather than this one thing that does not work.
func isOutage(f *fault.Error) bool {
	status := fault.Status(f)
	return f.Class == fault.Platform && (status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout)
}

// decideGuest says what follows a failure of the guest's.
func (w *Worker) decideGuest(c execution.Claimed, f *runtime.Failure, to *execution.Completion) {
	if !fault.Retryable(f.Code) || c.Attempt >= w.c.Attempts {
		to.Outcome = execution.Dead
		return
	}
	delay := min(f.RetryAfter, retryAfterMost)
	if delay <= 0 {
		delay = fullJitter(backoffFirst, backoffMost, c.Attempt-1)
	}
	to.Outcome, to.Reason, to.Until = execution.Waiting, execution.ReasonRetry, w.c.Now().Add(delay)
}

// conflicted follows a success that could not commit because what it had read
// has changed: it runs again, from the start, soon.
func (w *Worker) conflicted(c execution.Claimed, done completed) completed {
	w.mu.Lock()
	if len(w.conflicts) >= conflictsMost {
		clear(w.conflicts) // Those that went on elsewhere are never settled here.
	}
	w.conflicts[c.Execution]++
	n := w.conflicts[c.Execution]
	w.mu.Unlock()
	done = withoutEffects(done)
	done.fault = fault.New(fault.Conflict, execution.ReasonConflict, "another execution has changed state that this one had read")
	if n > conflictsTraced {
		done.attempt = bare(done.attempt)
		done.fault.Hint = fmt.Sprintf("Its steps and logs were not kept: those of the first %d runs that conflicted are.", conflictsTraced)
	}
	if n > conflictLimit {
		done.completion.Outcome, done.completion.Counted = execution.Dead, true
		done.fault.Message = fmt.Sprintf("other executions have changed state that this one had read, %d times in a row", n)
		done.fault.Hint = "Use state_add for counters, which never conflicts, or a key for each thing that is counted."
		return done
	}
	done.completion.Outcome, done.completion.Reason = execution.Waiting, execution.ReasonConflict
	done.completion.Until = w.c.Now().Add(fullJitter(conflictFirst, conflictMost, n-1))
	return done
}

// refused follows a completion that the database does not take though it is
// well: what the run has left behind is dropped, and a person is told.
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
		StartedAt: a.StartedAt, FinishedAt: a.FinishedAt, Usage: a.Usage,
		Steps: []hostfns.Step{}, Logs: []guestlog.Line{},
	}
}

// withoutEffects keeps what names the run, and drops what it would have changed.
func withoutEffects(done completed) completed {
	c := done.completion
	done.completion = execution.Completion{Tenant: c.Tenant, Execution: c.Execution, Claim: c.Claim, VersionID: c.VersionID}
	done.attempt.State = nil
	return done
}
