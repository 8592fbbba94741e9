package authorization

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// want is why an authorization is looked at.
type want struct {
	// refused is the id of a token that the API refuses, which has to go.
	refused string
	// due says that nobody waits: what is due is done, whether it has ended or not.
	due bool
}

// leases is how long a flight takes at most: one for who died with it, one for the
// refresh, and one for its second try.
const leases = 3

// fly has an authorization refreshed if it has to be, by one flight of this process at a
// time: who comes later waits for the same one. It goes on whoever leaves.
func (a *Authorizations) fly(ctx context.Context, k key, w want) <-chan singleflight.Result {
	return a.flights.DoChan(k.String(), func() (any, error) {
		return a.guarded(ctx, func(ctx context.Context) (*entry, error) {
			ctx, cancel := context.WithTimeout(ctx, leases*a.c.Lease)
			defer cancel()
			return a.renew(ctx, k, w)
		})
	})
}

// wait flies, and waits for it as long as ctx lets it.
func (a *Authorizations) wait(ctx context.Context, k key, w want) (*entry, error) {
	return a.landed(ctx, a.fly(ctx, k, w))
}

func (*Authorizations) landed(ctx context.Context, flight <-chan singleflight.Result) (*entry, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case r := <-flight:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*entry), nil // Flights bring nothing else.
	}
}

// guarded runs what is shared by those who wait for it: with the context of none of
// them, and so that its panic is an error of theirs.
func (a *Authorizations) guarded(ctx context.Context, do func(ctx context.Context) (*entry, error)) (e *entry, err error) {
	leave := a.crew.enter()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("look after an authorization: it panicked: %v\n%s", p, debug.Stack())
		}
		leave()
	}()
	return do(detach(ctx))
}

// detached is a context that never ends and knows nothing of who has asked: what is done
// in it is everybody's, and no act of the one who came first.
type detached struct{ context.Context } //nolint:containedctx // It is one.

func detach(ctx context.Context) context.Context { return detached{context.WithoutCancel(ctx)} }

// Value implements context.Context.
func (detached) Value(any) any { return nil }

// crew counts those who are at work, so that a process can wait for them.
type crew struct {
	mu   sync.Mutex
	busy int
	// idle is closed once nobody is.
	idle chan struct{}
}

func (c *crew) enter() (leave func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy++; c.busy == 1 {
		c.idle = make(chan struct{})
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.busy--; c.busy == 0 {
			close(c.idle)
		}
	}
}

// wait waits until nobody is at work.
func (c *crew) wait() {
	for {
		c.mu.Lock()
		busy, idle := c.busy, c.idle
		c.mu.Unlock()
		if busy == 0 {
			return
		}
		<-idle
	}
}

// pause waits, unless ctx ends.
func (a *Authorizations) pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-a.c.After(d):
		return nil
	}
}
