package authorization

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

const (
	codeInvalid = "authorization_invalid"
	codeBusy    = "authorization_busy"
)

// putMost is how often a Put is tried that others are quicker than.
const putMost = 8

// Put keeps what a user has agreed to, in place of what was there: a connection is
// connected, or connected again. The tokens before are revoked if they are another
// account's or client's; whoever is refreshing them now stores nothing any more. If it
// had broken, Config.Mended is told.
//
// The grants of machines may come without a token: it is asked for first, and if there
// is none to be had nothing is kept.
func (a *Authorizations) Put(ctx context.Context, o Obtained) (Authorization, error) {
	k, err := keptOf(o)
	if err != nil {
		return Authorization{}, err
	}
	by, err := a.c.Source.Registration(ctx, o.Tenant, o.App, o.Variables)
	if err != nil {
		return Authorization{}, err
	}
	if err := a.complete(ctx, by, &k); err != nil {
		return Authorization{}, err
	}
	for range putMost {
		row, ok, err := a.replace(ctx, o, k, by)
		if err != nil {
			return Authorization{}, err
		}
		if !ok {
			continue // Somebody is refreshing it.
		}
		if !row.BrokenSince.IsZero() {
			row = a.mended(ctx, row, k, by)
		}
		a.hold(row, k, by)
		return a.shown(row), nil
	}
	return Authorization{}, fault.New(fault.Conflict, codeBusy, "the authorization of connection %q is changed by others all the time", o.Connection).
		WithHint("Try again.")
}

func keptOf(o Obtained) (kept, error) {
	k := kept{Token: o.Token, Grant: o.Grant, Variables: maps.Clone(o.Variables), Assertion: o.Assertion}
	if k.Grant == "" {
		k.Grant = AuthorizationCode
	}
	if k.Variables == nil {
		k.Variables = map[string]string{}
	}
	invalid := func(where, format string, args ...any) (kept, error) {
		return kept{}, fault.New(fault.InvalidInput, codeInvalid, format, args...).At(where)
	}
	for _, part := range []struct{ where, value string }{
		{"/tenant", o.Tenant}, {"/connection", o.Connection}, {"/app", o.App}, {"/provider", o.Provider},
	} {
		if part.value == "" {
			return invalid(part.where, "an authorization has a tenant, a connection, an app and a provider: this one has no %s", part.where[1:])
		}
	}
	if !slices.Contains([]string{AuthorizationCode, DeviceCode, TokenExchange, ClientCredentials, JWTBearer}, k.Grant) {
		return invalid("/grant", "%.64q is no grant", k.Grant)
	}
	if k.Token.Access == "" && !k.machine() {
		return invalid("/token", "there is no token, and %s gets none without its user", k.Grant)
	}
	return k, nil
}

// complete asks for what a token lacks.
func (a *Authorizations) complete(ctx context.Context, by Registered, k *kept) error {
	leave, err := a.lanes.enter(ctx, by.Provider.Name)
	if err != nil {
		return err
	}
	defer leave()
	if k.Token.Access == "" {
		asked, cancel := context.WithTimeout(ctx, a.c.Timeout)
		defer cancel()
		if k.Token, err = a.obtain(asked, by, *k); err != nil {
			return err
		}
	}
	if k.Token.ObtainedAt.IsZero() {
		k.Token.ObtainedAt = a.c.Now()
	}
	k.AgreedAt = k.Token.ObtainedAt
	asked, cancel := context.WithTimeout(ctx, learnWithin)
	defer cancel()
	a.learn(asked, by, k)
	return nil
}

// replace stores tokens in place of those that are stored now; ok is false if those were
// changed meanwhile.
func (a *Authorizations) replace(ctx context.Context, o Obtained, k kept, by Registered) (row Row, ok bool, err error) {
	was, err := a.c.Store.Authorization(ctx, o.Tenant, o.Connection)
	there := !isNotFound(err)
	if err != nil && there {
		return Row{}, false, err
	}
	if there && was.State == Revoking {
		return Row{}, false, fault.NotFound("connection", o.Connection)
	}
	now := Row{Authorization: Authorization{
		Tenant: o.Tenant, Connection: o.Connection, App: o.App, Provider: o.Provider, State: Active, Version: was.Version + 1,
		WorkedAt: was.WorkedAt, BrokenSince: was.BrokenSince,
	}}
	if err := a.seal(ctx, &now, k); err != nil {
		return Row{}, false, err
	}
	a.schedule(&now, k, by)
	if !now.BrokenSince.IsZero() {
		now.DueAt = a.c.Now()
	}
	if !there {
		if err := a.c.Store.InsertAuthorization(ctx, now); err != nil {
			f := fault.From(err)
			return Row{}, false, unless(f.Class == fault.Conflict, err)
		}
		return now, true, nil
	}
	if now, ok, err = a.c.Store.SwapAuthorization(ctx, was, now, 0); err != nil || !ok {
		return Row{}, false, err
	}
	a.replaced(ctx, was, now, k)
	return now, true, nil
}

