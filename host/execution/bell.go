package execution

import "sync"

// Bell tells listeners in this process that something of a tenant has changed.
// The zero value works. It is safe for concurrent use.
type Bell struct {
	mu        sync.Mutex
	listeners map[string]map[chan struct{}]struct{}
}

// Ring wakes the tenant's listeners. It never blocks.
func (b *Bell) Ring(tenant string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for rung := range b.listeners[tenant] {
		select {
		case rung <- struct{}{}:
		default: // It has one to receive already.
		}
	}
}

// Listen returns a channel that receives after each Ring, merging those that
// were not received yet, and a function that stops it.
func (b *Bell) Listen(tenant string) (rung <-chan struct{}, stop func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.listeners == nil {
		b.listeners = map[string]map[chan struct{}]struct{}{}
	}
	if b.listeners[tenant] == nil {
		b.listeners[tenant] = map[chan struct{}]struct{}{}
	}
	c := make(chan struct{}, 1)
	b.listeners[tenant][c] = struct{}{}
	return c, func() { b.forget(tenant, c) }
}

func (b *Bell) forget(tenant string, c chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.listeners[tenant], c)
	if len(b.listeners[tenant]) == 0 {
		delete(b.listeners, tenant)
	}
}
