package state_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/state"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// store is committed state in memory, with the rules of a commit.
type store struct {
	entries map[string]state.Entry
	clock   int64
	err     error
}

func newStore(values map[string]string) *store {
	s := &store{entries: map[string]state.Entry{}}
	for key, value := range values {
		s.put(key, json.RawMessage(value))
	}
	return s
}

func (s *store) Get(_ context.Context, key string) (state.Entry, error) {
	return s.entries[key], s.err
}

func (s *store) List(_ context.Context, prefix, after string, limit int) ([]state.Entry, error) {
	var out []state.Entry
	for _, key := range slices.Sorted(maps.Keys(s.entries)) {
		if strings.HasPrefix(key, prefix) && key > after && len(out) < limit {
			out = append(out, s.entries[key])
		}
	}
	return out, s.err
}

func (s *store) put(key string, value json.RawMessage) {
	s.clock++
	s.entries[key] = state.Entry{Key: key, Value: value, Version: s.clock}
}

// commit applies changes, or none of them if a read is stale.
func (s *store) commit(c state.Changes) bool {
	for key, version := range c.Reads {
		if s.entries[key].Version != version {
			return false
		}
	}
	for _, w := range c.Writes {
		switch {
		case w.Delete:
			delete(s.entries, w.Key)
		case w.Value != nil:
			s.put(w.Key, w.Value)
		default:
			var n int64
			if e, found := s.entries[w.Key]; found {
				if json.Unmarshal(e.Value, &n) != nil {
					return false
				}
			}
			s.put(w.Key, json.RawMessage(fmt.Sprint(n+w.Delta)))
		}
	}
	return true
}

// caller calls a session's functions by name.
type caller struct {
	t     testing.TB
	funcs map[string]hostfns.Func
}

func callerOf(tb testing.TB, s *state.Session) caller {
	tb.Helper()
	c := caller{t: tb, funcs: map[string]hostfns.Func{}}
	for _, f := range s.Funcs() {
		c.funcs[f.Name] = f
	}
	return c
}

// call gives the result as JSON, or "error: " and the error's code.
func (c caller) call(name, request string) string {
	c.t.Helper()
	result, err := c.funcs[name].Answer(context.WithoutCancel(c.t.Context()), json.RawMessage(request))
	if told, ok := errors.AsType[*hostfns.Error](err); ok {
		return "error: " + string(told.Code)
	}
	if err != nil {
		return "fatal: " + err.Error()
	}
	if result == nil {
		return "{}"
	}
	doc, err := json.Marshal(result)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(doc)
}

