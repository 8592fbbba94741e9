package host_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/postgres"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/webhook"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

var (
	copies     = flag.Int("copies", 30, "how many copies of a delivery come at once; 1000 is the full size")
	deliveries = flag.Int("deliveries", 20, "how many deliveries they are copies of; 100 is the full size")
)

// TestCopiesOfADeliveryRunOnce has copies of deliveries come to several processes at once.
func TestCopiesOfADeliveryRunOnce(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		processes int
		open      func(t *testing.T) func() (store.Store, error)
	}{"three processes on Postgres": {3, onPostgres}, "one process on SQLite": {1, onSQLite}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			open, key := tt.open(t), newKey(t)
			var all []*bundle
			for range tt.processes {
				db, err := open()
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = db.Close() })
				if _, _, err := db.Migrate(t.Context()); err != nil {
					t.Fatal(err)
				}
				all = append(all, runHost(t, host.Config{Store: db, Keeper: key}))
			}
			copiesRunOnce(t, all)
		})
	}
}

// onPostgres returns what opens one database again and again, as onSQLite does.
func onPostgres(t *testing.T) func() (store.Store, error) {
	t.Helper()
	dsn := postgrestest.DSN(t)
	return func() (store.Store, error) { return postgres.Open(t.Context(), dsn, postgres.Options{}) }
}

func onSQLite(t *testing.T) func() (store.Store, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.db")
	return func() (store.Store, error) { return sqlite.Open(t.Context(), path, sqlite.Options{}) }
}

func copiesRunOnce(t *testing.T, processes []*bundle) {
	t.Helper()
	b := processes[0]
	b.tenant = b.addTenant(t, "acme", tenant.Limits{})
	wasm := runtimetest.Outputs(map[string]string{
		"describe": `{"name":"tiny","version":"1.0.0","webhooks":[{"name":"issues","scheme":"github"}]}`, "webhook": `{}`,
	})
	in := b.install(t, b.tenant.ID, "tiny", wasm, nil)
	e, secret, err := b.h.Endpoints.Create(t.Context(), b.tenant.ID, endpoint.Spec{Installation: in.ID, Webhook: "issues"})
	if err != nil {
		t.Fatal(err)
	}
	var order []webhook.Delivery
	for n := range *deliveries {
		body := []byte(`{}`)
		header, err := webhook.Sign("github", secret, fmt.Sprint("d-", n), time.Now(), body)
		if err != nil {
			t.Fatal(err)
		}
		for range *copies {
			order = append(order, webhook.Delivery{Endpoint: e.ID, Method: "POST", Path: "/hooks/" + e.ID, Header: header, Body: body})
		}
	}
	rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	var next, first atomic.Int64
	var wg sync.WaitGroup
	for worker := range 64 {
		wg.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(order); i = next.Add(1) - 1 {
				answer, err := processes[worker%len(processes)].h.Webhooks.Receive(t.Context(), order[i])
				if err != nil {
					t.Error(err)
					return
				}
				if !answer.Duplicate {
					first.Add(1)
				}
			}
		})
	}
	wg.Wait()
	runs, err := b.h.Executions.List(t.Context(), b.tenant.ID, execution.Filter{Limit: 200})
	if err != nil || len(runs) != *deliveries || first.Load() != int64(*deliveries) {
		t.Errorf("%d executions, %d were taken as new, %v, want %d", len(runs), first.Load(), err, *deliveries)
	}
	for _, x := range runs {
		if got := b.end(t, b.tenant.ID, x.ID, execution.Succeeded); got.Attempt != 1 {
			t.Errorf("%s ran %d times", x.ID, got.Attempt)
		}
	}
}
