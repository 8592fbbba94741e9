package state

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

// Funcs gives state_get, state_set, state_delete, state_cas, state_add and
// state_list.
func (s *Session) Funcs() []hostfns.Func {
	return []hostfns.Func{
		function("state_get", s.get),
		writing(function("state_set", s.set)),
		writing(function("state_delete", s.delete)),
		writing(function("state_cas", s.cas)),
		writing(function("state_add", s.add)),
		function("state_list", s.list),
	}
}

func writing(f hostfns.Func) hostfns.Func {
	f.Keeps = true
	return f
}

// The requests. Values are raw, so that a value of null is told from none.
type (
	keyRequest struct {
		Key string `json:"key"`
	}
	setRequest struct {
		Key   string          `json:"key"`
		Value json.RawMessage `json:"value"`
	}
	casRequest struct {
		Key string `json:"key"`
		// Old is nil when it is absent, and "null" when it is null.
		Old json.RawMessage `json:"old"`
		New json.RawMessage `json:"new"`
	}
	addRequest struct {
		Key   string          `json:"key"`
		Delta json.RawMessage `json:"delta"`
	}
	listRequest struct {
		Prefix string `json:"prefix"`
		After  string `json:"after"`
		Limit  *int   `json:"limit"`
	}
)

type getResult struct {
	Found bool            `json:"found"`
	Value json.RawMessage `json:"value"`
}

func (s *Session) get(ctx context.Context, r keyRequest) (any, error) {
	if err := s.checkOneKey(r.Key); err != nil {
		return nil, err
	}
	v, err := s.see(ctx, r.Key)
	if err != nil {
		return nil, err
	}
	return getResult{Found: v.found, Value: v.value}, nil
}

func (s *Session) set(_ context.Context, r setRequest) (any, error) {
	if err := s.checkOneKey(r.Key); err != nil {
		return nil, err
	}
	value, err := s.compact("value", r.Value)
	if err != nil {
		return nil, err
	}
	return nil, s.write(Write{Key: r.Key, Value: value})
}

func (s *Session) delete(_ context.Context, r keyRequest) (any, error) {
	if err := s.checkOneKey(r.Key); err != nil {
		return nil, err
	}
	return nil, s.write(Write{Key: r.Key, Delete: true})
}

type casResult struct {
	Swapped bool `json:"swapped"`
}

// cas depends on what it compared, whether it swapped or not: a run that was
// told "no" acts on that.
func (s *Session) cas(ctx context.Context, r casRequest) (any, error) {
	if err := s.checkOneKey(r.Key); err != nil {
		return nil, err
	}
	value, err := s.compact("new", r.New)
	if err != nil {
		return nil, err
	}
	now, err := s.see(ctx, r.Key)
	if err != nil {
		return nil, err
	}
	if now.found != (r.Old != nil) || now.found && !equalJSON(now.value, r.Old) {
		return casResult{}, nil
	}
	return casResult{Swapped: true}, s.write(Write{Key: r.Key, Value: value})
}

type addResult struct {
	Value json.RawMessage `json:"value"`
}

// add looks at the store to tell the guest a value, and does not depend on it:
// two runs that add never conflict.
func (s *Session) add(ctx context.Context, r addRequest) (any, error) {
	if err := s.checkOneKey(r.Key); err != nil {
		return nil, err
	}
	if r.Delta == nil {
		return nil, hostfns.Errorf(hostfns.CodeInvalidRequest, "\"delta\" is missing: give the integer to add")
	}
	delta, err := parseInteger("delta", r.Delta)
	if err != nil {
		return nil, err
	}
	w, written := s.writes[r.Key]
	if written && !w.isDelta() {
		return s.addToWritten(w, delta)
	}
	stored, err := s.load(ctx, r.Key)
	if err != nil {
		return nil, err
	}
	w.Key = r.Key
	if w.Delta, err = add(r.Key, w.Delta, delta); err != nil {
		return nil, err
	}
	v, err := overlay(stored, w, true)
	if err != nil {
		return nil, err
	}
	return addResult{Value: v.value}, s.write(w)
}

// addToWritten adds to what this run has set; a key that it deleted starts at 0.
func (s *Session) addToWritten(w Write, delta int64) (any, error) {
	base := int64(0)
	if !w.Delete {
		var err error
		if base, err = parseInteger(w.Key, w.Value); err != nil {
			return nil, err
		}
	}
	sum, err := add(w.Key, base, delta)
	if err != nil {
		return nil, err
	}
	return addResult{Value: integer(sum)}, s.write(Write{Key: w.Key, Value: integer(sum)})
}

// function makes a Func of a method: every request but a list's is shown by its
// key.
func function[T any](name string, answer func(context.Context, T) (any, error)) hostfns.Func {
	return hostfns.Func{
		Name:   name,
		Effect: hostfns.Always(hostfns.Computed), // Of what is stored the Reader's answers are kept.
		Answer: func(ctx context.Context, request json.RawMessage) (any, error) {
			r, err := hostfns.Decode[T](request)
			if err != nil {
				return nil, err
			}
			result, err := answer(ctx, r)
			if err != nil {
				return nil, err
			}
			return result, nil
		},
		Summarize: func(request json.RawMessage) string {
			var r struct{ Key, Prefix *string }
			if err := json.Unmarshal(request, &r); err != nil {
				return ""
			}
			switch {
			case r.Key != nil:
				return fmt.Sprintf("%.128q", *r.Key)
			case r.Prefix != nil:
				return fmt.Sprintf("%.128q...", *r.Prefix)
			default:
				return ""
			}
		},
	}
}
