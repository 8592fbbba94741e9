package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/authorization"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/notice"
	"github.com/cofferdam-run/cofferdam/host/retention"
)

// ailing is what follows when a connection breaks, and when it works again.
type ailing struct {
	*wiring
	broken prometheus.Gauge
	holder string
}

// lookFor is how long a process has the turn to look: longer than it is until it looks again.
const lookFor = 3 * sandboxes * tidying / 2

func newAiling(w *wiring) *ailing {
	a := &ailing{wiring: w, holder: w.newID(ident.Worker), broken: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "cofferdam_connections_broken",
		Help: "Connections, of all tenants, that are broken or that executions wait for. Every server says the same.",
	})}
	w.c.Metrics.MustRegister(a.broken)
	return a
}

// isBroken says whether it is known of a connection that nothing helps before somebody
// mends it.
func (a *ailing) isBroken(ctx context.Context, tenant, connection string) (bool, error) {
	at, err := a.h.Authorizations.Get(ctx, tenant, connection)
	if isNotFound(err) {
		return false, nil
	}
	return at.State == authorization.Broken, err
}

// broke follows an authorization that has broken.
func (a *ailing) broke(ctx context.Context, at authorization.Authorization) error {
	return a.tell(ctx, notice.Notice{
		Tenant: at.Tenant, Kind: notice.ConnectionBroken, Connection: at.Connection, Provider: at.Provider, Error: at.Error, At: at.BrokenSince,
		Subject: subject(at.Connection, "broken", at.BrokenSince.UnixMicro()),
	})
}

// ends follows an authorization that is going to end.
func (a *ailing) ends(ctx context.Context, at authorization.Authorization) error {
	why := fault.New(fault.Auth, fault.CodeUpstreamAuth, "what was agreed to with %s ends at %s", at.Provider, at.EndsAt.UTC().Format(time.RFC3339)).
		WithHint("Reconnect before: the user has to agree once more. Until then everything goes on.")
	return a.tell(ctx, notice.Notice{
		Tenant: at.Tenant, Kind: notice.ConnectionExpiring, Connection: at.Connection, Provider: at.Provider, Error: why, EndsAt: at.EndsAt,
		Subject: subject(at.Connection, "expiring", at.EndsAt.UnixMicro()),
	})
}

// mended follows an authorization that had broken, and works again.
func (a *ailing) mended(ctx context.Context, at authorization.Authorization) error {
	err := a.tell(ctx, notice.Notice{
		Tenant: at.Tenant, Kind: notice.ConnectionMended, Connection: at.Connection, Provider: at.Provider,
		Subject: subject(at.Connection, "mended", at.BrokenSince.UnixMicro()),
	})
	if err != nil {
		return err
	}
	_, err = a.reconnect(ctx, at.Tenant, at.Connection)
	return err
}

// renewed follows a connection that has a new credential.
func (a *ailing) renewed(ctx context.Context, tenant, id string) error {
	n, err := a.reconnect(ctx, tenant, id)
	if err != nil || n == 0 {
		return err // Nobody has been told that it was refused.
	}
	c, err := a.h.Connections.Get(ctx, tenant, id)
	if err != nil {
		return err
	}
	return a.tell(ctx, notice.Notice{Tenant: tenant, Kind: notice.ConnectionMended, Connection: id, Subject: subject(id, "renewed", c.Version)})
}

// waits follows an execution that was stored to wait for a connection. Where that was
// mended after the worker had looked, it goes on at once.
func (a *ailing) waits(ctx context.Context, x execution.Execution) error {
	at, err := a.h.Authorizations.Get(ctx, x.Tenant, x.WaitsFor)
	switch {
	case err != nil && !isNotFound(err):
		return err
	case err == nil && at.State == authorization.Broken:
		return a.broke(ctx, at)
	case x.State == execution.Waiting && x.Until.IsZero():
		_, err := a.reconnect(ctx, x.Tenant, x.WaitsFor)
		return err
	}
	return a.refused(ctx, x.Tenant, x.WaitsFor)
}

