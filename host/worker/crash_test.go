package worker_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/worker"
	"github.com/cofferdam-run/cofferdam/runtime"
)

func TestCrashedWorkersEffects(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		// answer is what the first worker sees before it dies.
		answer func(ctx context.Context, crash func()) (any, error)
		want   execution.State
		asked  []string
	}{
		"answered": {
			func(_ context.Context, _ func()) (any, error) { return true, nil },
			execution.Succeeded,
			[]string{"look", "a", "stop", "stop"},
		},
		"not answered": {
			func(ctx context.Context, crash func()) (any, error) {
				crash()
				<-ctx.Done()
				return nil, ctx.Err()
			},
			execution.Dead,
			[]string{"look", "a"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.guest("ten_a")
			dying, die := context.WithCancel(t.Context())
			var asking string
			o := &outside{}
			o.answer = func(ctx context.Context, name string, n int) (any, error) {
				switch {
				case name == "a" && n == 1:
					return test.answer(ctx, die)
				case name == "stop" && n == 1:
					for entries := b.entries(asking); len(entries) < 3 || entries[2].Answered.IsZero(); {
						entries = b.entries(asking)
					}
					die()
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return true, nil
			}
			s := b.sandbox(runtime.Limits{}, o.probe())
			id := b.enqueue("ten_a", event.Action, "do", script(ask("look", "read"), ask("a", ""), ask("stop", "read")))
			asking = id
			claimed := b.claim("wrk_dying", id)
			if _, err := s.Run(dying, claimed, func() bool { return true }); !errors.Is(err, context.Canceled) {
				t.Fatalf("the run ended with %v, want it cancelled", err)
			}
			c := b.config(s)
			c.Lease = 200 * time.Millisecond
			b.runNow(c)
			got := b.end(id)
			if got.State != test.want {
				t.Errorf("it is %s with %v, want %s", got.State, got.Error, test.want)
			}
			if got.State == execution.Dead && got.Error.Class != fault.AmbiguousEffect {
				t.Errorf("it is dead of %v, want of an ambiguous effect", got.Error)
			}
			o.wantAsked(t, test.asked...)
		})
	}
}

// claim claims one execution for a worker whose lease runs out at once.
func (b *bundle) claim(name, id string) execution.Claimed {
	b.t.Helper()
	ctx := context.WithoutCancel(b.t.Context())
	if _, err := b.store.Heartbeat(ctx, name, time.Second); err != nil {
		b.t.Fatal(err)
	}
	taken, err := b.store.Claim(ctx, name, []execution.Quota{{Tenant: "ten_a", N: 1, Running: 8}}, 1000)
	claimed := taken.Claimed
	if err != nil || len(claimed) != 1 || claimed[0].Execution != id {
		b.t.Fatalf("claimed %v and %v, want %s", claimed, err, id)
	}
	return claimed[0]
}

// begin has the run of a claim begin.
func (b *bundle) begin(c execution.Claimed) {
	b.t.Helper()
	if err := b.store.Begin(context.WithoutCancel(b.t.Context()), c, execution.Beginning{VersionID: "plv_1"}); err != nil {
		b.t.Fatal(err)
	}
}

func TestWhoKillsWorkersIsQuarantined(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.tenant("ten_a", 4, 1, "plv_1")
	id := b.enqueue("ten_a", event.Action, "do", `{}`)
	for n := range 5 {
		name := fmt.Sprintf("wrk_%d", n)
		b.begin(b.claim(name, id))
		if _, err := b.store.Heartbeat(t.Context(), name, -time.Second); err != nil {
			t.Fatal(err)
		}
		if _, err := b.store.Reap(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	b.runNow(b.config(runner(ok)))
	if got := b.end(id); got.State != execution.Dead || got.Error.Code != "quarantined" {
		t.Errorf("it is %s with %v, want dead of quarantined", got.State, got.Error)
	}
	b.redrive(id, execution.Redriving{})
	b.until(id, func(e execution.Execution) bool { return e.State == execution.Succeeded })
}

func TestSuspectsRunAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.tenant("ten_a", 8, 1, "plv_1")
	ids := map[string]bool{}
	for range 4 {
		ids[b.enqueue("ten_a", event.Action, "do", `{}`)] = true
	}
	for n := range 2 {
		name := fmt.Sprintf("wrk_%d", n)
		if _, err := b.store.Heartbeat(t.Context(), name, -time.Second); err != nil {
			t.Fatal(err)
		}
		taken, err := b.store.Claim(t.Context(), name, []execution.Quota{{Tenant: "ten_a", N: 8, Running: 8}}, 1000)
		claimed := taken.Claimed
		if err != nil || len(claimed) != 4 {
			t.Fatalf("claimed %v and %v, want 4", claimed, err)
		}
		for _, c := range claimed {
			b.begin(c)
		}
		if _, err := b.store.Reap(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 {
		b.enqueue("ten_a", event.Action, "do", `{}`)
	}
	var mu sync.Mutex
	running := map[string]int{}
	b.runNow(b.config(runner(func(_ context.Context, c execution.Claimed) error {
		mu.Lock()
		running[c.Execution]++
		if c.Crashes > 1 && len(running) > 1 {
			t.Errorf("%d run beside one that was in flight when two workers died", len(running)-1)
		}
		mu.Unlock()
		time.Sleep(5 * time.Millisecond) // For others to come beside it, if they could.
		mu.Lock()
		delete(running, c.Execution)
		mu.Unlock()
		return nil
	})))
	for id := range ids {
		b.await("ten_a", id, execution.Succeeded)
	}
}

var _ worker.Runner = runner(nil)
