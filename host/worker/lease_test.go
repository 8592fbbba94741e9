package worker_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/worker"
)

func TestDrainLetsRunsFinish(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.tenant("ten_a", 4, 1, "plv_1")
		id := b.enqueue("ten_a", event.Action, "do", `{}`)
		_, end := b.run(b.config(runner(func(ctx context.Context, _ execution.Claimed) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(20 * time.Second): // More than a lease.
				return nil
			}
		})))
		b.await("ten_a", id, execution.Running)
		late := b.enqueue("ten_a", event.Action, "do", `{}`)
		b.await("ten_a", late, execution.Running)
		end()
		for _, id := range []string{id, late} {
			if got := b.get("ten_a", id).State; got != execution.Succeeded {
				t.Errorf("after the drain it is %s, want succeeded", got)
			}
		}
	})
}

func TestDrainHandsBackWhatDoesNotFinish(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.tenant("ten_a", 4, 1, "plv_1")
		id := b.enqueue("ten_a", event.Action, "do", `{}`)
		c := b.config(runner(func(ctx context.Context, _ execution.Claimed) error {
			<-ctx.Done()
			return ctx.Err()
		}))
		c.Drain = 3 * time.Second
		_, end := b.run(c)
		b.await("ten_a", id, execution.Running)
		ending := time.Now()
		end()
		if took := time.Since(ending); took < c.Drain || took > c.Drain+time.Second {
			t.Errorf("the drain took %s, want %s", took, c.Drain)
		}
		got := b.get("ten_a", id)
		if got.State != execution.Queued || got.Attempt != 0 {
			t.Errorf("after the drain it is %s with %d attempts, want queued with none", got.State, got.Attempt)
		}
		b.run(b.config(runner(ok)))
		b.await("ten_a", id, execution.Succeeded)
	})
}

func TestDrainLeavesBehindWhatCannotBeEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.tenant("ten_a", 4, 1, "plv_1")
		id := b.enqueue("ten_a", event.Action, "do", `{}`)
		release := make(chan struct{})
		defer close(release)
		c := b.config(runner(func(context.Context, execution.Claimed) error {
			<-release // Whatever becomes of its context.
			return nil
		}))
		c.Drain, c.Lease = 3*time.Second, 8*time.Second
		_, stop := b.start(c)
		b.await("ten_a", id, execution.Running)
		stopping := time.Now()
		err := stop()
		if got, want := time.Since(stopping), c.Drain+c.Lease; got < want || got > want+time.Second {
			t.Errorf("the drain took %s, want %s", got, want)
		}
		if err == nil || !strings.Contains(err.Error(), id) {
			t.Errorf("got %v, want an error that names %s", err, id)
		}
		// Not retired: its lease says that the execution is to be claimed again.
		b.run(b.config(runner(ok)))
		b.await("ten_a", id, execution.Succeeded)
	})
}

func TestDeadWorkersExecutionIsFinishedByAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.tenant("ten_a", 4, 1, "plv_1")
		// The second worker has seen the database up by the time that the first one dies.
		second := b.config(runner(ok))
		dying := &failing{Store: b.store}
		first := b.config(nil)
		first.Store = dying
		released, cause := make(chan struct{}), make(chan error, 1)
		first.Runner = runner(func(ctx context.Context, _ execution.Claimed) error {
			<-released // It does not even notice that its context has ended.
			cause <- context.Cause(ctx)
			return nil
		})
		_, endFirst := b.run(first)
		id := b.enqueue("ten_a", event.Action, "do", `{}`)
		b.await("ten_a", id, execution.Running)
		b.run(second)
		time.Sleep(10 * time.Second)
		if got := b.get("ten_a", id); got.State != execution.Running || got.Claim != 1 {
			t.Fatalf("with heartbeats it is %s under claim %d, want running under claim 1", got.State, got.Claim)
		}

		dying.set(func(f *failing) { f.heartbeat = errDown })
		died := time.Now()
		got := b.await("ten_a", id, execution.Succeeded)
		if took := got.FinishedAt.Sub(died); took > 10*time.Second {
			t.Errorf("another worker finished it %s after the first one died, want 10 s at most", took)
		}
		if got.Claim != 2 || got.Attempt != 1 {
			t.Errorf("it was finished under claim %d as attempt %d, want 2 and 1", got.Claim, got.Attempt)
		}
		finished := got.FinishedAt
		close(released)
		if err := <-cause; !errors.Is(err, execution.ErrFenced) {
			t.Errorf("the first worker's run was ended by %v, want that it was fenced", err)
		}
		dying.set(func(f *failing) { f.heartbeat = nil })
		endFirst()
		if got := b.get("ten_a", id); !got.FinishedAt.Equal(finished) || got.Claim != 2 {
			t.Errorf("the first worker has written: %+v", got)
		}
		if n := b.logs.count("completion fenced"); n != 1 {
			t.Errorf("%d completions were fenced, want 1", n)
		}
	})
}

