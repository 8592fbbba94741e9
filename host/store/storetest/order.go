package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/redeliver"
)

func testOrder(t *testing.T, open Open) {
	each(t, open, map[string]func(*testing.T, *bundle){
		"one of a key at a time, in order":           orderOne,
		"a key that is none is refused":              orderInvalid,
		"the next waits while the first does":        orderWaits,
		"what ends without success lets the next go": orderEnds,
		"a dead worker's keeps its turn":             orderReaped,
		"what is cancelled in line leaves the line":  orderCancelled,
		"what is redriven waits for its turn":        orderRedriven,
		"what is redelivered keeps its key":          orderRedelivered,
		"what live work waits for is live":           orderInherited,
		"what is put in front inherits, too":         orderInheritedInFront,
		"order holds under load from several places": orderLoad,
	})
}

// inOrder accepts work with an order key, and returns the execution's id.
func (b *bundle) inOrder(t testing.TB, p place, key string) string {
	t.Helper()
	b.clock.advance(time.Millisecond)
	w := &event.Work{Execution: ident.New(ident.Execution, b.clock.now()), Lane: event.Live, OrderKey: event.KeyOf("end_1", key)}
	must2(t)(b.Accept(t.Context(), b.event(p), w))
	return w.Execution
}

// next claims all that can be claimed of a tenant, and returns the ids.
func (b *bundle) next(t testing.TB, p place) (ids []string, claims []execution.Claimed) {
	t.Helper()
	claims = b.claim(t, "w1", p, 100)
	for _, c := range claims {
		ids = append(ids, c.Execution)
	}
	return ids, claims
}

func orderOne(t *testing.T, b *bundle) {
	a1, b1, a2, a3 := b.inOrder(t, b.acme, "a"), b.inOrder(t, b.acme, "b"), b.inOrder(t, b.acme, "a"), b.inOrder(t, b.acme, "a")
	theirs := b.inOrder(t, b.other, "a")
	if got := b.execution(t, b.acme, a2); got.State != execution.Waiting || got.Reason != execution.ReasonOrder || !got.Until.IsZero() {
		t.Errorf("the second of a key is %+v, want one that waits for its turn", got)
	}
	ids, claims := b.next(t, b.acme)
	equal(t, []string{a1, b1}, ids)
	equal(t, event.KeyOf("end_1", "a"), claims[0].OrderKey)
	ids, _ = b.next(t, b.other)
	equal(t, []string{theirs}, ids)
	for i, want := range []string{a2, a3} {
		must(t, b.Complete(t.Context(), success(claims[0])))
		ids, claims = b.next(t, b.acme)
		if diff := cmp.Diff([]string{want}, ids); diff != "" {
			t.Fatalf("after %d of the key (-want +got): %s", i+1, diff)
		}
	}
	must(t, b.Complete(t.Context(), success(claims[0])))
	a4 := b.inOrder(t, b.acme, "a")
	ids, _ = b.next(t, b.acme)
	equal(t, []string{a4}, ids)
}

func orderInvalid(t *testing.T, b *bundle) {
	_, err := b.Accept(t.Context(), b.event(b.acme), &event.Work{Execution: "exe_1", OrderKey: "customer 7"})
	wantFault(t, err, "invalid_input", "order_key_invalid")
}

func orderWaits(t *testing.T, b *bundle) {
	first, second := b.inOrder(t, b.acme, "a"), b.inOrder(t, b.acme, "a")
	_, claims := b.next(t, b.acme)
	retry := waiting(execution.ReasonRetry, b.clock.now().Add(time.Minute))
	c := success(claims[0])
	retry(&c)
	must(t, b.Complete(t.Context(), c))
	ids, _ := b.next(t, b.acme)
	equal(t, 0, len(ids))
	b.clock.advance(2 * time.Minute)
	_, _, err := b.Promote(t.Context(), 9)
	must(t, err)
	ids, claims = b.next(t, b.acme)
	equal(t, []string{first}, ids)
	must(t, b.Complete(t.Context(), success(claims[0])))
	ids, _ = b.next(t, b.acme)
	equal(t, []string{second}, ids)
}

func orderEnds(t *testing.T, b *bundle) {
	b.inOrder(t, b.acme, "a")
	second, third := b.inOrder(t, b.acme, "a"), b.inOrder(t, b.acme, "a")
	_, claims := b.next(t, b.acme)
	c := success(claims[0])
	c.Outcome = execution.Dead
	must(t, b.Complete(t.Context(), c))
	ids, _ := b.next(t, b.acme)
	equal(t, []string{second}, ids)
	// Its cancellation is asked for, and then its worker dies.
	must2(t)(b.Cancel(t.Context(), b.acme.tenant, second))
	b.clock.advance(time.Minute)
	must2(t)(b.Reap(t.Context()))
	b.wantState(t, b.acme, second, execution.Cancelled)
	if got := b.claim(t, "w2", b.acme, 9); len(got) != 1 || got[0].Execution != third {
		t.Errorf("claimed %+v, want the third", got)
	}
}

