package storetest

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/internal/sealing"
	"github.com/cofferdam-run/cofferdam/host/store/storetest/faults"
)

// Arrival is an event that is accepted with others, in one group, and what became of it.
type Arrival struct {
	Event    event.Event
	Work     *event.Work
	Accepted event.Accepted
	Err      error
}

// AcceptAll accepts events as one group, as if they had all come while the store was busy.
type AcceptAll func(ctx context.Context, s store.Store, all []*Arrival)

// Groups checks that whoever is accepted with others is accepted as if alone.
func Groups(t *testing.T, open Open, accept AcceptAll) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, *gathering){
		"copies of one delivery are stored once":     groupCopies,
		"tenants, endpoints and keys side by side":   groupMixed,
		"one that is refused leaves the others":      groupRefused,
		"what is in order stays so, whoever fails":   groupInOrder,
		"bodies that are large, and the same, in it": groupLarge,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, &gathering{bundle: setup(t, open), acceptAll: accept})
		})
	}
}

// gathering is a group that is being made up.
type gathering struct {
	*bundle

	acceptAll AcceptAll
	all       []*Arrival
}

// come adds an event with its work, which came a little later than the last.
func (g *gathering) come(p place, change func(*Arrival)) *Arrival {
	g.clock.advance(time.Millisecond)
	a := &Arrival{Event: g.event(p), Work: &event.Work{Execution: ident.New(ident.Execution, g.clock.now()), Lane: event.Live}}
	if change != nil {
		change(a)
	}
	g.all = append(g.all, a)
	return a
}

func keyed(key string) func(*Arrival) { return func(a *Arrival) { a.Event.DedupeKey = key } }

func ordered(key string) func(*Arrival) {
	return func(a *Arrival) { a.Work.OrderKey = event.KeyOf("end_1", key) }
}

// accept accepts the group.
func (g *gathering) accept(t *testing.T) {
	t.Helper()
	g.acceptAll(t.Context(), g.Store, g.all)
	g.all = nil
}

// wantNew checks that something was stored with its execution.
func (g *gathering) wantNew(t *testing.T, a *Arrival) {
	t.Helper()
	must(t, a.Err)
	equal(t, event.Accepted{Event: a.Event.ID, Execution: a.Work.Execution}, a.Accepted)
	got, err := g.Event(t.Context(), a.Event.Tenant, a.Event.ID)
	must(t, err)
	equal(t, a.Event, got)
	e, err := g.Execution(t.Context(), a.Event.Tenant, a.Work.Execution)
	must(t, err)
	equal(t, a.Event.ID, e.Event)
}

// wantCount checks how many events a tenant has, each with its execution.
func (g *gathering) wantCount(t *testing.T, p place, want int) {
	t.Helper()
	events, err := g.Events(t.Context(), p.tenant, event.Filter{})
	must(t, err)
	executions, err := g.Executions(t.Context(), p.tenant, execution.Filter{})
	must(t, err)
	if len(events) != want || len(executions) != want {
		t.Errorf("%s has %d events and %d executions, want %d each", p.tenant, len(events), len(executions), want)
	}
}

func groupCopies(t *testing.T, g *gathering) {
	before := g.come(g.acme, keyed("before"))
	g.accept(t)
	g.wantNew(t, before)
	again := g.come(g.acme, keyed("before"))
	alone := g.come(g.acme, nil)
	var copies []*Arrival
	for range 3 {
		copies = append(copies, g.come(g.acme, keyed("same")))
	}
	g.accept(t)
	g.wantNew(t, alone)
	must(t, again.Err)
	equal(t, event.Accepted{Event: before.Event.ID, Execution: before.Work.Execution, Duplicate: true}, again.Accepted)
	var first *Arrival
	for _, c := range copies {
		must(t, c.Err)
		if !c.Accepted.Duplicate {
			g.wantNew(t, c)
			first = c
		}
	}
	if first == nil {
		t.Fatal("none of the copies was stored")
	}
	for _, c := range copies {
		equal(t, event.Accepted{Event: first.Event.ID, Execution: first.Work.Execution, Duplicate: c != first}, c.Accepted)
	}
	g.wantCount(t, g.acme, 3)
}

func groupMixed(t *testing.T, g *gathering) {
	elsewhere := func(a *Arrival) { a.Event.DedupeKey, a.Event.Source = "same", "end_2" }
	stored := []*Arrival{
		g.come(g.acme, keyed("same")), g.come(g.other, keyed("same")), g.come(g.acme, elsewhere), g.come(g.other, elsewhere),
		g.come(g.acme, nil), g.come(g.acme, nil),
	}
	first, theirs, second := g.come(g.acme, ordered("a")), g.come(g.other, ordered("a")), g.come(g.acme, ordered("a"))
	alone := g.come(g.acme, func(a *Arrival) { a.Work = nil })
	g.accept(t)
	for _, a := range append(stored, first, theirs, second) {
		g.wantNew(t, a)
	}
	must(t, alone.Err)
	equal(t, event.Accepted{Event: alone.Event.ID}, alone.Accepted)
	g.wantState(t, g.acme, first.Work.Execution, execution.Queued)
	g.wantState(t, g.other, theirs.Work.Execution, execution.Queued)
	g.wantState(t, g.acme, second.Work.Execution, execution.Waiting)
	queued, err := g.Queued(t.Context(), g.acme.tenant, "", "", 100)
	must(t, err)
	equal(t, 6, queued)
}

