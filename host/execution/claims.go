package execution

import (
	"context"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
)

// Claimed is an execution that a worker has claimed, with what its run needs.
type Claimed struct {
	Tenant    string
	Execution string
	Claim     int64
	Attempt   int
	// Crashes is how many workers in a row have died while they ran it: those that had
	// only claimed it do not count.
	Crashes int
	Lane    event.Lane
	// QueuedAt is when it could have been claimed first, for measuring waits.
	QueuedAt time.Time
	// OrderKey is that of its event.Work, and Capped says that its installation has a cap
	// of its own: others of its tenant may be claimed once it has ended.
	OrderKey string
	Capped   bool
}

// Quota is how many executions of a tenant a worker wants to claim.
type Quota struct {
	Tenant string
	N      int
	// Running is the tenant's cluster-wide cap on executions in flight: no claim exceeds it,
	// nor has backfill more of it than Reserve leaves.
	Running int
}

// Taken is what a claim has brought.
type Taken struct {
	Claimed []Claimed
	// Behind is the backfill whose turn it is, for Claims.ClaimBackfill, which has had that
	// turn then. Left and Full count it as taken.
	Behind []Quota
	// Busy are tenants of which not all was taken that there may be room for, as backfill is
	// being claimed: they are to be asked again.
	Busy []string
	// Left are tenants of which nothing is due but backfill, for which the worker has no
	// room, and Full those of which it has as much of their own cap as it may.
	Left, Full []string
}

// Backlog is a tenant with executions that are due.
type Backlog struct {
	Tenant  string
	Running int
	Weight  int
	// Backfill says that they are all of that lane.
	Backfill bool
}

// Reserve is how many of n places, where executions run, backfill leaves to the other lanes
// even if nobody wants them: a quarter, rounded up, and none of a single one. An execution that
// runs is not stopped for another, so live work would wait for the end of a backfill that had
// them all.
func Reserve(n int) int {
	if n < 2 {
		return 0
	}
	return (n + 3) / 4
}

// Claims is the queue's side of the store.
type Claims interface {
	// Backlogs lists the active tenants that have due executions, with their limits.
	Backlogs(ctx context.Context) ([]Backlog, error)
	// Claim claims up to the quota of each tenant for a worker, lanes first, oldest first. For
	// so much backfill in all there is room; of more than a few it only says whose turn it is.
	// What an installation is at its own cap with is passed over, as is backfill where it has
	// all that Reserve leaves of that cap.
	Claim(ctx context.Context, worker string, quotas []Quota, backfill int) (Taken, error)
	// ClaimBackfill claims backfill that a Claim has told of, as far as there is room for it
	// still. Claims need not wait for it, which takes a while: there may be much of it.
	ClaimBackfill(ctx context.Context, worker string, quotas []Quota) (Taken, error)
	// Promote queues waiting executions whose time has come, at most limit, and
	// returns the tenants that have new work and when the next one is due.
	Promote(ctx context.Context, limit int) (tenants []string, next time.Time, err error)
	// Heartbeat extends the worker's lease. The first one registers the worker. It
	// returns executions of this worker whose cancellation was asked for, and
	// ErrFenced if the lease had been lost: then the worker's claims are not its any more.
	Heartbeat(ctx context.Context, worker string, lease time.Duration) (cancelled []string, err error)
	// Reap queues the running executions of workers whose lease has run out (and
	// cancels those whose cancellation was asked for), and returns their tenants.
	Reap(ctx context.Context) ([]string, error)
	// Retire removes a worker that holds no claims.
	Retire(ctx context.Context, worker string) error
}
