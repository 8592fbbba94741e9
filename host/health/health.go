// Package health says how tenants' connections are: which work, which are broken and
// since when, and what waits for them.
package health

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cofferdam-run/cofferdam/host/authorization"
	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/pace"
)

// State is how a connection is.
type State string

// The states.
const (
	// Healthy: its token works, as far as anybody knows.
	Healthy State = "healthy"
	// Refreshing: its token is being refreshed now, and Expiring: it has ended, or is about
	// to, and is refreshed when it is next needed, or by itself.
	Refreshing State = "refreshing"
	Expiring   State = "expiring"
	// Broken: nothing works before somebody does something about it.
	Broken State = "broken"
	// Unknown: it has a credential of which nobody has said anything bad.
	Unknown State = "unknown"
)

// Health is how a connection is. Times that nobody knows are zero.
type Health struct {
	Tenant     string          `json:"tenant"`
	Connection string          `json:"connection"`
	Name       string          `json:"name"`
	Type       connection.Type `json:"type"`
	State      State           `json:"state"`
	Provider   string          `json:"provider,omitempty"`
	App        string          `json:"app,omitempty"`
	// ExpiresAt is when its token ends, which is then refreshed, and RefreshedAt when that
	// was last done.
	ExpiresAt   time.Time `json:"expires_at,omitzero"`
	RefreshedAt time.Time `json:"refreshed_at,omitzero"`
	// EndsAt is when its user has to agree once more, whatever is refreshed, or unless it is
	// refreshed before, as far as the provider tells.
	EndsAt      time.Time `json:"ends_at,omitzero"`
	BrokenSince time.Time `json:"broken_since,omitzero"`
	// LastError is why it is broken, or was last refreshed in vain.
	LastError *fault.Error `json:"last_error,omitempty"`
	// Breaker is how its breaker stands, and PausedAt when it was paused, zero if it is not:
	// while one is open, or it is paused, nothing is sent with it, whatever its state.
	Breaker  pace.Breaker `json:"breaker"`
	PausedAt time.Time    `json:"paused_at,omitzero"`
	// Waiting is how many executions wait for it, and OldestWaiting the first of them.
	Waiting       int    `json:"waiting"`
	OldestWaiting string `json:"oldest_waiting,omitempty"`
	// Installations are those that were granted it, by id.
	Installations []string `json:"installations"`
}

// Key names a connection.
type Key struct{ Tenant, Connection string }

// Store is what is read.
type Store interface {
	Connections(ctx context.Context, tenant string) ([]connection.Connection, error)
	Installations(ctx context.Context, tenant string) ([]installation.Installation, error)
	Awaited(ctx context.Context, tenant string) ([]execution.Awaited, error)
	// Paces lists those of which something is kept: the others' breakers are closed.
	Paces(ctx context.Context, tenant string) ([]pace.Pace, error)
	Ailments
}

// Ailments tell the connections that do not work.
type Ailments interface {
	// Ailing lists those whose authorization is broken, or that executions wait for, by
	// tenant.
	Ailing(ctx context.Context) ([]Key, error)
}

// Config configures Healths.
type Config struct {
	Store Store
	// Authorizations lists those of a tenant.
	Authorizations func(ctx context.Context, tenant string) ([]authorization.Authorization, error)
}

// Healths are how the connections of tenants are.
type Healths struct{ c Config }

// New returns Healths.
func New(c Config) *Healths { return &Healths{c: c} }

