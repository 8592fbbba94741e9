package authorization

import (
	"context"
	"log/slog"
	"time"
)

// tellAgain is after how long who could not be told that something broke or works again
// is told again.
const tellAgain = 30 * time.Second

// tell tells that an authorization has broken. That it was told is stored, too: it is due
// until then.
func (a *Authorizations) tell(ctx context.Context, r Row) {
	if err := a.c.Broken(ctx, a.shown(r)); err != nil {
		a.untold(ctx, r, tellAgain, err)
		return
	}
	now := r
	now.DueAt = time.Time{}
	if _, _, err := a.c.Store.SwapAuthorization(ctx, r, now, 0); err != nil {
		a.untold(ctx, r, 0, err) // It is due still, and is told once more.
	}
}

// mended tells that an authorization works that had broken, and returns its row then.
// Until that is stored, it is one that had broken, and due.
func (a *Authorizations) mended(ctx context.Context, r Row, k kept, by Registered) Row {
	if err := a.c.Mended(ctx, a.shown(r)); err != nil {
		a.untold(ctx, r, tellAgain, err)
		return r
	}
	now := r
	now.BrokenSince = time.Time{}
	a.schedule(&now, k, by)
	row, ok, err := a.c.Store.SwapAuthorization(ctx, r, now, 0)
	if err != nil {
		a.untold(ctx, r, 0, err)
	}
	if err != nil || !ok {
		return r
	}
	return row
}

// untold has somebody told later.
func (a *Authorizations) untold(ctx context.Context, r Row, in time.Duration, err error) {
	a.c.Logger.LogAttrs(ctx, slog.LevelWarn, "nobody was told what became of an authorization",
		slog.String("tenant", r.Tenant), slog.String("connection", r.Connection), slog.Any("error", err))
	if in == 0 {
		return
	}
	now := r
	now.DueAt = a.c.Now().Add(in)
	if _, _, err := a.c.Store.SwapAuthorization(ctx, r, now, 0); err != nil {
		a.c.Logger.LogAttrs(ctx, slog.LevelWarn, "it was not put off", slog.String("connection", r.Connection), slog.Any("error", err))
	}
}
