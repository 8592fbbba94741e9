package state

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
)

// Keep answers a read from what an earlier run has read, or from do.
type Keep func(ctx context.Context, request []byte, do func(context.Context) (json.RawMessage, error)) (json.RawMessage, error)

// Kept returns a Reader whose answers pass keep: so a run that is made again reads
// what it has read, with the versions that it has seen.
func Kept(r Reader, keep Keep) Reader { return kept{reader: r, keep: keep} }

type kept struct {
	reader Reader
	keep   Keep
}

// question is what is asked of a Reader; Get is nil for a list.
type question struct {
	Get    *string `json:"get,omitempty"`
	Prefix string  `json:"prefix,omitempty"`
	After  string  `json:"after,omitempty"`
	Limit  int     `json:"limit,omitempty"`
}

// stored is an Entry as it is kept.
type stored struct {
	Key     string          `json:"key"`
	Value   json.RawMessage `json:"value,omitempty"`
	Version int64           `json:"version"`
}

// Get implements Reader.
func (k kept) Get(ctx context.Context, key string) (Entry, error) {
	all, err := k.ask(ctx, question{Get: &key}, func(ctx context.Context) ([]Entry, error) {
		e, err := k.reader.Get(ctx, key)
		return []Entry{e}, err
	})
	if err != nil {
		return Entry{}, err
	}
	if len(all) != 1 {
		return Entry{}, fmt.Errorf("read kept state: %d entries for one key", len(all))
	}
	return all[0], nil
}

// List implements Reader.
func (k kept) List(ctx context.Context, prefix, after string, limit int) ([]Entry, error) {
	return k.ask(ctx, question{Prefix: prefix, After: after, Limit: limit}, func(ctx context.Context) ([]Entry, error) {
		return k.reader.List(ctx, prefix, after, limit)
	})
}

// Saw says whether a read that passed a Keep has shown what is stored under a key, or
// that nothing is: its request and answer are as Keep had them.
func Saw(request, answer []byte, key string) bool {
	var q question
	if json.Unmarshal(request, &q) != nil {
		return false
	}
	if q.Get != nil {
		return *q.Get == key
	}
	var all []stored
	return json.Unmarshal(answer, &all) == nil && slices.ContainsFunc(all, func(s stored) bool { return s.Key == key })
}

func (k kept) ask(ctx context.Context, q question, read func(context.Context) ([]Entry, error)) ([]Entry, error) {
	request, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("encode a question about state: %w", err)
	}
	answer, err := k.keep(ctx, request, func(ctx context.Context) (json.RawMessage, error) {
		entries, err := read(ctx)
		if err != nil {
			return nil, err
		}
		all := make([]stored, len(entries))
		for i, e := range entries {
			all[i] = stored(e)
		}
		return json.Marshal(all)
	})
	if err != nil {
		return nil, err
	}
	var all []stored
	if err := json.Unmarshal(answer, &all); err != nil {
		return nil, fmt.Errorf("read kept state: %w", err)
	}
	entries := make([]Entry, len(all))
	for i, s := range all {
		entries[i] = Entry(s)
	}
	return entries, nil
}