// List says how all connections of a tenant are.
func (s *Healths) List(ctx context.Context, tenant string) ([]Health, error) {
	connections, err := s.c.Store.Connections(ctx, tenant)
	if err != nil {
		return nil, fmt.Errorf("list connections: %w", err)
	}
	agreed, err := s.c.Authorizations(ctx, tenant)
	awaited, failed := s.c.Store.Awaited(ctx, tenant)
	installations, also := s.c.Store.Installations(ctx, tenant)
	paces, nor := s.c.Store.Paces(ctx, tenant)
	if err := errors.Join(err, failed, also, nor); err != nil {
		return nil, fmt.Errorf("look at the connections of a tenant: %w", err)
	}
	all := make([]Health, len(connections))
	for i, c := range connections {
		h := Health{Tenant: tenant, Connection: c.ID, Name: c.Name, Type: c.Type, State: Unknown, Breaker: pace.Breaker{State: pace.Closed}}
		h.Installations = granted(c.ID, installations)
		n := slices.IndexFunc(agreed, func(a authorization.Authorization) bool {
			return a.Connection == c.ID && a.State != authorization.Revoking
		})
		switch {
		case n >= 0:
			h.of(agreed[n])
		case c.Type == connection.OAuth2:
			h.State, h.BrokenSince = Broken, c.CreatedAt
			h.LastError = fault.New(fault.Auth, fault.CodeUpstreamAuth, "nobody has agreed to anything yet").WithHint("Connect the account.")
		}
		if n := slices.IndexFunc(awaited, func(a execution.Awaited) bool { return a.Connection == c.ID }); n >= 0 {
			h.awaited(awaited[n])
		}
		if n := slices.IndexFunc(paces, func(p pace.Pace) bool { return p.Connection == c.ID }); n >= 0 {
			h.Breaker, h.PausedAt = paces[n].Breaker, paces[n].PausedAt
		}
		all[i] = h
	}
	return all, nil
}

// Get says how a connection is, by id or name.
func (s *Healths) Get(ctx context.Context, tenant, idOrName string) (Health, error) {
	all, err := s.List(ctx, tenant)
	if err != nil {
		return Health{}, err
	}
	i := slices.IndexFunc(all, func(h Health) bool { return h.Connection == idOrName || h.Name == idOrName })
	if i < 0 {
		return Health{}, fault.NotFound("connection", idOrName)
	}
	return all[i], nil
}

// Broken lists the broken connections of all tenants after an id, by id.
func (s *Healths) Broken(ctx context.Context, after string, limit int) ([]Health, error) {
	ailing, err := s.c.Store.Ailing(ctx)
	if err != nil {
		return nil, fmt.Errorf("list broken connections: %w", err)
	}
	slices.SortFunc(ailing, func(a, b Key) int { return cmp.Compare(a.Connection, b.Connection) })
	some := []Health{}
	seen := map[string][]Health{}
	for _, k := range ailing {
		if k.Connection <= after || len(some) == limit {
			continue
		}
		if _, ok := seen[k.Tenant]; !ok {
			if seen[k.Tenant], err = s.List(ctx, k.Tenant); err != nil {
				return nil, err
			}
		}
		for _, h := range seen[k.Tenant] {
			if h.Connection == k.Connection && h.State == Broken {
				some = append(some, h)
			}
		}
	}
	return some, nil
}

// of fills in what is known of what a user has agreed to.
func (h *Health) of(a authorization.Authorization) {
	h.Provider, h.App, h.ExpiresAt, h.RefreshedAt, h.LastError = a.Provider, a.App, a.ExpiresAt, a.ObtainedAt, a.Error
	h.EndsAt = a.EndsAt
	switch a.State {
	case authorization.Broken:
		h.State, h.BrokenSince = Broken, a.BrokenSince
	case authorization.Refreshing:
		h.State = Refreshing
	case authorization.Expiring:
		h.State = Expiring
	default:
		h.State = Healthy
	}
}

// awaited fills in what waits. What nobody takes is broken, whatever is said of it.
func (h *Health) awaited(a execution.Awaited) {
	h.Waiting, h.OldestWaiting = a.Waiting, a.Oldest
	if h.State == Broken {
		return
	}
	h.State, h.BrokenSince = Broken, a.Since
	h.LastError = fault.New(fault.Auth, fault.CodeUpstreamAuth, "the other side refuses its credential").
		WithHint("Replace its credential, or reconnect it. It is tried again by itself within an hour.")
}

// granted are the installations that were granted a connection, by id.
func granted(connection string, all []installation.Installation) []string {
	ids := []string{}
	for _, in := range all {
		for _, id := range in.Grants.Connections {
			if id == connection && in.State != installation.Removed && !slices.Contains(ids, in.ID) {
				ids = append(ids, in.ID)
			}
		}
	}
	return ids
}
