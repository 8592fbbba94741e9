package worker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/worker"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/guestlog"
	"github.com/cofferdam-run/cofferdam/runtime"
)

func ok(context.Context, execution.Claimed) error { return nil }

func rateLimited(after time.Duration) error {
	return &runtime.Failure{Code: "rate_limited", Message: "slow down", RetryAfter: after}
}

func TestSuccessIsWrittenDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.tenant("ten_a", 4, 1, "plv_1")
		id := b.enqueue("ten_a", event.Action, "do", `{}`)
		c := b.config(runner(ok))
		metrics := prometheus.NewRegistry()
		c.Registerer = metrics
		_, end := b.run(c)
		got := b.await("ten_a", id, execution.Succeeded)
		end()
		if string(got.Output) != `"ok"` || got.VersionID != "plv_1" || got.Attempt != 1 || got.FinishedAt.IsZero() {
			t.Errorf("execution is %+v", got)
		}
		attempts := b.attempts("ten_a", id)
		if len(attempts) != 1 || attempts[0].Outcome != execution.Succeeded || attempts[0].Number != 1 || attempts[0].Worker == "" {
			t.Errorf("attempts are %+v", attempts)
		}
		families, err := metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "cofferdam_runs_total" && f.GetMetric()[0].GetCounter().GetValue() == 1 {
				return
			}
		}
		t.Errorf("cofferdam_runs_total is not 1 in %v", families)
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ wish, want time.Duration }{
		"as wished":  {90 * time.Second, 90 * time.Second},
		"to a month": {365 * 24 * time.Hour, 31 * 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t)
				b.tenant("ten_a", 4, 1, "plv_1")
				id := b.enqueue("ten_a", event.Action, "do", `{}`)
				c := b.config(runner(func(_ context.Context, c execution.Claimed) error {
					if c.Claim == 1 {
						return rateLimited(test.wish)
					}
					return nil
				}))
				c.Scan, c.Lease = time.Minute, 10*time.Minute // For there is little to do in an hour.
				b.run(c)
				waiting := b.await("ten_a", id, execution.Waiting)
				if waiting.Reason != execution.ReasonRateLimited || waiting.Error == nil || waiting.Error.Code != "rate_limited" {
					t.Errorf("it waits for %q after %v, want rate_limited", waiting.Reason, waiting.Error)
				}
				if got := time.Until(waiting.Until); got < test.want-time.Second || got > test.want {
					t.Errorf("it waits for %s, want %s", got, test.want)
				}
				if test.want > time.Hour {
					return // A worker does its chores every second, and a month has many.
				}
				synctest.Wait()
				time.Sleep(test.want)
				b.await("ten_a", id, execution.Succeeded)
				attempts := b.attempts("ten_a", id)
				if len(attempts) != 2 {
					t.Fatalf("there are %d attempts, want 2", len(attempts))
				}
				if got := attempts[1].StartedAt.Sub(attempts[0].FinishedAt); got < test.want-time.Millisecond || got > test.want+time.Second {
					t.Errorf("it ran again after %s, want %s", got, test.want)
				}
			})
		})
	}
}

func TestRetriesEndInADeadLetterThatCanBeRedriven(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.tenant("ten_a", 4, 1, "plv_1")
		id := b.enqueue("ten_a", event.Action, "do", `{}`)
		var healed atomic.Bool
		c := b.config(runner(func(context.Context, execution.Claimed) error {
			if healed.Load() {
				return nil
			}
			return &runtime.Failure{Code: "upstream_unavailable", Message: "502"}
		}))
		c.Attempts = 5
		w, _ := b.run(c)
		for !b.get("ten_a", id).State.Done() { // Past the waits of all attempts: 1+2+4+8 s at most.
			time.Sleep(time.Second)
		}
		dead := b.await("ten_a", id, execution.Dead)
		if dead.Attempt != 5 || dead.Fingerprint == "" || dead.Error.Code != "upstream_unavailable" {
			t.Errorf("it is dead after %d attempts with %v, want 5 with a fingerprint", dead.Attempt, dead.Error)
		}
		if letters, err := b.store.DeadLetters(t.Context(), "ten_a"); err != nil || len(letters) != 1 || letters[0].Count != 1 {
			t.Errorf("dead letters are %v and %v, want one group of one", letters, err)
		}
		healed.Store(true)
		if err := b.store.Redrive(t.Context(), "ten_a", id, execution.Redriving{}); err != nil {
			t.Fatal(err)
		}
		w.Wake("ten_a")
		if got := b.await("ten_a", id, execution.Succeeded); got.Attempt != 1 {
			t.Errorf("after the redrive it took %d attempts, want 1", got.Attempt)
		}
	})
}

