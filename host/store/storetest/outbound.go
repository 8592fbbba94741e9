package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/destination"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/notice"
	"github.com/cofferdam-run/cofferdam/host/outbound"
)

func testOutbound(t *testing.T, open Open) {
	each(t, open, map[string]func(*testing.T, *bundle){
		"what is kept of a destination":     destinationRoundTrip,
		"names and bounds":                  destinationBounds,
		"what happens is spread once":       outboxSpread,
		"what emits and dies is noted":      outboxNoted,
		"claims are counted and fenced":     deliveriesClaimed,
		"a failure disables at the end":     destinationDisabled,
		"deliveries are listed and go":      deliveriesListed,
		"watches":                           watchesKept,
		"executions that die are added up":  failingsCounted,
		"a change does not undo what it is": destinationChanged,
	})
}

// destination makes one that wants some kinds.
func (b *bundle) destination(t testing.TB, owner, name string, kinds ...string) destination.Destination {
	t.Helper()
	d := b.destined(owner, name, kinds...)
	must(t, b.InsertDestination(t.Context(), d, []byte("sealed"), 1<<20))
	return d
}

// destined is a destination that is not stored yet.
func (b *bundle) destined(owner, name string, kinds ...string) destination.Destination {
	now := b.clock.now()
	return destination.Destination{
		ID: ident.New(ident.Destination, now), Tenant: owner, Name: name, URL: "https://app.example.com/hooks", Kinds: kinds,
		State: destination.Active, Since: now, Version: 1, CreatedAt: now, UpdatedAt: now,
	}
}

// delivery is a test to a destination.
func (b *bundle) delivery(d destination.Destination, tenant string) outbound.Delivery {
	now := b.clock.now()
	id := ident.New(ident.Delivery, now)
	return outbound.Delivery{
		ID: id, Destination: d.ID, Owner: d.Tenant, Tenant: tenant, Type: outbound.TypeTest, Message: id, Source: outbound.FromTest,
		State: outbound.Waiting, CreatedAt: now, Claim: 1, Attempts: []outbound.Attempt{},
	}
}

// emitted stores a record.
func (b *bundle) emitted(t testing.TB, p place, name string) event.Event {
	t.Helper()
	e := b.event(p)
	e.Kind, e.Name = event.Record, name
	must2(t)(b.Accept(t.Context(), e, nil))
	return e
}

// dies has an execution die for a reason.
func (b *bundle) dies(t testing.TB, p place, why string) execution.Claimed {
	t.Helper()
	run := b.running(t, p)
	must(t, b.Complete(t.Context(), execution.Completion{
		Tenant: p.tenant, Execution: run.Execution, Claim: run.Claim, Outcome: execution.Dead, Counted: true, Fingerprint: why, Error: []byte(`{"code":"trapped"}`),
	}))
	return run
}

// spread spreads all that there is, and returns how many deliveries that makes.
func (b *bundle) spread(t testing.TB) int {
	t.Helper()
	made := 0
	for {
		waits, err := b.OutboxWaits(t.Context())
		must(t, err)
		if !waits {
			return made
		}
		n, err := b.Spread(t.Context(), 2)
		must(t, err)
		made += n
	}
}

func (b *bundle) claimDeliveries(t testing.TB, d destination.Destination, most int) []outbound.Delivery {
	t.Helper()
	got, err := b.ClaimDeliveries(t.Context(), outbound.Ref{Owner: d.Tenant, Destination: d.ID, Ordered: d.Ordered}, most, 30*time.Second)
	must(t, err)
	return got
}

