// Package admission says no to deliveries before anything of them is stored: where more
// come than a tenant or an endpoint may have, where more is queued than should be, and
// where this process has its hands full.
//
//	gate := admission.New(admission.Config{Queue: store, Now: time.Now})
//	err := gate.Look(ctx, guest)                 // before the body is read
//	room, err := gate.Room(r.ContentLength)      // and while it is: room.Reader(r.Body)
//	err = gate.Enter(ctx, guest)                 // once its signature is good
//	gate.Leave(guest, queued)                    // once it is stored, or was not
//
// Each no is a fault with a RetryAfter: Class RateLimited for a rate, Platform with
// CodeQueueFull or CodeOverloaded for the rest.
//
// Look takes nothing from a bucket: who knows an endpoint's address and has not its secret
// cannot use up what the vendor may send.
//
// What this process holds is bounded exactly. A rate is divided by the processes that run
// executions, so that all of them together keep it if deliveries are spread over them. A
// queue's depth is counted once a second at most, and by no more than a twentieth of the time; in
// between, what this process has queued is added. What others have queued meanwhile it
// does not see, so that a cap on a queue may be exceeded by what they take in that time.
package admission

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

const (
	codeEndpointRate = "endpoint_rate_exceeded"
	codeTenantRate   = "tenant_rate_exceeded"
	// busyFor and fullFor are when it is worth to come again: a process that is busy has
	// time within a second, and a queue gets shorter more slowly.
	busyFor = time.Second
	fullFor = 5 * time.Second
)

// Bounds are what a process takes at once.
type Bounds struct {
	// Deliveries is how many are verified and stored at once. At 5,000 a second, 1024 wait
	// a fifth of a second. Defaults to 1024.
	Deliveries int
	// Bytes is how much of bodies is held at once. A body is held about four times while it
	// is sealed and written. Defaults to 32 MiB, which is more than the largest body.
	Bytes int64
}

func (b Bounds) withDefaults() Bounds {
	if b.Deliveries <= 0 {
		b.Deliveries = 1024
	}
	if b.Bytes <= 0 {
		b.Bytes = 32 << 20
	}
	return b
}

// Limits are what may come for somebody. A zero is no limit.
type Limits struct {
	// Rate is how many a second, and Burst how many at once: 0 is ten seconds' worth.
	Rate, Burst int
	// Queued is how many executions may be due or parked.
	Queued int
}

// Guest is where a delivery goes.
type Guest struct {
	Tenant, Endpoint string
	// Installation and Webhook are what the endpoint's executions are of.
	Installation, Webhook string
	// OfTenant and OfEndpoint are the limits.
	OfTenant, OfEndpoint Limits
}

// Queue knows what all processes of a database have.
type Queue interface {
	// Queued counts the executions of a tenant that are due or parked, up to most: all, or
	// those of a webhook of an installation.
	Queued(ctx context.Context, tenant, installation, webhook string, most int) (int, error)
	// Workers counts the processes that run executions.
	Workers(ctx context.Context) (int, error)
}

// Config configures a Gate.
type Config struct {
	Bounds
	// Queue defaults to one that is always empty.
	Queue Queue
	Now   func() time.Time
}

// Gate lets deliveries in. It is safe for concurrent use.
type Gate struct {
	c       Config
	inside  atomic.Int64
	held    atomic.Int64
	buckets *buckets
	depths  *depths
}

// New returns a Gate.
func New(c Config) *Gate {
	c.Bounds = c.withDefaults()
	if c.Queue == nil {
		c.Queue = empty{}
	}
	return &Gate{c: c, buckets: newBuckets(c.Queue, c.Now), depths: newDepths(c.Now)}
}

// Look says whether a delivery would be let in now.
func (g *Gate) Look(ctx context.Context, to Guest) error {
	if g.inside.Load() >= int64(g.c.Deliveries) {
		return g.busy()
	}
	if to.OfEndpoint.Rate > 0 || to.OfTenant.Rate > 0 {
		if err := g.rated(ctx, to, (*bucket).look); err != nil {
			return err
		}
	}
	return g.queued(ctx, to)
}

