package authorization

import (
	"hash/maphash"
	"math"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// key names an authorization. Its connection alone would do; the tenant is there so that
// nobody gets another's by its name.
type key struct{ tenant, connection string }

func (k key) String() string { return k.tenant + "/" + k.connection }

// entry is a token in memory. Times are in microseconds since 1970.
type entry struct {
	access     Access
	row        Row
	soft, hard int64
	// forced says that it came because the API refused the one before.
	forced bool
	// final says that nothing can be had after it.
	final bool
	// checked is when its version was last seen stored.
	checked atomic.Int64
	// quiet is until when nobody who can do without has it refreshed.
	quiet atomic.Int64
	// worked says that the store knows that it has worked.
	worked atomic.Bool
}

// shards is how many parts the memory has, each with a lock of its own.
const shards = 64

// warm are the tokens in memory that were used last.
type warm struct {
	seed  maphash.Seed
	parts [shards]*lru.Cache[key, *entry]
}

func newWarm(most int) (*warm, error) {
	w := &warm{seed: maphash.MakeSeed()}
	for i := range w.parts {
		part, err := lru.New[key, *entry](max(1, most/shards))
		if err != nil {
			return nil, err
		}
		w.parts[i] = part
	}
	return w, nil
}

func (w *warm) part(k key) *lru.Cache[key, *entry] {
	return w.parts[maphash.String(w.seed, k.connection)%shards]
}

func (w *warm) get(k key) *entry {
	e, _ := w.part(k).Get(k)
	return e
}

func (w *warm) put(k key, e *entry) { w.part(k).Add(k, e) }

func (w *warm) drop(k key) { w.part(k).Remove(k) }

// forget drops all of a tenant's.
func (w *warm) forget(tenant string) {
	for _, part := range w.parts {
		for _, k := range part.Keys() {
			if k.tenant == tenant {
				part.Remove(k)
			}
		}
	}
}

// hold takes a token into memory, as it is stored.
func (a *Authorizations) hold(r Row, k kept, by Registered) *entry {
	now := a.c.Now()
	w := k.window(by, r.WorkedAt, now)
	e := &entry{
		access: Access{Token: k.Token.Access, Use: by.Provider.Token, Hosts: by.Provider.Hosts, ID: idOf(k.Token.Access)},
		row:    r, soft: micros(w.soft), hard: micros(w.hard), forced: k.Forced, final: !k.renewable(by),
	}
	e.row.Sealed = nil
	switch {
	case k.Unfinished:
		e.soft, e.hard = 0, 0 // Not to be used as it is.
	case w.soft.IsZero():
		e.soft = e.hard // There is nothing to refresh it with.
	}
	e.checked.Store(now.UnixMicro())
	e.worked.Store(!r.WorkedAt.Before(r.ObtainedAt) && (r.Failures == 0 || !e.final))
	if r.Failures > 0 && r.DueAt.After(now) {
		e.quiet.Store(r.DueAt.UnixMicro())
	}
	a.warm.put(key{r.Tenant, r.Connection}, e)
	return e
}

// micros is a time, or the end of all times for the one that nobody knows.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return math.MaxInt64
	}
	return t.UnixMicro()
}
