package postgres_test

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/job"
	"github.com/cofferdam-run/cofferdam/host/redeliver"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/postgres"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/test/processtest"
)

var (
	redeliverPace   = flag.Int("redeliver.pace", 10_000, "how many of them a second")
	redeliverProbes = flag.Int("redeliver.probes", 500, "how many live events tell how long such ones wait, alone and beside")
	redeliverEvents = flag.Int("redeliver.events", 5000, "how many events a redelivery is killed in the middle of")
)

// childDSN names the database of a process that the test below starts.
const childDSN = "COFFERDAM_REDELIVER_DSN"

// TestRedeliveringProcess is such a process: it redelivers until it is killed.
func TestRedeliveringProcess(t *testing.T) {
	t.Parallel()
	dsn := os.Getenv(childDSN)
	if dsn == "" {
		t.Skip("it is started by another test")
	}
	db := opened(t, dsn)
	runner := job.NewRunner(job.RunnerConfig{
		Store: db, Handlers: map[string]job.Handler{redeliver.Kind: redeliveries(db)}, Owner: ident.New(ident.Worker, time.Now()),
		Lease: 2 * time.Second, Now: time.Now, After: time.After, Logger: slog.New(slog.DiscardHandler),
	})
	runner.Run(t.Context())
}

func opened(t *testing.T, dsn string) store.Store {
	t.Helper()
	db, err := postgres.Open(t.Context(), dsn, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func redeliveries(db store.Store) *redeliver.Redeliveries {
	return redeliver.New(redeliver.Config{Store: db, Jobs: job.New(job.Config{Store: db, Now: time.Now}), Now: time.Now, After: time.After})
}

// storm is a tenant's dead events that are redelivered, and live ones.
type storm struct {
	db                   store.Store
	dsn                  string
	tenant, installation string

	mu sync.Mutex
	// ledger counts how often each execution was run, and live is how long each
	// live event has waited for its claim.
	ledger map[string]int
	live   []time.Duration
	sent   map[string]time.Time
}

// TestMillionRedeliveredExactlyOnce kills the redelivering process three times.
func TestMillionRedeliveredExactlyOnce(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.DSN(t)
	s := &storm{db: opened(t, dsn), dsn: dsn, ledger: map[string]int{}, sent: map[string]time.Time{}}
	s.add(t)
	n := *redeliverEvents
	s.fill(t, n)
	ctx, stop := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	busy.Go(func() { s.work(ctx, t) })
	defer busy.Wait()
	defer stop()
	before := s.p99(t, *redeliverProbes)

	r, err := redeliveries(s.db).Start(t.Context(), s.tenant, redeliver.Spec{Installation: s.installation, Pace: *redeliverPace})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for kill := 1; kill <= 3; kill++ {
		child := s.child(t)
		s.until(t, r.ID, func(r redeliver.Redelivery) bool { return r.Progress.Redelivered >= n*kill/4 })
		child.Kill()
	}
	child := s.child(t)
	beside := s.p99(t, *redeliverProbes)
	got := s.until(t, r.ID, func(r redeliver.Redelivery) bool { return r.State.Ended() })
	took := time.Since(began)
	child.Kill()
	if p := got.Progress; got.State != job.Done || p.Redelivered != n || p.Looked < n || p.Skipped.Gone > 0 {
		t.Fatalf("it is %s with %+v and %v", got.State, p, got.Error)
	}
	s.settled(t, n)
	after := s.p99(t, *redeliverProbes)
	for e, times := range s.ledger {
		if times != 1 {
			t.Errorf("%s was run %d times", e, times)
		}
	}
	t.Logf("%d events redelivered in %v (%.0f/s), killed 3 times, each once; a live event waits for its claim at p99 %v before, %v beside it, %v after (%.2fx of before, %.2fx of after)",
		n, took.Round(time.Millisecond), float64(n)/took.Seconds(), before, beside, after, float64(beside)/float64(before), float64(beside)/float64(after))
}

func (s *storm) add(t *testing.T) {
	t.Helper()
	now := time.Now()
	s.tenant, s.installation = ident.New(ident.Tenant, now), ident.New(ident.Installation, now)
	if err := s.db.InsertTenant(t.Context(), tenant.Tenant{
		ID: s.tenant, Name: "acme", Limits: tenant.Limits{Running: 1 << 20, Weight: 1}, State: tenant.Active, CreatedAt: now,
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.db.InsertInstallation(t.Context(), installation.Installation{
		ID: s.installation, Tenant: s.tenant, Name: "hello", Plugin: "plg_1", VersionID: "plv_1", PluginName: "hello", Version: "0.1.0",
		Config: []byte("{}"), State: installation.Active, CreatedAt: now, UpdatedAt: now,
	}); err != nil {
		t.Fatal(err)
	}
}

// fill puts n events into the store whose executions are dead.
func (s *storm) fill(t *testing.T, n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	at := time.Now().Add(-time.Hour)
	ids := make([][2]string, n)
	for i := range ids {
		made := at.Add(time.Duration(i) * time.Hour / time.Duration(n+1))
		ids[i] = [2]string{ident.New(ident.Event, made), ident.New(ident.Execution, made)}
	}
	columns := []string{"tenant", "id", "installation", "kind", "name", "source", "body", "received_at", "execution", "emitter"}
	events := pgx.CopyFromSlice(n, func(i int) ([]any, error) {
		return []any{s.tenant, ids[i][0], s.installation, "webhook", "issues", "end_1", []byte(`{"n":1}`), at.UnixMicro(), ids[i][1], ""}, nil
	})
	if _, err := conn.CopyFrom(t.Context(), pgx.Identifier{"events"}, columns, events); err != nil {
		t.Fatal(err)
	}
	columns = []string{"tenant", "id", "installation", "event", "kind", "name", "state", "lane", "run_at", "created_at", "finished_at", "changed_at"}
	executions := pgx.CopyFromSlice(n, func(i int) ([]any, error) {
		us := at.UnixMicro()
		return []any{s.tenant, ids[i][1], s.installation, ids[i][0], "webhook", "issues", 4, 1, us, us, us, us}, nil
	})
	if _, err := conn.CopyFrom(t.Context(), pgx.Identifier{"executions"}, columns, executions); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"events", "executions"} {
		if _, err := conn.Exec(t.Context(), "ANALYZE "+table); err != nil {
			t.Fatal(err)
		}
	}
}

// child starts a process that redelivers.
func (s *storm) child(t *testing.T) *processtest.Process {
	t.Helper()
	return processtest.Run(t, processtest.Config{Args: []string{"-test.run=^TestRedeliveringProcess$"}, Env: []string{childDSN + "=" + s.dsn}})
}

func (s *storm) until(t *testing.T, id string, enough func(redeliver.Redelivery) bool) redeliver.Redelivery {
	t.Helper()
	all := redeliveries(s.db)
	for deadline := time.Now().Add(2 * time.Hour); ; time.Sleep(20 * time.Millisecond) {
		r, err := all.Get(t.Context(), s.tenant, id)
		switch {
		case err != nil:
			t.Fatal(err)
		case enough(r):
			return r
		case time.Now().After(deadline), r.State == job.Failed:
			t.Fatalf("it is %s with %+v and %v", r.State, r.Progress, r.Error)
		}
	}
}

// p99 sends n live events one after the other, and says how long they wait.
func (s *storm) p99(t *testing.T, n int) time.Duration {
	t.Helper()
	s.mu.Lock()
	s.live = nil
	s.mu.Unlock()
	for range n {
		now := time.Now()
		id := ident.New(ident.Execution, now)
		s.mu.Lock()
		s.sent[id] = now
		s.mu.Unlock()
		_, err := s.db.Accept(t.Context(), event.Event{
			ID: ident.New(ident.Event, now), Tenant: s.tenant, Installation: "ins_live", Kind: event.Action, Name: "x", Body: []byte("{}"), ReceivedAt: now,
		}, &event.Work{Execution: id, Lane: event.Live})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	for {
		s.mu.Lock()
		waits := slices.Sorted(slices.Values(s.live))
		s.mu.Unlock()
		if len(waits) == n {
			return waits[n*99/100].Round(10 * time.Microsecond)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// slots is how many executions run at once.
const slots = 64

// work does what is queued until ctx ends, as a worker does: it claims for the slots that
// are free, and does not wait for what runs. It notes what it claims in the ledger.
func (s *storm) work(ctx context.Context, t *testing.T) {
	t.Helper()
	if _, err := s.db.Heartbeat(ctx, "wrk_1", time.Hour); err != nil {
		t.Error(err)
		return
	}
	var free atomic.Int64
	free.Store(slots)
	ended := make(chan struct{}, 1)
	var runs sync.WaitGroup
	defer runs.Wait()
	for ctx.Err() == nil {
		var claimed []execution.Claimed
		if n := int(free.Load()); n > 0 {
			var err error
			claimed, err = s.db.Claim(ctx, "wrk_1", []execution.Quota{{Tenant: s.tenant, N: n, Running: 1 << 20}})
			if err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
		}
		s.note(claimed)
		free.Add(-int64(len(claimed)))
		for _, c := range claimed {
			runs.Go(func() {
				err := s.db.Complete(ctx, execution.Completion{Tenant: c.Tenant, Execution: c.Execution, Claim: c.Claim, Outcome: execution.Succeeded, Counted: true})
				if err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				free.Add(1)
				select {
				case ended <- struct{}{}:
				default:
				}
			})
		}
		if len(claimed) > 0 {
			continue
		}
		select {
		case <-ended:
		case <-time.After(time.Millisecond): // Something new may have come.
		}
	}
}

func (s *storm) note(claimed []execution.Claimed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range claimed {
		if at, ok := s.sent[c.Execution]; ok {
			s.live = append(s.live, time.Since(at))
			continue
		}
		s.ledger[c.Execution]++
	}
}

// settled waits until the work of all is done, and counts it by its events.
func (s *storm) settled(t *testing.T, n int) {
	t.Helper()
	for {
		s.mu.Lock()
		done := len(s.ledger)
		s.mu.Unlock()
		if done >= n {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	conn, err := pgx.Connect(t.Context(), s.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	var events, executions int
	err = conn.QueryRow(t.Context(), `SELECT count(DISTINCT event), count(*) FROM executions WHERE tenant = $1 AND redelivery <> ''`, s.tenant).Scan(&events, &executions)
	if err != nil || events != n || executions != n {
		t.Errorf("%d executions of %d events and %v, want %d of each", executions, events, err, n)
	}
}
