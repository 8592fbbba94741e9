// Package fairness measures how fairly workers serve tenants, on a database: how long
// others wait beside one that floods, how near what tenants get comes to their weights,
// and what a claim costs. It uses the store and the worker, with runs that only take
// time: what guests do is in no figure.
package fairness

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/database"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/worker"
)

// Size is how much is measured.
type Size struct {
	// Tenants are those beside the one that floods, Flood is its backlog, and Turn how
	// long each turn of the two takes.
	Tenants, Flood, Turns int
	Turn                  time.Duration
	// Shares are the tenants that share by weight, and Rounds how often each has its turn.
	Shares, Rounds int
	// Many are the tenants with backlogs that claims are measured with, Capped the backlog
	// of an installation at its cap, and Claims how many claims are made.
	Many, Capped, Claims int
}

// Goals are 1,000 tenants of which one floods, and 10,000 with a backlog.
func Goals() Size {
	return Size{Tenants: 999, Flood: 20_000, Turns: 3, Turn: 6 * time.Second, Shares: 100, Rounds: 40, Many: 10_000, Capped: 100_000, Claims: 300}
}

// Figure is what came of a measurement.
type Figure struct {
	Name  string
	Value float64
	Unit  string
	// Goal is what the value should be, at most, or at least where Least says so. 0 is
	// none.
	Goal  float64
	Least bool
}

// Met says whether the goal is met.
func (f Figure) Met() bool { return f.Least && f.Value >= f.Goal || !f.Least && f.Value <= f.Goal }

// Measure measures everything, each on databases of its own.
func Measure(ctx context.Context, d *database.Database, s Size) ([]Figure, error) {
	var all []Figure
	for _, measure := range []func(context.Context, *database.Database, Size) ([]Figure, error){flooded, shares, claims, capped} {
		figures, err := measure(ctx, d, s)
		if err != nil {
			return nil, err
		}
		all = append(all, figures...)
	}
	return all, nil
}

// on opens a database for f.
func on(ctx context.Context, d *database.Database, f func(b *bed) error) error {
	b, err := open(ctx, d)
	if err != nil {
		return err
	}
	return errors.Join(f(b), b.store.Close())
}

// bed is a database with tenants.
type bed struct {
	store store.Store
	now   atomic.Int64
}

func open(ctx context.Context, d *database.Database) (*bed, error) {
	address, err := d.Create(ctx)
	if err != nil {
		return nil, err
	}
	db, err := d.Store(ctx, address)
	if err != nil {
		return nil, err
	}
	if _, _, err := db.Migrate(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &bed{store: db}, nil
}

// place is a tenant's installation.
type place struct{ tenant, installation string }

// places makes n tenants, each as limits says, with an installation.
func (b *bed) places(ctx context.Context, n int, limits func(i int) tenant.Limits) ([]place, error) {
	all := make([]place, n)
	return all, together(n, func(i int) error {
		now := time.Now()
		ten := tenant.Tenant{
			ID: ident.New(ident.Tenant, now), Name: fmt.Sprintf("t%d-%d", i, b.now.Add(1)), Limits: limits(i), State: tenant.Active, CreatedAt: now,
		}
		if err := b.store.InsertTenant(ctx, ten); err != nil {
			return err
		}
		all[i] = place{ten.ID, ident.New(ident.Installation, now)}
		return b.install(ctx, all[i], 0)
	})
}

func (b *bed) install(ctx context.Context, p place, running int) error {
	now := time.Now()
	return b.store.InsertInstallation(ctx, installation.Installation{
		ID: p.installation, Tenant: p.tenant, Name: p.installation, State: installation.Active, MaxRunning: running, CreatedAt: now, UpdatedAt: now,
	})
}

// accept queues an execution of a place.
func (b *bed) accept(ctx context.Context, p place) (string, error) {
	now := time.Now()
	id := ident.New(ident.Execution, now)
	_, err := b.store.Accept(ctx, event.Event{
		ID: ident.New(ident.Event, now), Tenant: p.tenant, Installation: p.installation, Kind: event.Webhook, Name: "issues", Body: []byte(`{}`), ReceivedAt: now,
	}, &event.Work{Execution: id, Lane: event.Live})
	return id, err
}

// fill queues n executions, of the places in turn.
func (b *bed) fill(ctx context.Context, n int, at func(i int) place) error {
	return together(n, func(i int) error {
		_, err := b.accept(ctx, at(i))
		return err
	})
}

// together calls f for each of n, as many at once as a busy host has callers.
func together(n int, f func(i int) error) error {
	const callers = 64
	var next atomic.Int64
	var all sync.WaitGroup
	errs := make(chan error, callers)
	for range callers {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := f(i); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(errs)
	return <-errs
}

// running is how a run of the bench goes, and what is noted of it.
type running func(c execution.Claimed)

// Run implements worker.Runner.
func (r running) Run(_ context.Context, c execution.Claimed, _ func() bool) (worker.Ended, error) {
	r(c)
	return worker.Ended{VersionID: "plv_1"}, nil
}

// work has a worker run until f returns.
func (b *bed) work(ctx context.Context, runner worker.Runner, f func(ctx context.Context, w *worker.Worker) error) error {
	w := worker.New(worker.Config{
		Store: b.store, Runner: runner, Name: func() string { return ident.New(ident.Worker, time.Now()) },
		Slots: slots, Now: time.Now, After: time.After,
	})
	running, stop := context.WithCancel(ctx)
	ran := make(chan error, 1)
	go func() { ran <- w.Run(running) }()
	err := f(ctx, w)
	stop()
	return errors.Join(err, <-ran)
}

// slots are the worker's.
const slots = 32

// quantile returns that part of the way up through the values.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[min(int(float64(len(values))*q), len(values)-1)]
}
