package postgres_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
)

// An Append is held up in its transaction while another process takes its
// execution back: that process waits for it, and whoever claims then reads it.
func TestWhoTakesAnExecutionBackWaitsForWhatIsBeingAppended(t *testing.T) {
	t.Parallel()
	ctx, dsn := t.Context(), postgrestest.DSN(t)
	var clock atomic.Int64
	clock.Store(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC).UnixMicro())
	now := func() time.Time { return time.UnixMicro(clock.Load()) }
	first, second := open(t, dsn, now), open(t, dsn, now)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(first.InsertTenant(ctx, tenant.Tenant{ID: acme, Name: "acme", State: tenant.Active, Limits: tenant.Limits{Running: 3, Weight: 1}}))
	_, err := accept(ctx, first, "1", "k")
	must(err)
	quota := []execution.Quota{{Tenant: acme, N: 1, Running: 1}}
	_, err = first.Heartbeat(ctx, "w1", time.Second)
	must(err)
	taken, err := first.Claim(ctx, "w1", quota, 0)
	claimed := taken.Claimed
	must(err)
	must(first.Begin(ctx, claimed[0], execution.Beginning{VersionID: "plv_1"}))

	// Somebody holds the body that the segment names.
	body := []byte("a large body")
	digest := journal.DigestOf(body)
	holder, err := pgx.Connect(ctx, dsn)
	must(err)
	defer func() { _ = holder.Close(ctx) }()
	tx, err := holder.Begin(ctx)
	must(err)
	_, err = tx.Exec(ctx, `INSERT INTO journal_bodies (tenant, digest, bytes, used_at) VALUES ($1, $2, $3, 0)`, acme, digest[:], body)
	must(err)
	appended, reaped := make(chan error, 1), make(chan error, 1)
	go func() {
		s := journal.Segment{Seq: 1, Data: []byte("intent"), Large: map[journal.Digest][]byte{digest: body}}
		appended <- first.Append(ctx, claimed[0], s)
	}()
	waiters(t, tx, 1)
	clock.Add(time.Minute.Microseconds())
	go func() {
		_, err := second.Reap(ctx)
		reaped <- err
	}()
	waiters(t, tx, 2)
	must(tx.Commit(ctx))
	must(<-appended)
	must(<-reaped)

	_, err = second.Heartbeat(ctx, "w2", time.Second)
	must(err)
	taken, err = second.Claim(ctx, "w2", quota, 0)
	again := taken.Claimed
	must(err)
	if len(again) != 1 || again[0].Claim != 2 || again[0].Crashes != 1 {
		t.Fatalf("claimed %+v, want the second claim, after a crash", again)
	}
	got, err := second.Journal(ctx, acme, claimed[0].Execution)
	must(err)
	if len(got.Segments) != 1 || string(got.Segments[0].Large[digest]) != string(body) {
		t.Errorf("got %+v, want what was appended", got)
	}
}

// waiters waits until so many sessions wait for a lock.
func waiters(t *testing.T, c pgx.Tx, want int) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		// A transaction sees the sessions that there were when it looked first, otherwise.
		if _, err := c.Exec(t.Context(), `SELECT pg_stat_clear_snapshot()`); err != nil {
			t.Fatal(err)
		}
		var n int
		err := c.QueryRow(t.Context(),
			`SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.datname = current_database()
			 JOIN pg_stat_activity a ON a.pid = l.pid AND a.datid = d.oid WHERE NOT l.granted`).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		if n >= want {
			return
		}
	}
	t.Fatalf("there were never %d sessions that wait for a lock", want)
}