// refused follows a connection whose credential the other side does not take, though
// nothing is known to be wrong with it: it is told once for each credential.
func (a *ailing) refused(ctx context.Context, tenant, id string) error {
	c, err := a.h.Connections.Get(ctx, tenant, id)
	if isNotFound(err) {
		return nil // It was deleted, or is none.
	}
	if err != nil {
		return err
	}
	why := fault.New(fault.Auth, fault.CodeUpstreamAuth, "the other side refuses the credential of the connection %q", c.Name).
		WithHint("Replace its credential, or reconnect it: what waits for it goes on by itself then.")
	return a.tell(ctx, notice.Notice{
		Tenant: tenant, Kind: notice.ConnectionBroken, Connection: id, Error: why, Subject: subject(id, "refused", c.Version),
	})
}

// tell tells what is to be told once, and has it in the audit log.
func (a *ailing) tell(ctx context.Context, n notice.Notice) error {
	c, err := a.h.Connections.Get(ctx, n.Tenant, n.Connection)
	if isNotFound(err) {
		return nil // Nobody has it any more.
	}
	if err != nil {
		return err
	}
	n.Name = c.Name
	first, err := a.h.Notices.Tell(ctx, n)
	if err != nil || !first {
		return err
	}
	action := map[notice.Kind]string{
		notice.ConnectionBroken: "connection.broken", notice.ConnectionMended: "connection.mended", notice.ConnectionExpiring: "connection.expiring",
	}[n.Kind]
	e := audit.Entry{Who: audit.Host, Tenant: n.Tenant, Action: action, Object: n.Connection, Result: audit.Done}
	if n.Error != nil {
		e.Code = n.Error.Code
	}
	a.h.Audit.Later(e) // The notice is durable.
	return nil
}

// reconnect queues what waits for a connection.
func (a *ailing) reconnect(ctx context.Context, tenant, connection string) (int, error) {
	n, err := a.c.Store.Reconnect(ctx, tenant, connection)
	if err != nil {
		return 0, fmt.Errorf("queue what waited: %w", err)
	}
	a.released(ctx, tenant, n)
	return n, nil
}

// look counts what is broken. Where this process has the turn, it makes good what one that
// died has left undone: it queues what was stored to wait after its connection was mended,
// and has told what nobody was told.
func (a *ailing) look(ctx context.Context) error {
	all, err := a.c.Store.Ailing(ctx)
	if err == nil {
		a.broken.Set(float64(len(all)))
	}
	mine, failed := a.c.Store.TakeTurn(ctx, retention.Turn{Name: "awaited", Holder: a.holder, For: lookFor})
	if err = errors.Join(err, failed); !mine {
		return err
	}
	tenants, failed := a.c.Store.Stranded(ctx)
	for _, t := range tenants {
		a.released(ctx, t, 1)
	}
	return errors.Join(err, failed, a.lookAtAwaited(ctx))
}

// lookAtAwaited follows each connection that executions wait for.
func (a *ailing) lookAtAwaited(ctx context.Context) error {
	var at execution.Awaited
	for {
		var err error
		if at, err = a.c.Store.NextAwaited(ctx, at.Tenant, at.Connection); isNotFound(err) {
			return nil
		} else if err != nil {
			return err
		}
		if err := a.waits(ctx, execution.Execution{Tenant: at.Tenant, WaitsFor: at.Connection}); err != nil {
			a.c.Logger.WarnContext(ctx, "look at a connection that executions wait for", slog.String("connection", at.Connection), slog.Any("error", err))
		}
	}
}

// subject is what a notice is about: what became of a connection, and the how-manieth time.
func subject(connection, what string, n int64) string {
	return connection + " " + what + " " + strconv.FormatInt(n, 10)
}

func isNotFound(err error) bool {
	f, ok := errors.AsType[*fault.Error](err)
	return ok && f.Code == fault.CodeNotFound
}
