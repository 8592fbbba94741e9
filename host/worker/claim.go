package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	goruntime "runtime"
	"runtime/debug"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
)

// The pauses after a database error, while claiming and completing.
const (
	retryFirst = 100 * time.Millisecond
	retryMost  = 2 * time.Second
)

// claim claims until ctx ends. The runs that it starts live under alive.
func (w *Worker) claim(ctx, alive context.Context) {
	scan := w.c.After(0)
	failures := 0
	for ctx.Err() == nil {
		// Before each claim, not only when there is nothing to do: there may never be nothing.
		select {
		case <-scan:
			scan = w.c.After(w.c.Scan)
			w.scan(ctx)
		default:
		}
		more, err := w.claimOnce(ctx, alive)
		w.health.report(ctx, "claim", err)
		if err != nil {
			w.pause(ctx, failures)
			failures++
			continue
		}
		failures = 0
		if more {
			continue
		}
		select {
		case <-ctx.Done():
		case <-w.nudge:
		case <-scan:
			scan = w.c.After(0)
		}
	}
}

// scan asks the store who has work.
func (w *Worker) scan(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, w.c.Lease)
	defer cancel()
	backlogs, err := w.c.Store.Backlogs(bounded)
	if err == nil {
		w.ring.Refresh(backlogs)
	}
	w.health.report(ctx, "scan", err)
}

// claimOnce claims for the slots that are free, and says whether it makes sense
// to try again at once.
func (w *Worker) claimOnce(ctx, alive context.Context) (more bool, err error) {
	// The claim outlives ctx: one that is cut off in the middle may have been made.
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.c.Lease)
	defer cancel()
	t, err := w.enlist(bounded)
	if err != nil {
		return false, err
	}
	if w.lanes.alone() {
		return false, nil // The end of its run says that it makes sense again.
	}
	w.mu.Lock()
	s := w.slots
	if w.behind {
		s.backfill = 0
	}
	w.mu.Unlock()
	quotas := w.ring.Take(s.free, s.backfill)
	if len(quotas) == 0 {
		return false, nil
	}
	began := w.c.Now()
	taken, err := w.c.Store.Claim(bounded, t.name, quotas, s.backfill)
	if err != nil {
		w.ring.Return(quotas)
		err = w.unclaimed(t, err)
		return err == nil, err
	}
	w.metrics.claimed(w.c.Now().Sub(began))
	w.ring.Result(quotas, taken)
	w.begin(alive, t, taken.Claimed, 0)
	switch {
	case len(taken.Behind) == 0:
	case ctx.Err() != nil, w.lanes.alone():
		w.ring.Return(taken.Behind)
	default:
		w.claimBehind(ctx, alive, t, taken.Behind)
	}
	return true, nil
}

// unclaimed follows a claim that has failed. It returns nil if that was to be.
func (w *Worker) unclaimed(t *tenure, err error) error {
	if errors.Is(err, execution.ErrFenced) {
		w.lose(t)
		return nil
	}
	w.metrics.claims.WithLabelValues("error").Inc()
	w.doubt(t)
	return fmt.Errorf("claim executions: %w", err)
}

// claimBehind claims backfill, one claim at a time, and does not wait for the end of it. The
// slots for it are taken at once, and what is to run alone waits for it as for one that is to run.
func (w *Worker) claimBehind(ctx, alive context.Context, t *tenure, quotas []execution.Quota) {
	held := 0
	for _, q := range quotas {
		held += q.N
	}
	w.mu.Lock()
	w.behind = true
	w.slots.give(event.Backfill, -held)
	w.mu.Unlock()
	w.lanes.expect(common)
	w.runs.Go(func() {
		claimed, err := w.claimBackfill(alive, t, quotas)
		w.begin(alive, t, claimed, held)
		w.lanes.unexpect(common)
		signal(w.nudge)
		if err == nil {
			w.behindFailures = 0
		} else {
			w.c.Logger.WarnContext(ctx, "backfill could not be claimed", slog.Any("error", err))
			w.pause(ctx, w.behindFailures)
			w.behindFailures++
		}
		w.mu.Lock()
		w.behind = false
		w.mu.Unlock()
		signal(w.nudge)
	})
}

