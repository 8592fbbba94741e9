package authorization

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// RevokeAll ends all that a tenant's users have agreed to, as Revoke does for one
// connection: each is gone at once, and its tokens are revoked by Run. It says how many
// are still to be. Who calls it again goes on where it was left.
//
// It is for a tenant whose key is about to be destroyed: what is not revoked by then never
// is, for nobody can read it any more. An authorization is then not there, so that who
// calls the deletion off can connect its accounts again.
func (a *Authorizations) RevokeAll(ctx context.Context, tenant string) (left int, err error) {
	left, err = a.retireAll(ctx, tenant)
	if left > 0 {
		a.sweep.wake()
	}
	return left, err
}

// RevokeNow is RevokeAll for who does not wait for Run: each of the tokens is revoked, or
// tried to be once, when it returns, unless ctx ends before. It says how many are not.
func (a *Authorizations) RevokeNow(ctx context.Context, tenant string) (left int, err error) {
	if left, err = a.retireAll(ctx, tenant); left == 0 {
		return 0, err
	}
	tried := map[key]bool{}
	for {
		rows, failed := a.c.Store.Authorizations(ctx, tenant)
		if failed != nil {
			return left, errors.Join(err, failed)
		}
		due, held := untried(rows, tried)
		if left = len(rows); len(due) == 0 && !held {
			return left, err
		}
		err = errors.Join(err, a.revokeEach(ctx, due))
		if len(due) == 0 {
			if stopped := a.pause(ctx, pollMost); stopped != nil {
				return left, errors.Join(err, stopped)
			}
		}
	}
}

// untried are those that nobody holds and that were not tried, which they are then. It says
// whether another process asks for any just now.
func untried(rows []Row, tried map[key]bool) (due []key, held bool) {
	for _, r := range rows {
		k := key{r.Tenant, r.Connection}
		switch {
		case r.Held:
			held = true
		case r.State == Revoking && !tried[k]:
			tried[k] = true
			due = append(due, k)
		}
	}
	return due, held
}

// revokeEach asks for some, as many at a time as Run does.
func (a *Authorizations) revokeEach(ctx context.Context, due []key) error {
	slots := make(chan struct{}, a.c.AtOnce)
	failed := make([]error, len(due))
	var under sync.WaitGroup
	for i, k := range due {
		slots <- struct{}{}
		under.Go(func() {
			defer func() { <-slots }()
			if failed[i] = ctx.Err(); failed[i] != nil {
				return
			}
			_, failed[i] = a.guarded(ctx, func(context.Context) (*entry, error) { return nil, a.revoke(ctx, k) })
		})
	}
	under.Wait()
	return errors.Join(failed...)
}

// retireAll retires each authorization of a tenant, and says how many are to be revoked.
// One that fails is no other's trouble.
func (a *Authorizations) retireAll(ctx context.Context, tenant string) (left int, err error) {
	rows, err := a.c.Store.Authorizations(ctx, tenant)
	if err != nil {
		return 0, err
	}
	for _, r := range rows {
		left++
		if r.State == Revoking {
			continue
		}
		if failed := a.retireOne(ctx, key{tenant, r.Connection}); failed != nil {
			err = errors.Join(err, fmt.Errorf("retire the tokens of connection %s: %w", r.Connection, failed))
		}
	}
	return left, err
}

// retireOne retires one. Whoever refreshes it finds out, and retires what came, too.
func (a *Authorizations) retireOne(ctx context.Context, k key) error {
	for range putMost {
		row, err := a.c.Store.Authorization(ctx, k.tenant, k.connection)
		if isNotFound(err) || err == nil && row.State == Revoking {
			return nil
		}
		if err != nil {
			return err
		}
		held, err := a.open(ctx, row, "revocation")
		if err != nil {
			return err
		}
		// Kept twice for a moment, and not for a moment nowhere.
		if err := a.retire(ctx, row, held); err != nil {
			return err
		}
		dropped, err := a.c.Store.DropAuthorization(ctx, row)
		if err != nil {
			return err
		}
		if dropped {
			a.warm.drop(k)
			return nil
		}
	}
	return errAgain
}

// Discard has tokens revoked that came and are no connection's, such as those of a user who
// went away before the connection was made. o.Connection may be any name: that of what they
// came for.
//
// Servers end with one token all that a user has agreed to with a client. So it leaves them
// alone if the tenant has another authorization with that client which may be of the same
// account. Only ID tokens tell: that another site or company was selected may be in the
// same agreement.
func (a *Authorizations) Discard(ctx context.Context, o Obtained) error {
	ctx = detach(ctx) // Who went away is no reason to stop.
	k, err := keptOf(o)
	if err != nil || k.machine() {
		return err // Nobody has agreed to what a machine gets.
	}
	rows, err := a.c.Store.Authorizations(ctx, o.Tenant)
	if err != nil {
		return err
	}
	this := Row{Authorization: Authorization{Tenant: o.Tenant, Connection: o.Connection, App: o.App, Provider: o.Provider}}
	for _, r := range rows {
		if r.State == Revoking || r.App != o.App {
			continue
		}
		if r, err = a.c.Store.Authorization(ctx, r.Tenant, r.Connection); isNotFound(err) {
			continue
		} else if err != nil {
			return err
		}
		held, err := a.open(ctx, r, "revocation")
		if err != nil {
			return err
		}
		if !foreign(this, k, r, held) {
			return nil
		}
	}
	return a.retire(ctx, this, k)
}
