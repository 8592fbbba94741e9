package pace

import (
	"context"
	"errors"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
)

// restAhead is from how far in the future a token may be for what is the rest of a
// request: its own time ends before.
const restAhead = 10 * time.Minute

// asking is a request that wants a token.
type asking struct {
	terms terms
	lane  event.Lane
	again bool
	rest  bool
}

// ahead is from how far in the future a token may be. What is not there in time for a
// backfill is left to the others. Who has not waited yet lets those go first who have.
func (p *Pacer) ahead(g *gate, a asking) time.Duration {
	if a.rest {
		return restAhead
	}
	d := p.c.Wait
	switch a.lane {
	case event.Interactive:
		return d
	case event.Backfill:
		d /= 2
	default:
		d = d * 3 / 4
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !a.again && p.local(g.pace.Turns).After(p.c.Now().Add(d)) {
		return 0
	}
	return d
}

// token waits for one. An error, such as that the run is to wait, means that there is
// none; where the store does not answer there needs be none.
func (p *Pacer) token(ctx context.Context, x *pass, a asking) error {
	g, began := x.gate, p.c.Now()
	for {
		now := p.c.Now()
		slot, state := g.slot(now, p.ahead(g, a), a, p.c.Waiters)
		switch state {
		case slotThere:
			x.until = slot.Add(a.terms.late)
			p.metrics.tokenTaken(now.Sub(began))
			return nil
		case slotLater:
			err := p.await(ctx, g, slot.Sub(now))
			if err != nil {
				return err
			}
			if late := p.c.Now().Sub(slot); late <= a.terms.late {
				x.until = slot.Add(a.terms.late)
				p.metrics.tokenTaken(p.c.Now().Sub(began))
				return nil
			}
			continue // It is lost: this process was held up.
		case slotCrowded:
			return p.queue(ctx, x, a)
		}
		more, err := p.lease(ctx, x, a)
		switch {
		case err != nil && ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return nil //nolint:nilerr // What cannot be read is done without, and lease has said so.
		case !more:
			return p.queue(ctx, x, a)
		}
	}
}

func (p *Pacer) await(ctx context.Context, g *gate, d time.Duration) error {
	defer g.waited()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.c.After(d):
		return nil
	}
}

// The ways to find a token.
const (
	slotNone = iota
	slotThere
	slotLater
	slotCrowded
)

// slot finds a token among those that are leased. Who has to wait for one is counted.
func (g *gate) slot(now time.Time, ahead time.Duration, a asking, waiters int) (time.Time, int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	crowded := !a.rest && g.waiting+g.asking >= waiters
	if crowded {
		ahead = 0
	}
	slot, ok := g.bucket.take(now, ahead, a.terms)
	switch {
	case !ok && crowded:
		return slot, slotCrowded
	case !ok:
		return slot, slotNone
	case slot.After(now):
		g.waiting++
		return slot, slotLater
	default:
		return slot, slotThere
	}
}

func (g *gate) waited() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting--
}

// lease gets tokens of the store, one process's request at a time. It says whether it is
// worth looking again.
func (p *Pacer) lease(ctx context.Context, x *pass, a asking) (bool, error) {
	g := x.gate
	g.ask(1)
	defer g.ask(-1)
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case g.leasing <- struct{}{}:
	}
	defer func() { <-g.leasing }()
	ahead := p.ahead(g, a)
	want, lead, there := g.want(p.c.Now(), ahead)
	if there {
		return true, nil // Of what another has leased meanwhile.
	}
	bounded, cancel := p.within(ctx)
	defer cancel()
	asked := p.c.Now()
	taken, err := p.c.Store.TakeTokens(bounded, Ask{
		Tenant: g.Tenant, Connection: g.Connection, N: want, Interval: a.terms.interval, Burst: a.terms.burst, Lead: lead, Ahead: ahead,
	})
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Code == fault.CodeNotFound {
		return false, err // The request will find that out, too.
	}
	p.read(ctx, err)
	if err != nil {
		return false, err
	}
	p.metrics.leases.Inc()
	now := p.c.Now()
	p.theirs.Learn(taken.Pace.At, asked, now)
	g.learn(taken.Pace, now)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.bucket.put(now, lease{n: taken.N, first: p.local(taken.First), from: p.local(taken.Pace.At.Add(lead)), took: now.Sub(asked)})
	return taken.N > 0, nil
}

func (g *gate) ask(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asking += n
}

// want is how many tokens to lease and from when on, if there are none now.
func (g *gate) want(now time.Time, ahead time.Duration) (n int, lead time.Duration, there bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := g.bucket.slots; len(s) > 0 && s[0].Sub(now) <= ahead {
		return 0, 0, true
	}
	return g.bucket.want(g.asking), g.bucket.lead(ahead), false
}

// queue has the run end, and its execution come back when its turn is likely: a little
// before, so that there is always somebody who waits when a token is.
func (p *Pacer) queue(ctx context.Context, x *pass, a asking) error {
	bounded, cancel := p.within(ctx)
	defer cancel()
	g := x.gate
	turn, err := p.c.Store.GiveTurn(bounded, g.Tenant, g.Connection, a.terms.interval)
	p.read(ctx, err)
	p.metrics.held.WithLabelValues(execution.ReasonRateLimited).Inc()
	until := p.c.Now().Add(p.c.Wait + spread(p.c.Wait))
	if err == nil {
		g.turned(turn)
		until = p.local(turn).Add(-p.c.Wait / 4)
	}
	return p.suspended(x, execution.ReasonRateLimited, until)
}

// turned takes note of the last turn that is known to be given.
func (g *gate) turned(at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if at.After(g.pace.Turns) {
		g.pace.Turns = at
	}
}
