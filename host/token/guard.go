package token

import (
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

const (
	// An address may present 20 wrong tokens at once, and one more every 3 s: more than
	// a program with an old token, restarted again and again, and less than is worth
	// trying, or than is felt by a database.
	perAddress, addressRefill = 20, 3 * time.Second
	// A token's beginning may be wrong 100 times from everywhere, and once more a second.
	perPrefix, prefixRefill = 100, time.Second
	// prefixLength is cfd_ and 6 characters of chance: few others share them.
	prefixLength = 10
	// guardMost bounds what is remembered of addresses, of beginnings and of tokens that
	// were right: about 1 MiB each.
	guardMost = 16384
)

// guard holds up those who present wrong tokens again and again. It never says whether
// a token is right, and a token that was right lately is not held up, whoever else is
// behind the same address.
type guard struct {
	mu        sync.Mutex
	addresses buckets
	prefixes  buckets
	known     map[[32]byte]struct{}
}

func newGuard() *guard {
	return &guard{
		addresses: buckets{m: map[string]time.Time{}, burst: perAddress, refill: addressRefill},
		prefixes:  buckets{m: map[string]time.Time{}, burst: perPrefix, refill: prefixRefill},
		known:     map[[32]byte]struct{}{},
	}
}

// wait returns how long a secret has to wait until it is looked at.
func (g *guard) wait(p Presented, sum [32]byte, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.known[sum]; ok {
		return 0
	}
	return max(g.prefixes.wait(beginning(p.Secret), now), g.addresses.wait(network(p.From), now))
}

// failed notes that a secret opens nothing.
func (g *guard) failed(p Presented, sum [32]byte, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.known, sum)
	g.prefixes.take(beginning(p.Secret), now)
	g.addresses.take(network(p.From), now)
}

// right notes that a secret opens.
func (g *guard) right(sum [32]byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.known) >= guardMost {
		clear(g.known)
	}
	g.known[sum] = struct{}{}
}

// buckets are token buckets: each is the time at which it is full again, so that one
// that is full need not be there.
type buckets struct {
	m      map[string]time.Time
	burst  int
	refill time.Duration
}

// wait returns how long it is until the bucket has something in it.
func (b *buckets) wait(key string, now time.Time) time.Duration {
	return max(0, b.m[key].Add(-time.Duration(b.burst-1)*b.refill).Sub(now))
}

func (b *buckets) take(key string, now time.Time) {
	if key == "" {
		return
	}
	full, ok := b.m[key]
	if !ok && len(b.m) >= guardMost {
		b.sweep(now)
	}
	if full.Before(now) {
		full = now
	}
	b.m[key] = full.Add(b.refill)
}

// sweep makes room: those that are full go, and if that is not enough all do. Whoever
// has so many addresses is not stopped by counting them.
func (b *buckets) sweep(now time.Time) {
	for key, full := range b.m {
		if !full.After(now) {
			delete(b.m, key)
		}
	}
	if len(b.m) >= guardMost {
		clear(b.m)
	}
}

// beginning is what is counted of a secret, or empty for what is no token of ours: all
// logins begin alike.
func beginning(secret string) string {
	if len(secret) < prefixLength || !strings.HasPrefix(secret, prefix) && !strings.HasPrefix(secret, signedPrefix) {
		return ""
	}
	return secret[:prefixLength]
}

// network is what one customer of a provider has: an IPv4 address, or 64 bits of an
// IPv6 one. What is no address is itself.
func network(from string) string {
	addr, err := netip.ParseAddr(from)
	if err != nil {
		ap, err := netip.ParseAddrPort(from)
		if err != nil {
			return from
		}
		addr = ap.Addr()
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	p, _ := addr.Prefix(64) // 64 fits every IPv6 address.
	return p.String()
}

// held says that somebody has to wait. It is the same whatever was presented.
func held(wait time.Duration) *fault.Error {
	f := fault.New(fault.RateLimited, "too_many_attempts", "too many tokens that open nothing were presented; this one was not looked at").
		WithHint("wait for as long as Retry-After says, and check which token is sent")
	f.RetryAfter = wait
	return f
}
