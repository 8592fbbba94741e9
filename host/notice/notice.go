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
	// ExecutionDead: executions of an installation have begun to die for one reason. There
	// is one notice until none has died for it for a while, and then ExecutionQuiet says how
	// many they were.
	ExecutionDead  Kind = "execution_dead"
	ExecutionQuiet Kind = "execution_quiet"
	// DestinationDisabled: nothing is sent there any more, and what is to be sent waits.
	DestinationDisabled Kind = "destination_disabled"
	// EndpointSilent and ScheduleSilent: nothing was heard of it for as long as a watch says.
	// EndpointHeard and ScheduleHeard: something is again.
	EndpointSilent Kind = "endpoint_silent"
	EndpointHeard  Kind = "endpoint_heard"
	ScheduleSilent Kind = "schedule_silent"
	ScheduleHeard  Kind = "schedule_heard"
	// QueueLate: what is queued has waited for longer than a watch says. QueueCaughtUp: it
	// does not any more.
	QueueLate     Kind = "queue_late"
	QueueCaughtUp Kind = "queue_caught_up"
	// TenantDigest is what went wrong within an hour or a day, if anything did.
	TenantDigest Kind = "tenant_digest"
)

// Notice is what a tenant and the operator are told, once.
type Notice struct {
	ID     string `json:"id"`
	Tenant string `json:"tenant"`
	Kind   Kind   `json:"kind"`
	// Subject is what it is about: of each there is one notice.
	Subject string `json:"subject"`
	// Connection, Installation, Endpoint, Schedule or Destination is whose notice it is, and
	// Name what the tenant called it then.
	Connection   string `json:"connection,omitempty"`
	Installation string `json:"installation,omitempty"`
	Endpoint     string `json:"endpoint,omitempty"`
	Schedule     string `json:"schedule,omitempty"`
	Destination  string `json:"destination,omitempty"`
	Name         string `json:"name,omitempty"`
	// Fingerprint is of the executions that die, Count how many they are so far, Execution
	// one of them, and FirstAt and LastAt when the first and the last has died. For a queue,
	// FirstAt is since when the first waits; for what is silent, when it was heard last.
	Fingerprint string    `json:"fingerprint,omitempty"`
	Count       int64     `json:"count,omitempty"`
	Execution   string    `json:"execution,omitempty"`
	FirstAt     time.Time `json:"first_at,omitzero"`
	LastAt      time.Time `json:"last_at,omitzero"`
	// Digest is that of a TenantDigest.
	Digest *Digest `json:"digest,omitempty"`
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

// Digest is what went wrong within some time.
type Digest struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Dead are the executions that have died, by reason, most first; DeadMore is how many
	// reasons were left out.
	Dead     []Failing `json:"dead,omitempty"`
	DeadMore int       `json:"dead_more,omitempty"`
	// Told counts the notices by kind.
	Told map[Kind]int `json:"told,omitempty"`
	// Silent are the endpoints and schedules of which nothing is heard at its end, and
	// Disabled the destinations that are.
	Silent   []string `json:"silent,omitempty"`
	Disabled []string `json:"disabled,omitempty"`
}

// Failing is how often executions of an installation have died for one reason.
type Failing struct {
	Installation string       `json:"installation"`
	Fingerprint  string       `json:"fingerprint"`
	Count        int64        `json:"count"`
	FirstAt      time.Time    `json:"first_at"`
	LastAt       time.Time    `json:"last_at"`
	Execution    string       `json:"execution"`
	Error        *fault.Error `json:"error,omitempty"`
}

// Store keeps notices.
type Store interface {
	// InsertNotice keeps a notice, and says whether it is the first of its subject. One of
	// a tenant that is gone is none.
	InsertNotice(ctx context.Context, n Notice) (bool, error)
	// Notices lists those of a tenant, or of all for an empty one, the newest first, before
	// an id.
	Notices(ctx context.Context, tenant, before string, limit int) ([]Notice, error)
	Notice(ctx context.Context, tenant, id string) (Notice, error)
	// UntoldNotices lists those that were made since a time and are not told, the oldest
	// first, after one that is not listed.
	UntoldNotices(ctx context.Context, since time.Time, after Notice, limit int) ([]Notice, error)
	// NoticeTold says that one is told.
	NoticeTold(ctx context.Context, tenant, id string, at time.Time) error
	// TakeTurn is retention.Store's.
	TakeTurn(ctx context.Context, t retention.Turn) (bool, error)
}