func destinationRoundTrip(t *testing.T, b *bundle) {
	ctx := t.Context()
	for _, owner := range []string{b.acme.tenant, destination.Operator} {
		d := b.destination(t, owner, "app", "record.*", "execution.dead")
		for _, idOrName := range []string{d.ID, "app"} {
			got, sealed, err := b.Destination(ctx, owner, idOrName)
			must(t, err)
			equal(t, d, got)
			equal(t, "sealed", string(sealed))
			_, _, err = b.Destination(ctx, b.other.tenant, idOrName)
			wantNotFound(t, "another's", err)
		}
		b.clock.advance(time.Minute)
		d.Name, d.URL, d.Kinds, d.Ordered = "other", "https://other.example.com", []string{"*"}, true
		d.State, d.Reason, d.Since, d.Version, d.UpdatedAt = destination.Disabled, destination.Asked, b.clock.now(), 2, b.clock.now()
		must(t, b.UpdateDestination(ctx, d, []byte("sealed again")))
		got, sealed, err := b.Destination(ctx, owner, d.ID)
		must(t, err)
		equal(t, d, got)
		equal(t, "sealed again", string(sealed))
		wantFault(t, b.UpdateDestination(ctx, d, []byte("late")), fault.Conflict, "version_changed")
		all, err := b.Destinations(ctx, owner, "", 10)
		must(t, err)
		equal(t, []destination.Destination{d}, all)
		wantNotFound(t, "another's", b.DeleteDestination(ctx, b.other.tenant, d.ID))
		must(t, b.DeleteDestination(ctx, owner, d.ID))
		wantNotFound(t, "one that is gone", b.DeleteDestination(ctx, owner, d.ID))
	}
}

func destinationBounds(t *testing.T, b *bundle) {
	ctx := t.Context()
	first := b.destination(t, b.acme.tenant, "a", "*")
	again := first
	again.ID = ident.New(ident.Destination, b.clock.now())
	wantFault(t, b.InsertDestination(ctx, again, []byte("s"), 10), fault.Conflict, "destination_exists")
	again.Name = "b"
	wantFault(t, b.InsertDestination(ctx, again, []byte("s"), 1), fault.Conflict, "too_many_destinations")
	must(t, b.InsertDestination(ctx, again, []byte("s"), 2))
	again.Name, again.Version = "a", 2
	wantFault(t, b.UpdateDestination(ctx, again, []byte("s")), fault.Conflict, "destination_exists")
	again.Tenant, again.ID = "ten_none", "dst_none"
	wantNotFound(t, "of no tenant", b.InsertDestination(ctx, again, []byte("s"), 10))
}

// A name that is changed while the destination was disabled leaves it so.
func destinationChanged(t *testing.T, b *bundle) {
	ctx := t.Context()
	d := b.destination(t, b.acme.tenant, "a", "*")
	b.emitted(t, b.acme, "order")
	b.spread(t)
	b.clock.advance(time.Second)
	run := b.claimDeliveries(t, d, 1)[0]
	must2(t)(b.SettleDelivery(ctx, b.settled(run, outbound.Waiting, func(s *outbound.Settled) { s.Gone = true })))
	changed := d // As it was read before.
	changed.Name, changed.Version = "b", 2
	must(t, b.UpdateDestination(ctx, changed, []byte("s")))
	got, _, err := b.Destination(ctx, d.Tenant, d.ID)
	must(t, err)
	equal(t, destination.Disabled, got.State)
	equal(t, destination.Gone, got.Reason)
	equal(t, "b", got.Name)
}

func outboxSpread(t *testing.T, b *bundle) {
	ctx := t.Context()
	b.emitted(t, b.acme, "order") // Before anybody listens.
	waits, err := b.OutboxWaits(ctx)
	must(t, err)
	equal(t, false, waits)

	orders := b.destination(t, b.acme.tenant, "orders", "record.order")
	all := b.destination(t, destination.Operator, "all", "*")
	b.destination(t, b.other.tenant, "theirs", "*")
	e := b.emitted(t, b.acme, "order")
	b.emitted(t, b.acme, "invoice")
	n := b.broke(b.acme, "con_1 broken")
	must2(t)(b.InsertNotice(ctx, n))
	must2(t)(b.InsertNotice(ctx, b.broke(b.acme, "con_1 broken"))) // It is none.
	b.work(t, b.acme, event.Live)                                  // Nor is what is no record.
	equal(t, 4, b.spread(t))
	equal(t, 0, b.spread(t))
	got, err := b.OutboundDeliveries(ctx, b.acme.tenant, orders.ID, outbound.Filter{})
	must(t, err)
	equal(t, []outbound.Delivery{{
		ID: got[0].ID, Destination: orders.ID, Owner: b.acme.tenant, Tenant: b.acme.tenant, Type: "record.order", Message: e.ID, Source: outbound.FromRecord,
		State: outbound.Waiting, Due: b.clock.now(), CreatedAt: b.clock.now(), Attempts: []outbound.Attempt{},
	}}, got)
	got, err = b.OutboundDeliveries(ctx, destination.Operator, all.ID, outbound.Filter{Type: "connection.broken"})
	must(t, err)
	equal(t, 1, len(got))
	equal(t, n.ID, got[0].Message)
	// One that is deleted before it is spread gets nothing.
	b.emitted(t, b.acme, "order")
	must(t, b.DeleteDestination(ctx, b.acme.tenant, orders.ID))
	equal(t, 1, b.spread(t))
}