// Enter lets a delivery in, or says why not. Who was let in leaves.
func (g *Gate) Enter(ctx context.Context, to Guest) error {
	if g.inside.Add(1) > int64(g.c.Deliveries) {
		g.inside.Add(-1)
		return g.busy()
	}
	if to.OfEndpoint.Rate == 0 && to.OfTenant.Rate == 0 {
		return nil
	}
	err := g.rated(ctx, to, (*bucket).look) // Of two buckets none is taken from in vain.
	if err == nil {
		err = g.rated(ctx, to, (*bucket).take)
	}
	if err != nil {
		g.inside.Add(-1)
	}
	return err
}

// Leave ends what Enter began. Queued says that an execution was.
func (g *Gate) Leave(to Guest, queued bool) {
	g.inside.Add(-1)
	if queued {
		g.depths.add(tenantKey(to))
		if to.OfEndpoint.Queued > 0 {
			g.depths.add(webhookKey(to))
		}
	}
}

// Trim forgets whom nothing came for. It is to be called now and then.
func (g *Gate) Trim() {
	g.buckets.trim()
	g.depths.trim()
}

// rated asks both buckets, the endpoint's first.
func (g *Gate) rated(ctx context.Context, to Guest, ask func(b *bucket, now time.Time) time.Duration) error {
	for _, of := range []struct {
		id, code, whose string
		l               Limits
	}{{to.Endpoint, codeEndpointRate, "endpoint", to.OfEndpoint}, {to.Tenant, codeTenantRate, "tenant", to.OfTenant}} {
		if of.l.Rate == 0 {
			continue
		}
		if wait := ask(g.buckets.of(ctx, of.id, of.l), g.c.Now()); wait > 0 {
			f := fault.New(fault.RateLimited, of.code, "more deliveries came than the %s takes, which is %d a second", of.whose, of.l.Rate).
				WithHint("Nothing was stored: deliver again after the time that Retry-After says.")
			f.RetryAfter = max(wait, busyFor)
			return f
		}
	}
	return nil
}

// queued says whether too much is, of the tenant or of the endpoint's webhook.
func (g *Gate) queued(ctx context.Context, to Guest) error {
	for _, of := range []struct {
		key, installation, webhook, whose string
		most                              int
	}{
		{tenantKey(to), "", "", "tenant", to.OfTenant.Queued},
		{webhookKey(to), to.Installation, to.Webhook, "endpoint's webhook", to.OfEndpoint.Queued},
	} {
		if of.most == 0 {
			continue
		}
		full, wait := g.depths.full(ctx, of.key, of.most, func(ctx context.Context) (int, error) {
			return g.c.Queue.Queued(ctx, to.Tenant, of.installation, of.webhook, of.most+1)
		})
		if full {
			f := fault.New(fault.Platform, fault.CodeQueueFull, "of the %s %d executions are queued, which is the most", of.whose, of.most).
				WithHint("Nothing was stored: deliver again after the time that Retry-After says.")
			f.RetryAfter = max(wait, fullFor)
			return f
		}
	}
	return nil
}

func (g *Gate) busy() error {
	f := fault.New(fault.Platform, fault.CodeOverloaded, "the server has its hands full").
		WithHint("Nothing was stored: deliver again after the time that Retry-After says.")
	f.RetryAfter = busyFor
	return f
}

func tenantKey(to Guest) string { return to.Tenant }

func webhookKey(to Guest) string { return to.Tenant + " " + to.Installation + " " + to.Webhook }

// empty is a queue of nobody's.
type empty struct{}

// Queued implements Queue.
func (empty) Queued(context.Context, string, string, string, int) (int, error) { return 0, nil }

// Workers implements Queue.
func (empty) Workers(context.Context) (int, error) { return 1, nil }
