package postgres_test

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/job"
	"github.com/cofferdam-run/cofferdam/host/redeliver"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/postgres"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/worker"
	"github.com/cofferdam-run/cofferdam/test/processtest"
)

var (
	redeliverPace   = flag.Int("redeliver.pace", 10_000, "how many of them a second")
	redeliverProbes = flag.Int("redeliver.probes", 500, "how many live events tell how long such ones wait, alone and beside")
	redeliverTurns  = flag.Int("redeliver.turns", 4, "in how many parts, each sent beside the redelivery and while it is paused")
	redeliverEvents = flag.Int("redeliver.events", 20_000, "how many events a redelivery is killed in the middle of")
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
	return redeliver.New(redeliver.Config{Store: db, Jobs: job.New(job.Config{Store: db, Now: time.Now}), Wake: db.Wake, Now: time.Now, After: time.After})
}

// executionID is an id of an execution without a pointer: a garbage collection would look
// through a million of those, while live events wait.
type executionID [30]byte

// storm is a tenant's dead events that are redelivered, and live ones.
type storm struct {
	db                   store.Store
	dsn                  string
	tenant, installation string
	worker               *worker.Worker

	mu sync.Mutex
	// ledger counts how often each execution was run.
	ledger map[executionID]int
	// live is how long each live event has waited for its run.
	live []time.Duration
	sent map[string]time.Time
}

// Run implements worker.Runner: it notes the execution, and is done.
func (s *storm) Run(_ context.Context, c execution.Claimed, _ func() bool) (worker.Ended, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, ok := s.sent[c.Execution]; ok {
		s.live = append(s.live, time.Since(at))
	} else {
		s.ledger[executionID([]byte(c.Execution))]++
	}
	return worker.Ended{VersionID: "plv_1"}, nil
}

// TestMillionRedeliveredExactlyOnce kills the redelivering process three times, if it takes
// long enough.
func TestMillionRedeliveredExactlyOnce(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.DSN(t)
	s := &storm{db: opened(t, dsn), dsn: dsn, ledger: map[executionID]int{}, sent: map[string]time.Time{}}
	s.add(t)
	n := *redeliverEvents
	s.fill(t, n)
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	exec(t, conn, "ANALYZE events", "ANALYZE executions")
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer s.work(t)()
	before := p99(s.probe(t, *redeliverProbes))

	r, err := redeliveries(s.db).Start(t.Context(), s.tenant, redeliver.Spec{Installation: s.installation, Pace: *redeliverPace})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	child := s.child(t)
	var beside, alone [][]time.Duration
	var paused time.Duration
	kills, turns := 0, *redeliverTurns
	for turn := range turns {
		goes := s.until(t, r.ID, func(r redeliver.Redelivery) bool { return r.Progress.Redelivered > n*turn/(turns+1) })
		if kills < 3 && turn >= kills*turns/3 && !goes.State.Ended() {
			child.Kill()
			kills++
			child = s.child(t)
			s.until(t, r.ID, func(r redeliver.Redelivery) bool {
				return r.State.Ended() || r.Progress.Redelivered > goes.Progress.Redelivered
			})
		}
		beside = append(beside, s.probe(t, *redeliverProbes/turns))
		stopped := time.Now()
		s.paused(t, r.ID, func() { alone = append(alone, s.probe(t, *redeliverProbes/turns)) })
		paused += time.Since(stopped)
	}
	got := s.until(t, r.ID, func(r redeliver.Redelivery) bool { return r.State.Ended() })
	took := time.Since(began) - paused
	child.Kill()
	if p := got.Progress; got.State != job.Done || p.Redelivered != n || p.Looked < n || p.Skipped.Gone > 0 {
		t.Fatalf("it is %s with %+v and %v", got.State, p, got.Error)
	}
	s.settled(t, n)
	after := p99(s.probe(t, *redeliverProbes))
	for e, times := range s.ledger {
		if times != 1 {
			t.Errorf("%s was run %d times", e, times)
		}
	}
	t.Logf("%d events redelivered in %v (%.0f/s), killed %d times on the way, each once", n, took.Round(time.Millisecond), float64(n)/took.Seconds(), kills)
	all, none := slices.Concat(beside...), slices.Concat(alone...)
	t.Logf("a live event waits for its run at p99 %v beside it and %v in turns while it is paused (%.2fx); %v before and %v after",
		p99(all), p99(none), ratio(p99(all), p99(none)), before, after)
	t.Logf("half of them wait %v and %v, 95 of a hundred %v and %v", quantile(all, 50), quantile(none, 50), quantile(all, 95), quantile(none, 95))
	if parts := ratios(beside, alone, 1000); len(parts) > 1 {
		t.Logf("the times of parts of the turns, a thousand and more live events each side: %.2f, half of them below %.2fx", parts, parts[len(parts)/2])
	}
}

