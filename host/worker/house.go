package worker

import (
	"context"
	"fmt"
	"time"
)

const (
	// promoteBatch is how many waiting executions are queued in one transaction.
	promoteBatch = 500
	// promotePause is the least time between two promotions: the store's clock may
	// be behind ours, and says "not yet" for a while.
	promotePause = 10 * time.Millisecond
)

// keepHouse promotes what has waited long enough and reaps the claims of dead
// workers, until ctx ends.
func (w *Worker) keepHouse(ctx context.Context) {
	var up uptime
	// A dead worker's executions are found a lease and one of these after its death.
	every := min(time.Second, w.c.Lease/8)
	reaped := w.c.Now()
	for {
		next, err := w.promote(ctx)
		up.saw(w.c.Now(), err == nil, w.c.Lease)
		if now := w.c.Now(); now.Sub(reaped) >= every && up.lasts(now) >= w.c.Lease {
			reaped = now
			err = w.reap(ctx)
			up.saw(now, err == nil, w.c.Lease)
		}
		w.health.report(ctx, "promote", err)
		if !w.rest(ctx, w.c.Now().Add(every), next) {
			return
		}
	}
}

// rest waits until one of two times, or until the earliest time that was
// announced meanwhile. It returns false when ctx has ended.
func (w *Worker) rest(ctx context.Context, until, next time.Time) bool {
	if !next.IsZero() && next.Before(until) {
		until = next
	}
	for {
		w.mu.Lock()
		if due := w.nextDue; !due.IsZero() && due.Before(until) {
			until = due
		}
		w.mu.Unlock()
		select {
		case <-ctx.Done():
			return false
		case <-w.due:
		case <-w.c.After(max(until.Sub(w.c.Now()), promotePause)):
			return true
		}
	}
}

// promote queues what is due, and returns when the next one is.
func (w *Worker) promote(ctx context.Context) (time.Time, error) {
	w.mu.Lock()
	w.nextDue = time.Time{}
	w.mu.Unlock()
	bounded, cancel := context.WithTimeout(ctx, w.c.Lease)
	defer cancel()
	tenants, next, err := w.c.Store.Promote(bounded, promoteBatch)
	if err != nil {
		return time.Time{}, fmt.Errorf("promote waiting executions: %w", err)
	}
	w.wakeAll(tenants)
	return next, nil
}

// reap takes back what dead workers had claimed.
func (w *Worker) reap(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, w.c.Lease)
	defer cancel()
	tenants, err := w.c.Store.Reap(bounded)
	if err != nil {
		return fmt.Errorf("reap lapsed leases: %w", err)
	}
	w.wakeAll(tenants)
	return nil
}

func (w *Worker) wakeAll(tenants []string) {
	for _, tenant := range tenants {
		w.ring.Hint(tenant)
		w.c.Changed(tenant)
	}
	if len(tenants) > 0 {
		signal(w.nudge)
	}
}

// uptime is for how long the database has been seen to be up without a gap.
type uptime struct{ since, last time.Time }

// saw takes a sighting. A gap of a lease in which nobody has looked, such as
// that of a suspended machine, counts as an outage.
func (u *uptime) saw(now time.Time, up bool, lease time.Duration) {
	if !up {
		u.since = time.Time{}
		return
	}
	if u.since.IsZero() || now.Sub(u.last) >= lease {
		u.since = now
	}
	u.last = now
}

func (u *uptime) lasts(now time.Time) time.Duration {
	if u.since.IsZero() {
		return -1
	}
	return now.Sub(u.since)
}
