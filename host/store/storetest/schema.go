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
	"github.com/cofferdam-run/cofferdam/host/job"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/internal/schema"
	"github.com/cofferdam-run/cofferdam/host/usage"
)

// SchemaBefore brings an empty store to the schema before this program's, as it
// is while servers are replaced one by one, and checks that work is done as ever,
// that nothing is promised which could not be kept, such as a job, and that this
// is there, too, once the schema is. The migrator is the store's own.
func SchemaBefore(t *testing.T, s store.Store, m schema.Migrator, now func() time.Time) {
	t.Helper()
	ctx := t.Context()
	migrateBefore(t, m)
	b := &bundle{Store: s, clock: &clock{}}
	b.clock.us.Store(now().UnixMicro())
	must(t, b.Ready(ctx))
	b.acme = b.newPlace(t, "acme")
	b.runAll(t, 2, "early")

	asked := job.Job{ID: "job_1", Tenant: b.acme.tenant, Kind: "redrive", Spec: []byte("{}"), CreatedAt: now(), ChangedAt: now()}
	for what, err := range map[string]error{
		"InsertJob": b.InsertJob(ctx, asked, 9),
		"Jobs":      second(b.Jobs(ctx, b.acme.tenant, job.Filter{})),
		"SteerJob":  b.SteerJob(ctx, b.acme.tenant, "job_1", job.Paused),
		"ClaimJobs": third(b.ClaimJobs(ctx, job.Claiming{Owner: "w1", Kinds: []string{"redrive"}, N: 1, Lease: time.Minute})),
	} {
		wantFault(t, err, fault.Platform, fault.CodeSchemaTooOld)
		if f, ok := errors.AsType[*fault.Error](err); ok && f.Hint == "" {
			t.Errorf("%s: it does not say what to do", what)
		}
	}

	from, to, err := b.Migrate(ctx)
	must(t, err)
	if to != from+1 {
		t.Errorf("migrated from %d to %d, want one more", from, to)
	}
	must(t, b.Ready(ctx))
	// Nothing of what came before is lost, and the same store has what is new.
	must(t, b.InsertJob(ctx, asked, 9))
	b.runAll(t, 2, "late")
	b.wantDays(t, b.acme, total(b.acme, usage.DateOf(now()), "", 1, 1, 1, 1))
	list, err := b.Executions(ctx, b.acme.tenant, execution.Filter{State: execution.Succeeded})
	must(t, err)
	equal(t, 4, len(list))
}

// runAll has new executions run to their end, one of them redriven first.
func (b *bundle) runAll(t *testing.T, n int, name string) {
	t.Helper()
	ctx := t.Context()
	for range n {
		b.work(t, b.acme, event.Live)
	}
	list, err := b.Executions(ctx, b.acme.tenant, execution.Filter{State: execution.Queued, Limit: 1})
	must(t, err)
	must2(t)(b.Cancel(ctx, b.acme.tenant, list[0].ID))
	must(t, b.Redrive(ctx, b.acme.tenant, list[0].ID, execution.Redriving{Mode: execution.Restart}))
	claimed := b.claim(t, name, b.acme, n)
	equal(t, n, len(claimed))
	for _, c := range claimed {
		must(t, b.Begin(ctx, c, execution.Beginning{VersionID: "plv_1", World: []byte("{}")}))
		must(t, b.Append(ctx, c, segment(1, "a")))
		must(t, b.Complete(ctx, costing(c, 1)))
	}
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
