// Package alert notices what nothing says by itself, and has it told once, as notices:
//
//   - Executions die. There is one notice for all of an installation that die for one reason
//     (an execution.Execution's fingerprint), and another, with their count, once none has
//     for an hour.
//   - An endpoint or a schedule is silent: nothing was heard of it for as long as its Watch
//     says; and another when it is heard again. One that is disabled or paused is not waited
//     for.
//   - What a tenant has queued is late: the first has been due for longer than a Watch says.
//   - The digest, of an hour or a day: what has died and how often, what was told, what is
//     silent and disabled then. Where nothing was amiss there is none.
//
// Where a process has told something and died before it was kept that it has, another tells
// it again, of the same subject, which is told once.
//
//	a := alert.New(alert.Config{Store: db, Tell: notices.Tell, ...})
//	go a.Run(ctx)
package alert

import (
	"context"
	"time"

	"github.com/cofferdam-run/cofferdam/host/destination"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/notice"
	"github.com/cofferdam-run/cofferdam/host/redrive"
	"github.com/cofferdam-run/cofferdam/host/retention"
)

// What is watched besides endpoints and schedules.
const (
	// Queue is what a tenant has queued.
	Queue = "queue"
	// Digest is not watched, but written.
	Digest = "digest"
)

// Watch is what a tenant wants to be told of.
type Watch struct {
	Tenant string `json:"-"`
	// Object is the id of an endpoint or schedule, or Queue, or Digest.
	Object string `json:"object"`
	// WithinS is for how many seconds it may be silent or late, or of how many a digest is.
	WithinS int64 `json:"within_seconds"`
	// Since is when it was heard last, or up to when the digest is written.
	Since time.Time `json:"since,omitzero"`
	// ToldAt is since when it is silent or late, which was told; zero while it is not.
	ToldAt time.Time `json:"told_at,omitzero"`
	// LookedAt is when it was looked at last.
	LookedAt  time.Time `json:"-"`
	CreatedAt time.Time `json:"created_at"`
}

func (w Watch) within() time.Duration { return time.Duration(w.WithinS) * time.Second }

// Failing are executions of a tenant's that die for one reason.
type Failing struct {
	Tenant string
	notice.Failing
}

// Store keeps watches, and what there is to see.
type Store interface {
	Watches
	Failings
	Sights
}

// Watches are kept by tenant and object.
type Watches interface {
	// PutWatch adds a watch, or changes WithinS of the one that there is.
	PutWatch(ctx context.Context, w Watch) error
	Watch(ctx context.Context, tenant, object string) (Watch, error)
	Watches(ctx context.Context, tenant string) ([]Watch, error)
	DeleteWatch(ctx context.Context, tenant, object string) error
	// DueWatches lists those of active tenants that are to be looked at: a minute after the
	// last time, or a sixtieth of what they say, or 15 minutes. The longest ago comes first.
	DueWatches(ctx context.Context, now time.Time, limit int) ([]Watch, error)
	// SaveWatch keeps Since, ToldAt and LookedAt.
	SaveWatch(ctx context.Context, w Watch) error
}

// Failings are kept until they are over.
type Failings interface {
	// Stirring says whether there is something for the others to find.
	Stirring(ctx context.Context, quiet time.Time) (bool, error)
	// GatherDead counts some of the executions that have died since, and says how many.
	GatherDead(ctx context.Context, limit int) (int, error)
	// UntoldFailings lists those that nobody was told of, QuietFailings those of which none
	// has died since a time.
	UntoldFailings(ctx context.Context, limit int) ([]Failing, error)
	QuietFailings(ctx context.Context, since time.Time, limit int) ([]Failing, error)
	FailingTold(ctx context.Context, f Failing, at time.Time) error
	// EndFailing forgets one, unless another execution has died meanwhile.
	EndFailing(ctx context.Context, f Failing) error
}

// Sights are what is looked at.
type Sights interface {
	// Heard is when something of a source was received last, among what was since a time;
	// zero for nothing.
	Heard(ctx context.Context, tenant, source string, since time.Time) (time.Time, error)
	// OldestDue is since when the first of what a tenant has queued is due; zero for nothing.
	OldestDue(ctx context.Context, tenant string) (time.Time, error)
	Execution(ctx context.Context, tenant, id string) (execution.Execution, error)
	BuriedGroups(ctx context.Context, tenant string, f redrive.Filter) ([]execution.DeadLetters, error)
	Notices(ctx context.Context, tenant, before string, limit int) ([]notice.Notice, error)
	Destinations(ctx context.Context, tenant, before string, limit int) ([]destination.Destination, error)
	// TakeTurn is retention.Store's.
	TakeTurn(ctx context.Context, t retention.Turn) (bool, error)
}
