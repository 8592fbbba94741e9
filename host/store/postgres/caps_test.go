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
		for range total {
			now := time.Now()
			_, err := stores[0].Accept(ctx, event.Event{ID: ident.New(ident.Event, now), Tenant: acme, Installation: id, Kind: event.Webhook},
				&event.Work{Execution: ident.New(ident.Execution, now), Lane: event.Live})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	var done atomic.Int64
	var all sync.WaitGroup
	for i, s := range stores {
		all.Go(func() {
			worker := fmt.Sprintf("wrk_%d", i)
			if _, err := s.Heartbeat(ctx, worker, time.Hour); err != nil {
				t.Error(err)
				return
			}
			for done.Load() < 2*total && !t.Failed() {
				taken, err := s.Claim(ctx, worker, []execution.Quota{{Tenant: acme, N: 4, Running: tenantMost}}, 1000)
				got := taken.Claimed
				if err != nil {
					t.Error(err)
					return
				}
				for _, c := range got {
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