func TestFailuresThatNoRetryHelpsAreDeadAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.tenant("ten_a", 4, 1, "plv_1")
		failures := map[string]error{
			"plugin_bug":        &runtime.Failure{Code: runtime.CodePluginBug, Message: "nil map"},
			"deadline_exceeded": &runtime.Failure{Code: runtime.CodeDeadlineExceeded, Message: "30 s"},
			"memory_too_large":  &runtime.InvalidModule{Code: "memory_too_large", Message: "it wants 4 GiB"},
		}
		ids := map[string]error{}
		codes := map[string]string{}
		for code, failure := range failures {
			id := b.enqueue("ten_a", event.Action, "do", `{}`)
			ids[id], codes[id] = failure, code
		}
		b.run(b.config(runner(func(_ context.Context, c execution.Claimed) error { return ids[c.Execution] })))
		for id, code := range codes {
			if got := b.await("ten_a", id, execution.Dead); got.Error.Code != code || got.Attempt != 1 {
				t.Errorf("it is dead of %q after %d attempts, want %q after 1", got.Error.Code, got.Attempt, code)
			}
		}
	})
}

func TestOutagesCostNoAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.tenant("ten_a", 4, 1, "plv_1")
		id := b.enqueue("ten_a", event.Action, "do", `{}`)
		var runs atomic.Int64
		b.run(b.config(runner(func(context.Context, execution.Claimed) error {
			if runs.Add(1) < 8 {
				return errDown
			}
			return nil
		})))
		for b.get("ten_a", id).State != execution.Succeeded {
			time.Sleep(time.Second)
		}
		if got := b.get("ten_a", id); got.Attempt != 1 || got.Claim != 8 {
			t.Errorf("it took %d attempts and %d claims, want 1 and 8", got.Attempt, got.Claim)
		}
	})
}

func TestHostFunctionsThatNeverWorkEndInADeadLetter(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func() error{
		"that panic": func() error { panic("a bug of ours") },
		"that fail":  func() error { return errors.New("the app's own database is in pieces") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t)
				b.tenant("ten_a", 4, 1, "plv_1")
				id := b.enqueue("ten_a", event.Action, "do", `{}`)
				c := b.config(runner(func(context.Context, execution.Claimed) error { return fail() }))
				c.Attempts = 3
				b.run(c)
				got := b.await("ten_a", id, execution.Dead)
				if got.Attempt != 3 || got.Error.Class != fault.Platform || strings.Contains(got.Error.Message, "pieces") {
					t.Errorf("it is dead of %v after %d attempts, want a platform fault after 3 that does not show the cause", got.Error, got.Attempt)
				}
			})
		})
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		stop bool
		most time.Duration
	}{
		"in this process ends the run at once":             {stop: true, most: 0},
		"in another process ends the run with a heartbeat": {stop: false, most: 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t)
				b.tenant("ten_a", 4, 1, "plv_1")
				id := b.enqueue("ten_a", event.Action, "do", `{}`)
				w, _ := b.run(b.config(runner(func(ctx context.Context, _ execution.Claimed) error {
					<-ctx.Done()
					return ctx.Err()
				})))
				b.await("ten_a", id, execution.Running)
				asked := time.Now()
				if state, err := b.store.Cancel(t.Context(), "ten_a", id); err != nil || state != execution.Running {
					t.Fatalf("cancel gave %s and %v, want running", state, err)
				}
				if test.stop {
					w.Stop(id)
				}
				got := b.await("ten_a", id, execution.Cancelled)
				if took := got.FinishedAt.Sub(asked); took > test.most+10*time.Millisecond {
					t.Errorf("it ended %s after it was cancelled, want %s at most", took, test.most)
				}
				if attempts := b.attempts("ten_a", id); len(attempts) != 1 || attempts[0].Outcome != execution.Cancelled {
					t.Errorf("attempts are %+v, want the one that was cancelled", attempts)
				}
			})
		})
	}
}

