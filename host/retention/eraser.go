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
	// what was under way when it was marked has come or failed by then. So is what
	// processes hold of its key gone, if Config.Fresh is no longer than this.
	settle = time.Minute
	// dueLeast is the least time to when a deletion is due, where clocks differ.
	dueLeast = 100 * time.Millisecond
	// leaveWithin is how long after it is due a deletion waits for who is to be told of it:
	// six tries to revoke a token, and no day that somebody else's outage lasts.
	leaveWithin = time.Hour
	// waitsForTokens is what it waits for then.
	waitsForTokens = "tokens that are being revoked where they came from"
	// eraseHold is how long one process deletes what another then may.
	eraseHold = time.Minute
)

// eraser destroys the keys of tenants whose deletion is due, and empties them.
type eraser struct {
	p    *Purger
	turn turn
	// empty says since when a tenant has had nothing, and said what was last said
	// that it waits for.
	empty map[string]time.Time
	said  map[string]string
	// due is when the next deletion is, zero for never.
	due time.Time
}

// erase goes on with all deletions, and returns when to look again, or nil.
func (p *Purger) erase(ctx context.Context, e *eraser) <-chan time.Time {
	left, err := e.tenants(ctx)
	if err != nil && ctx.Err() == nil {
		p.c.Logger.WarnContext(ctx, "a tenant is not deleted yet", slog.Any("error", err))
		return p.c.After(eraseHold)
	}
	switch until := e.due.Sub(p.c.Now()); {
	case left > 0 && (e.due.IsZero() || until > lookAgain):
		return p.c.After(lookAgain)
	case e.due.IsZero(), until > interval:
		return nil // The next round looks.
	default:
		return p.c.After(max(until, dueLeast))
	}
}

// tenants goes through the tenants that are being deleted, and says how many are
// left.
func (e *eraser) tenants(ctx context.Context) (int, error) {
	left := 0
	e.due = time.Time{}
	var failed []error
	for t, err := range e.p.tenants(ctx) {
		if err != nil {
			return left, err
		}
		if t.State != tenant.Deleting && t.DeleteAt.IsZero() {
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

// destroy destroys the key of a tenant whose deletion is due, and says whether it is
// destroyed now. What is not due, or waits for others, is looked at again.
func (e *eraser) destroy(ctx context.Context, t tenant.Tenant) (bool, error) {
	if t.DeleteAt.After(e.p.c.Now()) {
		if e.due.IsZero() || t.DeleteAt.Before(e.due) {
			e.due = t.DeleteAt
		}
		return false, nil
	}
	if mine, err := e.turn.take(ctx); err != nil || !mine {
		return false, err
	}
	// Nobody is told of a deletion that may still be called off.
	if needed, err := e.p.c.Store.Needed(ctx, t.ID); err != nil || needed {
		return false, err
	}
	if leaving, err := e.leaves(ctx, t); err != nil || leaving {
		return false, err
	}
	destroyed, err := e.p.c.Store.DestroyKey(ctx, t.ID)
	if err != nil {
		return false, fmt.Errorf("destroy the key: %w", err)
	}
	if destroyed {
		e.p.c.Destroyed(t.ID)
		e.p.c.Logger.InfoContext(ctx, "a tenant's key is destroyed", slog.String("tenant", t.ID))
	}
	return destroyed, nil
}

// leaves says that a tenant is leaving still: that others are to be told of it with what
// its key opens, and that there is time for that.
func (e *eraser) leaves(ctx context.Context, t tenant.Tenant) (bool, error) {
	left, err := e.p.c.Leave(ctx, t.ID)
	if err == nil && left == 0 {
		return false, nil
	}
	if e.p.c.Now().Sub(t.DeleteAt) < leaveWithin {
		return true, errors.Join(err, e.p.c.Store.NoteWait(ctx, t.ID, waitsForTokens))
	}
	e.p.c.Logger.WarnContext(ctx, "a tenant is deleted whose tokens are not all revoked: they end by themselves, or its users end them at the providers",
		slog.String("tenant", t.ID), slog.Int("left", left), slog.Any("error", err))
	return false, nil
}

// tenant takes away all that can be, and says whether the tenant is gone, or not yet to
// go.
func (e *eraser) tenant(ctx context.Context, t tenant.Tenant) (bool, error) {
	if t.State != tenant.Deleting {
		destroyed, err := e.destroy(ctx, t)
		if err != nil || !destroyed {
			return t.DeleteAt.After(e.p.c.Now()), err
		}
	}
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
	if now.Sub(since) < max(settle, e.p.c.Fresh) {
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
