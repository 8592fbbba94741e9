// Package notice is what tenants and the operator are told, once.
//
// A Notice is kept, so that it can be read at any time, and there is one of each subject:
// whoever sees the same thing again, in this process or another, tells nothing new.
// Config.Notify passes each on to who wants to know at once, at least once, in the order
// in which they came, from whichever process has its turn.
package notice

import (
	"context"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/retention"
)

// Kind says what a notice is about.
type Kind string

// The kinds.
const (
	// ConnectionBroken: a person has to do something before the connection works again,
	// and executions wait for it.
	ConnectionBroken Kind = "connection_broken"
	// ConnectionExpiring: it works, and will not from EndsAt on unless its user agrees once
	// more before.
	ConnectionExpiring Kind = "connection_expiring"
	// ConnectionMended: it works again, and what waited goes on.
	ConnectionMended Kind = "connection_mended"
)

// Notice is what a tenant and the operator are told, once.
type Notice struct {
	ID     string `json:"id"`
	Tenant string `json:"tenant"`
	Kind   Kind   `json:"kind"`
	// Subject is what it is about: of each there is one notice.
	Subject string `json:"subject"`
	// Connection is whose notice it is, and Name what the tenant called it then.
	Connection string `json:"connection"`
	Name       string `json:"name,omitempty"`
	// Provider and Error say with whom it broke and why, where that is known. Nothing of
	// them is secret.
	Provider string       `json:"provider,omitempty"`
	Error    *fault.Error `json:"error,omitempty"`
	// EndsAt is when a ConnectionExpiring ends.
	EndsAt time.Time `json:"ends_at,omitzero"`
	// At is when it happened.
	At        time.Time `json:"at"`
	CreatedAt time.Time `json:"created_at"`
	// ToldAt is when Config.Notify took it; zero for not yet.
	ToldAt time.Time `json:"told_at,omitzero"`
}

// Store keeps notices.
type Store interface {
	// InsertNotice keeps a notice, and says whether it is the first of its subject. One of
	// a tenant that is gone is none.
	InsertNotice(ctx context.Context, n Notice) (bool, error)
	// Notices lists those of a tenant, or of all for an empty one, the newest first, before
	// an id.
	Notices(ctx context.Context, tenant, before string, limit int) ([]Notice, error)
	// UntoldNotices lists those that were made since a time and are not told, the oldest
	// first.
	UntoldNotices(ctx context.Context, since time.Time, limit int) ([]Notice, error)
	// NoticeTold says that one is told.
	NoticeTold(ctx context.Context, tenant, id string, at time.Time) error
	// TakeTurn is retention.Store's.
	TakeTurn(ctx context.Context, t retention.Turn) (bool, error)
}
