package storetest

import (
	"bytes"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/retention"
)

// largeBody is a body that stands apart, whose bytes no database takes for text.
func largeBody(b byte) []byte { return bytes.Repeat([]byte{b, 0, 0xff}, 100_000) }

func acceptLarge(t *testing.T, b *bundle) {
	ctx := t.Context()
	var want []event.Event
	together(8, func(int) { // In a group, and of the same content.
		e := b.event(b.acme)
		e.Body = largeBody('a')
		if _, err := b.Accept(ctx, e, &event.Work{Execution: ident.New(ident.Execution, b.clock.now()), Lane: event.Live}); err != nil {
			t.Error(err)
		}
	})
	for _, e := range []event.Event{b.event(b.acme), b.event(b.acme), b.event(b.other)} {
		e.Body, e.DedupeKey = largeBody('a'), "key "+e.ID
		want = append(want, e)
		must2(t)(b.Accept(ctx, e, nil))
	}
	for _, e := range want {
		got, err := b.Event(ctx, e.Tenant, e.ID)
		must(t, err)
		equal(t, e, got)
	}
	for bare, bytes := range map[bool]int{false: 300_000, true: 0} {
		all, err := b.Events(ctx, b.acme.tenant, event.Filter{WithoutBodies: bare})
		must(t, err)
		equal(t, 10, len(all))
		for _, e := range all {
			equal(t, bytes, len(e.Body))
		}
	}
	again := want[0]
	again.ID, again.Body = ident.New(ident.Event, b.clock.now()), largeBody('b')
	a, err := b.Accept(ctx, again, nil)
	must(t, err)
	equal(t, event.Accepted{Event: want[0].ID, Duplicate: true}, a)
}

// delivered makes an execution of an event with a large body that has finished.
func (k *kept) delivered(t testing.TB, p place, body []byte, key string) event.Event {
	t.Helper()
	e := k.event(p)
	e.Body, e.DedupeKey = body, key
	must2(t)(k.Accept(t.Context(), e, &event.Work{Execution: ident.New(ident.Execution, k.clock.now()), Lane: event.Live}))
	must(t, k.Complete(t.Context(), success(k.claim(t, "w1", p, 1)[0])))
	return e
}

// purgeLarge purges events with large bodies, which go with the last that has them.
func purgeLarge(t *testing.T, k *kept) {
	ctx := t.Context()
	bodies := func() int { return k.rows(t, k.acme.tenant)["event_bodies"] }
	k.delivered(t, k.acme, largeBody('a'), "key")
	k.delivered(t, k.acme, largeBody('b'), "")
	k.delivered(t, k.other, largeBody('a'), "")
	k.clock.advance(24 * time.Hour)
	last := k.delivered(t, k.acme, largeBody('a'), "")
	equal(t, 2, bodies())
	n, err := k.Retained(ctx, k.acme.tenant)
	must(t, err)
	if n < 600_000 || n > 610_000 {
		t.Errorf("%d bytes are retained, want those of two large bodies", n)
	}
	k.clock.advance(2 * time.Hour)
	got := k.purge(t, k.acme, 12*time.Hour)
	equal(t, 2, got.Executions)
	equal(t, 1, bodies())
	if got.Bytes < 300_000 || got.Bytes > 310_000 {
		t.Errorf("%d bytes were purged, want those of one large body", got.Bytes)
	}
	read, err := k.Event(ctx, k.acme.tenant, last.ID)
	must(t, err)
	equal(t, last, read)
	k.purge(t, k.acme, time.Hour)
	equal(t, 0, bodies())
	equal(t, 1, k.rows(t, k.other.tenant)["event_bodies"])
}

// purgeYoung purges so early that the body may be named by a transaction that has not
// committed: it goes later.
func purgeYoung(t *testing.T, k *kept) {
	ctx := t.Context()
	k.delivered(t, k.acme, largeBody('a'), "")
	k.clock.advance(time.Minute)
	equal(t, 1, k.purge(t, k.acme, 0).Executions)
	equal(t, 1, k.rows(t, k.acme.tenant)["event_bodies"])
	k.clock.advance(2 * time.Hour)
	old := k.clock.now().Add(-retention.KeyLife)
	must2(t)(k.Forget(ctx, k.acme.tenant, old, old))
	equal(t, 0, k.rows(t, k.acme.tenant)["event_bodies"])
}

// purgeLargest purges what finished first until it is so many bytes less, of which large
// bodies are most.
func purgeLargest(t *testing.T, k *kept) {
	for _, b := range []byte("abcd") {
		k.delivered(t, k.acme, largeBody(b), "")
		k.clock.advance(time.Minute)
	}
	k.clock.advance(2 * time.Hour)
	got, err := k.Purge(t.Context(), k.acme.tenant, retention.Batch{Before: k.clock.now(), Executions: 100, Bytes: 500_000})
	must(t, err)
	equal(t, 2, got.Executions)
	list, err := k.Executions(t.Context(), k.acme.tenant, execution.Filter{})
	must(t, err)
	equal(t, 2, len(list))
}
