// Package host is the embedding API: it wires a Cofferdam out of a store, a key
// and the host app's own functions.
//
//	db, err := sqlite.Open(ctx, "data/cofferdam.db", sqlite.Options{})
//	key, err := keyfile.Open("data/key.json")
//	h, err := host.New(ctx, host.Config{Store: db, Keeper: key})
//	go h.Run(ctx)                      // claims and runs executions
//	mux.Handle("/integrations/", http.StripPrefix("/integrations", api.Handler(h, api.Options{})))
//
// A Host is its nouns: h.Tenants, h.Installations, h.Executions and so on. It
// decides nothing itself. It opens no port and no file but those of
// Config.CacheDir; whoever opened the store closes it, after Run has returned.
package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cofferdam-run/cofferdam/host/alert"
	"github.com/cofferdam-run/cofferdam/host/app"
	"github.com/cofferdam-run/cofferdam/host/archive"
	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/authorization"
	"github.com/cofferdam-run/cofferdam/host/connect"
	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/destination"
	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/health"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/job"
	"github.com/cofferdam-run/cofferdam/host/notice"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
	"github.com/cofferdam-run/cofferdam/host/outbound"
	"github.com/cofferdam-run/cofferdam/host/pace"
	"github.com/cofferdam-run/cofferdam/host/redeliver"
	"github.com/cofferdam-run/cofferdam/host/redrive"
	"github.com/cofferdam-run/cofferdam/host/retention"
	"github.com/cofferdam-run/cofferdam/host/schedule"
	"github.com/cofferdam-run/cofferdam/host/shadow"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/telemetry"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/token"
	"github.com/cofferdam-run/cofferdam/host/usage"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/rotation"
	"github.com/cofferdam-run/cofferdam/host/webhook"
	"github.com/cofferdam-run/cofferdam/host/worker"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/compile"
)

// Host is a wired Cofferdam. Its fields are set by New and do not change.
type Host struct {
	Tenants       *tenant.Tenants
	Plugins       *registry.Registry
	Installations *installation.Installations
	Connections   *connection.Connections
	// Authorizations are what users agreed to: the tokens of connections, kept fresh.
	Authorizations *authorization.Authorizations
	Apps           *app.Apps
	// Connects are where users connect accounts; nil without a Config.PublicURL.
	Connects   *connect.Sessions
	Endpoints  *endpoint.Endpoints
	Webhooks   *webhook.Intake
	Executions *execution.Executions
	Schedules  *schedule.Schedules
	Jobs       *job.Jobs
	Redrives   *redrive.Redrives
	// Redeliveries send stored events again.
	Redeliveries *redeliver.Redeliveries
	Shadows      *shadow.Runs
	Rotations    *rotation.Rotations
	Tokens       *token.Tokens
	Usage        *usage.Ledger
	Audit        *audit.Log
	Notices      *notice.Notices
	// Destinations are where records and notices leave for, Outbound sends them there, and
	// Alerts looks for what there is to notice.
	Destinations *destination.Destinations
	Outbound     *outbound.Sender
	Alerts       *alert.Alerts
	Healths      *health.Healths
	// Paces are whether, and how fast, requests go with connections.
	Paces   *pace.Paces
	Archive *archive.Archive
	// Store gives the rest: events, readiness, idempotency keys.
	Store store.Store
	// Tracer tells what happens as spans; nil without a Config.Tracing.
	Tracer *telemetry.Tracer
	// Metrics are those of this Host; none has a label that names a tenant.
	Metrics prometheus.Gatherer

	runtime *runtime.Runtime
	egress  *egress.Egress
	// asks makes the host's own requests.
	asks    *egress.Transport
	sandbox *worker.Sandbox
	worker  *worker.Worker
	runner  *job.Runner
	purger  *retention.Purger
	pacer   *pace.Pacer
	ailing  *ailing
	// forgetOwn deletes what was sent of the operator's own, which no round of the purger
	// comes by.
	forgetOwn func(ctx context.Context) error
	after     func(d time.Duration) <-chan time.Time
	logger    *slog.Logger
	running   atomic.Bool
	// left says that runs were left behind, which need the runtime still.
	left atomic.Bool
}

// New wires a Host. It checks the store's schema and the key, and starts
// nothing. The caller closes it.
func New(ctx context.Context, c Config) (*Host, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	if len(c.Providers.All()) == 0 {
		var err error
		if c.Providers, err = provider.Load(); err != nil {
			return nil, fmt.Errorf("configure host: %w", err)
		}
	}
	if err := c.Store.Ready(ctx); err != nil {
		return nil, fmt.Errorf("check the database: %w", err)
	}
	log, err := newLog(ctx, c)
	if err != nil {
		return nil, err
	}
	if c.Auditor == nil {
		c.Auditor = auditor{log}
	}
	sealer := vault.Configured(vault.Config{
		Store: c.Store, Keeper: c.Keeper, Others: c.Keepers, Auditor: c.Auditor, Fresh: c.KeyFresh, Logger: c.Logger, Now: c.Now,
	})
	if err := sealer.Check(ctx); err != nil {
		return nil, fmt.Errorf("check the key: %w", err)
	}
	c.Store.SealWith(sealer)
	compiler, err := newCompiler(ctx, c)
	if err != nil {
		return nil, err
	}
	rt, err := runtime.New(ctx, runtime.Config{Functions: worker.Functions(c.Functions), CacheDir: c.CacheDir, Compiler: compiler, Now: c.Now})
	if err != nil {
		return nil, fmt.Errorf("start the runtime: %w", err)
	}
	if spans, ok := c.Tracing.Provider.(prometheus.Collector); ok {
		c.Metrics.MustRegister(spans)
	}
	h := &Host{Store: c.Store, Audit: log, Metrics: c.Metrics, Tracer: telemetry.New(c.Tracing), runtime: rt, egress: egress.New(c.Egress), asks: egress.NewTransport(c.Egress), after: c.After, logger: c.Logger}
	w := &wiring{c: c, h: h, vault: sealer, bell: &execution.Bell{}}
	if err := w.connects(); err != nil {
		return nil, errors.Join(err, rt.Close(ctx))
	}
	if err := w.accounts(); err != nil {
		return nil, errors.Join(err, rt.Close(ctx))
	}
	w.nouns()
	if err := w.sessions(); err != nil {
		return nil, errors.Join(err, rt.Close(ctx))
	}
	w.work()
	h.ailing = w.ailing
	return h, nil
}

