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
// decides nothing itself. It opens no port and no file; whoever opened the
// store closes it, after Run has returned.
package host

import (
	"context"
	"log/slog"
	"time"

	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/token"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/webhook"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// Config configures a Host.
type Config struct {
	// Store keeps everything. Its schema must have been migrated.
	Store store.Store
	// Keeper holds the key encryption key.
	Keeper vault.Keeper
	// Functions are the host app's own, offered to guests beside the built-in
	// ones. Their context carries the execution: see CallerOf. Defaults to none.
	Functions []hostfns.Func
	// Limits are the most that a plugin gets, whatever it asks for. Defaults to runtime's.
	Limits runtime.Limits
	// Egress bounds guests' HTTP. Defaults to egress's.
	Egress egress.Config
	// Slots is how many executions run at once in this process. Defaults to 32.
	Slots int
	// Lease is how long a dead process keeps its executions. Defaults to 8 s.
	Lease time.Duration
	// CacheDir is a private folder for compiled code. Defaults to none.
	CacheDir string
	// Logger takes what operators should know. Defaults to slog.Default.
	Logger *slog.Logger
	// Now is the clock. Defaults to time.Now.
	Now func() time.Time
}

// Host is a wired Cofferdam. Its fields are set by New and do not change.
type Host struct {
	Tenants       *tenant.Tenants
	Plugins       *registry.Registry
	Installations *installation.Installations
	Connections   *connection.Connections
	Endpoints     *endpoint.Endpoints
	Webhooks      *webhook.Intake
	Executions    *execution.Executions
	Tokens        *token.Tokens
	// Store gives the rest: events, readiness, idempotency keys.
	Store store.Store
}

// New wires a Host. It checks the store's schema and the key, and starts nothing.
func New(ctx context.Context, c Config) (*Host, error) { panic("unbuilt") }

// Run claims and runs executions until ctx ends, then lets those in flight
// finish for at most their deadline, hands back the rest, and returns.
func (h *Host) Run(ctx context.Context) error { panic("unbuilt") }

// Close releases the compiled plugins, after Run has returned. The store stays open.
func (h *Host) Close(ctx context.Context) error { panic("unbuilt") }

// Caller is the execution that a host function is called for.
type Caller struct{ Tenant, Installation, Execution string }

// CallerOf returns the execution that a Func of Config.Functions is called for.
func CallerOf(ctx context.Context) Caller { panic("unbuilt") }