func orderReaped(t *testing.T, b *bundle) {
	first := b.inOrder(t, b.acme, "a")
	b.inOrder(t, b.acme, "a")
	b.next(t, b.acme)
	b.clock.advance(time.Minute)
	must2(t)(b.Reap(t.Context()))
	b.claim(t, "w2", b.other, 1)
	got := b.claim(t, "w2", b.acme, 9)
	if len(got) != 1 || got[0].Execution != first || got[0].Claim != 2 {
		t.Errorf("claimed %+v, want the first again and nothing else", got)
	}
}

func orderCancelled(t *testing.T, b *bundle) {
	first, second, third := b.inOrder(t, b.acme, "a"), b.inOrder(t, b.acme, "a"), b.inOrder(t, b.acme, "a")
	must2(t)(b.Cancel(t.Context(), b.acme.tenant, second))
	ids, claims := b.next(t, b.acme)
	equal(t, []string{first}, ids)
	must(t, b.Complete(t.Context(), success(claims[0])))
	// One that is queued and has its turn gives it on.
	fourth := b.inOrder(t, b.acme, "a")
	must2(t)(b.Cancel(t.Context(), b.acme.tenant, third))
	ids, _ = b.next(t, b.acme)
	equal(t, []string{fourth}, ids)
}

func orderRedriven(t *testing.T, b *bundle) {
	ctx := t.Context()
	first, second, third := b.inOrder(t, b.acme, "a"), b.inOrder(t, b.acme, "a"), b.inOrder(t, b.acme, "a")
	_, claims := b.next(t, b.acme)
	c := success(claims[0])
	c.Outcome = execution.Dead
	must(t, b.Complete(ctx, c))
	_, claims = b.next(t, b.acme)
	must(t, b.Redrive(ctx, b.acme.tenant, first, execution.Redriving{}))
	if got := b.execution(t, b.acme, first); got.State != execution.Waiting || got.Reason != execution.ReasonOrder {
		t.Errorf("redriven beside another of its key it is %s for %q, want it to wait for its turn", got.State, got.Reason)
	}
	for _, want := range []string{second, first, third} {
		if claims == nil {
			var ids []string
			ids, claims = b.next(t, b.acme)
			equal(t, []string{want}, ids)
		}
		equal(t, want, claims[0].Execution)
		must(t, b.Complete(ctx, success(claims[0])))
		claims = nil
	}
}

func orderRedelivered(t *testing.T, b *bundle) {
	ctx := t.Context()
	b.inOrder(t, b.acme, "a")
	ids, claims := b.next(t, b.acme)
	must(t, b.Complete(ctx, success(claims[0])))
	e := b.execution(t, b.acme, ids[0])
	active := b.inOrder(t, b.acme, "a")
	again := ident.New(ident.Execution, b.clock.now())
	n, _, err := b.Redeliver(ctx, b.acme.tenant, redeliver.Order{Job: "rdl_1", Each: map[string]string{e.Event: again}, Force: true})
	must(t, err)
	equal(t, 1, n)
	ids, claims = b.next(t, b.acme)
	equal(t, []string{active}, ids)
	must(t, b.Complete(ctx, success(claims[0])))
	ids, _ = b.next(t, b.acme)
	equal(t, []string{again}, ids)
}

// inLane accepts work with the order key "a" in a lane.
func (b *bundle) inLane(t testing.TB, l event.Lane) string {
	t.Helper()
	b.clock.advance(time.Millisecond)
	w := &event.Work{Execution: ident.New(ident.Execution, b.clock.now()), Lane: l, OrderKey: event.KeyOf("end_1", "a")}
	must2(t)(b.Accept(t.Context(), b.event(b.acme), w))
	return w.Execution
}

