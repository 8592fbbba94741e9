package authorization

import (
	"context"
	"time"
)

// Row is an Authorization as it is stored.
type Row struct {
	Authorization

	// TellAt is when somebody is to be told that it is going to end, and zero if nobody is,
	// or was already.
	TellAt time.Time
	// Sealed are the tokens, bound to the connection and the version.
	Sealed []byte
	// Owner holds the lease until HeldUntil, by the store's clock. Held says that this
	// was to come when the row was read.
	Owner     string
	HeldUntil time.Time
	Held      bool
	// RefreshingSince is the intent: since when there is a refresh of which nobody has
	// stored what came of it, with a token of this SHA-256. It is zero if there is none.
	RefreshingSince time.Time
	RefreshingHash  []byte
}

// Due is something to do that is due.
type Due struct {
	Tenant, Connection, App, Provider string
	State                             State
	DueAt                             time.Time
}

// DueFilter selects what is due.
type DueFilter struct {
	// Providers and Apps are those that are left out.
	Providers, Apps []string
	Limit           int
}

// Store keeps authorizations. Another tenant's is fault.NotFound. States are the stored
// ones: Active, Broken, Revoking.
type Store interface {
	// InsertAuthorization adds one of Version 1. A Conflict fault if there is one of the
	// connection already. Its app is the tenant's or the operator's, and fault.NotFound if
	// that is deleted at the same time: so is one that SwapAuthorization changes to.
	InsertAuthorization(ctx context.Context, r Row) error
	Authorization(ctx context.Context, tenant, connection string) (Row, error)
	// AuthorizationVersion is what tells whether a token in memory is still the one that
	// is stored: it reads nothing else.
	AuthorizationVersion(ctx context.Context, tenant, connection string) (int64, State, error)
	// Authorizations lists a tenant's, in order of the connection, with nothing sealed.
	Authorizations(ctx context.Context, tenant string) ([]Row, error)
	// SwapAuthorization makes was now, if it is stored as it was: of the same version,
	// state, lease, intent and DueAt. Two who try, who change one of these, get one true.
	// WorkedAt is not its to change. Sealed is stored only with
	// another version: what has the same was perhaps sealed anew meanwhile. A lease that
	// is not zero is now.Owner's, from now on by the store's clock; one that is zero ends
	// it. It returns the row as it is then.
	SwapAuthorization(ctx context.Context, was, now Row, lease time.Duration) (Row, bool, error)
	// DropAuthorization deletes one that is as it was.
	DropAuthorization(ctx context.Context, was Row) (bool, error)
	// NoteWorked notes that the token of a version was taken by the API, once for each, and
	// whether that lets what failed before not count any more.
	NoteWorked(ctx context.Context, r Row, at time.Time, forgiven bool) error
	// DueAuthorizations lists what is due and nobody holds, longest due first, of tenants
	// that are not being deleted, and says when the next of the filter's will be: zero for
	// never.
	DueAuthorizations(ctx context.Context, f DueFilter) (due []Due, next time.Time, err error)
}