func TestParkedWaitsUncountedUntilItIsReleased(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.tenant("ten_a", 4, 1, "plv_1")
		id := b.enqueue("ten_a", event.Action, "do", `{}`)
		var resumed atomic.Bool
		w, _ := b.run(b.config(runner(func(context.Context, execution.Claimed) error {
			if !resumed.Load() {
				return &worker.ParkedError{Reason: execution.ReasonPaused, Until: time.Now().Add(time.Hour)}
			}
			return nil
		})))
		if got := b.await("ten_a", id, execution.Waiting); got.Reason != execution.ReasonPaused || got.Attempt != 0 {
			t.Errorf("it waits for %q after %d attempts, want paused after none", got.Reason, got.Attempt)
		}
		time.Sleep(2 * time.Minute)
		if got := b.get("ten_a", id).State; got != execution.Waiting {
			t.Errorf("two minutes later it is %s, want waiting", got)
		}
		resumed.Store(true)
		if n, err := b.store.Release(t.Context(), "ten_a", installationOf("ten_a"), execution.ReasonPaused); err != nil || n != 1 {
			t.Fatalf("release gave %d and %v, want 1", n, err)
		}
		w.Wake("ten_a")
		if got := b.await("ten_a", id, execution.Succeeded); got.Attempt != 1 {
			t.Errorf("it took %d attempts, want 1", got.Attempt)
		}
	})
}

func TestRemovedInstallationCancels(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.tenant("ten_a", 4, 1, "plv_1")
		id := b.enqueue("ten_a", event.Action, "do", `{}`)
		b.run(b.config(runner(func(context.Context, execution.Claimed) error { return worker.ErrRemoved })))
		if got := b.await("ten_a", id, execution.Cancelled); got.Error == nil || got.Error.Code != "installation_removed" {
			t.Errorf("its error is %v, want installation_removed", got.Error)
		}
	})
}

func TestConflictRunsAgainUncounted(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		conflicts int
		want      execution.State
	}{
		"until it commits": {3, execution.Succeeded},
		"but not for ever": {1000, execution.Dead},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t)
				b.tenant("ten_a", 4, 1, "plv_1")
				c := b.config(runner(ok))
				c.Store = &conflicting{Store: b.store, left: test.conflicts}
				b.run(c)
				id := b.enqueue("ten_a", event.Action, "do", `{}`)
				for !b.get("ten_a", id).State.Done() {
					time.Sleep(time.Second)
				}
				got := b.await("ten_a", id, test.want)
				if got.Attempt != 1 {
					t.Errorf("it took %d attempts, want 1", got.Attempt)
				}
				attempts := b.attempts("ten_a", id)
				if first := attempts[0]; first.Outcome != execution.Waiting || first.Error.Code != execution.ReasonConflict {
					t.Errorf("the first run ended %s with %v, want waiting with state_conflict", first.Outcome, first.Error)
				}
			})
		})
	}
}

func TestConflictsKeepTheFirstTraces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.tenant("ten_a", 4, 1, "plv_1")
		c := b.config(logging{})
		c.Store = &conflicting{Store: b.store, left: 5}
		b.run(c)
		id := b.enqueue("ten_a", event.Action, "do", `{}`)
		b.await("ten_a", id, execution.Succeeded)
		got := make([]int, 0, 6)
		for _, a := range b.attempts("ten_a", id) {
			if len(a.Steps) != len(a.Logs) || a.Claim == 0 || a.StartedAt.IsZero() || a.Usage.HostCalls == 0 {
				t.Errorf("got %+v, want as many steps as logs, and what else is known", a)
			}
			got = append(got, len(a.Logs))
		}
		if want := []int{1, 1, 1, 0, 0, 1}; !slices.Equal(got, want) {
			t.Errorf("got %v lines by run, want %v", got, want)
		}
	})
}

