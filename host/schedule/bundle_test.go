package schedule_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/schedule"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/telemetry"
	"github.com/cofferdam-run/cofferdam/host/tenant"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const (
	tenantID       = "ten_01J00000000000000000000000"
	installationID = "ins_01J00000000000000000000000"
)

// bundle is a store with a tenant, and a process that has its schedules. Nothing passes
// but what a test advances.
type bundle struct {
	store.Store
	*schedule.Schedules

	us      atomic.Int64
	refuses atomic.Pointer[fault.Error]
	woken   atomic.Int64
	spans   *tracetest.InMemoryExporter
}

func (b *bundle) now() time.Time { return time.UnixMicro(b.us.Load()).UTC() }

// noon is a Monday.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func setup(tb testing.TB) *bundle {
	tb.Helper()
	return setupOn(tb, func(now func() time.Time) (store.Store, error) {
		return sqlite.Open(tb.Context(), filepath.Join(tb.TempDir(), "test.db"), sqlite.Options{Now: now})
	})
}

func setupOn(tb testing.TB, open func(now func() time.Time) (store.Store, error)) *bundle {
	tb.Helper()
	b := &bundle{spans: tracetest.NewInMemoryExporter()}
	b.us.Store(noon.UnixMicro())
	s, err := open(b.now)
	must(tb, err)
	tb.Cleanup(func() { must(tb, s.Close()) })
	_, _, err = s.Migrate(tb.Context())
	must(tb, err)
	b.Store = s
	must(tb, b.InsertTenant(tb.Context(), tenant.Tenant{
		ID: tenantID, Name: "acme", Limits: tenant.Limits{Running: 1000, Weight: 1}, State: tenant.Active, CreatedAt: noon,
	}))
	must(tb, b.InsertInstallation(tb.Context(), installation.Installation{
		ID: installationID, Tenant: tenantID, Name: "shop", Plugin: "plg_1", VersionID: "plv_1", PluginName: "shop", Version: "1.0.0",
		Config: []byte(`{}`), State: installation.Active, CreatedAt: noon, UpdatedAt: noon,
	}))
	b.Schedules = b.process(s)
	return b
}

// process is what a process has on a store.
func (b *bundle) process(s store.Store) *schedule.Schedules {
	return schedule.New(schedule.Config{
		Store: s, Clock: s.Now, Execution: s.Execution,
		Callable: func(context.Context, string, string, event.Kind, string, json.RawMessage) (string, error) {
			if f := b.refuses.Load(); f != nil {
				return "", f
			}
			return installationID, nil
		},
		Every: func(context.Context, string, string, string) (string, error) { return "5m", nil },
		Cancel: func(ctx context.Context, tenant, id string) (execution.Execution, error) {
			if _, err := s.Cancel(ctx, tenant, id); err != nil {
				return execution.Execution{}, err
			}
			return s.Execution(ctx, tenant, id)
		},
		Wake:   func(context.Context, string) { b.woken.Add(1) },
		Tracer: telemetry.New(telemetry.Config{Provider: sdktrace.NewTracerProvider(sdktrace.WithSyncer(b.spans))}),
		Logger: slog.New(slog.DiscardHandler), After: func(time.Duration) <-chan time.Time { return nil },
	})
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func (b *bundle) create(tb testing.TB, spec schedule.Spec) schedule.Schedule {
	tb.Helper()
	spec.Installation = "shop"
	if spec.Poll == "" {
		spec.Action = "sync"
	}
	s, err := b.Create(tb.Context(), tenantID, spec)
	must(tb, err)
	return s
}

// pass lets time pass, in steps as long as the process sleeps, and fires what is due.
func (b *bundle) pass(tb testing.TB, d time.Duration) {
	tb.Helper()
	for until := b.now().Add(d); ; {
		pause, err := b.FireDue(tb.Context())
		must(tb, err)
		left := until.Sub(b.now())
		if left <= 0 {
			return
		}
		b.us.Add(min(pause, left).Microseconds())
	}
}

// down lets time pass while no process runs.
func (b *bundle) down(d time.Duration) { b.us.Add(d.Microseconds()) }

// ticks lists the instants of a schedule's events, the oldest first.
func (b *bundle) ticks(tb testing.TB, s schedule.Schedule) []string {
	tb.Helper()
	all := []string{}
	for before := ""; ; {
		some, err := b.Events(tb.Context(), tenantID, event.Filter{Kind: event.Schedule, Endpoint: s.ID, Before: before, Limit: 200})
		must(tb, err)
		for _, e := range some {
			all, before = append(all, e.ScheduledAt().Format("15:04:05")), e.ID
		}
		if len(some) < 200 {
			slices.Sort(all)
			return all
		}
	}
}

func (b *bundle) wantTicks(tb testing.TB, s schedule.Schedule, want ...string) schedule.Schedule {
	tb.Helper()
	if d := cmp.Diff(want, b.ticks(tb, s)); d != "" {
		tb.Errorf("ticks (-want +got) %s", d)
	}
	got, err := b.Get(tb.Context(), tenantID, s.ID)
	must(tb, err)
	return got
}

// finish has a worker end what is queued.
func (b *bundle) finish(tb testing.TB) {
	tb.Helper()
	ctx := tb.Context()
	_, err := b.Heartbeat(ctx, "wrk_1", time.Hour)
	must(tb, err)
	taken, err := b.Claim(ctx, "wrk_1", []execution.Quota{{Tenant: tenantID, N: 1000, Running: 1000}}, 1000)
	claimed := taken.Claimed
	must(tb, err)
	for _, c := range claimed {
		must(tb, b.Complete(ctx, execution.Completion{Tenant: tenantID, Execution: c.Execution, Claim: c.Claim, Outcome: execution.Succeeded, Output: []byte("{}")}))
	}
}

func every(d string) schedule.When { return schedule.When{Every: d} }
