package kv_test

import (
	"encoding/json"
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store/internal/kv"
	"github.com/cofferdam-run/cofferdam/hostfns/state"
)

func key(name string) kv.Key { return kv.Key{Tenant: "t", Installation: "i", Name: name} }

func TestApply(t *testing.T) {
	t.Parallel()
	set := func(k, v string) state.Write { return state.Write{Key: k, Value: json.RawMessage(v)} }
	for name, tt := range map[string]struct {
		stored map[string]string
		ch     state.Changes
		want   map[string]string
		gone   []string
	}{
		"a set stores":                  {nil, state.Changes{Writes: []state.Write{set("a", `"x"`)}}, map[string]string{"a": `"x"`}, nil},
		"a delete removes":              {map[string]string{"a": "1"}, state.Changes{Writes: []state.Write{{Key: "a", Delete: true}}}, nil, []string{"a"}},
		"a delta starts at 0":           {nil, state.Changes{Writes: []state.Write{{Key: "n", Delta: 3}}}, map[string]string{"n": "3"}, nil},
		"a delta adds to what is there": {map[string]string{"n": "40"}, state.Changes{Writes: []state.Write{{Key: "n", Delta: 2}}}, map[string]string{"n": "42"}, nil},
		"a read that holds lets writes pass": {
			map[string]string{"a": "1"},
			state.Changes{Reads: map[string]int64{"a": 7, "absent": 0}, Writes: []state.Write{set("b", "2")}},
			map[string]string{"b": "2"},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var table kv.Table
			for k, v := range tt.stored {
				table.Load(kv.Cell{Key: key(k), Value: []byte(v), Version: 7})
			}
			if err := table.Apply(kv.Of{Tenant: "t", Installation: "i"}, tt.ch, 9); err != nil {
				t.Fatal(err)
			}
			put, del, err := table.Written()
			if err != nil {
				t.Fatal(err)
			}
			var got map[string]string
			for _, c := range put {
				if got == nil {
					got = map[string]string{}
				}
				if got[c.Key.Name] = string(c.Value); c.Version != 9 {
					t.Errorf("%s: got version %d, want 9", c.Key.Name, c.Version)
				}
			}
			var gone []string
			for _, k := range del {
				gone = append(gone, k.Name)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("stored: %s", d)
			}
			if d := cmp.Diff(tt.gone, gone); d != "" {
				t.Errorf("deleted: %s", d)
			}
		})
	}
}

func TestApplyRefusesWhollyOrNotAtAll(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		ch   state.Changes
		want func(error) bool
	}{
		"a read that has changed": {
			state.Changes{Reads: map[string]int64{"n": 6}, Writes: []state.Write{{Key: "b", Delta: 1}}},
			changed("n"),
		},
		"a key that was absent and is not": {
			state.Changes{Reads: map[string]int64{"n": 0}},
			changed("n"),
		},
		"a key that was there and is not": {
			state.Changes{Reads: map[string]int64{"gone": 3}},
			changed("gone"),
		},
		"the first of what has changed": {
			state.Changes{Reads: map[string]int64{"text": 7, "n": 6, "gone": 3, "small": 1}},
			changed("gone"),
		},
		"a delta on a text":        {state.Changes{Writes: []state.Write{{Key: "b", Delta: 1}, {Key: "text", Delta: 1}}}, notANumber},
		"a delta on a fraction":    {state.Changes{Writes: []state.Write{{Key: "fraction", Delta: 1}}}, notANumber},
		"a delta beyond the range": {state.Changes{Writes: []state.Write{{Key: "big", Delta: 1}}}, notANumber},
		"a delta below the range":  {state.Changes{Writes: []state.Write{{Key: "small", Delta: -1}}}, notANumber},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var table kv.Table
			for k, v := range map[string]string{"n": "1", "text": `"x"`, "fraction": "1.5", "big": "9223372036854775807", "small": "-9223372036854775808"} {
				table.Load(kv.Cell{Key: key(k), Value: []byte(v), Version: 7})
			}
			if err := table.Apply(kv.Of{Tenant: "t", Installation: "i"}, tt.ch, 9); !tt.want(err) {
				t.Errorf("got %v", err)
			}
			if put, del, err := table.Written(); put != nil || del != nil || err != nil {
				t.Errorf("changed %v and %v in spite of the error, and %v", put, del, err)
			}
		})
	}
}

func TestTwoRunsInOneTransactionSeeEachOther(t *testing.T) {
	t.Parallel()
	var table kv.Table
	ch := state.Changes{Reads: map[string]int64{"n": 0}, Writes: []state.Write{{Key: "n", Value: json.RawMessage("1")}}}
	if err := table.Apply(kv.Of{Tenant: "t", Installation: "i"}, ch, 1); err != nil {
		t.Fatal(err)
	}
	if err := table.Apply(kv.Of{Tenant: "t", Installation: "i"}, ch, 2); !changed("n")(err) {
		t.Errorf("got %v, want a conflict of n", err)
	}
	if err := table.Apply(kv.Of{Tenant: "other", Installation: "i"}, ch, 3); err != nil {
		t.Errorf("another tenant's key of the same name: got %v", err)
	}
}

func TestKeysAreOrderedAndUnique(t *testing.T) {
	t.Parallel()
	got := kv.Keys("t", "i", state.Changes{
		Reads:  map[string]int64{"b": 1, "a": 0},
		Writes: []state.Write{{Key: "b", Delta: math.MaxInt64}, {Key: "c", Delete: true}},
	})
	if d := cmp.Diff([]kv.Key{key("a"), key("b"), key("c")}, got); d != "" {
		t.Error(d)
	}
}

// changed recognizes a conflict of a key.
func changed(key string) func(error) bool {
	return func(err error) bool {
		c, ok := errors.AsType[*execution.StateConflictError](err)
		return ok && c.Key == key
	}
}

func notANumber(err error) bool {
	var f *fault.Error
	return errors.As(err, &f) && f.Class == fault.InvalidInput && f.Code == kv.CodeNotANumber
}
