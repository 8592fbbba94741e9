package admission

import (
	"context"
	"sync"
	"time"
)

const (
	// recount is how soon a queue is counted again, if counting takes no time, and idle how
	// many times as long as it took: a long queue is counted less often.
	recount = time.Second
	idle    = 20
	// countFor bounds a count.
	countFor = 5 * time.Second
	// forget is how long after nothing came for it a queue is remembered.
	forget = time.Minute
)

// depths are how much is queued, as far as it is known here.
type depths struct {
	now func() time.Time

	mu    sync.Mutex
	byKey map[string]*depth
}

// depth is a queue's: what was counted, and what this process has queued since.
type depth struct {
	counted, since int
	// next is when it is counted again, and counting says that somebody does.
	next     time.Time
	counting bool
}

func newDepths(now func() time.Time) *depths { return &depths{now: now, byKey: map[string]*depth{}} }

// full says whether a queue has so many, and when that is looked at again. It counts, if
// it is time to; who comes meanwhile goes by what is known.
func (d *depths) full(ctx context.Context, key string, most int, count func(context.Context) (int, error)) (full bool, wait time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	k, ok := d.byKey[key]
	if !ok {
		if len(d.byKey) >= maxParties {
			clear(d.byKey) // Each is counted anew.
		}
		k = &depth{}
		d.byKey[key] = k
	}
	began := d.now()
	if !k.counting && !began.Before(k.next) {
		d.count(ctx, k, began, count)
	}
	return k.counted+k.since >= most, k.next.Sub(began)
}

// count is called with mu held, which it lets go while it counts. If that fails what is
// known stays: nothing can be stored either.
func (d *depths) count(ctx context.Context, k *depth, began time.Time, count func(context.Context) (int, error)) {
	k.counting = true
	before := k.since
	d.mu.Unlock()
	bounded, cancel := context.WithTimeout(ctx, countFor)
	n, err := count(bounded)
	cancel()
	ended := d.now()
	d.mu.Lock()
	k.counting = false
	k.next = ended.Add(max(recount, idle*ended.Sub(began)))
	if err == nil {
		k.counted, k.since = n, k.since-before
	}
}

// add says that one more is queued.
func (d *depths) add(key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if k, ok := d.byKey[key]; ok {
		k.since++
	}
}

// trim forgets the queues that nothing came for.
func (d *depths) trim() {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	for key, k := range d.byKey {
		if !k.counting && now.Sub(k.next) > forget {
			delete(d.byKey, key)
		}
	}
}
