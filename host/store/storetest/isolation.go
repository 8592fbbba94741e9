package storetest

import (
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/app"
	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/token"
	"github.com/cofferdam-run/cofferdam/hostfns/emit"
	"github.com/cofferdam-run/cofferdam/hostfns/state"
)

// testIsolation asks for everything that acme has as another tenant.
func testIsolation(t *testing.T, open Open) {
	b := setup(t, open)
	ctx := t.Context()
	mine, theirs := b.acme, b.other.tenant

	con := connection.Connection{ID: "con_1", Tenant: mine.tenant, Name: "github", Type: connection.Bearer, Version: 1, CreatedAt: b.clock.now()}
	must(t, b.InsertConnection(ctx, con, []byte("sealed")))
	b.offer(t, app.Operator, "app_1")
	agreed := b.authorization(mine, con.ID)
	must(t, b.InsertAuthorization(ctx, agreed))
	end := b.endpoint(mine)
	must(t, b.InsertEndpoint(ctx, end, []byte("sealed")))
	must(t, b.InsertToken(ctx, token.Token{ID: "tok_1", Tenant: mine.tenant}, []byte("hash")))
	s := b.full(b.running(t, mine), mine)
	must(t, b.Complete(ctx, s))
	done := b.execution(t, mine, s.Execution)
	lost := b.end(t, mine, dead("f"))
	run := b.running(t, mine)

	con.Tenant, con.Version, end.Tenant, end.Version = theirs, 2, theirs, 2
	ins, err := b.Installation(ctx, mine.tenant, mine.installation)
	must(t, err)
	ins.Tenant = theirs
	for what, err := range map[string]error{
		"Installation":       second(b.Installation(ctx, theirs, mine.installation)),
		"UpdateInstallation": b.UpdateInstallation(ctx, ins, ins.UpdatedAt),
		"Connection":         second(b.Connection(ctx, theirs, con.ID)),
		"Connection by name": second(b.Connection(ctx, theirs, con.Name)),
		"Sealed":             third(b.Sealed(ctx, theirs, con.ID)),
		"UpdateConnection":   b.UpdateConnection(ctx, con, nil),
		"DeleteConnection":   b.DeleteConnection(ctx, theirs, con.ID),
		"Authorization":      second(b.Authorization(ctx, theirs, con.ID)),
		"Its version":        third(b.AuthorizationVersion(ctx, theirs, con.ID)),
		"Endpoint":           second(b.Endpoint(ctx, theirs, end.ID)),
		"UpdateEndpoint":     b.UpdateEndpoint(ctx, end, nil),
		"DeleteEndpoint":     b.DeleteEndpoint(ctx, theirs, end.ID),
		"RevokeToken":        b.RevokeToken(ctx, theirs, "tok_1", b.clock.now()),
		"Event":              second(b.Event(ctx, theirs, done.Event)),
		"Execution":          second(b.Execution(ctx, theirs, done.ID)),
		"Trace":              second(b.Trace(ctx, theirs, done.ID)),
		"Cancel":             second(b.Cancel(ctx, theirs, run.Execution)),
		"Redrive":            b.Redrive(ctx, theirs, lost, execution.Redriving{}),
		"Key":                second(b.Key(ctx, theirs)),
	} {
		wantNotFound(t, what, err)
	}
	agreed.Tenant = theirs
	swapped, ok, err := b.SwapAuthorization(ctx, agreed, agreed, 0)
	must(t, err)
	equal(t, false, ok)
	gone, err := b.DropAuthorization(ctx, swapped)
	must(t, err)
	equal(t, false, gone)
	b.wantNothing(t, done)
	for what, err := range map[string]error{
		"Begin":    b.Begin(ctx, execution.Claimed{Tenant: theirs, Execution: run.Execution, Claim: run.Claim}, begins("plv_9")),
		"Complete": b.Complete(ctx, execution.Completion{Tenant: theirs, Execution: run.Execution, Claim: run.Claim, Outcome: execution.Succeeded}),
	} {
		t.Run(what, func(t *testing.T) { wantIs(t, err, execution.ErrFenced) })
	}
	b.wantState(t, mine, run.Execution, execution.Running)
	b.wantState(t, mine, lost, execution.Dead)
	n, err := b.Release(ctx, theirs, mine.installation, execution.ReasonPaused)
	must(t, err)
	equal(t, 0, n)
	// A record is its execution's tenant's, whatever it says.
	forged := success(run)
	forged.Records = []event.Event{{ID: ident.New(ident.Event, b.clock.now()), Tenant: theirs, Kind: event.Record, Name: "forged"}}
	must(t, b.Complete(ctx, forged))
	events, err := b.Events(ctx, theirs, event.Filter{})
	must(t, err)
	equal(t, 0, len(events))
}

