package audit

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/cofferdam-run/cofferdam/host/ident"
)

const (
	// useTimeout bounds the write that several uses share.
	useTimeout = 15 * time.Second
	// noteEvery is how often what is only counted is written.
	noteEvery = time.Minute
	// maxNotes is how many different refusals one process writes each time, and the
	// rest as one of each kind: a stranger can make 50,000 entries a day in this way,
	// of 300 bytes each, and no more.
	maxNotes = 32
	// seenFor is how long a token is not written down again, and maxSeen how many are
	// remembered: of 40 bytes each.
	seenFor = 24 * time.Hour
	maxSeen = 50_000
)

// uses are entries that share a transaction: while one is under way, the next gathers.
type uses struct {
	mu   sync.Mutex
	next *shared
	// later is what goes with the next transaction, whichever it is.
	later []Entry
	// turn holds who writes.
	turn chan struct{}
}

// shared is a transaction to be.
type shared struct {
	// first is the place of an entry by what it says.
	first   map[Entry]int
	entries []Entry
	done    chan struct{}
	err     error
}

// Use adds an entry, and returns when that is durable. Entries of one transaction that
// say the same are one, with a count. What it leaves empty of when and which is filled in.
func (l *Log) Use(ctx context.Context, e Entry) error {
	s, leads := l.join(e)
	if leads {
		l.lead(ctx, s)
	}
	select {
	case <-s.done:
		return s.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// join adds an entry to the transaction that gathers. The first one leads it.
func (l *Log) join(e Entry) (s *shared, leads bool) {
	says := e
	says.ID, says.At, says.Count = "", time.Time{}, 0
	l.uses.mu.Lock()
	defer l.uses.mu.Unlock()
	if leads = l.uses.next == nil; leads {
		l.uses.next = &shared{first: map[Entry]int{}, done: make(chan struct{})}
	}
	s = l.uses.next
	if i, ok := s.first[says]; ok {
		s.entries[i].Count = max(s.entries[i].Count, 1) + max(e.Count, 1)
		return s, leads
	}
	s.first[says] = len(s.entries)
	s.entries = append(s.entries, l.stamped(e))
	return s, leads
}

// lead writes a transaction once that before it is over.
func (l *Log) lead(ctx context.Context, s *shared) {
	l.uses.turn <- struct{}{}
	defer func() { <-l.uses.turn }()
	l.uses.mu.Lock()
	l.uses.next = nil
	l.uses.mu.Unlock()
	// It is others' too, whose contexts go on.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), useTimeout)
	defer cancel()
	later := l.takeLater()
	s.err = l.c.Store.AddActs(ctx, slices.Concat(s.entries, later))
	if s.err != nil {
		l.Later(later...)
	}
	close(s.done)
}

// Later adds entries that go with the next transaction of others, or one of their own
// within [Config.Every]. They are lost if the process is killed before: they are for
// what only adds to what is durable, as how often a thing was done again.
func (l *Log) Later(es ...Entry) {
	l.uses.mu.Lock()
	defer l.uses.mu.Unlock()
	for _, e := range es {
		l.uses.later = append(l.uses.later, l.stamped(e))
	}
}

// takeLater takes a batch of what waits.
func (l *Log) takeLater() []Entry {
	l.uses.mu.Lock()
	defer l.uses.mu.Unlock()
	n := min(len(l.uses.later), batch)
	taken := l.uses.later[:n:n]
	if l.uses.later = l.uses.later[n:]; len(l.uses.later) == 0 {
		l.uses.later = nil
	}
	return taken
}

// flushLater writes what nobody else's transaction has taken.
func (l *Log) flushLater(ctx context.Context) error {
	for {
		es := l.takeLater()
		if len(es) == 0 {
			return nil
		}
		if err := l.c.Store.AddActs(ctx, es); err != nil {
			l.Later(es...)
			return fmt.Errorf("write what was counted: %w", err)
		}
	}
}

// stamped fills in when and which.
func (l *Log) stamped(e Entry) Entry {
	if e.At.IsZero() {
		e.At = l.c.Now()
	}
	if e.ID == "" {
		e.ID = ident.New(Prefix, e.At)
	}
	return e
}

// notes are what is counted, and written every now and then.
type notes struct {
	mu      sync.Mutex
	counted map[Entry]Entry
	refused int
	seen    map[string]time.Time
}

// Note counts an entry that whoever likes can cause, such as a refusal. Once a minute
// one is written for all that say the same, with the time and request of the first. Of
// an IPv6 address the network counts, and where too many say different things, only
// what was refused.
func (l *Log) Note(e Entry) {
	e = l.stamped(e)
	e.From = network(e.From)
	l.notes.mu.Lock()
	defer l.notes.mu.Unlock()
	says := kind(e)
	first, ok := l.notes.counted[says]
	if !ok && e.Result != Done {
		if l.notes.refused >= maxNotes {
			e = Entry{ID: e.ID, At: e.At, Who: "many", Action: e.Action, Result: e.Result, Code: e.Code, Count: e.Count}
			says = kind(e)
			first, ok = l.notes.counted[says]
		} else {
			l.notes.refused++
		}
	}
	if !ok {
		first = e
	} else {
		first.Count = max(first.Count, 1) + max(e.Count, 1)
	}
	l.notes.counted[says] = first
}

// kind is what notes must say alike to be counted as one.
func kind(e Entry) Entry {
	e.ID, e.At, e.Request, e.Count = "", time.Time{}, "", 0
	return e
}

// Seen notes that a token was used, once a day.
func (l *Log) Seen(token, tenant, from string) {
	now := l.c.Now()
	l.notes.mu.Lock()
	last, ok := l.notes.seen[token]
	fresh := ok && now.Sub(last) < seenFor
	if !fresh {
		if len(l.notes.seen) >= maxSeen {
			clear(l.notes.seen)
		}
		l.notes.seen[token] = now
	}
	l.notes.mu.Unlock()
	if !fresh {
		l.Note(Entry{Who: token, From: from, Tenant: tenant, Action: "token.use", Object: token, Result: Done})
	}
}

// flush writes what was counted. What could not be written is kept.
func (l *Log) flush(ctx context.Context) error {
	l.notes.mu.Lock()
	counted := l.notes.counted
	l.notes.counted, l.notes.refused = map[Entry]Entry{}, 0
	l.notes.mu.Unlock()
	if len(counted) == 0 {
		return nil
	}
	entries := make([]Entry, 0, len(counted))
	for _, e := range counted {
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b Entry) int { return a.At.Compare(b.At) })
	err := l.c.Store.AddActs(ctx, entries)
	if err != nil {
		for _, e := range entries {
			l.Note(e)
		}
	}
	return err
}

// network is an address, or of an IPv6 one the network that one customer has.
func network(from string) string {
	addr, err := netip.ParseAddr(from)
	if err != nil || addr.Unmap().Is4() {
		return from
	}
	p, err := addr.WithZone("").Prefix(64)
	if err != nil {
		return from
	}
	return p.String()
}
