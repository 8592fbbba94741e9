// Package retention takes away what has been kept for long enough, and all that
// a deleted tenant leaves.
//
//	p := retention.New(retention.Config{Store: db, Holder: name, ...})
//	go p.Run(ctx)
//
// Every ten minutes one process of a cluster makes a round of the tenants. An
// execution that is succeeded, dead or cancelled goes once it finished longer ago
// than its tenant keeps things, and, where a tenant has more bytes than it may,
// those that finished first go before that: but nothing within [Fresh] of its
// end, so that a person can look at what has just gone wrong. With it go its
// attempts, journal, tags and output, the event that caused it and those that it
// emitted, and the large bodies that no other execution has recorded. What is
// queued, running or waiting stays, however old it is.
//
// Bytes are those of outputs, errors, tags, attempts, journals and events of what
// has finished, each large body once; what has finished within the last minutes
// is not counted yet. Keys, indexes and the rows' own fields are not counted.
//
// Of an event that had a dedupe key a slim row stays, without its request and
// body, until [KeyLife] after it was received: a delivery or record that comes
// again within that time is still known, and one that comes later is new.
//
// Answers to idempotency keys go after [AnswerLife]. What a tenant has used is
// kept: it is what bills are made of.
//
// SQLite gives no room back to the disk: pages that are freed are overwritten and used
// for what comes next, so that the file stays as large as it was at its largest. Postgres
// does likewise through its autovacuum. Nothing here runs VACUUM.
//
// A tenant whose deletion is due leaves those who know it, which takes an hour at most,
// has its key destroyed, and is then emptied in the same way, in steps that can be repeated: its state says that it is, so that after a crash
// any process goes on.
package retention

import (
	"context"
	"time"

	"github.com/cofferdam-run/cofferdam/host/tenant"
)

const (
	// Fresh is how long an execution that has finished is kept whatever its size:
	// an hour, for which large bodies stay after their last use, and some minutes
	// more than clocks differ.
	Fresh = 70 * time.Minute
	// KeyLife is how long dedupe keys are remembered: vendors that say so repeat a
	// delivery for three days, and one for thirty.
	KeyLife = 30 * 24 * time.Hour
	// AnswerLife is how long answers to idempotency keys are kept: twice as long as
	// they are given again.
	AnswerLife = 48 * time.Hour
)

// Store takes away in small steps, each in a transaction of its own, so that
// those who accept and run work hardly wait.
type Store interface {
	// Tenants lists up to limit tenants after an id, those that are being deleted too.
	Tenants(ctx context.Context, after string, limit int) ([]tenant.Tenant, error)
	// TakeTurn takes or extends a turn, and says whether the holder has it.
	TakeTurn(ctx context.Context, t Turn) (bool, error)
	// Retained returns how many bytes of what has finished a tenant has.
	Retained(ctx context.Context, tenant string) (int64, error)
	// Purge takes away those that finished first, and what hangs off them. Nothing
	// purged means that there is nothing more.
	Purge(ctx context.Context, tenant string, b Batch) (Purged, error)
	// Forget takes away some of a tenant's dedupe keys of before keys, and of its
	// events that caused nothing and its jobs that finished before work.
	Forget(ctx context.Context, tenant string, keys, work time.Time) (Purged, error)
	// Sweep takes away some answers to idempotency keys of before a time.
	Sweep(ctx context.Context, before time.Time) (Purged, error)
	Endings
}

// Endings are what becomes of tenants that are deleted.
type Endings interface {
	// Needed says whether others use what would go with a tenant, and notes that its
	// deletion waits for them.
	Needed(ctx context.Context, tenant string) (bool, error)
	// DestroyKey destroys the key of a tenant whose deletion is due, and says whether it
	// is destroyed now.
	DestroyKey(ctx context.Context, tenant string) (bool, error)
	// NoteWait notes what a deletion waits for.
	NoteWait(ctx context.Context, tenant, what string) error
	// Erase takes away some of what a tenant has that is being deleted. It asks
	// runs in flight to end, and does not take their executions from under them.
	Erase(ctx context.Context, tenant string) (Erased, error)
	// Bury ends the deletion of a tenant that has nothing left: it is found no more,
	// and its name is free. Its id stays, for what it has used.
	Bury(ctx context.Context, tenant string) error
}

// Turn is something that one process does at a time.
type Turn struct {
	Name, Holder string
	// For is how long the holder has it unless it extends it.
	For time.Duration
}

// Batch says how much to purge at once.
type Batch struct {
	// Before is the time after which nothing that finished is purged.
	Before time.Time
	// Executions is the most of them, of which those are purged that hold Bytes
	// together, or all if it is 0.
	Executions int
	Bytes      int64
}

// Purged counts what was taken away.
type Purged struct {
	Executions, Events, Keys, Answers, Jobs int
	// Bytes are those that no longer count against the tenant.
	Bytes int64
}

// Plus returns the sum.
func (p Purged) Plus(o Purged) Purged {
	p.Executions += o.Executions
	p.Events += o.Events
	p.Keys += o.Keys
	p.Answers += o.Answers
	p.Jobs += o.Jobs
	p.Bytes += o.Bytes
	return p
}

// Erased is what a step of a deletion did.
type Erased struct {
	// Rows is how many are gone. With 0, and nothing that it waits for, nothing is left.
	Rows int
	// Waits says what has to end first, or is empty.
	Waits string
}
