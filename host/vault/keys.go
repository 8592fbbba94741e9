package vault

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// idle is how long a keyset is held that nobody uses: what is not in memory cannot
// be read out of it.
const idle = 10 * time.Minute

// keys holds the unwrapped keysets of the tenants that were used last.
type keys struct {
	max int

	mu       sync.Mutex
	byTenant map[string]*list.Element
	// used is in order of use, the latest in front.
	used *list.List
}

type held struct {
	tenant string
	ring   *ring
	// checked is when it was the same as what is stored, used when it was asked for
	// last. Checking says that somebody compares it now.
	checked, used time.Time
	checking      bool
}

func newKeys(limit int) *keys {
	return &keys{max: limit, byTenant: map[string]*list.Element{}, used: list.New()}
}

// get returns nil if the tenant's keyset is not held. Due says that it is time to
// compare it with what is stored: to one caller after half of fresh, to all after it.
func (k *keys) get(tenant string, now time.Time, fresh time.Duration) (r *ring, due bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e, ok := k.byTenant[tenant]
	if !ok {
		return nil, true
	}
	k.used.MoveToFront(e)
	h := e.Value.(*held) // Only put fills the list.
	h.used = now
	age := now.Sub(h.checked)
	if age >= fresh || age < 0 {
		return h.ring, true
	}
	if age < fresh/2 || h.checking {
		return h.ring, false
	}
	h.checking = true
	return h.ring, true
}

// peek returns the keyset that is held, or nil, and when it was compared last.
func (k *keys) peek(tenant string) (*ring, time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e, ok := k.byTenant[tenant]; ok {
		h := e.Value.(*held) // Only put fills the list.
		return h.ring, h.checked
	}
	return nil, time.Time{}
}

// put holds a keyset that was stored at a time. An older one never takes the place of
// a newer one.
func (k *keys) put(tenant string, r *ring, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e, ok := k.byTenant[tenant]; ok {
		h := e.Value.(*held) // Only put fills the list.
		h.checking = false
		if r.generation >= h.ring.generation {
			h.ring, h.checked = r, now
		}
		return
	}
	k.byTenant[tenant] = k.used.PushFront(&held{tenant: tenant, ring: r, checked: now, used: now})
	for e := k.used.Back(); e != nil; e = k.used.Back() {
		oldest := e.Value.(*held) // As above.
		if k.used.Len() <= k.max && now.Sub(oldest.used) < idle {
			return
		}
		k.used.Remove(e)
		delete(k.byTenant, oldest.tenant)
	}
}

// unchecked says that nobody compares the tenant's keyset any more.
func (k *keys) unchecked(tenant string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e, ok := k.byTenant[tenant]; ok {
		e.Value.(*held).checking = false // Only put fills the list.
	}
}

func (k *keys) drop(tenant string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e, ok := k.byTenant[tenant]; ok {
		k.used.Remove(e)
		delete(k.byTenant, tenant)
	}
}

// turnstile lets one at a time through for each tenant: a thousand executions that
// begin together unwrap one keyset once.
type turnstile struct {
	mu   sync.Mutex
	busy map[string]chan struct{}
}

// enter waits for its turn. The caller calls leave, unless there is an error, which
// is ctx's.
func (t *turnstile) enter(ctx context.Context, tenant string) (leave func(), err error) {
	for {
		t.mu.Lock()
		before, busy := t.busy[tenant]
		if !busy {
			mine := make(chan struct{})
			t.busy[tenant] = mine
			t.mu.Unlock()
			return func() {
				t.mu.Lock()
				defer t.mu.Unlock()
				delete(t.busy, tenant)
				close(mine)
			}, nil
		}
		t.mu.Unlock()
		select {
		case <-before:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
