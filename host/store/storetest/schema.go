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
// is while servers are replaced one by one, and checks that work goes on, that
// what that schema does not have is said, and that the rest follows once it has.
// The migrator is the store's own.
func SchemaBefore(t *testing.T, s store.Store, m schema.Migrator, now func() time.Time) {
	t.Helper()
	migrateBefore(t, m)
	b := &bundle{Store: s, clock: &clock{}}
	b.clock.us.Store(now().UnixMicro())
	must(t, b.Ready(t.Context()))
	b.acme = b.newPlace(t, "acme")
	run := b.running(t, b.acme)
	must(t, b.Begin(t.Context(), run, "plv_1"))
	must(t, b.Complete(t.Context(), b.full(run, b.acme)))
	b.wantEffects(t, b.acme, true)
	failed := b.end(t, b.acme, dead("f"))
	b.wantState(t, b.acme, failed, execution.Dead)
	_, err := b.UsageByDay(t.Context(), b.acme.tenant, "", always())
	wantFault(t, err, fault.Platform, "schema_too_old")
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Hint == "" {
		t.Error("it does not say what to do")
	}

	late := b.running(t, b.acme)
	from, to, err := b.Migrate(t.Context())
	must(t, err)
	if to != from+1 {
		t.Errorf("migrated from %d to %d, want one more", from, to)
	}
	must(t, b.Ready(t.Context()))
	// Nothing of what ran before is lost, and what ends from now on counts.
	b.wantState(t, b.acme, failed, execution.Dead)
	trace, err := b.Trace(t.Context(), b.acme.tenant, run.Execution)
	must(t, err)
	equal(t, 1, len(trace.Attempts))
	must(t, b.Complete(t.Context(), costing(late, 5)))
	b.wantDays(t, b.acme, total(b.acme, usage.DateOf(now()), "", 5))
	must2(t)(b.Accept(t.Context(), b.event(b.acme), &event.Work{Execution: "exe_after", Lane: event.Live}))
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
