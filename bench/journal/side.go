package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	goruntime "runtime"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/command"
	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
	"github.com/cofferdam-run/cofferdam/registry"
)

// side is one of the two that are compared: a database whose executions are run
// with the journal, or without.
type side struct {
	name     string
	database string
	store    store.Store
	// look sees the same database.
	look     *sql.DB
	cache    string
	tenants  []string
	journals bool
	// before is what the database held before anything ran.
	before lies
}

// newSide makes a database with the plugins installed at each tenant.
func (s *suite) newSide(ctx context.Context, d *database, journals bool, tenants int, plugins ...string) (x *side, err error) {
	x = &side{name: "off", database: d.name, cache: s.cache, journals: journals}
	if journals {
		x.name = "on"
	}
	// The store's own goroutines count as the side's in a profile.
	pprof.Do(ctx, x.label(), func(ctx context.Context) { x.store, x.look, err = d.open(ctx) })
	if err != nil {
		return nil, err
	}
	if _, _, err := x.store.Migrate(ctx); err != nil {
		return nil, err
	}
	h, err := x.host(ctx, x.store, 1)
	if err != nil {
		return nil, err
	}
	if err := s.install(ctx, x, h, tenants, plugins); err != nil {
		return nil, err
	}
	if err := h.Close(ctx); err != nil {
		return nil, err
	}
	x.before, err = x.measure(ctx)
	return x, err
}

func (x *side) label() pprof.LabelSet { return pprof.Labels("journal", x.name) }

func (x *side) close() error { return errors.Join(x.look.Close(), x.store.Close()) }

func (s *suite) install(ctx context.Context, x *side, h *host.Host, tenants int, plugins []string) error {
	operator, err := h.Plugins.PublisherOf(ctx, registry.Viewer{Operator: true})
	if err != nil {
		return err
	}
	for _, wasm := range s.wasm {
		if _, err := h.Plugins.Publish(ctx, operator.ID, registry.Upload{Wasm: bytes.NewReader(wasm)}); err != nil {
			return err
		}
	}
	config := fmt.Appendf(nil, `{"url":%q}`, s.vendor)
	for i := range tenants {
		t, err := h.Tenants.Create(ctx, fmt.Sprintf("t%d", i), "", tenant.Limits{})
		if err != nil {
			return err
		}
		x.tenants = append(x.tenants, t.ID)
		for _, plugin := range plugins {
			if plugin == orders {
				plugin += "@1.0.0"
			}
			if _, err := h.Installations.Create(ctx, t.ID, installation.Spec{Plugin: plugin, Config: config}); err != nil {
				return fmt.Errorf("install %s: %w", plugin, err)
			}
		}
	}
	return nil
}

func (x *side) host(ctx context.Context, db store.Store, atOnce int) (*host.Host, error) {
	keeper, err := keyfile.FromKey([32]byte{1})
	if err != nil {
		return nil, err
	}
	return host.New(ctx, host.Config{
		Store: db, Keeper: keeper, Slots: atOnce, CacheDir: x.cache, Unjournaled: !x.journals,
		Egress: egress.Config{AllowAddrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Logger: slog.New(slog.DiscardHandler),
	})
}

// load is how much is run at once, and what.
type load struct {
	plugin string
	// n executions are run, of which the first warm up.
	n, warm int
	slots   int
}

// cost is what one execution took, in seconds.
type cost struct {
	wall, cpu float64
	// writes is how often it wrote to its journal while it ran.
	writes float64
}

// turn runs a load on a side: all is queued, then the workers start, so that as much
// is in flight as there are slots, until what is left is less. Then also, if it is
// not nil, is given the host.
func (x *side) turn(ctx context.Context, l load, also func(context.Context, *host.Host) error) (c cost, err error) {
	counted := &counting{Store: x.store, from: int64(l.warm), to: int64(l.n - l.slots + 1), all: make(chan struct{}), n: int64(l.n)}
	pprof.Do(ctx, x.label(), func(ctx context.Context) { err = x.run(ctx, counted, l, also) })
	if err != nil {
		return c, fmt.Errorf("run %s with the journal %s: %w", l.plugin, x.name, err)
	}
	n := float64(counted.to - counted.from)
	return cost{
		wall: counted.last.at.Sub(counted.first.at).Seconds() / n, cpu: (counted.last.cpu - counted.first.cpu) / n,
		writes: float64(counted.last.writes-counted.first.writes) / n,
	}, nil
}

func (x *side) run(ctx context.Context, db *counting, l load, also func(context.Context, *host.Host) error) error {
	h, err := x.host(ctx, db, l.slots)
	if err != nil {
		return err
	}
	if err := x.queue(ctx, h, l); err != nil {
		return errors.Join(err, h.Close(ctx))
	}
	goruntime.GC() // Nobody pays for what another has left behind.
	running, stop := context.WithCancel(ctx)
	defer stop()
	ran := make(chan error, 1)
	go func() { ran <- h.Run(running) }()
	select {
	case <-ctx.Done():
		err = ctx.Err()
	case <-db.all:
		err = db.failed()
	}
	if err == nil && also != nil {
		err = also(ctx, h)
	}
	stop()
	return errors.Join(err, <-ran, h.Close(ctx))
}

// queue queues executions, as many for each tenant.
func (x *side) queue(ctx context.Context, h *host.Host, l load) error {
	var next atomic.Int64
	var all sync.WaitGroup
	const askers = 32
	errs := make(chan error, askers)
	for range askers {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < l.n; i = int(next.Add(1)) - 1 {
				_, err := h.Executions.Start(ctx, x.tenants[i%len(x.tenants)], execution.Start{
					Installation: l.plugin, Kind: event.Action, Name: "run", Input: fmt.Appendf(nil, `{"id":"%d"}`, 1000+i),
				})
				if err != nil {
					errs <- fmt.Errorf("queue an execution: %w", err)
					return
				}
			}
		})
	}
	all.Wait()
	close(errs)
	return <-errs
}

// counting is a store that notes when executions were done.
type counting struct {
	store.Store

	from, to, n int64
	writes      atomic.Int64

	mu          sync.Mutex
	ended       int64
	first, last mark
	err         error
	// all is closed when all have ended, or one has failed.
	all  chan struct{}
	over sync.Once
}

// mark is a moment.
type mark struct {
	at     time.Time
	cpu    float64
	writes int64
}

// Append implements execution.Runs.
func (c *counting) Append(ctx context.Context, claimed execution.Claimed, s journal.Segment) error {
	c.writes.Add(1)
	return c.Store.Append(ctx, claimed, s)
}

// Complete implements execution.Runs.
func (c *counting) Complete(ctx context.Context, done execution.Completion) error {
	err := c.Store.Complete(ctx, done)
	if err != nil || done.Outcome == execution.Waiting && done.Reason == execution.ReasonSleep {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if done.Outcome != execution.Succeeded && c.err == nil {
		c.err = fmt.Errorf("an execution is %s: %s", done.Outcome, done.Error)
	}
	c.ended++
	switch c.ended {
	case c.from:
		c.first = c.mark()
	case c.to:
		c.last = c.mark()
	}
	if c.ended == c.n || c.err != nil {
		c.over.Do(func() { close(c.all) })
	}
	return nil
}

func (c *counting) mark() mark {
	return mark{at: time.Now(), cpu: command.CPU(), writes: c.writes.Load()}
}

func (c *counting) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}