func TestNobodyReapsUntilTheDatabaseWasUpForALease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.tenant("ten_a", 4, 1, "plv_1")
		id := b.enqueue("ten_a", event.Action, "do", `{}`)
		if _, err := b.store.Heartbeat(t.Context(), "wrk_gone", time.Second); err != nil {
			t.Fatal(err)
		}
		quotas := []execution.Quota{{Tenant: "ten_a", N: 1, Running: 4}}
		if taken, err := b.store.Claim(t.Context(), "wrk_gone", quotas, 0); err != nil || len(taken.Claimed) != 1 {
			t.Fatalf("claim gave %v and %v, want one", taken, err)
		}
		time.Sleep(time.Hour)
		began := time.Now()
		b.run(b.config(runner(ok)))
		got := b.await("ten_a", id, execution.Succeeded)
		if waited := got.FinishedAt.Sub(began); waited < 8*time.Second || waited > 10*time.Second {
			t.Errorf("it was reaped after %s, want a lease of 8 s and no more than 10 s", waited)
		}
	})
}

func TestClaimWhoseAnswerWasLostIsReaped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.tenant("ten_a", 4, 1, "plv_1")
		flaky := &failing{Store: b.store}
		c := b.config(runner(ok))
		c.Store = flaky
		b.run(c)
		synctest.Wait()
		flaky.set(func(f *failing) { f.claimAfter = errDown })
		id := b.enqueue("ten_a", event.Action, "do", `{}`)
		b.await("ten_a", id, execution.Running)
		flaky.set(func(f *failing) { f.claimAfter = nil })
		lost := time.Now()
		got := b.await("ten_a", id, execution.Succeeded)
		if took := got.FinishedAt.Sub(lost); took > 12*time.Second || got.Claim != 2 {
			t.Errorf("it succeeded after %s under claim %d, want 12 s at most and claim 2", took, got.Claim)
		}
	})
}

func TestCompletionOutlivesAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.tenant("ten_a", 4, 1, "plv_1")
		flaky := &failing{Store: b.store}
		var runs atomic.Int64
		c := b.config(runner(func(context.Context, execution.Claimed) error {
			runs.Add(1)
			flaky.set(func(f *failing) { f.complete, f.heartbeat, f.claim = errDown, errDown, errDown })
			return nil
		}))
		c.Store = flaky
		b.run(c)
		id := b.enqueue("ten_a", event.Action, "do", `{}`)
		b.await("ten_a", id, execution.Running)
		time.Sleep(6 * time.Second)
		flaky.set(func(f *failing) { f.complete, f.heartbeat, f.claim = nil, nil, nil })
		if got := b.await("ten_a", id, execution.Succeeded); got.Claim != 1 || runs.Load() != 1 {
			t.Errorf("it took %d claims and %d runs, want one", got.Claim, runs.Load())
		}
		if down, up := b.logs.count("database does not answer"), b.logs.count("database answers again"); down != 1 || up > 1 {
			t.Errorf("the log says %d times that the database is down and %d times that it is up, want once each", down, up)
		}
	})
}

func TestCompletionThatIsRefusedIsADeadLetter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.tenant("ten_a", 4, 1, "plv_1")
		c := b.config(runner(ok))
		c.Store = &refusing{Store: b.store}
		b.run(c)
		id := b.enqueue("ten_a", event.Action, "do", `{}`)
		if got := b.await("ten_a", id, execution.Dead); got.Error.Code != "completion_refused" {
			t.Errorf("its error is %v, want completion_refused", got.Error)
		}
		next := b.enqueue("ten_a", event.Action, "do", `{}`)
		b.await("ten_a", next, execution.Dead)
	})
}

// refusing takes no success, as a database that cannot store its output.
type refusing struct{ worker.Store }

// Complete implements worker.Store.
func (r *refusing) Complete(ctx context.Context, c execution.Completion) error {
	if c.Outcome == execution.Succeeded {
		return errors.New("invalid byte sequence")
	}
	return r.Store.Complete(ctx, c)
}