func groupRefused(t *testing.T, g *gathering) {
	before := g.come(g.acme, nil)
	g.accept(t)
	nobody := g.come(place{"ten_none", "ins_none"}, nil)
	early := g.come(g.acme, keyed("early"))
	taken := g.come(g.acme, func(a *Arrival) { a.Event.ID = before.Event.ID })
	twice := g.come(g.acme, func(a *Arrival) { a.Work.Execution = before.Work.Execution })
	late := g.come(g.other, keyed("late"))
	again := g.come(g.acme, keyed("early"))
	g.accept(t)
	wantNotFound(t, "an event of nobody", nobody.Err)
	for _, a := range []*Arrival{taken, twice} {
		wantFault(t, a.Err, fault.Conflict, "exists")
	}
	g.wantNew(t, early)
	g.wantNew(t, late)
	must(t, again.Err)
	equal(t, event.Accepted{Event: early.Event.ID, Execution: early.Work.Execution, Duplicate: true}, again.Accepted)
	_, err := g.Event(t.Context(), g.acme.tenant, twice.Event.ID)
	wantNotFound(t, "an event whose execution is another's", err)
	g.wantCount(t, g.acme, 2)
	g.wantCount(t, g.other, 1)
}

func groupInOrder(t *testing.T, g *gathering) {
	before := g.come(g.acme, nil)
	g.accept(t)
	want := []*Arrival{g.come(g.acme, ordered("a")), g.come(g.acme, ordered("a"))}
	taken := g.come(g.acme, func(a *Arrival) {
		ordered("a")(a)
		a.Event.ID = before.Event.ID
	})
	want = append(want, g.come(g.acme, ordered("a")))
	g.accept(t)
	if taken.Err == nil {
		t.Error("an id that is taken is accepted")
	}
	ids, claims := g.next(t, g.acme)
	equal(t, []string{before.Work.Execution, want[0].Work.Execution}, ids)
	must(t, g.Complete(t.Context(), success(claims[0])))
	for i := range want {
		equal(t, want[i].Work.Execution, claims[len(claims)-1].Execution)
		must(t, g.Complete(t.Context(), success(claims[len(claims)-1])))
		ids, claims = g.next(t, g.acme)
		if more := i < len(want)-1; more != (len(ids) == 1) {
			t.Fatalf("after %d of the key %v can be claimed", i+1, ids)
		}
	}
}

func groupLarge(t *testing.T, g *gathering) {
	large := func(a *Arrival) { a.Event.Body = bytes.Repeat([]byte("x"), sealing.Large) }
	all := []*Arrival{g.come(g.acme, large), g.come(g.acme, nil), g.come(g.acme, large), g.come(g.other, large)}
	g.accept(t)
	for _, a := range all {
		g.wantNew(t, a)
	}
}

// FailingGroups accepts groups while each statement in turn fails, before it is executed
// and after: whoever asks again until he is answered finds everything stored, and once.
func FailingGroups(t *testing.T, open Open, accept AcceptAll, plan *faults.Plan) {
	t.Helper()
	b := setup(t, open)
	for when, name := range map[faults.When]string{faults.Before: "before", faults.After: "after"} {
		t.Run(name, func(t *testing.T) {
			for n := 1; ; n++ {
				g := &gathering{bundle: b, acceptAll: accept}
				p := b.newPlace(t, fmt.Sprint(name, n))
				plan.Arm(n, when)
				g.failingGroup(t, p)
				struck := plan.Struck()
				plan.Arm(0, when)
				if t.Failed() {
					t.Fatalf("when statement %d fails", n)
				}
				if !struck {
					return
				}
			}
		})
	}
}

// failingGroup accepts three events of which two have one key, and another in order.
func (g *gathering) failingGroup(t *testing.T, p place) {
	t.Helper()
	change := []func(*Arrival){keyed("a"), keyed("b"), keyed("a"), ordered("c")}
	for i := range change {
		a := g.come(p, change[i])
		if a.Event.DedupeKey == "" {
			a.Event.DedupeKey = "c"
		}
	}
	all := g.all
	g.accept(t)
	for _, a := range all {
		if a.Err == nil {
			continue
		}
		g.until(t, func() error {
			_, err := g.Accept(t.Context(), a.Event, a.Work)
			return err
		})
	}
	g.until(t, func() error {
		for _, table := range []func() (int, error){
			func() (int, error) {
				all, err := g.Events(t.Context(), p.tenant, event.Filter{})
				return len(all), err
			},
			func() (int, error) {
				all, err := g.Executions(t.Context(), p.tenant, execution.Filter{})
				return len(all), err
			},
		} {
			n, err := table()
			if err != nil {
				return err
			}
			equal(t, 3, n)
		}
		return nil
	})
}