func (w *Worker) claimBackfill(ctx context.Context, t *tenure, quotas []execution.Quota) ([]execution.Claimed, error) {
	bounded, cancel := context.WithTimeout(ctx, w.c.Lease)
	defer cancel()
	began := w.c.Now()
	taken, err := w.c.Store.ClaimBackfill(bounded, t.name, quotas)
	if err != nil {
		w.ring.Return(quotas)
		return nil, w.unclaimed(t, err)
	}
	w.metrics.claimed(w.c.Now().Sub(began))
	w.ring.Behind(quotas, taken)
	return taken.Claimed, nil
}

// begin starts what was claimed, in place of the slots of backfill that were held for it.
func (w *Worker) begin(ctx context.Context, t *tenure, claimed []execution.Claimed, held int) {
	w.mu.Lock()
	w.slots.give(event.Backfill, held)
	for _, c := range claimed {
		w.slots.give(c.Lane, -1)
	}
	w.mu.Unlock()
	for _, c := range claimed {
		if c.Crashes < quarantineAfter {
			w.lanes.expect(lane(c.Crashes))
		}
	}
	for _, c := range claimed {
		w.start(ctx, t, c)
	}
}

// start runs a claimed execution in a goroutine of its own.
func (w *Worker) start(ctx context.Context, t *tenure, c execution.Claimed) {
	w.c.Changed(c.Tenant)
	w.metrics.started(c.Lane, w.c.Now().Sub(c.QueuedAt))
	runCtx, cancel := context.WithCancelCause(ctx)
	key := run{execution: c.Execution, claim: c.Claim}
	w.mu.Lock()
	t.runs[key] = cancel
	w.running[key] = struct{}{}
	switch {
	case t.lost:
		cancel(execution.ErrFenced)
	case w.handingBack:
		cancel(errHandBack)
		fallthrough
	default:
		w.tenures[t] = struct{}{} // It may have ended while backfill was being claimed.
	}
	w.mu.Unlock()
	w.runs.Go(func() {
		growStack()
		defer w.ended(t, key, c)
		defer cancel(nil)
		// Its turn ends when its end is stored: until then it is in flight.
		ended, end := w.inTurn(runCtx, t, c)
		defer end()
		completion, ok := w.decide(runCtx, t.name, c, ended)
		if ok {
			w.complete(ctx, c, completion)
		}
	})
}

// growStack has the stack of a goroutine be as large as a run's calls out of its sandbox
// need it, 64 KiB. A stack that is too small is moved where it is deepest, with all its
// frames: 70 us of a small run.
//
//go:noinline
func growStack() {
	var room [48 << 10]byte
	goruntime.KeepAlive(&room)
}

// ended frees the slot of a run.
func (w *Worker) ended(t *tenure, key run, c execution.Claimed) {
	w.mu.Lock()
	w.slots.give(c.Lane, 1)
	delete(t.runs, key)
	delete(w.running, key)
	if len(t.runs) == 0 && t != w.current {
		delete(w.tenures, t)
	}
	w.mu.Unlock()
	w.metrics.inFlight.Dec()
	if c.Capped || c.OrderKey != "" {
		// Its end may be what others of its tenant have waited for.
		w.ring.Hint(c.Tenant)
	}
	w.ring.Done(c.Tenant, c.Lane == event.Backfill)
	signal(w.nudge)
}

// inTurn runs an execution once it may run, and returns what ends its turn.
func (w *Worker) inTurn(ctx context.Context, t *tenure, c execution.Claimed) (v verdict, end func()) {
	if c.Crashes >= quarantineAfter {
		return verdict{err: &QuarantinedError{Crashes: c.Crashes}, begun: w.c.Now()}, func() {}
	}
	end = w.turn(ctx, c)
	v.begun = w.c.Now()
	if end == nil {
		until := v.begun.Add(w.c.Lease + fullJitter(w.c.Lease, w.c.Lease, 0))
		v.err = &ParkedError{Reason: execution.ReasonRetry, Until: until}
		return v, func() {}
	}
	v.ended, v.err = w.guarded(ctx, c, func() bool { return w.holds(t) })
	return v, end
}

// guarded runs the Runner. What should never panic does not take the others'
// runs with it.
func (w *Worker) guarded(ctx context.Context, c execution.Claimed, held func() bool) (ended Ended, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("run execution %s: panic: %v\n%s", c.Execution, p, debug.Stack())
		}
	}()
	return w.c.Runner.Run(ctx, c, held)
}