// What executions emit and how they end is noted by the statements that end them.
func outboxNoted(t *testing.T, b *bundle) {
	ctx := t.Context()
	d := b.destination(t, b.acme.tenant, "a", "*")
	for _, key := range []string{"1", "1", "2"} { // A key that was there before emits nothing.
		run := b.running(t, b.acme)
		s := success(run)
		s.Records = []event.Event{{ID: ident.New(ident.Event, b.clock.now()), Kind: event.Record, Name: "order", DedupeKey: key, Body: []byte("{}")}}
		must(t, b.Complete(ctx, s))
	}
	equal(t, 2, b.spread(t))
	got, err := b.OutboundDeliveries(ctx, b.acme.tenant, d.ID, outbound.Filter{})
	must(t, err)
	equal(t, 2, len(got))
	b.dies(t, b.acme, "why")
	n, err := b.GatherDead(ctx, 10)
	must(t, err)
	equal(t, 1, n)
}

// settled is what has come of a try.
func (b *bundle) settled(d outbound.Delivery, to outbound.State, change func(*outbound.Settled)) outbound.Settled {
	d.Tries++
	d.Attempts = append(d.Attempts, outbound.Attempt{At: b.clock.now(), Status: 500, Answer: "no"})
	s := outbound.Settled{Delivery: d, To: to, DisableAfter: 5 * 24 * time.Hour, Disabled: func(reason string) notice.Notice {
		now := b.clock.now()
		return notice.Notice{ID: ident.New(ident.Notice, now), Tenant: d.Owner, Kind: notice.DestinationDisabled, Subject: fmt.Sprint(d.Destination, reason, now.UnixMicro()), CreatedAt: now}
	}}
	if change != nil {
		change(&s)
	}
	return s
}

func deliveriesClaimed(t *testing.T, b *bundle) {
	ctx := t.Context()
	d := b.destination(t, b.acme.tenant, "a", "*")
	for range 5 {
		b.emitted(t, b.acme, "order")
	}
	b.spread(t)
	due, err := b.DueDestinations(ctx, 10)
	must(t, err)
	equal(t, []outbound.Ref{{Owner: b.acme.tenant, Destination: d.ID}}, due.Refs)
	first := b.claimDeliveries(t, d, 2)
	equal(t, 2, len(first))
	equal(t, 0, len(b.claimDeliveries(t, d, 2))) // As many are on their way.
	third := b.claimDeliveries(t, d, 3)
	equal(t, 1, len(third))

	must2(t)(b.SettleDelivery(ctx, b.settled(first[0], outbound.Waiting, func(s *outbound.Settled) { s.In = time.Hour })))
	if _, err := b.SettleDelivery(ctx, b.settled(first[0], outbound.Delivered, nil)); !errors.Is(err, outbound.ErrFenced) {
		t.Errorf("got %v, want what was settled fenced off", err)
	}
	must(t, b.ReleaseDelivery(ctx, first[1], 0))
	if err := b.ReleaseDelivery(ctx, first[1], 0); !errors.Is(err, outbound.ErrFenced) {
		t.Errorf("got %v, want what was released fenced off", err)
	}
	b.clock.advance(31 * time.Second)
	again := b.claimDeliveries(t, d, 10)
	equal(t, 4, len(again)) // What was released, two that nobody had, and the one whose lease is over.
	if _, err := b.SettleDelivery(ctx, b.settled(third[0], outbound.Delivered, nil)); !errors.Is(err, outbound.ErrFenced) {
		t.Errorf("got %v, want what another has claimed fenced off", err)
	}
	for _, x := range again {
		must2(t)(b.SettleDelivery(ctx, b.settled(x, outbound.Delivered, nil)))
	}
	due, err = b.DueDestinations(ctx, 10)
	must(t, err)
	equal(t, 0, len(due.Refs))
	equal(t, b.clock.now().Add(time.Hour-31*time.Second), due.Next)
	got, err := b.OutboundDelivery(ctx, b.acme.tenant, first[0].ID)
	must(t, err)
	equal(t, 1, got.Tries)
	equal(t, []outbound.Attempt{{At: first[0].Due.Add(-30 * time.Second), Status: 500, Answer: "no"}}, got.Attempts)

	// A tenant that is being deleted sends nothing.
	b.clock.advance(2 * time.Hour)
	was, err := b.Tenant(ctx, b.acme.tenant)
	must(t, err)
	must2(t)(b.AskDeletion(ctx, was, 0))
	must2(t)(b.DestroyKey(ctx, b.acme.tenant))
	due, err = b.DueDestinations(ctx, 10)
	must(t, err)
	equal(t, 0, len(due.Refs))
	equal(t, 0, len(b.claimDeliveries(t, d, 10)))
}

