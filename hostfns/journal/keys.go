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
		if e.Key == "" || !e.settled() {
			continue
		}
		at := slices.IndexFunc(used, func(u UsedKey) bool { return u.Key == e.Key })
		switch {
		case at < 0:
			used = append(used, UsedKey{Key: e.Key, Digest: e.Digest, Account: e.Account, Asked: e.Asked})
		case e.Asked.After(used[at].Asked): // It was forgotten, and has been used anew.
			used[at].Account, used[at].Asked = e.Account, e.Asked
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
		return j.reuse(e, m, now) // What it is made of is what the other side compares.
	}
	used := slices.ContainsFunc(earlier, func(o Entry) bool { return o.Key == e.Key && o.settled() && o.Digest != e.Digest }) ||
		slices.ContainsFunc(j.c.Keys, func(u UsedKey) bool { return u.Key == e.Key && u.Digest != e.Digest })
	if used {
		return hostfns.Errorf(hostfns.CodeInvalidRequest,
			"this execution has used the idempotency key %q with another request, which may have been done: give what differs another key", name)
	}
	return j.reuse(e, m, now)
}

// reuse has a key that was sent before, by an entry that was dropped, live from then
// on. What the other side may have forgotten is not made again by it: that entry is as
// undecided as if it were there still.
func (j *Journal) reuse(e *Entry, m hostfns.Mark, now time.Time) error {
	i := slices.IndexFunc(j.c.Keys, func(u UsedKey) bool { return u.Key == e.Key && !u.Asked.IsZero() })
	if i < 0 || e.Effect != hostfns.Unsafe || j.before != nil {
		return nil // It is new, or it was decided that it is made again.
	}
	first := Entry{Effect: e.Effect, Key: e.Key, Account: j.c.Keys[i].Account, Asked: j.c.Keys[i].Asked}
	switch {
	case first.Recognised(m, now):
		e.Asked = first.Asked
		return nil
	case j.c.Forced:
		return nil
	default:
		j.before = &first
		return fmt.Errorf("make entry %d, %s, from the start again: %w", e.Ordinal, e.Func, ErrForgotten)
	}
}
