package alert

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/notice"
	"github.com/cofferdam-run/cofferdam/host/retention"
)

const (
	// every is how often it is looked what has died.
	every = 5 * time.Second
	// turnFor is how long a process has the turn to look.
	turnFor = 30 * time.Second
	// batch is how much is looked at before the database is asked again.
	batch = 500
	// quietAfter is how long no execution has died before a reason is over.
	quietAfter = time.Hour
	// slack is how long after it was received an event may come to be stored: a group's
	// statements take 45 s at most.
	slack = 2 * time.Minute
	// withinLeast and withinMost bound what a watch may say.
	withinLeast = time.Minute
	withinMost  = 90 * 24 * time.Hour
)

// Subject is what a watch is about.
type Subject struct {
	ID, Name, Installation string
	// Idle says that nothing is to be heard of it now.
	Idle bool
}

// Config configures Alerts.
type Config struct {
	Store Store
	// Tell keeps a notice, unless there is one of its subject.
	Tell func(ctx context.Context, n notice.Notice) (first bool, err error)
	// Find finds an endpoint by id or a schedule by id or name, or an installation by id. A
	// fault.NotFound for one that is not there.
	Find func(ctx context.Context, tenant, object string) (Subject, error)
	// Holder names this process among those of a database.
	Holder string
	Logger *slog.Logger
	// Now and After are the clock. They must be set.
	Now   func() time.Time
	After func(d time.Duration) <-chan time.Time
}

// Alerts are what is watched. They are safe for concurrent use.
type Alerts struct{ c Config }

// New returns Alerts.
func New(c Config) *Alerts {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Alerts{c: c}
}

// Put has something watched from now on, or changes for how long it may be silent. The
// object is an endpoint or a schedule, Queue, or Digest, which is written each hour or day.
func (a *Alerts) Put(ctx context.Context, tenant, object string, within time.Duration) (Watch, error) {
	switch {
	case object == Digest && within != time.Hour && within != 24*time.Hour:
		return Watch{}, fault.New(fault.InvalidInput, "within_invalid", "a digest is of 3600 or 86400 seconds, not %d", int64(within/time.Second)).At("/within_seconds")
	case within < withinLeast || within > withinMost:
		return Watch{}, fault.New(fault.InvalidInput, "within_invalid", "a watch is of %d to %d seconds, not %d",
			int64(withinLeast/time.Second), int64(withinMost/time.Second), int64(within/time.Second)).At("/within_seconds")
	}
	if object != Queue && object != Digest {
		s, err := a.c.Find(ctx, tenant, object)
		if err != nil {
			return Watch{}, fmt.Errorf("find what is to be watched: %w", err)
		}
		if object = s.ID; !strings.HasPrefix(object, ident.Endpoint) && !strings.HasPrefix(object, ident.Schedule) {
			return Watch{}, fault.NotFound("endpoint or schedule", object)
		}
	}
	now := a.c.Now()
	w := Watch{Tenant: tenant, Object: object, WithinS: int64(within / time.Second), Since: now, LookedAt: now, CreatedAt: now}
	if object == Digest {
		w.Since = now.Truncate(within)
	}
	if err := a.c.Store.PutWatch(ctx, w); err != nil {
		return Watch{}, fmt.Errorf("store watch: %w", err)
	}
	return a.c.Store.Watch(ctx, tenant, object)
}

// List lists what a tenant has watched.
func (a *Alerts) List(ctx context.Context, tenant string) ([]Watch, error) {
	all, err := a.c.Store.Watches(ctx, tenant)
	if err != nil {
		return nil, fmt.Errorf("list watches: %w", err)
	}
	return all, nil
}

// Delete has something watched no more.
func (a *Alerts) Delete(ctx context.Context, tenant, object string) error {
	if err := a.c.Store.DeleteWatch(ctx, tenant, object); err != nil {
		return fmt.Errorf("delete watch: %w", err)
	}
	return nil
}

// Run looks until ctx ends.
func (a *Alerts) Run(ctx context.Context) {
	for ctx.Err() == nil {
		err := a.Look(ctx)
		// The schema before this program's has no watches, until somebody migrates it.
		if err != nil && ctx.Err() == nil && fault.From(err).Code != fault.CodeSchemaTooOld {
			a.c.Logger.WarnContext(ctx, "nobody may be told what has failed", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
		case <-a.c.After(every):
		}
	}
}

// Look tells what there is to tell, if it is this process's turn.
func (a *Alerts) Look(ctx context.Context) error {
	now := a.c.Now()
	stirring, err := a.c.Store.Stirring(ctx, now.Add(-quietAfter))
	if err != nil {
		return fmt.Errorf("look what has died: %w", err)
	}
	due, err := a.c.Store.DueWatches(ctx, now, batch)
	if err != nil {
		return fmt.Errorf("find what is watched: %w", err)
	}
	if !stirring && len(due) == 0 {
		return nil
	}
	mine, err := a.c.Store.TakeTurn(ctx, retention.Turn{Name: "alerts", Holder: a.c.Holder, For: turnFor})
	if err != nil || !mine {
		return err
	}
	if err := a.lookAtDead(ctx); err != nil {
		return err
	}
	for _, w := range due {
		if err := a.look(ctx, w); err != nil && ctx.Err() == nil { // It holds up no other.
			a.c.Logger.WarnContext(ctx, "a watch was not looked at", slog.String("tenant", w.Tenant), slog.String("object", w.Object), slog.Any("error", err))
		}
	}
	return ctx.Err()
}
