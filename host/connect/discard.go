package connect

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// expireMost is how many sessions that hold something are ended at once: there is another
// look soon.
const expireMost = 100

// expire ends the sessions that hold something and have expired. One that fails is no
// other's trouble.
func (s *Sessions) expire(ctx context.Context, now time.Time) error {
	rows, err := s.c.Store.HeldVisits(ctx, now, expireMost)
	if err != nil {
		return fmt.Errorf("list sessions that have expired: %w", err)
	}
	var all []error
	for _, r := range rows {
		v, err := load(r)
		if err == nil {
			err = s.end(ctx, v, Expired)
		}
		if f, ok := errors.AsType[*fault.Error](err); ok && f.Class == fault.Conflict {
			continue // Another process was quicker.
		}
		all = append(all, err)
	}
	return errors.Join(all...)
}

// end ends a session, and has the tokens revoked that it holds.
func (s *Sessions) end(ctx context.Context, v *visit, as State) error {
	h, err := s.open(ctx, v.row)
	if err != nil {
		return err
	}
	v.State, v.Device, v.Items = as, nil, nil
	if err := s.put(ctx, v, nil); err != nil { // First, so that nobody makes a connection of them any more.
		return err
	}
	if h.Look == nil {
		return nil
	}
	return s.discard(ctx, v, *h.Look)
}

// discard has tokens revoked that are no connection's.
func (s *Sessions) discard(ctx context.Context, v *visit, l Look) error {
	o := v.chosen()
	if o == nil || l.Token.Access == "" {
		return nil
	}
	err := s.c.Authorizations.Discard(context.WithoutCancel(ctx), Agreed{
		Tenant: v.tenant(), Connection: v.row.ID, App: o.App, Provider: o.Provider, Token: l.Token, Variables: l.Variables, Grant: o.Grant,
	})
	if err != nil {
		return fmt.Errorf("have the tokens revoked of connect session %s: %w", v.row.ID, err)
	}
	return nil
}
