package worker

import (
	"context"
	"sync"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// entrance lets so many in at once for each tenant: who floods one tenant's addresses keeps
// others' deliveries from nothing. It is safe for concurrent use.
type entrance struct {
	most int

	mu  sync.Mutex
	all map[string]*door
}

// door is a tenant's; it is there while somebody is inside or waits.
type door struct {
	places chan struct{}
	users  int
}

func newEntrance(most int) *entrance { return &entrance{most: most, all: map[string]*door{}} }

// enter waits for a place until enough is over. The caller leaves.
func (e *entrance) enter(ctx context.Context, tenant string, enough <-chan time.Time) (leave func(), err error) {
	e.mu.Lock()
	d := e.all[tenant]
	if d == nil {
		d = &door{places: make(chan struct{}, e.most)}
		e.all[tenant] = d
	}
	d.users++
	e.mu.Unlock()
	select {
	case d.places <- struct{}{}:
		return func() { <-d.places; e.left(tenant, d) }, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-enough:
		err = fault.New(fault.RateLimited, "verify_busy", "%d deliveries of the tenant are being verified by plugins: deliver again", e.most)
	}
	e.left(tenant, d)
	return nil, err
}

func (e *entrance) left(tenant string, d *door) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if d.users--; d.users == 0 {
		delete(e.all, tenant)
	}
}
