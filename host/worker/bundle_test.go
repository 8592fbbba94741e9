package worker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/schedule"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/worker"
)

// compiled keeps what the tests' guests were compiled to.
var compiled string

func TestMain(m *testing.M) {
	var err error
	if compiled, err = os.MkdirTemp("", "cofferdam-worker-test-"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(compiled)
		os.Exit(code)
	}))
}

// bundle is a store with tenants, each of which has one installation.
type bundle struct {
	t     *testing.T
	store store.Store
	bell  *execution.Bell
	logs  *log
}

// log is a log that can be read while it is written.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) count(line string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.b.Bytes(), []byte(line))
}

func setup(t *testing.T) *bundle {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{})
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	if _, _, err := db.Migrate(t.Context()); err != nil {
		t.Fatalf("migrate store: %v", err)
	}
	return &bundle{t: t, store: db, bell: &execution.Bell{}, logs: &log{}}
}

// tenant adds a tenant with an installation of a version.
func (b *bundle) tenant(id string, running, weight int, versionID string) {
	b.t.Helper()
	err := b.store.InsertTenant(b.t.Context(), tenant.Tenant{
		ID: id, Name: id[len(ident.Tenant):], State: tenant.Active, Limits: tenant.Limits{Running: running, Weight: weight}, CreatedAt: time.Now(),
	})
	if err != nil {
		b.t.Fatalf("add tenant: %v", err)
	}
	err = b.store.InsertInstallation(b.t.Context(), installation.Installation{
		ID: installationOf(id), Tenant: id, Name: "it", Plugin: "plg_1", VersionID: versionID, Config: json.RawMessage(`{}`),
		State: installation.Active, CreatedAt: time.Now(), UpdatedAt: time.Now(),
	})
	if err != nil {
		b.t.Fatalf("add installation: %v", err)
	}
}

func installationOf(tenant string) string { return ident.Installation + tenant[len(ident.Tenant):] }

// enqueue stores an event and queues its execution.
func (b *bundle) enqueue(tenant string, kind event.Kind, name, input string) string {
	b.t.Helper()
	accepted, err := b.store.Accept(b.t.Context(), event.Event{
		ID: ident.New(ident.Event, time.Now()), Tenant: tenant, Installation: installationOf(tenant), Kind: kind, Name: name,
		Body: []byte(input), ReceivedAt: time.Now(),
	}, &event.Work{Execution: ident.New(ident.Execution, time.Now())})
	if err != nil {
		b.t.Fatalf("enqueue: %v", err)
	}
	return accepted.Execution
}

// tick has a schedule call an action at an instant, and returns the execution.
func (b *bundle) tick(tenant, action, input string, at time.Time) string {
	b.t.Helper()
	id := ident.New(ident.Schedule, at)
	s := schedule.Schedule{
		ID: id, Tenant: tenant, Installation: installationOf(tenant), Name: id, Action: action, Input: json.RawMessage(input),
		State: schedule.Active, Version: 1, CreatedAt: at, UpdatedAt: at,
	}
	if err := b.store.InsertSchedule(b.t.Context(), s, 10); err != nil {
		b.t.Fatalf("insert schedule: %v", err)
	}
	s.Version++
	accepted, err := b.store.FireSchedule(b.t.Context(), s, schedule.Tick{
		Kind: event.Action, Name: action, Work: event.Work{Execution: ident.New(ident.Execution, at)},
		Event: event.Event{
			ID: ident.New(ident.Event, at), Tenant: tenant, Installation: s.Installation, Kind: event.Schedule, Name: s.Name,
			Source: id, DedupeKey: event.TickKey(at, ""), Body: s.Input, ReceivedAt: at,
		},
	})
	if err != nil {
		b.t.Fatalf("fire schedule: %v", err)
	}
	return accepted.Execution
}

// config is a worker's on this bundle.
func (b *bundle) config(r worker.Runner) worker.Config {
	return worker.Config{
		Store: b.store, Runner: r, Name: func() string { return ident.New(ident.Worker, time.Now()) },
		Changed: b.bell.Ring, Now: time.Now, After: time.After,
		Logger: slog.New(slog.NewTextHandler(b.logs, nil)),
	}
}

