package storetest

import (
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/execution"
)

// reconnecting has an end wait for a connection, without end for a zero until.
func reconnecting(connection string, until time.Time) func(*execution.Completion) {
	return func(c *execution.Completion) {
		waiting(execution.ReasonReconnect, until)(c)
		c.WaitsFor, c.Counted = connection, false
	}
}

func reconnect(t *testing.T, b *bundle) {
	ctx := t.Context()
	began := b.clock.now()
	first := b.end(t, b.acme, reconnecting("con_a", time.Time{}))
	b.clock.advance(time.Minute)
	second := b.end(t, b.acme, reconnecting("con_a", b.clock.now().Add(time.Hour)))
	another := b.end(t, b.acme, reconnecting("con_b", b.clock.now().Add(time.Hour)))
	unsaid := b.end(t, b.acme, waiting(execution.ReasonReconnect, b.clock.now().Add(time.Hour)))
	others := b.end(t, b.other, reconnecting("con_a", time.Time{}))
	slow := b.end(t, b.acme, waiting(execution.ReasonRetry, b.clock.now().Add(time.Hour)))

	if e := b.execution(t, b.acme, first); e.WaitsFor != "con_a" || e.Worker != "" || !e.Until.IsZero() {
		t.Errorf("it waits for %q until %s, with the worker %q, want con_a for ever", e.WaitsFor, e.Until, e.Worker)
	}
	if e := b.execution(t, b.acme, slow); e.WaitsFor != "" {
		t.Errorf("what waits for its turn waits for %q", e.WaitsFor)
	}
	got, err := b.Awaited(ctx, b.acme.tenant)
	must(t, err)
	want := []execution.Awaited{
		{Tenant: b.acme.tenant, Connection: "con_a", Waiting: 2, Oldest: min(first, second), Since: began},
		{Tenant: b.acme.tenant, Connection: "con_b", Waiting: 1, Oldest: another, Since: began.Add(time.Minute)},
	}
	equal(t, want, got)
	all, err := b.Awaited(ctx, "")
	must(t, err)
	equal(t, 3, len(all))
	var walked []execution.Awaited
	var at execution.Awaited
	for at, err = b.NextAwaited(ctx, "", ""); err == nil; at, err = b.NextAwaited(ctx, at.Tenant, at.Connection) {
		walked = append(walked, at)
	}
	wantNotFound(t, "NextAwaited after the last", err)
	for i := range all {
		all[i] = execution.Awaited{Tenant: all[i].Tenant, Connection: all[i].Connection}
	}
	equal(t, all, walked)

	n, err := b.Reconnect(ctx, b.acme.tenant, "con_a")
	must(t, err)
	equal(t, 3, n)
	for id, state := range map[string]execution.State{
		first: execution.Queued, second: execution.Queued, unsaid: execution.Queued, another: execution.Waiting, slow: execution.Waiting,
	} {
		b.wantState(t, b.acme, id, state)
	}
	if e := b.execution(t, b.acme, first); e.WaitsFor != "" || e.Worker != "" || e.Reason != "" || e.Attempt != 0 {
		t.Errorf("what goes on is %+v, want nothing left of the wait, and no attempt counted", e)
	}
	b.wantState(t, b.other, others, execution.Waiting)
	claimed := b.claim(t, "w9", b.acme, 10)
	equal(t, 3, len(claimed))
}

// stranded: nothing says that con_a is broken, so that what waits for it without end would
// wait for nobody.
func stranded(t *testing.T, b *bundle) {
	ctx := t.Context()
	lost := b.end(t, b.acme, reconnecting("con_a", time.Time{}))
	later := b.end(t, b.acme, reconnecting("con_b", b.clock.now().Add(time.Hour)))
	tenants, err := b.Stranded(ctx)
	must(t, err)
	equal(t, []string{b.acme.tenant}, tenants)
	b.wantState(t, b.acme, lost, execution.Queued)
	b.wantState(t, b.acme, later, execution.Waiting)
	tenants, err = b.Stranded(ctx)
	must(t, err)
	equal(t, 0, len(tenants))
}