// wantNothing lists as the other tenant, also under acme's names.
func (b *bundle) wantNothing(t testing.TB, done execution.Execution) {
	t.Helper()
	ctx, theirs := t.Context(), b.other.tenant
	connections, err := b.Connections(ctx, theirs)
	must(t, err)
	authorizations, err := b.Authorizations(ctx, theirs)
	must(t, err)
	endpoints, err := b.Endpoints(ctx, theirs)
	must(t, err)
	tokens, err := b.Tokens(ctx, theirs)
	must(t, err)
	events, err := b.Events(ctx, theirs, event.Filter{})
	must(t, err)
	executions, err := b.Executions(ctx, theirs, execution.Filter{})
	must(t, err)
	ofEvent, err := b.Executions(ctx, theirs, execution.Filter{Event: done.Event})
	must(t, err)
	tagged, err := b.Executions(ctx, theirs, execution.Filter{Tag: emit.Tag{Name: "a", Value: "b"}})
	must(t, err)
	tail, err := b.Changed(ctx, theirs, time.Time{}, 10)
	must(t, err)
	letters, err := b.DeadLetters(ctx, theirs)
	must(t, err)
	entries, err := b.State(theirs, b.acme.installation).List(ctx, "", "", 10)
	must(t, err)
	entry, err := b.State(theirs, b.acme.installation).Get(ctx, "k")
	must(t, err)
	equal(t, state.Entry{Key: "k"}, entry)
	cursor, err := b.Cursor(ctx, theirs, b.acme.installation, "p")
	must(t, err)
	days, err := b.UsageByDay(ctx, theirs, "", always())
	must(t, err)
	byInstallation, err := b.UsageByInstallation(ctx, theirs, b.acme.installation, always())
	must(t, err)
	for what, n := range map[string]int{
		"connections": len(connections), "authorizations": len(authorizations), "endpoints": len(endpoints), "tokens": len(tokens), "events": len(events),
		"executions": len(executions), "executions of an event": len(ofEvent), "tagged": len(tagged), "tail": len(tail),
		"usage": len(days), "usage of an installation": len(byInstallation),
		"dead letters": len(letters), "state": len(entries), "cursor": len(cursor),
	} {
		if n != 0 {
			t.Errorf("%s: another tenant sees %d", what, n)
		}
	}
}

func testLifecycle(t *testing.T, open Open) {
	b := setup(t, open)
	ctx := t.Context()
	must(t, b.Ready(ctx))
	from, to, err := b.Migrate(ctx)
	must(t, err)
	if from != to || to < 1 {
		t.Errorf("migrated from %d to %d, want nothing to do", from, to)
	}
	now, err := b.Now(ctx)
	must(t, err)
	equal(t, b.clock.now(), now)
	b.Wake(ctx, b.acme.tenant)

	plain := open(t, nil)
	now, err = plain.Now(ctx)
	must(t, err)
	if d := time.Since(now).Abs(); d > time.Minute {
		t.Errorf("the database's time is off by %v", d)
	}
	if name := plain.Name(); name != "sqlite" && name != "postgres" {
		t.Errorf("got name %q", name)
	}
}

func second[A any](_ A, err error) error { return err }

func third[A, B any](_ A, _ B, err error) error { return err }