// run starts a worker, which ends with the test at the latest.
func (b *bundle) run(c worker.Config) (w *worker.Worker, end func()) {
	b.t.Helper()
	w, stop := b.start(c)
	end = sync.OnceFunc(func() {
		if err := stop(); err != nil {
			b.t.Errorf("run worker: %v", err)
		}
	})
	b.t.Cleanup(end)
	return w, end
}

// start starts a worker; stop ends it, and returns what Run does.
func (b *bundle) start(c worker.Config) (w *worker.Worker, stop func() error) {
	w = worker.New(c)
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.t.Context()))
	ran := make(chan error, 1)
	go func() { ran <- w.Run(ctx) }()
	return w, func() error {
		cancel()
		return <-ran
	}
}

func (b *bundle) get(tenant, id string) execution.Execution {
	b.t.Helper()
	e, err := b.store.Execution(b.t.Context(), tenant, id)
	if err != nil {
		b.t.Fatalf("get execution: %v", err)
	}
	return e
}

func (b *bundle) attempts(tenant, id string) []execution.Attempt {
	b.t.Helper()
	trace, err := b.store.Trace(b.t.Context(), tenant, id)
	if err != nil {
		b.t.Fatalf("get trace: %v", err)
	}
	return trace.Attempts
}

// await waits until an execution is as wanted.
func (b *bundle) await(tenant, id string, want execution.State) execution.Execution {
	b.t.Helper()
	rung, stop := b.bell.Listen(tenant)
	defer stop()
	patience := time.After(2 * time.Minute)
	for {
		e := b.get(tenant, id)
		if e.State == want {
			return e
		}
		if e.State.Done() {
			b.t.Fatalf("execution is %s (%v), want %s", e.State, e.Error, want)
		}
		select {
		case <-rung:
		case <-time.After(100 * time.Millisecond): // Another worker's bell is not heard.
		case <-patience:
			b.t.Fatalf("execution is %s (%s) still, want %s\n%s", e.State, e.Reason, want, b.logs.b.String())
		}
	}
}

// runner is a Runner of a function.
type runner func(ctx context.Context, c execution.Claimed) error

// Run implements worker.Runner.
func (f runner) Run(ctx context.Context, c execution.Claimed, _ func() bool) (worker.Ended, error) {
	return worker.Ended{VersionID: "plv_1", Effects: execution.Completion{Output: []byte(`"ok"`)}}, f(ctx, c)
}

// failing is a store whose methods can be made to fail.
type failing struct {
	store.Store
	mu        sync.Mutex
	heartbeat error
	complete  error
	claim     error
	// claimAfter fails a claim after it was made.
	claimAfter error
	// claimBackfill and claimBackfillAfter are the same for those of backfill.
	claimBackfill, claimBackfillAfter error
	completes                         int
}

var errDown = fault.New(fault.Platform, fault.CodeDatabaseUnreachable, "connection refused")

// Heartbeat implements execution.Claims.
func (f *failing) Heartbeat(ctx context.Context, name string, lease time.Duration) ([]string, error) {
	f.mu.Lock()
	err := f.heartbeat
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return f.Store.Heartbeat(ctx, name, lease)
}

// Claim implements execution.Claims.
func (f *failing) Claim(ctx context.Context, name string, quotas []execution.Quota, backfill int) (execution.Taken, error) {
	f.mu.Lock()
	before, after := f.claim, f.claimAfter
	f.mu.Unlock()
	if before != nil {
		return execution.Taken{}, before
	}
	taken, err := f.Store.Claim(ctx, name, quotas, backfill)
	if after != nil {
		return execution.Taken{}, after
	}
	return taken, err
}

// ClaimBackfill implements execution.Claims.
func (f *failing) ClaimBackfill(ctx context.Context, name string, quotas []execution.Quota) (execution.Taken, error) {
	f.mu.Lock()
	before, after := f.claimBackfill, f.claimBackfillAfter
	f.mu.Unlock()
	if before != nil {
		return execution.Taken{}, before
	}
	taken, err := f.Store.ClaimBackfill(ctx, name, quotas)
	if after != nil {
		return execution.Taken{}, after
	}
	return taken, err
}

// Complete implements execution.Runs.
func (f *failing) Complete(ctx context.Context, c execution.Completion) error {
	f.mu.Lock()
	f.completes++
	err := f.complete
	f.mu.Unlock()
	if err != nil {
		return err
	}
	return f.Store.Complete(ctx, c)
}

func (f *failing) set(change func(*failing)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func names(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("ten_%d", i)
	}
	return all
}
