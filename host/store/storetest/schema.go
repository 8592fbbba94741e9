package storetest

import (
	"errors"
	"io/fs"
	"testing"
	"testing/fstest"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/internal/schema"
	"github.com/cofferdam-run/cofferdam/host/usage"
)

// SchemaBefore brings an empty store to the schema before this program's, as it
// is while servers are replaced one by one, and checks that events are taken and
// executions shown, that nothing is claimed, because what it does could not be
// recorded, and that work goes on once the schema is there. The migrator is the
// store's own.
func SchemaBefore(t *testing.T, s store.Store, m schema.Migrator, now func() time.Time) {
	t.Helper()
	ctx := t.Context()
	migrateBefore(t, m)
	b := &bundle{Store: s, clock: &clock{}}
	b.clock.us.Store(now().UnixMicro())
	must(t, b.Ready(ctx))
	b.acme = b.newPlace(t, "acme")
	early, cancelled := b.work(t, b.acme, event.Live), b.work(t, b.acme, event.Live)
	b.wantState(t, b.acme, early, execution.Queued)
	must2(t)(b.Cancel(ctx, b.acme.tenant, cancelled))
	list, err := b.Executions(ctx, b.acme.tenant, execution.Filter{State: execution.Cancelled})
	must(t, err)
	equal(t, []string{cancelled}, ids(list))
	wantNotFound(t, "Execution", second(b.Execution(ctx, b.acme.tenant, "exe_none")))

	must2(t)(b.Heartbeat(ctx, "w1", time.Minute))
	for what, err := range map[string]error{
		"Claim":   second(b.Claim(ctx, "w1", []execution.Quota{{Tenant: b.acme.tenant, N: 9, Running: 9}})),
		"Journal": second(b.Journal(ctx, b.acme.tenant, early)),
		"Redrive": b.Redrive(ctx, b.acme.tenant, cancelled, execution.Redriving{}),
	} {
		wantFault(t, err, fault.Platform, fault.CodeSchemaTooOld)
		if f, ok := errors.AsType[*fault.Error](err); ok && f.Hint == "" {
			t.Errorf("%s: it does not say what to do", what)
		}
	}
	b.wantState(t, b.acme, early, execution.Queued)

	from, to, err := b.Migrate(ctx)
	must(t, err)
	if to != from+1 {
		t.Errorf("migrated from %d to %d, want one more", from, to)
	}
	must(t, b.Ready(ctx))
	// Nothing of what came before is lost, and the same store runs it.
	must(t, b.Redrive(ctx, b.acme.tenant, cancelled, execution.Redriving{Mode: execution.Restart}))
	equal(t, execution.Restart, b.execution(t, b.acme, cancelled).Mode)
	claimed := b.claim(t, "w1", b.acme, 9)
	equal(t, 2, len(claimed))
	for _, c := range claimed {
		must(t, b.Begin(ctx, c, execution.Beginning{VersionID: "plv_1", World: []byte("{}")}))
		must(t, b.Append(ctx, c, segment(1, "a")))
		must(t, b.Complete(ctx, costing(c, 5)))
	}
	b.wantDays(t, b.acme, total(b.acme, usage.DateOf(now()), "", 5, 5))
	must2(t)(b.Accept(ctx, b.event(b.acme), &event.Work{Execution: "exe_after", Lane: event.Live}))
}

// migrateBefore applies all migrations but the last.
func migrateBefore(t *testing.T, m schema.Migrator) {
	t.Helper()
	all, err := fs.Glob(m.Files, "*.sql")
	must(t, err)
	before := fstest.MapFS{}
	for _, name := range all[:len(all)-1] {
		text, err := fs.ReadFile(m.Files, name)
		must(t, err)
		before[name] = &fstest.MapFile{Data: text}
	}
	m.Files = before
	_, _, err = m.Up(t.Context())
	must(t, err)
}
