// Package store keeps everything that Cofferdam knows in one SQL database: it
// composes the stores that the nouns declare. One SQL text serves Postgres and
// SQLite; what differs is a dialect, given by the folders postgres and sqlite,
// and both pass the conformance suite storetest.
//
// Times are stored as microseconds since the Unix epoch. Every row of a tenant
// carries the tenant, and every look-up names it.
package store

import (
	"context"
	"time"

	"github.com/cofferdam-run/cofferdam/host/app"
	"github.com/cofferdam-run/cofferdam/host/archive"
	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/authorization"
	"github.com/cofferdam-run/cofferdam/host/connect"
	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/health"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/notice"
	"github.com/cofferdam-run/cofferdam/host/pace"
	"github.com/cofferdam-run/cofferdam/host/retention"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/token"
	"github.com/cofferdam-run/cofferdam/host/usage"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/registry"
)

// Store is everything that a host keeps. Whoever opened it closes it.
type Store interface {
	Nouns
	Plugins
	Executions
	Jobs
	audit.Store
	Idempotency
	Lifecycle
	Hints
}

// Nouns are the stores of what tenants own and use.
type Nouns interface {
	tenant.Store
	installation.Store
	installation.Across
	Accounts
	endpoint.Store
	Arrivals
	token.Store
	Keys
}

// Accounts are the stores of what is connected, and of what is told of it and of the rest.
type Accounts interface {
	connection.Store
	app.Store
	connect.Store
	authorization.Store
	pace.Store
	notice.Store
	health.Ailments
	Outlets
}

// Keys is the store of tenants' keys, and of what is sealed with them.
type Keys interface {
	vault.Store
	vault.Records
}

// Plugins is the registry's store.
type Plugins interface {
	registry.Store
	registry.Publishers
	registry.Blobs
}

// Executions is the store of the work.
type Executions interface {
	execution.Store
	execution.Runs
	execution.Claims
	execution.Pins
	retention.Store
	archive.Source
	usage.Store
}

// Lifecycle is the database itself.
type Lifecycle interface {
	// Migrate brings the schema to this program's version, and returns the
	// versions before and after. A schema that is newer by more than one version
	// is an error.
	Migrate(ctx context.Context) (from, to int64, err error)
	// Ready says whether the database can be used: reachable, writable, and of a
	// schema that this program works with, which is its own, the one before or the
	// one after.
	Ready(ctx context.Context) error
	// Now is the database's time: what leases and due times are measured by.
	Now(ctx context.Context) (time.Time, error)
	// SealWith has payloads (bodies of events, outputs, traces, journals, state) sealed
	// with the keys of v, which this store keeps. It is for the wiring, before the store
	// has another user; without it payloads are stored as they are.
	SealWith(v *vault.Vault)
	// Name is "sqlite" or "postgres".
	Name() string
	Close() error
}

// Hints passes on that there is new work, so that nobody waits for the next scan.
type Hints interface {
	// Wake tells other processes that a tenant has new work, at most a few times a
	// second; it may lose hints.
	Wake(ctx context.Context, tenant string)
	// Woken receives the hints of other processes. It is nil if the database
	// passes none on.
	Woken() <-chan string
}

// Idempotency remembers the answers to requests that carried an Idempotency-Key.
type Idempotency interface {
	// Reserve claims a key for a request. If the key was used before it returns
	// the earlier Answer: done, with the same digest; a Conflict fault if the
	// digest differs, or if the first request is still under way.
	Reserve(ctx context.Context, k Key, at time.Time) (*Answered, error)
	// Settle keeps the answer; Release gives the key back after a request that
	// had no effect.
	Settle(ctx context.Context, k Key, a Answered) error
	ReleaseKey(ctx context.Context, k Key) error
}
