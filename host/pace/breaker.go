package pace

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

// ended follows the end of a request.
func (p *Pacer) ended(ctx context.Context, x *pass, e egress.Ending) {
	if e.Result == egress.Throttled {
		p.throttled(ctx, x, e.RetryAfter)
	}
	switch {
	case x.prober != "":
		p.probed(ctx, x, e)
	case e.Result == egress.Unsent:
	default:
		failed := e.Result == egress.Failed
		all, bad := x.gate.count(p.c.Now(), p.c.Breaker, failed)
		if why, ok := p.c.Breaker.opens(all, bad); failed && ok {
			p.trip(ctx, x, why)
		}
	}
}

// throttled has nobody send anything for as long as the other side has said. Only a
// connection that has a rate has tokens to hold back.
func (p *Pacer) throttled(ctx context.Context, x *pass, d time.Duration) {
	p.metrics.throttled.Inc()
	if x.until.IsZero() {
		return
	}
	if d <= 0 {
		d = holdOff
	}
	ctx, cancel := p.within(ctx)
	defer cancel()
	g := x.gate
	g.mu.Lock()
	g.bucket.empty()
	g.mu.Unlock()
	err := p.c.Store.HoldOff(ctx, g.Tenant, g.Connection, min(d, holdOffMost))
	p.read(ctx, err)
}

// trip opens the breaker for all.
func (p *Pacer) trip(ctx context.Context, x *pass, why string) {
	g := x.gate
	if state := g.known().Breaker.State; state == Open || state == HalfOpen {
		return // It was sent before.
	}
	ctx, cancel := p.within(ctx)
	defer cancel()
	opened, err := p.c.Store.OpenBreaker(ctx, g.Tenant, g.Connection, p.c.Breaker.delay(1), why)
	p.read(ctx, err)
	g.stale()
	p.row(ctx, g)
	if opened && err == nil {
		p.changed(ctx, g, Open, why)
	}
}

// probed follows the end of the request that was to tell whether the other side works.
func (p *Pacer) probed(ctx context.Context, x *pass, e egress.Ending) {
	ctx, cancel := p.within(ctx)
	defer cancel()
	g := x.gate
	var err error
	var done bool
	switch e.Result {
	case egress.Unsent:
		err = p.c.Store.LeaveProbe(ctx, g.Tenant, g.Connection, x.prober)
	case egress.Failed:
		opens := g.known().Breaker.Opens + 1
		why := fmt.Sprintf("the request that tried whether it works again failed, for the %d. time", opens-1)
		if done, err = p.c.Store.ReopenBreaker(ctx, g.Tenant, g.Connection, x.prober, p.c.Breaker.delay(opens), why); done {
			p.changed(ctx, g, Open, why)
		}
	default:
		if done, err = p.c.Store.CloseBreaker(ctx, g.Tenant, g.Connection, x.prober); done {
			g.forget()
			p.changed(ctx, g, Closed, "")
			p.c.Closed(ctx, g.Tenant, g.Connection)
		}
	}
	p.read(ctx, err)
	g.stale()
}

// forget drops what was counted: the other side works again.
func (g *gate) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.window = window{}
}

func (p *Pacer) changed(ctx context.Context, g *gate, to BreakerState, why string) {
	p.metrics.breakers.WithLabelValues(string(to)).Inc()
	p.c.Logger.InfoContext(ctx, "the breaker of a connection has changed",
		slog.String("tenant", g.Tenant), slog.String("connection", g.Connection), slog.String("to", string(to)), slog.String("why", why))
}
