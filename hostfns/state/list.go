package state

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

const (
	defaultList = 100
	maxList     = 1000
	// page is how many entries are read at a time: 32 values of 256 KiB are 8
	// MiB, the most that one list holds above its answer.
	page = 32
)

type listResult struct {
	Entries []listEntry `json:"entries"`
	More    bool        `json:"more"`
}

type listEntry struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
}

// list merges two sorted sequences, what is stored and what the run has
// written. The run depends on the entries that it was shown; a key that is
// added to the range later is not noticed.
func (s *Session) list(ctx context.Context, r listRequest) (any, error) {
	limit := defaultList
	if r.Limit != nil {
		limit = *r.Limit
	}
	if limit < 1 || limit > maxList {
		return nil, hostfns.Errorf(hostfns.CodeInvalidRequest, "\"limit\" must be from 1 to %d: take the rest with \"after\"", maxList)
	}
	if err := s.checkKey("prefix", r.Prefix); err != nil {
		return nil, err
	}
	if err := s.checkKey("after", r.After); err != nil {
		return nil, err
	}
	m := merge{session: s, prefix: r.Prefix, after: r.After, own: s.writtenAfter(r.Prefix, r.After)}
	result := listResult{Entries: []listEntry{}}
	for size := 0; ; {
		e, err := m.next(ctx)
		if err != nil || e == nil {
			return result, err
		}
		size += len(e.view.Key) + len(e.view.Value)
		if len(result.Entries) == limit || len(result.Entries) > 0 && size > s.limits.ListBytes {
			result.More = true
			return result, nil
		}
		if err := e.keep(s); err != nil {
			return nil, err
		}
		result.Entries = append(result.Entries, e.view)
	}
}

// writtenAfter gives the run's own keys in a range, sorted.
func (s *Session) writtenAfter(prefix, after string) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(s.writes)), func(key string) bool {
		return !strings.HasPrefix(key, prefix) || key <= after
	})
}

// merge walks over a range in key order.
type merge struct {
	session *Session
	prefix  string
	// after is the last key that was read from the store.
	after  string
	stored []Entry
	end    bool
	own    []string
}

// merged is an entry as the run sees it, and what it came from, if the store
// has a part in it.
type merged struct {
	view   listEntry
	stored *Entry
}

// keep remembers the version of an entry that is shown.
func (e *merged) keep(s *Session) error {
	if e.stored == nil {
		return nil
	}
	return s.remember(*e.stored)
}

// next gives the next entry that the run can see, or nil at the end.
func (m *merge) next(ctx context.Context) (*merged, error) {
	for {
		if err := m.fill(ctx); err != nil {
			return nil, err
		}
		if len(m.stored) == 0 && len(m.own) == 0 {
			return nil, nil
		}
		stored, w, written := m.pop()
		v, err := overlay(stored, w, written)
		if err != nil {
			return nil, err
		}
		if !v.found {
			continue
		}
		e := &merged{view: listEntry{Key: stored.Key, Value: v.value}}
		if !written || w.isDelta() {
			e.stored = &stored
		}
		return e, nil
	}
}

// pop takes the smallest key off both sequences.
func (m *merge) pop() (stored Entry, w Write, written bool) {
	fromStore := len(m.stored) > 0 && (len(m.own) == 0 || m.stored[0].Key <= m.own[0])
	fromRun := len(m.own) > 0 && (len(m.stored) == 0 || m.own[0] <= m.stored[0].Key)
	if fromStore {
		stored = m.stored[0]
		m.stored = m.stored[1:]
	}
	if fromRun {
		stored.Key = m.own[0]
		w, written = m.session.writes[m.own[0]]
		m.own = m.own[1:]
	}
	return stored, w, written
}

// fill reads the next page once the last is used up.
func (m *merge) fill(ctx context.Context) error {
	if m.end || len(m.stored) > 0 {
		return nil
	}
	entries, err := m.session.reader.List(ctx, m.prefix, m.after, page)
	if err != nil {
		return fmt.Errorf("list state: %w", err)
	}
	if len(entries) < page {
		m.end = true
	}
	if len(entries) > 0 {
		m.after = entries[len(entries)-1].Key
	}
	m.stored = entries
	return nil
}
