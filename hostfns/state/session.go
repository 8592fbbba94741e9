package state

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

// Limits bound what one run may do to the state.
type Limits struct {
	// Keys that a run may write. Defaults to 1000.
	Keys int
	// ReadKeys that a run may depend on: each is checked in the transaction of
	// its success. Defaults to 10,000.
	ReadKeys int
	// KeyBytes of a key in UTF-8. Defaults to 512.
	KeyBytes int
	// ValueBytes of a value as compact JSON. Defaults to 256 KiB.
	ValueBytes int
	// WriteBytes of all values that a run holds until it succeeds. Defaults to
	// 16 MiB.
	WriteBytes int
	// ListBytes of the keys and values in one answer of state_list, which ends
	// there with "more". Defaults to 1 MiB.
	ListBytes int
}

// Session is the state as one run sees it: what is committed, under what the
// run has written. It is used by one goroutine at a time.
type Session struct {
	reader Reader
	limits Limits
	reads  map[string]int64
	writes map[string]Write
	// bytes are the sum of len(Value) over writes.
	bytes int
}

// NewSession returns a Session that has read and written nothing.
func NewSession(r Reader, l Limits) *Session {
	l.Keys = orDefault(l.Keys, 1000)
	l.ReadKeys = orDefault(l.ReadKeys, 10_000)
	l.KeyBytes = orDefault(l.KeyBytes, 512)
	l.ValueBytes = orDefault(l.ValueBytes, 256<<10)
	l.WriteBytes = orDefault(l.WriteBytes, 16<<20)
	l.ListBytes = orDefault(l.ListBytes, 1<<20)
	return &Session{reader: r, limits: l, reads: map[string]int64{}, writes: map[string]Write{}}
}

// Changes gives what the run has read and written so far.
func (s *Session) Changes() Changes {
	c := Changes{Reads: maps.Clone(s.reads)}
	for _, key := range slices.Sorted(maps.Keys(s.writes)) {
		c.Writes = append(c.Writes, s.writes[key])
	}
	return c
}

// view is what the run sees of a key.
type view struct {
	found bool
	value json.RawMessage
}

// see gives what the run sees of key. What comes from the store is remembered
// with its version; what the run has written itself depends on nobody.
func (s *Session) see(ctx context.Context, key string) (view, error) {
	w, written := s.writes[key]
	if written && !w.isDelta() {
		return view{found: !w.Delete, value: w.Value}, nil
	}
	stored, err := s.load(ctx, key)
	if err != nil {
		return view{}, err
	}
	if err := s.remember(stored); err != nil {
		return view{}, err
	}
	return overlay(stored, w, written)
}

// load reads the store without remembering.
func (s *Session) load(ctx context.Context, key string) (Entry, error) {
	stored, err := s.reader.Get(ctx, key)
	if err != nil {
		return Entry{}, fmt.Errorf("read state: %w", err)
	}
	stored.Key = key
	return stored, nil
}

// remember keeps the version that the run saw first: if a later one differs,
// the run has seen two states and its commit must not succeed.
func (s *Session) remember(e Entry) error {
	if _, seen := s.reads[e.Key]; seen {
		return nil
	}
	if len(s.reads) >= s.limits.ReadKeys {
		return hostfns.Errorf(hostfns.CodeLimitExceeded,
			"a run may read %d keys of state: spread the work over several executions", s.limits.ReadKeys)
	}
	s.reads[e.Key] = e.Version
	return nil
}

// overlay puts the run's own write over what is stored.
func overlay(stored Entry, w Write, written bool) (view, error) {
	switch {
	case !written:
		return view{found: stored.Version != 0, value: stored.Value}, nil
	case w.Delete:
		return view{}, nil
	case !w.isDelta():
		return view{found: true, value: w.Value}, nil
	}
	base, err := integerOf(stored)
	if err != nil {
		return view{}, err
	}
	sum, err := add(stored.Key, base, w.Delta)
	return view{found: true, value: integer(sum)}, err
}

// write buffers w in the place of what the run wrote before under its key.
func (s *Session) write(w Write) error {
	old, known := s.writes[w.Key]
	if !known && len(s.writes) >= s.limits.Keys {
		return hostfns.Errorf(hostfns.CodeLimitExceeded,
			"a run may write %d keys of state: spread the work over several executions", s.limits.Keys)
	}
	total := s.bytes - len(old.Value) + len(w.Value)
	if total > s.limits.WriteBytes {
		return hostfns.Errorf(hostfns.CodeLimitExceeded,
			"a run may write %d bytes of state, and this would make it %d: spread the work over several executions", s.limits.WriteBytes, total)
	}
	s.bytes = total
	s.writes[w.Key] = w
	return nil
}

// checkKey refuses what no store can hold as a key.
func (s *Session) checkKey(field, key string) error {
	switch {
	case len(key) > s.limits.KeyBytes:
		return hostfns.Errorf(hostfns.CodeInvalidRequest, "%q is %d bytes long, and %d is the limit", field, len(key), s.limits.KeyBytes)
	case strings.ContainsRune(key, 0):
		return hostfns.Errorf(hostfns.CodeInvalidRequest, "%q holds a NUL character: leave it out", field)
	}
	return nil
}

func (s *Session) checkOneKey(key string) error {
	if key == "" {
		return hostfns.Errorf(hostfns.CodeInvalidRequest, "\"key\" is missing or empty: name the value")
	}
	return s.checkKey("key", key)
}

// compact checks a value and takes its blanks away.
func (s *Session) compact(field string, value json.RawMessage) (json.RawMessage, error) {
	if value == nil {
		return nil, hostfns.Errorf(hostfns.CodeInvalidRequest, "%q is missing: give any JSON value; state_delete removes a key", field)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, value); err != nil {
		return nil, hostfns.Errorf(hostfns.CodeInvalidRequest, "%q is not JSON", field)
	}
	if b.Len() > s.limits.ValueBytes {
		return nil, hostfns.Errorf(hostfns.CodeLimitExceeded,
			"%q is %d bytes of JSON, and %d is the limit: split it over several keys", field, b.Len(), s.limits.ValueBytes)
	}
	return b.Bytes(), nil
}

func (w Write) isDelta() bool { return w.Value == nil && !w.Delete }

// integerOf gives the integer that is stored, 0 where nothing is.
func integerOf(stored Entry) (int64, error) {
	if stored.Version == 0 {
		return 0, nil
	}
	return parseInteger(stored.Key, stored.Value)
}

// parseInteger accepts a JSON number without fraction or exponent that fits 64
// bits.
func parseInteger(what string, value json.RawMessage) (int64, error) {
	n, err := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
	if err != nil {
		return 0, hostfns.Errorf(hostfns.CodeNotANumber,
			"%.64q is not an integer of 64 bits: state_add works on numbers without fraction or exponent", what)
	}
	return n, nil
}

func add(key string, a, b int64) (int64, error) {
	sum := a + b
	if (sum > a) != (b > 0) && b != 0 {
		return 0, hostfns.Errorf(hostfns.CodeNotANumber, "%d and %d at %.64q do not fit an integer of 64 bits", a, b, key)
	}
	return sum, nil
}

func integer(n int64) json.RawMessage { return json.RawMessage(strconv.FormatInt(n, 10)) }

func orDefault(n, def int) int {
	if n <= 0 {
		return def
	}
	return n
}
