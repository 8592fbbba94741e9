package retention

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cofferdam-run/cofferdam/host/tenant"
)

const (
	// lookAgain is when a deletion that waits for something is looked at again.
	lookAgain = 15 * time.Second
	// settle is how long a tenant must have had nothing before its deletion ends:
	// what was under way when it was marked has come or failed by then.
	settle = time.Minute
	// eraseHold is how long one process deletes what another then may.
	eraseHold = time.Minute
)

// eraser empties the tenants that are being deleted.
type eraser struct {
	p    *Purger
	turn turn
	// empty says since when a tenant has had nothing, and said what was last said
	// that it waits for.
	empty map[string]time.Time
	said  map[string]string
}

// erase goes on with all deletions, and returns when to look again, or nil.
func (p *Purger) erase(ctx context.Context, e *eraser) <-chan time.Time {
	left, err := e.tenants(ctx)
	if err != nil && ctx.Err() == nil {
		p.c.Logger.WarnContext(ctx, "a tenant is not deleted yet", slog.Any("error", err))
		return p.c.After(eraseHold)
	}
	if left == 0 {
		return nil
	}
	return p.c.After(lookAgain)
}

// tenants goes through the tenants that are being deleted, and says how many are
// left.
func (e *eraser) tenants(ctx context.Context) (int, error) {
	left := 0
	var failed []error
	for t, err := range e.p.tenants(ctx) {
		if err != nil {
			return left, err
		}
		if t.State != tenant.Deleting {
			continue
		}
		done, err := e.tenant(ctx, t)
		switch {
		case ctx.Err() != nil:
			return left, err
		case err != nil: // It is no other tenant's trouble.
			failed = append(failed, fmt.Errorf("delete tenant %s: %w", t.ID, err))
		case !done:
			left++
		}
	}
	return left, errors.Join(failed...)
}

// tenant takes away all that can be, and says whether the tenant is gone.
func (e *eraser) tenant(ctx context.Context, t tenant.Tenant) (bool, error) {
	rows := 0
	for {
		if mine, err := e.turn.take(ctx); err != nil || !mine {
			return false, err
		}
		began := e.p.c.Now()
		got, err := e.p.c.Store.Erase(ctx, t.ID)
		if err != nil {
			return false, err
		}
		if got.Rows == 0 {
			return e.end(ctx, t, rows, got.Waits)
		}
		rows += got.Rows
		if err := e.p.pause(ctx, e.p.c.Now().Sub(began)); err != nil {
			return false, err
		}
	}
}

// end buries a tenant that has had nothing for a while.
func (e *eraser) end(ctx context.Context, t tenant.Tenant, rows int, waits string) (bool, error) {
	now := e.p.c.Now()
	if rows > 0 || waits != e.said[t.ID] {
		e.p.c.Logger.InfoContext(ctx, "a tenant is being deleted",
			slog.String("tenant", t.ID), slog.Int("rows", rows), slog.String("waits_for", waits))
	}
	e.said[t.ID] = waits
	if rows > 0 || waits != "" {
		delete(e.empty, t.ID)
	}
	if waits != "" {
		return false, nil
	}
	since, ok := e.empty[t.ID]
	if !ok {
		e.empty[t.ID] = now
		return false, nil
	}
	if now.Sub(since) < settle {
		return false, nil
	}
	if err := e.p.c.Store.Bury(ctx, t.ID); err != nil {
		return false, fmt.Errorf("bury: %w", err)
	}
	delete(e.empty, t.ID)
	delete(e.said, t.ID)
	e.p.c.Logger.InfoContext(ctx, "a tenant is deleted", slog.String("tenant", t.ID))
	return true, nil
}