// wantLine claims and completes a line, of which each is to have its turn in a lane.
func (b *bundle) wantLine(t *testing.T, want ...execution.Claimed) {
	t.Helper()
	var got []execution.Claimed
	for range want {
		for _, c := range b.claim(t, "w9", b.acme, 100) {
			must(t, b.Complete(t.Context(), success(c)))
			got = append(got, execution.Claimed{Execution: c.Execution, Lane: c.Lane})
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the line (-want +got): %s", diff)
	}
}

func orderInherited(t *testing.T, b *bundle) {
	first, second, third := b.inLane(t, event.Backfill), b.inLane(t, event.Backfill), b.inLane(t, event.Live)
	fourth, fifth, last := b.inLane(t, event.Backfill), b.inLane(t, event.Live), b.inLane(t, event.Backfill)
	other := ident.New(ident.Execution, b.clock.now())
	must2(t)(b.Accept(t.Context(), b.event(b.acme), &event.Work{Execution: other, Lane: event.Backfill, OrderKey: event.KeyOf("end_1", "b")}))
	must2(t)(b.Heartbeat(t.Context(), "w1", time.Minute))
	taken, err := b.Claim(t.Context(), "w1", []execution.Quota{{Tenant: b.acme.tenant, N: 9, Running: 9}}, 0)
	must(t, err)
	equal(t, 1, len(taken.Claimed))
	equal(t, first, taken.Claimed[0].Execution)
	equal(t, event.Live, taken.Claimed[0].Lane)
	// Who has the turn and runs inherits, too: it may have to run again.
	called := b.inLane(t, event.Interactive)
	end := success(taken.Claimed[0])
	end.Outcome, end.Counted = execution.Queued, false
	must(t, b.Complete(t.Context(), end))
	b.wantLine(t, execution.Claimed{Execution: first, Lane: event.Interactive}, execution.Claimed{Execution: other, Lane: event.Backfill},
		execution.Claimed{Execution: second, Lane: event.Interactive}, execution.Claimed{Execution: third, Lane: event.Interactive},
		execution.Claimed{Execution: fourth, Lane: event.Interactive}, execution.Claimed{Execution: fifth, Lane: event.Interactive},
		execution.Claimed{Execution: last, Lane: event.Interactive}, execution.Claimed{Execution: called, Lane: event.Interactive})
	b.inLane(t, event.Backfill)
	equal(t, event.Backfill, b.claim(t, "w1", b.acme, 9)[0].Lane)
}

func orderInheritedInFront(t *testing.T, b *bundle) {
	dead := b.inLane(t, event.Live)
	end := success(b.claim(t, "w1", b.acme, 9)[0])
	end.Outcome = execution.Dead
	must(t, b.Complete(t.Context(), end))
	turn, behind, last := b.inLane(t, event.Backfill), b.inLane(t, event.Live), b.inLane(t, event.Backfill)
	b.claim(t, "w1", b.acme, 9)
	must(t, b.Redrive(t.Context(), b.acme.tenant, dead, execution.Redriving{Backfill: true}))
	must2(t)(b.Cancel(t.Context(), b.acme.tenant, turn))
	b.clock.advance(time.Minute)
	must2(t)(b.Reap(t.Context()))
	b.wantLine(t, execution.Claimed{Execution: dead, Lane: event.Live}, execution.Claimed{Execution: behind, Lane: event.Live},
		execution.Claimed{Execution: last, Lane: event.Backfill})
}

func orderLoad(t *testing.T, b *bundle) {
	OrderUnderLoad(t, []OrderStore{b, b, b}, b.acme.tenant, b.acme.installation)
}

// OrderStore is what OrderUnderLoad accepts, claims and completes with.
type OrderStore interface {
	event.Store
	execution.Claims
	execution.Runs
}

// OrderUnderLoad accepts work of several keys and completes it, with each of the stores at
// once. It fails if ever two of a key run, if one is overtaken, or if one does not run.
func OrderUnderLoad(t *testing.T, stores []OrderStore, tenant, installation string) {
	t.Helper()
	const keys, each = 5, 40
	l := &lines{running: map[string]string{}, last: map[string]int{}, number: map[string]int{}}
	var accepting sync.WaitGroup
	for k := range keys {
		accepting.Go(func() {
			for n := range each {
				now := time.Now()
				id := ident.New(ident.Execution, now)
				l.accepts(id, n)
				s := stores[(k+n)%len(stores)] // Wherever the load balancer sends it.
				_, err := s.Accept(t.Context(), event.Event{
					ID: ident.New(ident.Event, now), Tenant: tenant, Installation: installation, Kind: event.Webhook, Name: "issues", ReceivedAt: now,
				}, &event.Work{Execution: id, Lane: event.Live, OrderKey: event.KeyOf("end_1", fmt.Sprint(k))})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	together(len(stores), func(i int) {
		worker := fmt.Sprintf("orderly%d", i)
		if _, err := stores[i].Heartbeat(t.Context(), worker, time.Hour); err != nil {
			t.Error(err)
		}
		for l.count() < keys*each && !t.Failed() {
			taken, err := stores[i].Claim(t.Context(), worker, []execution.Quota{{Tenant: tenant, N: 8, Running: 1000}}, 1000)
			got := taken.Claimed
			if err != nil {
				t.Error(err)
				return
			}
			for _, c := range got {
				l.begins(t, c)
			}
			for _, c := range got {
				l.ends(c)
				done := success(c)
				done.OrderKey = c.OrderKey
				if err := stores[i].Complete(t.Context(), done); err != nil {
					t.Error(err)
				}
			}
		}
	})
	accepting.Wait()
}

// lines is what a person would see who watches.
type lines struct {
	mu      sync.Mutex
	number  map[string]int
	running map[string]string
	last    map[string]int
	done    int
}

func (l *lines) accepts(id string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.number[id] = n
}

func (l *lines) begins(t testing.TB, c execution.Claimed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if other := l.running[c.OrderKey]; other != "" {
		t.Errorf("%s runs beside %s of the same key", c.Execution, other)
	}
	if n := l.number[c.Execution]; n != l.last[c.OrderKey] {
		t.Errorf("the number %d of a key runs when it is the turn of %d", n, l.last[c.OrderKey])
	}
	l.running[c.OrderKey] = c.Execution
}

func (l *lines) ends(c execution.Claimed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.running, c.OrderKey)
	l.last[c.OrderKey]++
	l.done++
}

func (l *lines) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.done
}
