package state_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/hostfns/state"
)

// counted is a Reader of what changes with each read.
type counted struct{ reads int }

func (c *counted) Get(_ context.Context, key string) (state.Entry, error) {
	c.reads++
	if key == "none" {
		return state.Entry{Key: key}, nil
	}
	return state.Entry{Key: key, Value: json.RawMessage(`"` + key + `"`), Version: int64(c.reads)}, nil
}

func (c *counted) List(_ context.Context, prefix, after string, limit int) ([]state.Entry, error) {
	c.reads++
	return []state.Entry{{Key: prefix + after, Value: json.RawMessage(`1`), Version: int64(limit)}}, nil
}

// memory keeps answers by what was asked.
func memory(kept map[string]json.RawMessage) state.Keep {
	return func(ctx context.Context, request []byte, do func(context.Context) (json.RawMessage, error)) (json.RawMessage, error) {
		if answer, ok := kept[string(request)]; ok {
			return answer, nil
		}
		answer, err := do(ctx)
		kept[string(request)] = answer
		return answer, err
	}
}

func TestKeptReaderReadsOnce(t *testing.T) {
	t.Parallel()
	var reader counted
	kept := map[string]json.RawMessage{}
	read := func() (all []state.Entry) {
		r := state.Kept(&reader, memory(kept))
		for _, key := range []string{"a", "", "none"} {
			e, err := r.Get(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, e)
		}
		list, err := r.List(t.Context(), "a", "b", 7)
		if err != nil {
			t.Fatal(err)
		}
		return append(all, list...)
	}
	want := []state.Entry{
		{Key: "a", Value: json.RawMessage(`"a"`), Version: 1},
		{Key: "", Value: json.RawMessage(`""`), Version: 2},
		{Key: "none"},
		{Key: "ab", Value: json.RawMessage(`1`), Version: 7},
	}
	for range 2 {
		if diff := cmp.Diff(want, read()); diff != "" {
			t.Errorf("entries (-want +got):\n%s", diff)
		}
	}
	if reader.reads != 4 {
		t.Errorf("%d reads of two times the same four", reader.reads)
	}
}

func TestKeptReaderRefusesNonsense(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{``, `{}`, `[]`, `[{},{}]`} {
		r := state.Kept(&counted{}, func(context.Context, []byte, func(context.Context) (json.RawMessage, error)) (json.RawMessage, error) {
			return json.RawMessage(answer), nil
		})
		if _, err := r.Get(t.Context(), "a"); err == nil || !strings.Contains(err.Error(), "read kept state") {
			t.Errorf("%s: got %v", answer, err)
		}
	}
	errDown := errors.New("down")
	r := state.Kept(&counted{}, func(context.Context, []byte, func(context.Context) (json.RawMessage, error)) (json.RawMessage, error) {
		return nil, errDown
	})
	if _, err := r.List(t.Context(), "", "", 1); !errors.Is(err, errDown) {
		t.Errorf("got %v, want %v", err, errDown)
	}
}

func TestSawTellsWhatAReadHasShown(t *testing.T) {
	t.Parallel()
	kept := map[string]json.RawMessage{}
	r := state.Kept(&counted{}, memory(kept))
	if _, err := r.Get(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.List(t.Context(), "orders/", "7", 10); err != nil {
		t.Fatal(err)
	}
	saw := func(key string) (n int) {
		for request, answer := range kept {
			if state.Saw([]byte(request), answer, key) {
				n++
			}
		}
		return n
	}
	for key, want := range map[string]int{"a": 1, "orders/7": 1, "orders/8": 0, "": 0, "b": 0} {
		if got := saw(key); got != want {
			t.Errorf("%q was seen by %d reads, want %d", key, got, want)
		}
	}
	for _, broken := range [][2]string{{`[`, `[]`}, {`{"prefix":"a"}`, `{"key":"a"}`}, {``, ``}} {
		if state.Saw([]byte(broken[0]), []byte(broken[1]), "a") {
			t.Errorf("%q has seen something", broken)
		}
	}
}
