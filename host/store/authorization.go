package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/authorization"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
)

const authorizationColumns = `SELECT tenant, connection, version, app, provider, state, about, obtained_at, expires_at, due_at, worked_at,
 lease_owner, lease_until, refreshing_since, refreshing_hash, failures, error, failed_at, broken_since`

// asItWas is the fence of a change: of the parameters $1 to $8, as fence gives them.
const asItWas = ` WHERE tenant = $1 AND connection = $2 AND version = $3 AND state = $4 AND lease_owner = $5 AND lease_until = $6
 AND refreshing_since = $7 AND due_at = $8`

func fence(was authorization.Row) []any {
	return []any{
		was.Tenant, was.Connection, was.Version, string(was.State), was.Owner,
		column.Micros(was.HeldUntil), column.Micros(was.RefreshingSince), column.Micros(was.DueAt),
	}
}

// aboutAuthorization is what people see of one and nobody looks for.
type aboutAuthorization struct {
	Grant   string   `json:"grant"`
	Scopes  []string `json:"scopes,omitempty"`
	Missing []string `json:"missing,omitempty"`
	// EndsAt and TellAt are in microseconds.
	EndsAt int64 `json:"ends_at,omitempty"`
	TellAt int64 `json:"tell_at,omitempty"`
}

// saidOf are an authorization's columns of JSON.
func saidOf(r authorization.Row) (about, fail []byte, err error) {
	if about, err = column.JSON(aboutAuthorization{r.Grant, r.Scopes, r.Missing, column.Micros(r.EndsAt), column.Micros(r.TellAt)}); err != nil || r.Error == nil {
		return about, nil, err
	}
	fail, err = column.JSON(r.Error)
	return about, fail, err
}

// InsertAuthorization implements authorization.Store.
func (s *SQL) InsertAuthorization(ctx context.Context, r authorization.Row) error {
	about, fail, err := saidOf(r)
	if err != nil {
		return err
	}
	args := []any{
		r.Tenant, r.Connection, r.Version, r.App, r.Provider, string(r.State), column.Bytes(r.Sealed), about,
		column.Micros(r.ObtainedAt), column.Micros(r.ExpiresAt), column.Micros(r.DueAt), column.Micros(r.WorkedAt),
		r.Failures, fail, column.Micros(r.FailedAt), column.Micros(r.BrokenSince),
	}
	err = s.d.Write(audit.Made(ctx, idIn(args)), func(ctx context.Context, tx Conn) error {
		if err := holdApp(ctx, tx, r.Tenant, r.App); err != nil {
			return err
		}
		_, err := execOn(ctx, tx,
			`INSERT INTO authorizations (tenant, connection, version, app, provider, state, sealed, about, obtained_at, expires_at, due_at, worked_at,
			   failures, error, failed_at, broken_since)
			 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`, args...)
		return err
	})
	return s.refused(err, "insert an authorization",
		conflict("authorization_exists", "the connection %q has an authorization already", r.Connection), fault.NotFound("tenant", r.Tenant))
}

// Authorization implements authorization.Store.
func (s *SQL) Authorization(ctx context.Context, tenant, connection string) (authorization.Row, error) {
	var sealed []byte
	r, err := find(ctx, s, fault.NotFound("authorization of the connection", connection), s.authorizationWith(&sealed),
		authorizationColumns+`, sealed FROM authorizations WHERE tenant = $1 AND connection = $2`, tenant, connection)
	r.Sealed = sealed
	return r, err
}

// AuthorizationVersion implements authorization.Store.
func (s *SQL) AuthorizationVersion(ctx context.Context, tenant, connection string) (int64, authorization.State, error) {
	r, err := find(ctx, s, fault.NotFound("authorization of the connection", connection), func(r scanner) (authorization.Row, error) {
		var a authorization.Row
		err := r.Scan(&a.Version, &a.State)
		return a, err
	}, `SELECT version, state FROM authorizations WHERE tenant = $1 AND connection = $2`, tenant, connection)
	return r.Version, r.State, err
}

// Authorizations implements authorization.Store.
func (s *SQL) Authorizations(ctx context.Context, tenant string) ([]authorization.Row, error) {
	return list(ctx, s, s.authorizationWith(), authorizationColumns+` FROM authorizations WHERE tenant = $1 ORDER BY connection`, tenant)
}

