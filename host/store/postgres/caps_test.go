package postgres_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/store/storetest"
)

func TestOrderHoldsForAllProcesses(t *testing.T) {
	t.Parallel()
	_, stores := cluster(t, 3)
	storetest.OrderUnderLoad(t, []storetest.OrderStore{stores[0], stores[1], stores[2]}, acme, "ins_1")
}

// Who claims backfill holds locks until that is committed. Live work does not wait for them,
// unless it needs more room than backfill leaves it, whatever is being claimed.
func TestLiveClaimsDoNotWaitForThoseOfBackfill(t *testing.T) {
	t.Parallel()
	dsn, stores := cluster(t, 1)
	ctx := t.Context()
	for n := range 3 {
		if _, err := accept(ctx, stores[0], fmt.Sprint(n), ""); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := stores[0].Heartbeat(ctx, "w1", time.Hour); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	claimer, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := claimer.Exec(ctx, `SELECT pg_advisory_xact_lock(x'436C62'::int, n) FROM generate_series(0, 255) AS n`); err != nil {
		t.Fatal(err)
	}
	claim := func(n int) int {
		taken, err := stores[0].Claim(ctx, "w1", []execution.Quota{{Tenant: acme, N: n, Running: 8}}, 0)
		if err != nil {
			t.Error(err)
		}
		return len(taken.Claimed)
	}
	if got := claim(2); got != 2 {
		t.Fatalf("claimed %d of live work while backfill was being claimed, want 2", got)
	}
	third := make(chan int)
	go func() { third <- claim(1) }()
	for waits := false; !waits && !t.Failed(); {
		select {
		case got := <-third:
			t.Fatalf("claimed %d more without waiting, and there were two places that backfill leaves", got)
		default:
		}
		err := claimer.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = x'436C62'::int AND NOT granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`).Scan(&waits)
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := claimer.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if got := <-third; got != 1 {
		t.Errorf("claimed %d once backfill had been claimed, want 1", got)
	}
}

// Three processes claim and complete as fast as they can, and the database is asked all
// the while how many run: never more than the tenant's cap, and than the installation's.
func TestCapsHoldInTheDatabase(t *testing.T) {
	t.Parallel()
	dsn, stores := cluster(t, 3)
	ctx := t.Context()
	const tenantMost, installationMost, total = 6, 2, 300
	for id, most := range map[string]int{"ins_capped": installationMost, "ins_free": 0} {
		err := stores[0].InsertInstallation(ctx, installation.Installation{
			ID: id, Tenant: acme, Name: id, State: installation.Active, MaxRunning: most, CreatedAt: time.Now(), UpdatedAt: time.Now(),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// Half of it has order keys, so that what is claimed and what runs has live work come behind it.
	queue := func(from, to int) {
		for n := from; n < to && !t.Failed(); n++ {
			now := time.Now()
			w := &event.Work{Execution: ident.New(ident.Execution, now), Lane: event.Live + event.Lane(n%2)}
			if n%4 < 2 {
				w.OrderKey = event.KeyOf("end_1", fmt.Sprint(n%7))
			}
			e := event.Event{ID: ident.New(ident.Event, now), Tenant: acme, Installation: []string{"ins_capped", "ins_free"}[n%3/2], Kind: event.Webhook}
			if _, err := stores[0].Accept(ctx, e, w); err != nil {
				t.Error(err)
			}
		}
	}
	queue(0, total)
	var done atomic.Int64
	var all sync.WaitGroup
	all.Go(func() { queue(total, 2*total) })
	for i := range 2 * len(stores) {
		s, worker, backfill := stores[i/2], fmt.Sprintf("wrk_%d", i), i%2 == 1
		if _, err := s.Heartbeat(ctx, worker, time.Hour); err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			for done.Load() < 2*total && !t.Failed() {
				var taken execution.Taken
				var err error
				if quotas := []execution.Quota{{Tenant: acme, N: 4, Running: tenantMost}}; backfill {
					taken, err = s.ClaimBackfill(ctx, worker, quotas)
				} else {
					taken, err = s.Claim(ctx, worker, quotas, 1000)
				}
				if err != nil {
					t.Error(err)
					return
				}
				for _, c := range taken.Claimed {
					err := s.Complete(ctx, execution.Completion{Tenant: c.Tenant, Execution: c.Execution, Claim: c.Claim, Outcome: execution.Succeeded, Counted: true})
					if err != nil {
						t.Error(err)
					}
					done.Add(1)
				}
			}
		})
	}
	look, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = look.Close(ctx) }()
	most, samples := [2]int{}, 0
	for done.Load() < 2*total && !t.Failed() {
		var running, capped int
		err := look.QueryRow(ctx, `SELECT count(*), count(*) FILTER (WHERE installation = 'ins_capped') FROM executions WHERE state = 1`).Scan(&running, &capped)
		if err != nil {
			t.Fatal(err)
		}
		samples++
		most[0], most[1] = max(most[0], running), max(most[1], capped)
	}
	all.Wait()
	if most[0] > tenantMost || most[1] > installationMost {
		t.Errorf("%d ran at once of the tenant and %d of the installation; the caps are %d and %d", most[0], most[1], tenantMost, installationMost)
	}
	if samples == 0 || most[1] == 0 {
		t.Errorf("looked %d times, and saw %v run: that proves nothing", samples, most)
	}
}
