package journal

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

const (
	// keyMargin is for what is sent just before its key is forgotten, and arrives
	// after: a call's 30 s, and clocks that differ.
	keyMargin = time.Minute
	// mostUsedKeys is how many keys outlive their entries: 1000 are some 150 KiB.
	mostUsedKeys = 1000
)

// Recognised says whether the other side would know the entry's effect by its key if
// it were sent again now, m being what the Func says of its Request now.
func (e *Entry) Recognised(m hostfns.Mark, now time.Time) bool {
	return e.Key != "" && m.Keyed && m.Account == e.Account && now.Sub(e.Asked) < m.TTL-keyMargin
}

// UsedKeys are the idempotency keys of these entries that the other side may have
// seen, after those that were used before. They are to be kept once the entries are
// not: the newest 1000.
func UsedKeys(entries []Entry, before []UsedKey) []UsedKey {
	used := slices.Clone(before)
	for i := range entries {
		e := &entries[i]
		known := slices.ContainsFunc(used, func(u UsedKey) bool { return u.Key == e.Key })
		if e.Key != "" && e.settled() && !known {
			used = append(used, UsedKey{Key: e.Key, Digest: e.Digest, Asked: e.Asked})
		}
	}
	return used[max(0, len(used)-mostUsedKeys):]
}

// mark records of the question that is being asked how it can be known again, and
// gives the crossing its key.
func (j *Journal) mark(ctx context.Context, request []byte) error {
	m, err := hostfns.MarkOf(ctx, request)
	if err != nil {
		return err
	}
	now := j.c.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	at := len(j.entries) - 1
	e := &j.entries[at]
	j.bytes -= e.Size()
	e.Account = m.Account
	if err := j.key(e, m, now); err != nil {
		e.Key, e.Account = "", ""
		if j.before != nil {
			e.Key, e.Account = j.before.Key, j.before.Account
		}
		j.bytes += e.Size()
		return err
	}
	j.bytes += e.Size()
	j.touch(at)
	hostfns.SetKey(ctx, e.Key)
	return nil
}

// key gives the last entry its key. What is sent again keeps the one it had.
func (j *Journal) key(e *Entry, m hostfns.Mark, now time.Time) error {
	if j.before != nil && j.before.Key != "" {
		e.Key = j.before.Key
		sent := Entry{Key: j.before.Key, Account: j.before.Account, Asked: j.before.Asked}
		if e.Effect == hostfns.Unsafe && !sent.Recognised(m, now) {
			return fmt.Errorf("send entry %d, %s, again: %w", e.Ordinal, e.Func, ErrForgotten)
		}
		return nil
	}
	if !m.Keyed {
		return nil
	}
	earlier := j.entries[:len(j.entries)-1]
	name := m.Name
	if name == "" {
		base, n := j.c.Execution+"/h-"+m.Same+"-", 1
		for i := range earlier {
			if strings.HasPrefix(earlier[i].Key, base) {
				n++
			}
		}
		name = fmt.Sprintf("h-%s-%d", m.Same, n)
	}
	e.Key = j.c.Execution + "/" + name
	if m.Name == "" {
		return nil // What it is made of is what the other side compares.
	}
	used := slices.ContainsFunc(earlier, func(o Entry) bool { return o.Key == e.Key && o.settled() && o.Digest != e.Digest }) ||
		slices.ContainsFunc(j.c.Keys, func(u UsedKey) bool { return u.Key == e.Key && u.Digest != e.Digest })
	if used {
		return hostfns.Errorf(hostfns.CodeInvalidRequest,
			"this execution has used the idempotency key %q with another request, which may have been done: give what differs another key", name)
	}
	return nil
}