// newCompiler returns what compiles uploads. A binary that cannot do so is
// noticed here, not by the first who uploads something.
func newCompiler(ctx context.Context, c Config) (compile.Compiler, error) {
	if c.Compiler.Path == "" {
		return compile.InProcess{}, nil
	}
	config := c.Compiler
	config.CacheDir, config.Now, config.Logger = c.CacheDir, c.Now, c.Logger
	child, err := compile.NewChild(config)
	if err != nil {
		return nil, fmt.Errorf("configure host: %w", err)
	}
	if err := child.Check(ctx); err != nil {
		return nil, fmt.Errorf("check the compiler: %w", err)
	}
	return child, nil
}

// Run claims and runs executions until ctx ends, then lets those in flight
// finish for at most Config.Drain, hands back the rest, and returns: with an
// error if runs could not be ended within one more Config.Lease. It may be called
// once.
func (h *Host) Run(ctx context.Context) error {
	if h.running.Swap(true) {
		return errors.New("run host: it runs already, or has run")
	}
	var aside sync.WaitGroup
	besides, stop := context.WithCancel(ctx)
	aside.Go(func() { h.tidy(besides) })
	aside.Go(func() { h.runner.Run(besides) })
	aside.Go(func() { h.purger.Run(besides) })
	aside.Go(func() { h.Audit.Run(besides) })
	follow := audit.Begin(besides, &audit.Act{Who: audit.Host, Action: "installation.upgrade", Reason: "channel"})
	aside.Go(func() { h.Installations.Run(follow) })
	aside.Go(func() { h.Tokens.Run(besides) })
	aside.Go(func() { h.Notices.Run(besides) })
	aside.Go(func() { h.Outbound.Run(besides) })
	aside.Go(func() { h.Alerts.Run(besides) })
	aside.Go(func() { h.Authorizations.Run(besides) })
	aside.Go(func() { h.Schedules.Run(besides) })
	aside.Go(func() { h.pacer.Run(besides) })
	err := h.worker.Run(ctx)
	stop()
	aside.Wait()
	if err != nil {
		h.left.Store(true)
		return fmt.Errorf("run host: %w", err)
	}
	return nil
}

// Close releases the compiled plugins and the idle connections, after Run has
// returned. The store stays open. If runs could not be ended, the plugins are
// not released: their code would be taken from under them.
func (h *Host) Close(ctx context.Context) error {
	h.egress.Close()
	h.asks.CloseIdleConnections()
	if h.left.Load() {
		return nil
	}
	if err := errors.Join(h.sandbox.Close(ctx), h.Shadows.Close(ctx), h.runtime.Close(ctx)); err != nil {
		return fmt.Errorf("close host: %w", err)
	}
	return nil
}

// Secrets that nobody uses any more are dropped each tidying, and sandboxes each
// sandboxes'th time.
const (
	// jobLeases is how many times as long as an execution a job of a dead process is left
	// alone: its steps take longer, and nobody waits for it.
	jobLeases = 4
	tidying   = 10 * time.Second
	sandboxes = 6
)

// tidy gives back, now and then, what nobody uses: secrets of endpoints, connections
// to third parties with the certificates that they show, and what sandboxes hold.
func (h *Host) tidy(ctx context.Context) {
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-h.after(tidying):
		}
		h.Endpoints.Trim()
		h.Webhooks.Trim()
		h.egress.Trim()
		if n%sandboxes > 0 {
			continue
		}
		if err := h.ailing.look(ctx); err != nil && ctx.Err() == nil {
			h.logger.WarnContext(ctx, "executions may wait for a connection that works", slog.Any("error", err))
		}
		if err := h.forgetOwn(ctx); err != nil && ctx.Err() == nil {
			h.logger.WarnContext(ctx, "what was sent long ago was not forgotten", slog.Any("error", err))
		}
		if err := h.forgetSessions(ctx); err != nil && ctx.Err() == nil {
			h.logger.WarnContext(ctx, "connect sessions that are over were not forgotten", slog.Any("error", err))
		}
		if err := h.runtime.Trim(ctx); err != nil {
			h.logger.WarnContext(ctx, "idle sandboxes were not released", slog.Any("error", err))
		}
	}
}

// Caller is the execution that a host function is called for.
type Caller = worker.Caller

// Watcher is told what executions do as they do it.
type Watcher = worker.Watcher

// CallerOf returns the execution that a Func of Config.Functions is called for:
// whose tenant's data it may touch. It is the zero Caller outside of a run.
func CallerOf(ctx context.Context) Caller { return worker.CallerOf(ctx) }