// ratios are those of p99 in parts of the turns, in order of size: what else a machine does
// in some of the turns decides a p99 over all of them.
func ratios(beside, alone [][]time.Duration, events int) []float64 {
	var parts []float64
	var b, a []time.Duration
	for i := range beside {
		b, a = append(b, beside[i]...), append(a, alone[i]...)
		if len(b) >= events {
			parts = append(parts, ratio(p99(b), p99(a)))
			b, a = nil, nil
		}
	}
	slices.Sort(parts)
	return parts
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }

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
}

// A plan that was made before the statistics know of a tenant's events expects few of them:
// a piece of a redelivery looks up its own, and none of the others.
func TestAPieceReadsItsOwnEvents(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.DSN(t)
	s := &storm{db: opened(t, dsn), dsn: dsn}
	s.add(t)
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	exec(t, conn, "ALTER TABLE events SET (autovacuum_enabled = false)", "ALTER TABLE executions SET (autovacuum_enabled = false)")
	const all, piece = 20_000, 25
	s.fill(t, all)
	exec(t, conn, "SELECT pg_stat_reset()")
	w, err := s.db.Deliveries(t.Context(), s.tenant, redeliver.Spec{Installation: s.installation}, "", piece)
	if err != nil {
		t.Fatal(err)
	}
	o := redeliver.Order{Job: "rdl_1", Each: map[string]string{}}
	for _, f := range w.Found {
		o.Each[f.Event] = ident.New(ident.Execution, time.Now())
	}
	if n, _, err := s.db.Redeliver(t.Context(), s.tenant, o); err != nil || n != piece {
		t.Fatalf("redelivered %d and %v, want %d", n, err, piece)
	}
	// The server counts what a connection has read once that has ended.
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	read := 0
	for read == 0 {
		err := conn.QueryRow(t.Context(), `SELECT COALESCE(sum(seq_tup_read + idx_tup_fetch), 0) FROM pg_stat_user_tables WHERE relname IN ('events', 'executions')`).Scan(&read)
		if err != nil {
			t.Fatal(err)
		}
	}
	if read > 20*piece {
		t.Errorf("%d rows were read for %d of %d events", read, piece, all)
	}
}

func exec(t *testing.T, conn *pgx.Conn, queries ...string) {
	t.Helper()
	for _, q := range queries {
		if _, err := conn.Exec(t.Context(), q); err != nil {
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

// paused calls fn while the redelivery is paused and none of its work is left.
func (s *storm) paused(t *testing.T, id string, fn func()) {
	t.Helper()
	all := redeliveries(s.db)
	if _, err := all.Pause(t.Context(), s.tenant, id); err != nil && fault.From(err).Class != fault.Conflict {
		t.Fatal(err)
	}
	r := s.until(t, id, func(r redeliver.Redelivery) bool { return r.State == job.Paused || r.State.Ended() })
	s.counted(r.Progress.Redelivered)
	fn()
	if r.State.Ended() {
		return
	}
	if _, err := all.Resume(t.Context(), s.tenant, id); err != nil {
		t.Fatal(err)
	}
}

// counted waits until so many have been run.
func (s *storm) counted(n int) {
	for {
		s.mu.Lock()
		done := len(s.ledger)
		s.mu.Unlock()
		if done >= n {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// probe sends n live events one after the other, and returns how long they wait.
func (s *storm) probe(t *testing.T, n int) []time.Duration {
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
		s.worker.Wake(s.tenant)
		time.Sleep(5 * time.Millisecond)
	}
	for {
		s.mu.Lock()
		waits := slices.Clone(s.live)
		s.mu.Unlock()
		if len(waits) == n {
			return waits
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func p99(waits []time.Duration) time.Duration { return quantile(waits, 99) }

func quantile(waits []time.Duration, percent int) time.Duration {
	waits = slices.Sorted(slices.Values(waits))
	return waits[len(waits)*percent/100].Round(10 * time.Microsecond)
}

// slots is how many executions run at once.
const slots = 64

// work has a worker do what is queued, until end is called.
func (s *storm) work(t *testing.T) (end func()) {
	t.Helper()
	s.worker = worker.New(worker.Config{
		Store: s.db, Runner: s, Name: func() string { return ident.New(ident.Worker, time.Now()) }, Slots: slots, Now: time.Now, After: time.After,
	})
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.worker.Run(ctx) }()
	return func() {
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	}
}

// settled waits until the work of all is done, and counts it by its events.
func (s *storm) settled(t *testing.T, n int) {
	t.Helper()
	s.counted(n)
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
