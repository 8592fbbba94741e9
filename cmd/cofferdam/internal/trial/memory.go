package trial

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/hostfns/replay"
	"github.com/cofferdam-run/cofferdam/hostfns/state"
)

// memory is a state.Reader of what is stored.
type memory map[string]json.RawMessage

// Get implements state.Reader.
func (m memory) Get(_ context.Context, key string) (state.Entry, error) {
	value, stored := m[key]
	if !stored {
		return state.Entry{Key: key}, nil
	}
	return state.Entry{Key: key, Value: value, Version: 1}, nil
}

// List implements state.Reader.
func (m memory) List(_ context.Context, prefix, after string, limit int) ([]state.Entry, error) {
	var all []state.Entry
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if strings.HasPrefix(key, prefix) && key > after && len(all) < limit {
			all = append(all, state.Entry{Key: key, Value: m[key], Version: 1})
		}
	}
	return all, nil
}

// Apply gives what is stored once writes have been committed. Both stay as they are.
func Apply(stored map[string]json.RawMessage, writes []replay.StateWrite) map[string]json.RawMessage {
	after := maps.Clone(stored)
	if after == nil {
		after = map[string]json.RawMessage{}
	}
	for _, w := range writes {
		switch {
		case w.Delete:
			delete(after, w.Key)
		case w.Value != nil:
			after[w.Key] = json.RawMessage(w.Value)
		default:
			after[w.Key] = added(after[w.Key], w.Delta)
		}
	}
	return after
}

// added adds to a stored integer; the session has refused anything else.
func added(value json.RawMessage, delta int64) json.RawMessage {
	var n int64
	_ = json.Unmarshal(value, &n)
	sum, _ := json.Marshal(n + delta) // Integers always encode.
	return sum
}
