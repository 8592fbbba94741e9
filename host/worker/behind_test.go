package worker_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
)

// slow is a store whose claims of backfill wait until they are let through.
type slow struct {
	failing
	asked, through chan struct{}
}

// ClaimBackfill implements execution.Claims.
func (s *slow) ClaimBackfill(ctx context.Context, name string, quotas []execution.Quota) (execution.Taken, error) {
	s.asked <- struct{}{}
	select {
	case <-s.through:
	case <-ctx.Done():
		return execution.Taken{}, ctx.Err()
	}
	return s.failing.ClaimBackfill(ctx, name, quotas)
}

func TestLiveWorkDoesNotWaitForAClaimOfBackfill(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.tenant("ten_a", 32, 1, "plv_1")
	later := b.backfill("ten_a", 9)
	s := &slow{failing: failing{Store: b.store}, asked: make(chan struct{}, 9), through: make(chan struct{})}
	c := b.config(runner(ok))
	c.Store, c.Slots, c.Scan = s, 16, time.Hour
	w, end := b.run(c)
	defer end()
	<-s.asked
	for range 9 {
		id := b.enqueue("ten_a", event.Action, "do", `{}`)
		w.Wake("ten_a")
		b.await("ten_a", id, execution.Succeeded)
	}
	// What is queued meanwhile is claimed once that has ended.
	later = append(later, b.backfill("ten_a", 9)...)
	w.Wake("ten_a")
	if n := len(s.asked); n > 0 {
		t.Errorf("%d more claims of backfill were made beside the one that waits", n)
	}
	close(s.through)
	for _, id := range later {
		b.await("ten_a", id, execution.Succeeded)
	}
}

// A claim that fails ends the use of a name, under which backfill may be being claimed: what that
// brings keeps its lease.
func TestBackfillIsClaimedUnderANameThatHasEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.tenant("ten_a", 32, 1, "plv_1")
		later := b.backfill("ten_a", 9)
		s := &slow{failing: failing{Store: b.store}, asked: make(chan struct{}, 9), through: make(chan struct{})}
		c := b.config(runner(func(_ context.Context, c execution.Claimed) error {
			if c.Lane == event.Backfill {
				time.Sleep(time.Minute)
			}
			return nil
		}))
		c.Store = s
		w, _ := b.run(c)
		<-s.asked
		s.set(func(f *failing) { f.claim = errDown })
		id := b.enqueue("ten_a", event.Action, "do", `{}`)
		w.Wake("ten_a")
		time.Sleep(time.Second)
		s.set(func(f *failing) { f.claim = nil })
		b.await("ten_a", id, execution.Succeeded)
		close(s.through)
		for _, id := range later {
			if got := b.await("ten_a", id, execution.Succeeded); got.Claim != 1 {
				t.Errorf("it was claimed %d times, want once", got.Claim)
			}
		}
	})
}

func TestFailedClaimsOfBackfill(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fail func(*failing, error)
		// within is how long after the failures everything is done, and claims how often each
		// was claimed then.
		within time.Duration
		claims int64
	}{
		"are made again":                     {func(f *failing, err error) { f.claimBackfill = err }, 3 * time.Second, 1},
		"whose answers were lost are reaped": {func(f *failing, err error) { f.claimBackfillAfter = err }, 12 * time.Second, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t)
				b.tenant("ten_a", 32, 1, "plv_1")
				ids := b.backfill("ten_a", 9)
				flaky := &failing{Store: b.store}
				test.fail(flaky, errDown)
				c := b.config(runner(ok))
				c.Store = flaky
				b.run(c)
				time.Sleep(5 * time.Second)
				flaky.set(func(f *failing) { test.fail(f, nil) })
				up := time.Now()
				for _, id := range ids {
					got := b.await("ten_a", id, execution.Succeeded)
					if took := got.FinishedAt.Sub(up); took > test.within || got.Claim != test.claims {
						t.Errorf("it succeeded after %s under claim %d, want %s at most and claim %d", took, got.Claim, test.within, test.claims)
					}
				}
				if b.logs.count("backfill could not be claimed") == 0 {
					t.Error("the log does not say that backfill was not claimed")
				}
			})
		})
	}
}
