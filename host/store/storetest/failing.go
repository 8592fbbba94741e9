package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/redeliver"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/storetest/faults"
	"github.com/cofferdam-run/cofferdam/hostfns/emit"
	"github.com/cofferdam-run/cofferdam/hostfns/state"
)

// Failing takes executions through their lives while each statement in turn fails,
// before it is executed and after: whoever asks again until he is answered finds
// everything done, and once. The statements of the store are those of the plan.
func Failing(t *testing.T, open Open, plan *faults.Plan) {
	t.Helper()
	b := setup(t, open)
	for when, name := range map[faults.When]string{faults.Before: "before", faults.After: "after"} {
		t.Run(name, func(t *testing.T) {
			failed := 0
			for n := 1; ; n++ {
				p := b.newPlace(t, fmt.Sprint(name, n))
				plan.Arm(n, when)
				b.life(t, p)
				if t.Failed() {
					t.Fatalf("when statement %d fails", n)
				}
				struck := plan.Struck()
				plan.Arm(0, when)
				if !struck {
					break
				}
				failed++
			}
			// A life is eight calls, and each is a statement at least.
			if failed < 8 {
				t.Errorf("%d statements failed, want one for each call at least", failed)
			}
		})
	}
}

// life is that of one execution, which is redriven once.
func (b *bundle) life(t *testing.T, p place) {
	t.Helper()
	ctx := t.Context()
	e := b.event(p)
	e.DedupeKey = e.ID
	work := &event.Work{Execution: "exe_" + e.ID, Lane: event.Live}
	b.until(t, func() error { return second(b.Accept(ctx, e, work)) })
	c := b.claimed(t, p, 0)
	b.until(t, func() error {
		return b.Begin(ctx, c, execution.Beginning{VersionID: "plv_1", World: []byte("w")})
	})
	b.recorded(t, c, 1, func() error { return b.Append(ctx, c, segment(1, "a", "large")) })
	end := success(c)
	dead("f")(&end)
	end.Journal = new(segment(2, "b", "large"))
	b.ended(t, p, end)
	b.recorded(t, c, 3, func() error {
		return b.Redrive(ctx, p.tenant, c.Execution, execution.Redriving{SameVersion: true, Journal: new(segment(3, "c"))})
	})
	c = b.claimed(t, p, c.Claim)
	end = success(c)
	end.State = state.Changes{Writes: []state.Write{{Key: "n", Delta: 1}}}
	end.Tags = []emit.Tag{{Name: "a", Value: "b"}}
	end.Records = []event.Event{{ID: e.ID + "r", Kind: event.Record, Name: "r"}}
	b.ended(t, p, end)

	o := b.ordered("job_1", e.ID)
	o.Force = true
	b.until(t, func() error {
		n, skipped, err := b.Redeliver(ctx, p.tenant, o)
		if err == nil && (n != 1 || skipped != redeliver.Skipped{}) {
			t.Errorf("redelivered %d, and skipped %+v", n, skipped)
		}
		return err
	})
	b.until(t, func() error {
		all, err := b.Executions(ctx, p.tenant, execution.Filter{Event: e.ID})
		if err == nil {
			equal(t, 2, len(all))
		}
		return err
	})
	b.until(t, func() error {
		n, err := b.State(p.tenant, p.installation).Get(ctx, "n")
		if err == nil {
			equal(t, "1", string(n.Value))
		}
		return err
	})
	b.until(t, func() error {
		r, err := b.Journal(ctx, c.Tenant, c.Execution)
		if err == nil {
			equal(t, 3, len(r.Segments))
			equal(t, 1, len(r.Segments[0].Large))
		}
		return err
	})
	b.until(t, func() error {
		events, err := b.Events(ctx, p.tenant, event.Filter{})
		if err == nil {
			equal(t, 2, len(events))
		}
		return err
	})
}

// askedMost is how often a call is made again: one may find a connection that is
// gone, and take it for the fault.
const askedMost = 5

// until makes a call until it is answered. What fails says that the database was away.
func (b *bundle) until(t *testing.T, call func() error) {
	t.Helper()
	for range askedMost {
		err := call()
		if err == nil {
			return
		}
		if !store.Unavailable(err) {
			t.Fatalf("got error %v, want a database that is unavailable", err)
		}
	}
	t.Fatalf("failed %d times in a row", askedMost)
}

// claimed claims the execution of a place, for which a claim whose answer was lost
// has to be taken back first. The last claim was the number last.
func (b *bundle) claimed(t *testing.T, p place, last int64) execution.Claimed {
	t.Helper()
	ctx := t.Context()
	for range askedMost {
		worker := fmt.Sprint("w", b.clock.us.Add(1))
		b.until(t, func() error { return second(b.Heartbeat(ctx, worker, time.Second)) })
		taken, err := b.Claim(ctx, worker, []execution.Quota{{Tenant: p.tenant, N: 9, Running: 9}}, 1000)
		got := taken.Claimed
		switch {
		case err == nil && len(got) == 1:
			if got[0].Claim-last-1 < int64(got[0].Crashes) {
				t.Errorf("claimed %+v after %d, want no more crashes than there were claims between", got[0], last)
			}
			return got[0]
		case err == nil && len(got) > 1:
			t.Fatalf("claimed %d, and there is one", len(got))
		case err != nil && !store.Unavailable(err):
			t.Fatalf("got error %v, want a database that is unavailable", err)
		}
		b.clock.advance(2 * time.Second)
		b.until(t, func() error { return second(b.Reap(ctx)) })
	}
	t.Fatal("nothing could be claimed")
	return execution.Claimed{}
}

// recorded makes a call that adds the segment n, until it is answered or the
// segment is there.
func (b *bundle) recorded(t *testing.T, c execution.Claimed, n int, call func() error) {
	t.Helper()
	again := false
	b.until(t, func() error {
		err := call()
		if f, ok := errors.AsType[*fault.Error](err); ok && f.Class == fault.Conflict && again {
			b.until(t, func() error {
				r, err := b.Journal(t.Context(), c.Tenant, c.Execution)
				if err == nil {
					equal(t, n, len(r.Segments))
				}
				return err
			})
			return nil
		}
		again = true
		return err
	})
}

// ended completes a run, until it is answered or has ended as was wanted.
func (b *bundle) ended(t *testing.T, p place, end execution.Completion) {
	t.Helper()
	again := false
	b.until(t, func() error {
		err := b.Complete(t.Context(), end)
		if errors.Is(err, execution.ErrFenced) && again {
			b.until(t, func() error {
				e, err := b.Execution(t.Context(), p.tenant, end.Execution)
				if err == nil {
					equal(t, end.Outcome, e.State)
				}
				return err
			})
			return nil
		}
		again = true
		return err
	})
}
