package admission

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// burstSeconds is how many seconds' worth may come at once where no burst is said.
	burstSeconds = 10
	// shareEvery is how often the processes are counted that share a rate.
	shareEvery = 5 * time.Second
	// maxParties bounds the buckets and the depths that are remembered: those of about 200
	// bytes each.
	maxParties = 65_536
)

// buckets are those of endpoints and tenants that have a rate.
type buckets struct {
	queue Queue
	now   func() time.Time

	mu   sync.Mutex
	byID map[string]*bucket
	// share is how many processes share a rate, and counted when that was looked at.
	share   int
	counted time.Time
}

// bucket is this process's share of a rate.
type bucket struct {
	tokens *rate.Limiter
	limits Limits
	share  int
}

func newBuckets(q Queue, now func() time.Time) *buckets {
	return &buckets{queue: q, now: now, byID: map[string]*bucket{}, share: 1}
}

// of returns the bucket of an endpoint or a tenant, as its limits are now.
func (b *buckets) of(ctx context.Context, id string, l Limits) *bucket {
	b.count(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	perSecond, burst := shared(l, b.share)
	k, ok := b.byID[id]
	if !ok {
		if len(b.byID) >= maxParties {
			clear(b.byID) // Each begins anew: with a burst, and no more.
		}
		k = &bucket{tokens: rate.NewLimiter(perSecond, burst), limits: l, share: b.share}
		b.byID[id] = k
	}
	if k.limits != l || k.share != b.share {
		k.tokens.SetLimitAt(now, perSecond)
		k.tokens.SetBurstAt(now, burst)
		k.limits, k.share = l, b.share
	}
	return k
}

// count looks how many processes there are, if it is time to. Who comes meanwhile goes by
// what was counted before.
func (b *buckets) count(ctx context.Context) {
	b.mu.Lock()
	now := b.now()
	due := now.Sub(b.counted) >= shareEvery
	if due {
		b.counted = now
	}
	b.mu.Unlock()
	if !due {
		return
	}
	n, err := b.queue.Workers(ctx)
	if err != nil {
		return // Nothing can be stored either.
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.share = max(n, 1)
}

// trim forgets the buckets that are full: a new one is, too.
func (b *buckets) trim() {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	for id, k := range b.byID {
		if k.tokens.TokensAt(now) >= float64(k.tokens.Burst()) {
			delete(b.byID, id)
		}
	}
}

// shared is one of n processes' share: of a burst at least one delivery.
func shared(l Limits, n int) (rate.Limit, int) {
	burst := l.Burst
	if burst == 0 {
		burst = burstSeconds * l.Rate
	}
	return rate.Limit(float64(l.Rate) / float64(n)), max(burst/n, 1)
}

// look says how long it is until one may come, or 0.
func (k *bucket) look(now time.Time) time.Duration {
	missing := 1 - k.tokens.TokensAt(now)
	if missing <= 0 {
		return 0
	}
	return max(time.Duration(missing/float64(k.tokens.Limit())*float64(time.Second)), 1)
}

// take takes one, or says how long it is until one may come.
func (k *bucket) take(now time.Time) time.Duration {
	if k.tokens.AllowN(now, 1) {
		return 0
	}
	return max(k.look(now), 1)
}