// SwapAuthorization implements authorization.Store.
func (s *SQL) SwapAuthorization(ctx context.Context, was, now authorization.Row, lease time.Duration) (authorization.Row, bool, error) {
	about, fail, err := saidOf(now)
	if err != nil {
		return now, false, err
	}
	sealed := now.Sealed
	if now.Version == was.Version {
		sealed = nil
	}
	if now.Held = lease > 0; now.Held {
		now.HeldUntil = s.d.Clock().Add(lease)
	} else {
		now.Owner, now.HeldUntil = "", time.Time{}
	}
	args := append(fence(was), now.Version, now.App, now.Provider, string(now.State), column.Bytes(sealed), about,
		column.Micros(now.ObtainedAt), column.Micros(now.ExpiresAt), column.Micros(now.DueAt), now.Owner, column.Micros(now.HeldUntil),
		column.Micros(now.RefreshingSince), column.Bytes(now.RefreshingHash),
		now.Failures, fail, column.Micros(now.FailedAt), column.Micros(now.BrokenSince))
	err = s.write(ctx, "change an authorization", func(ctx context.Context, tx Conn) error {
		if now.App != was.App {
			if err := holdApp(ctx, tx, now.Tenant, now.App); err != nil {
				return err
			}
		}
		n, err := execOn(ctx, tx,
			`UPDATE authorizations SET version = $9, app = $10, provider = $11, state = $12, sealed = COALESCE($13, sealed), about = $14,
			   obtained_at = $15, expires_at = $16, due_at = $17, lease_owner = $18, lease_until = $19, refreshing_since = $20, refreshing_hash = $21,
			   failures = $22, error = $23, failed_at = $24, broken_since = $25`+asItWas, args...)
		if err == nil && n == 0 {
			return errUnchanged
		}
		return err
	})
	if errors.Is(err, errUnchanged) {
		return now, false, nil
	}
	return now, err == nil, err
}

// DropAuthorization implements authorization.Store.
func (s *SQL) DropAuthorization(ctx context.Context, was authorization.Row) (bool, error) {
	n, err := s.exec(ctx, "delete an authorization", `DELETE FROM authorizations`+asItWas, fence(was)...)
	return n == 1, err
}

// NoteWorked implements authorization.Store.
func (s *SQL) NoteWorked(ctx context.Context, r authorization.Row, at time.Time, forgiven bool) error {
	_, err := s.exec(ctx, "note that a token has worked",
		`UPDATE authorizations SET worked_at = $4, failures = CASE WHEN $5 THEN 0 ELSE failures END
		 WHERE tenant = $1 AND connection = $2 AND version = $3 AND (worked_at < obtained_at OR $5 AND failures > 0)`,
		r.Tenant, r.Connection, r.Version, column.Micros(at), forgiven)
	return err
}

// DueAuthorizations implements authorization.Store.
func (s *SQL) DueAuthorizations(ctx context.Context, f authorization.DueFilter) ([]authorization.Due, time.Time, error) {
	now := column.Micros(s.d.Clock())
	providers, err := column.JSON(append([]string{}, f.Providers...))
	if err != nil {
		return nil, time.Time{}, err
	}
	apps, err := column.JSON(append([]string{}, f.Apps...))
	if err != nil {
		return nil, time.Time{}, err
	}
	found, err := list(ctx, s, scanDue,
		`SELECT tenant, connection, app, provider, state, due_at FROM authorizations a WHERE due_at > 0
		 AND provider NOT IN (`+s.d.Each("$1")+`) AND app NOT IN (`+s.d.Each("$2")+`) AND (lease_until <= $3 OR due_at > $3)
		 AND NOT EXISTS (SELECT 1 FROM tenants t WHERE t.id = a.tenant AND t.state IN ('deleting', 'deleted'))
		 ORDER BY due_at LIMIT $4`, string(providers), string(apps), now, f.Limit+1)
	if err != nil {
		return nil, time.Time{}, err
	}
	// The first that is not due yet says when to look again.
	i := slices.IndexFunc(found, func(d authorization.Due) bool { return column.Micros(d.DueAt) > now })
	var next time.Time
	if i < 0 {
		i = len(found)
	} else {
		next = found[i].DueAt
	}
	return found[:min(i, f.Limit)], next, nil
}

func scanDue(r scanner) (authorization.Due, error) {
	var d authorization.Due
	var due int64
	err := r.Scan(&d.Tenant, &d.Connection, &d.App, &d.Provider, &d.State, &due)
	d.DueAt = column.Time(due)
	return d, err
}

// authorizationWith scans rows of authorizationColumns, and what else was asked for.
func (s *SQL) authorizationWith(also ...any) func(scanner) (authorization.Row, error) {
	now := column.Micros(s.d.Clock())
	return func(from scanner) (authorization.Row, error) {
		var r authorization.Row
		var about, fail []byte
		var obtained, expires, due, worked, until, since, failed, broken int64
		err := from.Scan(append([]any{
			&r.Tenant, &r.Connection, &r.Version, &r.App, &r.Provider, &r.State, &about, &obtained, &expires, &due, &worked,
			&r.Owner, &until, &since, &r.RefreshingHash, &r.Failures, &fail, &failed, &broken,
		}, also...)...)
		if err != nil {
			return r, err
		}
		r.ObtainedAt, r.ExpiresAt, r.DueAt, r.WorkedAt = column.Time(obtained), column.Time(expires), column.Time(due), column.Time(worked)
		r.HeldUntil, r.Held, r.RefreshingSince = column.Time(until), until > now, column.Time(since)
		r.FailedAt, r.BrokenSince = column.Time(failed), column.Time(broken)
		if len(fail) > 0 {
			r.Error = &fault.Error{}
			if err := column.FromJSON(fail, r.Error); err != nil {
				return r, err
			}
		}
		var said aboutAuthorization
		err = column.FromJSON(about, &said)
		r.Grant, r.Scopes, r.Missing = said.Grant, said.Scopes, said.Missing
		r.EndsAt, r.TellAt = column.Time(said.EndsAt), column.Time(said.TellAt)
		return r, err
	}
}