// patienceDoublings is how often the patience with one that is to run alone doubles: with
// leases of 8 s, to 4 minutes, which is longer than plugins run.
const patienceDoublings = 5

// patience is how long an execution waits to run alone: a lease, and twice as long each time
// that it was claimed and did not get to. For so long its worker claims nothing else, so that
// sooner or later all that runs has ended.
func patience(lease time.Duration, c execution.Claimed) time.Duration {
	waited := min(max(uncounted(c)-c.Crashes, 0), patienceDoublings)
	return lease << waited
}

// turn waits until an execution may run, and returns what ends its turn, or nil if it did
// not get to run alone in its patience. While it waits, its slot is another's.
func (w *Worker) turn(ctx context.Context, c execution.Claimed) (end func()) {
	in := lane(c.Crashes)
	if in == common {
		return w.lanes.enter(ctx, in, nil)
	}
	w.mu.Lock()
	w.slots.free++
	w.mu.Unlock()
	signal(w.nudge)
	defer func() {
		w.mu.Lock()
		w.slots.free--
		w.mu.Unlock()
	}()
	var given <-chan time.Time
	if in >= solo {
		given = w.c.After(patience(w.c.Lease, c))
	}
	return w.lanes.enter(ctx, in, given)
}

// pause waits before the next try after n failures.
func (w *Worker) pause(ctx context.Context, n int) {
	// At least half of it, so that a database that is down is not hammered.
	d := retryFirst
	for range min(n, 10) {
		d = min(2*d, retryMost)
	}
	select {
	case <-ctx.Done():
	case <-w.c.After(d/2 + fullJitter(d/2, d/2, 0)):
	}
}

// refusedAfter is how many times a completion may fail while the database
// answers: then it is the completion that the database does not take.
const refusedAfter = 5

// complete writes how a run ended, until the store has taken it or fenced it, or
// ctx ends.
func (w *Worker) complete(ctx context.Context, c execution.Claimed, done completed) {
	conflict := (*execution.StateConflictError)(nil)
	committing := w.c.Now()
	for failures := 0; ; failures++ {
		err := w.c.Store.Complete(ctx, done.sealed())
		switch {
		case err == nil:
			w.settled(c, done)
			w.tell(ctx, c, done, committing)
			if isParked(done.completion.Reason) {
				if err := w.c.Parked(ctx, c.Tenant, c.Execution); err != nil {
					w.c.Logger.WarnContext(ctx, "look again at what is parked", slog.String("execution", c.Execution), slog.Any("error", err))
				}
			}
			return
		case errors.Is(err, execution.ErrFenced):
			w.metrics.fenced.Inc()
			w.c.Logger.WarnContext(ctx, "completion fenced", slog.String("execution", c.Execution), slog.Int64("claim", c.Claim))
			return
		case errors.As(err, &conflict):
			done, failures = w.conflicted(c, done, conflict.Key), 0
			continue
		case ctx.Err() != nil:
			w.c.Logger.ErrorContext(ctx, "completion given up: the execution will run again", slog.String("execution", c.Execution), slog.Any("error", err))
			return
		case failures >= refusedAfter && !isOutage(fault.From(err)) && w.health.well():
			w.c.Logger.ErrorContext(ctx, "completion refused", slog.String("execution", c.Execution), slog.Any("error", err))
			done, failures = refused(done), 0
			continue
		}
		w.pause(ctx, failures)
	}
}

// isParked says of a reason that somebody may have taken it away before it was stored.
func isParked(reason string) bool {
	return reason == execution.ReasonPaused || reason == execution.ReasonReconnect || reason == execution.ReasonConnectionPaused
}

// settled follows a completion that the store has taken.
func (w *Worker) settled(c execution.Claimed, done completed) {
	w.mu.Lock()
	if done.completion.Reason != execution.ReasonConflict {
		delete(w.conflicts, c.Execution)
	}
	if until := done.completion.Until; done.completion.Outcome == execution.Waiting && !until.IsZero() {
		if w.nextDue.IsZero() || until.Before(w.nextDue) {
			w.nextDue = until
			signal(w.due)
		}
	}
	w.mu.Unlock()
	w.metrics.completed(done)
	w.c.Changed(c.Tenant)
}
