package schedule_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/schedule"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/postgres"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/store/storetest/faults"
)

// TestEveryStatementMayFail has each statement of ticks fail in turn, and the process with
// it: the next one finds each instant fired once or not yet, and fires it.
func TestEveryStatementMayFail(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(testing.TB, *faults.Plan, func() time.Time) (store.Store, error){"sqlite": brokenSQLite, "postgres": brokenPostgres} {
		for when, w := range map[string]faults.When{"not executed": faults.Before, "answer lost": faults.After} {
			t.Run(name+"/"+when, func(t *testing.T) {
				t.Parallel()
				var plan faults.Plan
				b := setupOn(t, func(now func() time.Time) (store.Store, error) { return open(t, &plan, now) })
				s := b.create(t, schedule.Spec{When: every("1h"), Overlap: schedule.CancelOld})
				want := []string{}
				for n := 1; ; n++ {
					b.down(s.Next.Sub(b.now()))
					want = append(want, s.Next.Format("15:04:05"))
					plan.Arm(n, w)
					_, _ = b.FireDue(t.Context()) // Whatever it says, it is dead then.
					struck := plan.Struck()
					plan.Arm(0, w)
					b.Schedules = b.process(b.Store)
					for range 5 { // The first may find a connection that is gone.
						if _, err := b.FireDue(t.Context()); err == nil {
							break
						}
					}
					b.down(31 * time.Second) // In which it may have been put off.
					b.pass(t, 0)
					slices.Sort(want)
					s = b.wantTicks(t, s, want...)
					if t.Failed() {
						t.Fatalf("when statement %d fails", n)
					}
					if !struck {
						if n < 6 {
							t.Errorf("a tick makes %d statements", n)
						}
						return
					}
				}
			})
		}
	}
}

func brokenSQLite(tb testing.TB, plan *faults.Plan, now func() time.Time) (store.Store, error) {
	tb.Helper()
	return sqlite.Open(tb.Context(), filepath.Join(tb.TempDir(), "test.db"), sqlite.Options{Driver: faults.SQLite(plan), Now: now})
}

func brokenPostgres(tb testing.TB, plan *faults.Plan, now func() time.Time) (store.Store, error) {
	tb.Helper()
	address, stop, err := faults.Postgres(tb.Context(), postgrestest.DSN(tb), plan)
	must(tb, err)
	tb.Cleanup(stop)
	return postgres.Open(tb.Context(), address, postgres.Options{Now: now})
}

// TestProcessesFireEachInstantOnce has three processes on one Postgres look for the same
// 200 schedules at the same time.
func TestProcessesFireEachInstantOnce(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.DSN(t)
	const schedules, rounds = 200, 3
	b := setupOn(t, func(now func() time.Time) (store.Store, error) {
		return postgres.Open(t.Context(), dsn, postgres.Options{Now: now})
	})
	processes := []*schedule.Schedules{b.Schedules}
	for range 2 {
		s, err := postgres.Open(t.Context(), dsn, postgres.Options{Now: b.now})
		must(t, err)
		t.Cleanup(func() { must(t, s.Close()) })
		processes = append(processes, b.process(s))
	}
	for i := range schedules {
		b.create(t, schedule.Spec{Name: fmt.Sprint("s", i), When: every("1m"), Overlap: schedule.CancelOld})
	}
	for range rounds {
		b.down(time.Minute)
		var done sync.WaitGroup
		for _, p := range processes {
			done.Go(func() {
				if _, err := p.FireDue(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		done.Wait()
	}
	seen := map[string]int{}
	for before := ""; ; {
		some, err := b.Events(t.Context(), tenantID, event.Filter{Kind: event.Schedule, Before: before, Limit: 200})
		must(t, err)
		for _, e := range some {
			seen[e.Source+" "+e.DedupeKey]++
			before = e.ID
		}
		if len(some) < 200 {
			break
		}
	}
	if len(seen) != schedules*rounds {
		t.Errorf("%d ticks fired, want %d", len(seen), schedules*rounds)
	}
	for tick, n := range seen {
		if n != 1 {
			t.Errorf("%s fired %d times", tick, n)
		}
	}
	if got := b.woken.Load(); got != schedules*rounds {
		t.Errorf("%d executions were queued, want %d", got, schedules*rounds)
	}
}