func destinationDisabled(t *testing.T, b *bundle) {
	ctx := t.Context()
	d := b.destination(t, b.acme.tenant, "a", "record.*")
	b.emitted(t, b.acme, "order")
	b.spread(t)
	for day := range 6 {
		x := b.claimDeliveries(t, d, 1)[0]
		off, err := b.SettleDelivery(ctx, b.settled(x, outbound.Waiting, func(s *outbound.Settled) { s.In = 24 * time.Hour }))
		must(t, err)
		equal(t, day == 5, off)
		b.clock.advance(24 * time.Hour)
	}
	equal(t, 0, len(b.claimDeliveries(t, d, 1)))
	got, _, err := b.Destination(ctx, d.Tenant, d.ID)
	must(t, err)
	equal(t, destination.Failing, got.Reason)
	told, err := b.Notices(ctx, d.Tenant, "", 10)
	must(t, err)
	equal(t, 1, len(told))
	backlog, err := b.Backlog(ctx)
	must(t, err)
	equal(t, outbound.Backlog{Waiting: 0, Disabled: 1}, backlog)
	// Enabled, it begins anew.
	got.State, got.Reason, got.Since, got.Version = destination.Active, "", b.clock.now(), got.Version+1
	must(t, b.UpdateDestination(ctx, got, []byte("s")))
	got, _, err = b.Destination(ctx, d.Tenant, d.ID)
	must(t, err)
	equal(t, time.Time{}, got.FailingSince)
	equal(t, 1, len(b.claimDeliveries(t, d, 1)))
}

func deliveriesListed(t *testing.T, b *bundle) {
	ctx := t.Context()
	d := b.destination(t, b.acme.tenant, "a", "*")
	for range 3 {
		b.emitted(t, b.acme, "order")
		b.spread(t)
		b.clock.advance(time.Hour)
	}
	x := b.claimDeliveries(t, d, 1)[0]
	must2(t)(b.SettleDelivery(ctx, b.settled(x, outbound.Failed, nil)))
	for filter, want := range map[outbound.Filter]int{
		{}: 3, {State: outbound.Waiting}: 2, {State: outbound.Failed}: 1, {State: outbound.Delivered}: 0, {State: "none"}: 0, {Type: "record.order"}: 3,
		{Type: "record.other"}: 0, {Limit: 2}: 2, {Before: x.ID}: 0,
	} {
		got, err := b.OutboundDeliveries(ctx, b.acme.tenant, d.ID, filter)
		must(t, err)
		if len(got) != want {
			t.Errorf("%+v: %d are listed, want %d", filter, len(got), want)
		}
	}
	none, err := b.OutboundDeliveries(ctx, b.other.tenant, d.ID, outbound.Filter{})
	must(t, err)
	equal(t, 0, len(none))
	_, err = b.OutboundDelivery(ctx, b.other.tenant, x.ID)
	wantNotFound(t, "another's", err)
	wantNotFound(t, "another's", b.RetryDelivery(ctx, b.other.tenant, x.ID))
	must(t, b.RetryDelivery(ctx, b.acme.tenant, x.ID))
	equal(t, true, slices.ContainsFunc(b.claimDeliveries(t, d, 3), func(o outbound.Delivery) bool { return o.ID == x.ID && o.Tries == 0 }))
	n, err := b.ForgetDeliveries(ctx, b.acme.tenant, b.clock.now().Add(-90*time.Minute), 10)
	must(t, err)
	equal(t, 2, n)
	n, err = b.ForgetDeliveries(ctx, b.other.tenant, b.clock.now(), 10)
	must(t, err)
	equal(t, 0, n)
}