// logging is a Runner whose runs leave a step and a line.
type logging struct{}

// Run implements worker.Runner.
func (logging) Run(context.Context, execution.Claimed, func() bool) (worker.Ended, error) {
	return worker.Ended{VersionID: "plv_1", Attempt: execution.Attempt{
		Steps: make([]hostfns.Step, 1), Logs: make([]guestlog.Line, 1), Usage: runtime.Usage{HostCalls: 1},
	}}, nil
}

// conflicting has successes conflict for a while.
type conflicting struct {
	worker.Store
	mu   sync.Mutex
	left int
}

// Complete implements worker.Store.
func (s *conflicting) Complete(ctx context.Context, c execution.Completion) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Outcome == execution.Succeeded && s.left > 0 {
		s.left--
		return &execution.StateConflictError{Key: "n"}
	}
	return s.Store.Complete(ctx, c)
}

func TestFloodDelaysOthersByARound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.tenant("ten_flood", 1000, 1, "plv_1")
		b.tenant("ten_victim", 4, 1, "plv_1")
		for range 300 {
			b.enqueue("ten_flood", event.Action, "do", `{}`)
		}
		started := make(chan string, 400)
		c := b.config(runner(func(_ context.Context, c execution.Claimed) error {
			started <- c.Tenant
			time.Sleep(10 * time.Millisecond)
			return nil
		}))
		c.Slots = 4
		w, _ := b.run(c)
		for range 40 {
			<-started
		}
		id := b.enqueue("ten_victim", event.Action, "do", `{}`)
		w.Wake("ten_victim")
		before := 0
		for tenant := range started {
			if tenant == "ten_victim" {
				break
			}
			before++
		}
		// What had started, and what was being claimed.
		if before > 2*c.Slots {
			t.Errorf("%d executions of the flooder started before the victim's, want %d at most", before, 2*c.Slots)
		}
		b.await("ten_victim", id, execution.Succeeded)
	})
}

func TestTenantsCapHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.tenant("ten_a", 3, 1, "plv_1")
		var ids []string
		for range 30 {
			ids = append(ids, b.enqueue("ten_a", event.Action, "do", `{}`))
		}
		var running, most atomic.Int64
		b.run(b.config(runner(func(context.Context, execution.Claimed) error {
			n := running.Add(1)
			defer running.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(10 * time.Millisecond)
			return nil
		})))
		for _, id := range ids {
			b.await("ten_a", id, execution.Succeeded)
		}
		if got := most.Load(); got != 3 {
			t.Errorf("%d ran at once, want the tenant's cap of 3", got)
		}
	})
}

func TestTwoWorkersRunEverythingOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var mu sync.Mutex
	runs := map[string]int{}
	count := runner(func(_ context.Context, c execution.Claimed) error {
		mu.Lock()
		defer mu.Unlock()
		runs[c.Execution]++
		return nil
	})
	one, _ := b.run(b.config(count))
	two, _ := b.run(b.config(count))
	var wg sync.WaitGroup
	ids := make(chan [2]string, 1000)
	for i, tenant := range names(10) {
		b.tenant(tenant, 1+i, 1+i%3, "plv_1")
		wg.Go(func() {
			for n := range 40 {
				ids <- [2]string{tenant, b.enqueue(tenant, event.Action, fmt.Sprint("do", n), `{}`)}
				[]*worker.Worker{one, two}[n%2].Wake(tenant)
			}
		})
	}
	wg.Wait()
	close(ids)
	for id := range ids {
		b.await(id[0], id[1], execution.Succeeded)
		mu.Lock()
		if n := runs[id[1]]; n != 1 {
			t.Errorf("%s ran %d times, want once", id[1], n)
		}
		mu.Unlock()
	}
}
