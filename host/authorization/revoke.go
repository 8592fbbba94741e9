package authorization

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/oauth"
)

// revokeWithin is for how long it is tried to revoke what nobody needs.
const revokeWithin = 24 * time.Hour

// Revoke ends a connection's authorization, which is gone for everybody at once: what it
// has is revoked by Run, and dropped. It asks no provider, so that no provider keeps a
// connection from being deleted. One that is not there, or revoked already, is no error.
func (a *Authorizations) Revoke(ctx context.Context, tenant, connection string) error {
	k := key{tenant, connection}
	for range putMost {
		row, err := a.c.Store.Authorization(ctx, tenant, connection)
		if isNotFound(err) || err == nil && row.State == Revoking {
			return nil
		}
		if err != nil {
			return err
		}
		now := row
		now.State, now.BrokenSince, now.DueAt = Revoking, a.c.Now(), a.c.Now()
		now.Failures, now.FailedAt, now.Error = 0, time.Time{}, nil
		if row.Held { // Whoever refreshes it finds out, and has what came revoked, too.
			now.DueAt = a.c.Now().Add(a.c.Timeout)
		}
		_, ok, err := a.c.Store.SwapAuthorization(ctx, row, now, 0)
		if err != nil {
			return err
		}
		if ok {
			a.warm.drop(k)
			a.sweep.wake()
			return nil
		}
	}
	return fault.New(fault.Conflict, codeBusy, "the authorization of connection %q is changed by others all the time", connection).
		WithHint("Try again.")
}

// revoke asks the provider to revoke what a deleted connection had.
func (a *Authorizations) revoke(ctx context.Context, k key) error {
	row, err := a.c.Store.Authorization(ctx, k.tenant, k.connection)
	if isNotFound(err) || err == nil && (row.State != Revoking || row.Held || row.DueAt.After(a.c.Now())) {
		return nil // Another process was quicker.
	}
	if err != nil {
		return err
	}
	held := row
	held.Owner, held.DueAt = a.c.Owner, a.c.Now().Add(a.c.Lease+claimSlack)
	row, ok, err := a.c.Store.SwapAuthorization(ctx, row, held, a.c.Lease)
	if err != nil || !ok {
		return err
	}
	switch err := a.revokeAt(ctx, row); {
	case err == nil:
		return a.drop(ctx, row, "revoked")
	case errors.Is(err, errNoRevocation):
		return a.drop(ctx, row, "impossible")
	case !retryable(err) || a.c.Now().Sub(row.BrokenSince) >= revokeWithin:
		a.c.Logger.LogAttrs(ctx, slog.LevelWarn, "the tokens of a deleted connection were not revoked: they end by themselves, or the user ends them at the provider",
			slog.String("tenant", row.Tenant), slog.String("connection", row.Connection), slog.String("provider", row.Provider), slog.Any("error", err))
		return a.drop(ctx, row, "failed")
	default:
		now := row
		now.Failures, now.FailedAt, now.Error = row.Failures+1, a.c.Now(), as(err)
		now.DueAt = a.c.Now().Add(max(min(time.Hour, time.Minute<<min(row.Failures, 6)), now.Error.RetryAfter))
		_, _, err := a.c.Store.SwapAuthorization(ctx, row, now, 0)
		return err
	}
}

// errNoRevocation says that a provider revokes nothing.
var errNoRevocation = errors.New("the provider has no revocation endpoint")

// retryable says that what did not go well may go well later.
func retryable(err error) bool {
	if e, ok := errors.AsType[*oauth.Error](err); ok {
		return e.Retryable
	}
	return fault.From(err).Class == fault.Platform
}

func (a *Authorizations) revokeAt(ctx context.Context, row Row) error {
	k, err := a.open(ctx, row, "revocation")
	if err != nil {
		return err
	}
	by, err := a.registered(ctx, row, k)
	if err != nil {
		return err
	}
	if by.Endpoints.Revocation == "" {
		return errNoRevocation
	}
	leave, err := a.lanes.enter(ctx, row.Provider)
	if err != nil {
		return err
	}
	defer leave()
	asked, cancel := context.WithTimeout(ctx, a.c.Timeout)
	defer cancel()
	token, hint := k.Token.Refresh, "refresh_token"
	if token == "" {
		token, hint = k.Token.Access, "access_token"
	}
	return a.c.Client.Revoke(asked, by.Registration, token, hint)
}

func (a *Authorizations) drop(ctx context.Context, row Row, outcome string) error {
	if _, err := a.c.Store.DropAuthorization(ctx, row); err != nil {
		return err
	}
	a.metrics.ended(row.Provider, outcome)
	return nil
}