func TestSession(t *testing.T) {
	t.Parallel()
	type step struct{ name, request, want string }
	tests := map[string]struct {
		stored map[string]string
		steps  []step
		reads  map[string]int64
		writes []state.Write
	}{
		"a get remembers what it saw": {
			stored: map[string]string{"a": `1`},
			steps: []step{
				{"state_get", `{"key":"a"}`, `{"found":true,"value":1}`},
				{"state_get", `{"key":"b"}`, `{"found":false,"value":null}`},
			},
			reads: map[string]int64{"a": 1, "b": 0},
		},
		"a get after a set sees the write and depends on nobody": {
			stored: map[string]string{"a": `1`},
			steps: []step{
				{"state_set", `{"key":"a","value":{ "x" : [1, null] }}`, `{}`},
				{"state_get", `{"key":"a"}`, `{"found":true,"value":{"x":[1,null]}}`},
			},
			writes: []state.Write{{Key: "a", Value: json.RawMessage(`{"x":[1,null]}`)}},
		},
		"null is a value": {
			steps: []step{
				{"state_set", `{"key":"a","value":null}`, `{}`},
				{"state_get", `{"key":"a"}`, `{"found":true,"value":null}`},
				{"state_cas", `{"key":"a","new":1}`, `{"swapped":false}`},
				{"state_cas", `{"key":"a","old":null,"new":1}`, `{"swapped":true}`},
			},
			writes: []state.Write{{Key: "a", Value: json.RawMessage(`1`)}},
		},
		"a delete hides what is stored": {
			stored: map[string]string{"a": `1`},
			steps: []step{
				{"state_delete", `{"key":"a"}`, `{}`},
				{"state_get", `{"key":"a"}`, `{"found":false,"value":null}`},
				{"state_cas", `{"key":"a","new":"new"}`, `{"swapped":true}`},
				{"state_delete", `{"key":"a"}`, `{}`},
			},
			writes: []state.Write{{Key: "a", Delete: true}},
		},
		"an add never depends on the store": {
			stored: map[string]string{"n": `40`},
			steps: []step{
				{"state_add", `{"key":"n","delta":1}`, `{"value":41}`},
				{"state_add", `{"key":"n","delta":1}`, `{"value":42}`},
				{"state_add", `{"key":"new","delta":-3}`, `{"value":-3}`},
			},
			writes: []state.Write{{Key: "n", Delta: 2}, {Key: "new", Delta: -3}},
		},
		"a get after an add does": {
			stored: map[string]string{"n": `40`},
			steps: []step{
				{"state_add", `{"key":"n","delta":2}`, `{"value":42}`},
				{"state_get", `{"key":"n"}`, `{"found":true,"value":42}`},
				{"state_add", `{"key":"zero","delta":0}`, `{"value":0}`},
				{"state_get", `{"key":"zero"}`, `{"found":true,"value":0}`},
			},
			reads:  map[string]int64{"n": 1, "zero": 0},
			writes: []state.Write{{Key: "n", Delta: 2}, {Key: "zero", Delta: 0}},
		},
		"an add to what was written changes the write": {
			steps: []step{
				{"state_set", `{"key":"a","value":5}`, `{}`},
				{"state_add", `{"key":"a","delta":2}`, `{"value":7}`},
				{"state_delete", `{"key":"b"}`, `{}`},
				{"state_add", `{"key":"b","delta":2}`, `{"value":2}`},
			},
			writes: []state.Write{{Key: "a", Value: json.RawMessage(`7`)}, {Key: "b", Value: json.RawMessage(`2`)}},
		},
		"an add works on integers of 64 bits": {
			stored: map[string]string{"text": `"1"`, "float": `1.0`, "max": `9223372036854775807`, "min": `-9223372036854775808`},
			steps: []step{
				{"state_add", `{"key":"text","delta":1}`, `error: not_a_number`},
				{"state_add", `{"key":"float","delta":1}`, `error: not_a_number`},
				{"state_add", `{"key":"max","delta":1}`, `error: not_a_number`},
				{"state_add", `{"key":"min","delta":-1}`, `error: not_a_number`},
				{"state_add", `{"key":"min","delta":9223372036854775807}`, `{"value":-1}`},
				{"state_add", `{"key":"min","delta":9223372036854775807}`, `error: not_a_number`},
				{"state_add", `{"key":"n","delta":1.5}`, `error: not_a_number`},
				{"state_add", `{"key":"n","delta":"1"}`, `error: not_a_number`},
				{"state_add", `{"key":"n","delta":9223372036854775808}`, `error: not_a_number`},
				{"state_set", `{"key":"own","value":[]}`, `{}`},
				{"state_add", `{"key":"own","delta":1}`, `error: not_a_number`},
			},
			writes: []state.Write{{Key: "min", Delta: 9223372036854775807}, {Key: "own", Value: json.RawMessage(`[]`)}},
		},
		"compare-and-set depends on what it compared": {
			stored: map[string]string{"a": `{"x":1,"y":[1.0,"é"]}`},
			steps: []step{
				{"state_cas", `{"key":"a","old":{"y":[1,"\u00e9"],"x":1e0},"new":2}`, `{"swapped":true}`},
				{"state_cas", `{"key":"b","old":1,"new":2}`, `{"swapped":false}`},
			},
			reads:  map[string]int64{"a": 1, "b": 0},
			writes: []state.Write{{Key: "a", Value: json.RawMessage(`2`)}},
		},
		"compare-and-set tells large integers apart": {
			stored: map[string]string{"id": `9007199254740993`},
			steps: []step{
				{"state_cas", `{"key":"id","old":9007199254740992,"new":2}`, `{"swapped":false}`},
				{"state_cas", `{"key":"id","old":1e999999999,"new":2}`, `{"swapped":false}`},
			},
			reads: map[string]int64{"id": 1},
		},
		"compare-and-set after an add compares the sum": {
			stored: map[string]string{"n": `1`},
			steps: []step{
				{"state_add", `{"key":"n","delta":1}`, `{"value":2}`},
				{"state_cas", `{"key":"n","old":2,"new":"two"}`, `{"swapped":true}`},
			},
			reads:  map[string]int64{"n": 1},
			writes: []state.Write{{Key: "n", Value: json.RawMessage(`"two"`)}},
		},
		"a list merges what is stored and what was written": {
			stored: map[string]string{"k/1": `1`},
			steps: []step{
				{"state_set", `{"key":"k/0","value":"new"}`, `{}`},
				{"state_set", `{"key":"k/9","value":"last"}`, `{}`},
				{"state_add", `{"key":"k/1","delta":1}`, `{"value":2}`},
				{"state_set", `{"key":"other","value":1}`, `{}`},
				{"state_list", `{"prefix":"k/"}`, `{"entries":[{"key":"k/0","value":"new"},{"key":"k/1","value":2},{"key":"k/9","value":"last"}],"more":false}`},
				{"state_delete", `{"key":"k/0"}`, `{}`},
				{"state_list", `{"prefix":"k/","limit":1}`, `{"entries":[{"key":"k/1","value":2}],"more":true}`},
				{"state_list", `{"prefix":"k/","after":"k/1"}`, `{"entries":[{"key":"k/9","value":"last"}],"more":false}`},
				{"state_list", `{"prefix":"none"}`, `{"entries":[],"more":false}`},
			},
			reads: map[string]int64{"k/1": 1},
			writes: []state.Write{
				{Key: "k/0", Delete: true},
				{Key: "k/1", Delta: 1},
				{Key: "k/9", Value: json.RawMessage(`"last"`)},
				{Key: "other", Value: json.RawMessage(`1`)},
			},
		},
		"bad requests are told": {
			steps: []step{
				{"state_get", `{}`, `error: invalid_request`},
				{"state_get", `{"key":""}`, `error: invalid_request`},
				{"state_get", `{"key":"a\u0000b"}`, `error: invalid_request`},
				{"state_get", `{"key":"` + strings.Repeat("k", 513) + `"}`, `error: invalid_request`},
				{"state_get", `{"key":"a","value":1}`, `error: invalid_request`},
				{"state_set", `{"key":"a"}`, `error: invalid_request`},
				{"state_set", `{"value":1}`, `error: invalid_request`},
				{"state_delete", `[]`, `error: invalid_request`},
				{"state_cas", `{"key":"a","old":1}`, `error: invalid_request`},
				{"state_cas", `{"new":1}`, `error: invalid_request`},
				{"state_add", `{"key":"a"}`, `error: invalid_request`},
				{"state_add", `{"delta":1}`, `error: invalid_request`},
				{"state_list", `{"limit":1001}`, `error: invalid_request`},
				{"state_list", `{"limit":0}`, `error: invalid_request`},
				{"state_list", `{"prefix":"\u0000"}`, `error: invalid_request`},
				{"state_list", `{"after":"\u0000"}`, `error: invalid_request`},
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := state.NewSession(newStore(tt.stored), state.Limits{})
			c := callerOf(t, s)
			for _, step := range tt.steps {
				if got := c.call(step.name, step.request); got != step.want {
					t.Errorf("%s %s:\ngot  %s\nwant %s", step.name, step.request, got, step.want)
				}
			}
			got := s.Changes()
			if len(tt.stored) <= 1 {
				want := tt.reads
				if want == nil {
					want = map[string]int64{}
				}
				if diff := cmp.Diff(want, got.Reads); diff != "" {
					t.Errorf("reads (-want +got):\n%s", diff)
				}
			}
			if diff := cmp.Diff(tt.writes, got.Writes); diff != "" {
				t.Errorf("writes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSessionHoldsItsLimits(t *testing.T) {
	t.Parallel()
	t.Run("of written keys", func(t *testing.T) {
		t.Parallel()
		c := callerOf(t, state.NewSession(newStore(nil), state.Limits{Keys: 1}))
		c.call("state_set", `{"key":"a","value":1}`)
		if got, want := c.call("state_add", `{"key":"b","delta":1}`), "error: limit_exceeded"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got, want := c.call("state_delete", `{"key":"a"}`), "{}"; got != want {
			t.Errorf("the same key again: got %s, want %s", got, want)
		}
	})
	t.Run("of read keys", func(t *testing.T) {
		t.Parallel()
		c := callerOf(t, state.NewSession(newStore(map[string]string{"a": "1", "b": "2"}), state.Limits{ReadKeys: 1}))
		c.call("state_get", `{"key":"a"}`)
		for request, want := range map[string]string{`{"key":"a"}`: `{"found":true,"value":1}`, `{"key":"b"}`: "error: limit_exceeded"} {
			if got := c.call("state_get", request); got != want {
				t.Errorf("%s: got %s, want %s", request, got, want)
			}
		}
		if got, want := c.call("state_list", `{}`), "error: limit_exceeded"; got != want {
			t.Errorf("list: got %s, want %s", got, want)
		}
	})
	t.Run("of bytes", func(t *testing.T) {
		t.Parallel()
		c := callerOf(t, state.NewSession(newStore(nil), state.Limits{ValueBytes: 8, WriteBytes: 10}))
		steps := [][2]string{
			{`{"key":"a","value":"1234567"}`, "error: limit_exceeded"},
			{`{"key":"a","value":"123456"  }`, "{}"},
			{`{"key":"b","value":123}`, "error: limit_exceeded"},
			{`{"key":"b","value":12}`, "{}"},
			{`{"key":"a","value":1}`, "{}"},
			{`{"key":"b","value":1234567}`, "{}"},
		}
		for _, s := range steps {
			if got := c.call("state_set", s[0]); got != s[1] {
				t.Errorf("%s: got %s, want %s", s[0], got, s[1])
			}
		}
	})
	t.Run("of a list's answer", func(t *testing.T) {
		t.Parallel()
		values := map[string]string{}
		for i := range 100 {
			values[fmt.Sprintf("%03d", i)] = `"12345"`
		}
		c := callerOf(t, state.NewSession(newStore(values), state.Limits{ListBytes: 25}))
		want := `{"entries":[{"key":"000","value":"12345"},{"key":"001","value":"12345"}],"more":true}`
		if got := c.call("state_list", `{}`); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

func TestSessionEndsTheCallWhenTheStoreFails(t *testing.T) {
	t.Parallel()
	s := newStore(nil)
	s.err = errors.New("no connection")
	c := callerOf(t, state.NewSession(s, state.Limits{}))
	wants := map[string]string{
		"state_get":  `fatal: read state: no connection`,
		"state_list": `fatal: list state: no connection`,
	}
	for name, want := range wants {
		request := map[string]string{"state_get": `{"key":"a"}`, "state_list": `{}`}[name]
		if got := c.call(name, request); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestSessionThatSawTwoVersionsCannotCommit(t *testing.T) {
	t.Parallel()
	committed := newStore(map[string]string{"a": `1`})
	s := state.NewSession(committed, state.Limits{})
	c := callerOf(t, s)
	c.call("state_get", `{"key":"a"}`)
	committed.put("a", json.RawMessage(`2`))
	c.call("state_get", `{"key":"a"}`)
	if committed.commit(s.Changes()) {
		t.Error("it committed")
	}
}

func TestSummariesNameTheKey(t *testing.T) {
	t.Parallel()
	c := callerOf(t, state.NewSession(newStore(nil), state.Limits{}))
	tests := [][3]string{
		{"state_get", `{"key":"a"}`, `"a"`},
		{"state_set", `{"key":"a","value":"secret"}`, `"a"`},
		{"state_list", `{"prefix":"p/"}`, `"p/"...`},
		{"state_list", `{}`, ``},
		{"state_get", `nonsense`, ``},
	}
	for _, tt := range tests {
		if got := c.funcs[tt[0]].Summarize(json.RawMessage(tt[1])); got != tt[2] {
			t.Errorf("%s %s: got %q, want %q", tt[0], tt[1], got, tt[2])
		}
	}
}

func ExampleSession() {
	committed := newStore(map[string]string{"seen": `41`})
	session := state.NewSession(committed, state.Limits{})
	gate := hostfns.NewGate(hostfns.GateConfig{
		Funcs: session.Funcs(),
		Now:   func() time.Time { return time.Unix(0, 0) },
	})
	answer, err := gate.Call(context.Background(), runtime.Crossing{Func: "state_add", Request: []byte(`{"key":"seen","delta":1}`)})
	fmt.Println(string(answer.Response), err)
	fmt.Printf("%+v\n", session.Changes().Writes[0].Delta)
	// Output:
	// {"result":{"value":42}} <nil>
	// 1
}