func unless(expected bool, err error) error {
	if expected {
		return nil
	}
	return err
}

// replaced revokes what was there before, if it has to be. It stops nobody: what came is
// stored.
func (a *Authorizations) replaced(ctx context.Context, was, now Row, k kept) {
	ctx = detach(ctx)
	old, err := a.open(ctx, was, "revocation")
	if err == nil && foreign(was, old, now, k) {
		err = a.retire(ctx, was, old)
	}
	if err != nil {
		a.c.Logger.LogAttrs(ctx, slog.LevelWarn, "tokens that were replaced are not revoked",
			slog.String("tenant", was.Tenant), slog.String("connection", was.Connection), slog.Any("error", err))
	}
}

// retire keeps tokens that are no connection's any more until they are revoked, under a
// name that no connection has.
func (a *Authorizations) retire(ctx context.Context, of Row, k kept) error {
	now := a.c.Now()
	r := Row{Authorization: Authorization{
		Tenant: of.Tenant, Connection: retiredOf(of.Connection, k), App: of.App, Provider: of.Provider, State: Revoking, Version: 1,
		BrokenSince: now, DueAt: now,
	}}
	if err := a.seal(ctx, &r, k); err != nil {
		return err
	}
	if err := a.c.Store.InsertAuthorization(ctx, r); err != nil && fault.From(err).Class != fault.Conflict {
		return fmt.Errorf("keep tokens to be revoked: %w", err)
	}
	a.sweep.wake()
	return nil
}

// retiredMark is between a connection and the id of a token that it had.
const retiredMark = "~"

func retiredOf(connection string, k kept) string {
	connection, _, _ = strings.Cut(connection, retiredMark)
	return connection + retiredMark + idOf(k.Token.Access)
}

// Get returns a connection's authorization.
func (a *Authorizations) Get(ctx context.Context, tenant, connection string) (Authorization, error) {
	row, err := a.c.Store.Authorization(ctx, tenant, connection)
	if err != nil {
		return Authorization{}, err
	}
	return a.shown(row), nil
}

// AccountOf is whose tokens a connection has.
func (a *Authorizations) AccountOf(ctx context.Context, tenant, connection string) (Account, error) {
	row, err := a.c.Store.Authorization(ctx, tenant, connection)
	if err != nil {
		return Account{}, err
	}
	k, err := a.open(ctx, row, "reconnect")
	if err != nil {
		return Account{}, err
	}
	return Account{App: row.App, Variables: k.Variables, Identity: k.Token.Identity()}, nil
}

// List lists a tenant's, in order of the connection. Tokens of one that was connected
// anew, and that are being revoked, are there too.
func (a *Authorizations) List(ctx context.Context, tenant string) ([]Authorization, error) {
	rows, err := a.c.Store.Authorizations(ctx, tenant)
	if err != nil {
		return nil, err
	}
	all := make([]Authorization, len(rows))
	for i, r := range rows {
		all[i] = a.shown(r)
	}
	return all, nil
}

// shown is what people see of a row.
func (a *Authorizations) shown(r Row) Authorization {
	s := r.Authorization
	s.Connection, _, _ = strings.Cut(s.Connection, retiredMark)
	s.Scopes = append([]string{}, s.Scopes...)
	margin := min(usualMargin, max(s.ExpiresAt.Sub(s.ObtainedAt), 0)/5)
	switch {
	case s.State != Active:
	case r.Held && !r.RefreshingSince.IsZero():
		s.State = Refreshing
	case !s.ExpiresAt.IsZero() && !a.c.Now().Before(s.ExpiresAt.Add(-margin)):
		s.State = Expiring
	}
	return s
}
