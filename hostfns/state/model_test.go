package state_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cofferdam-run/cofferdam/hostfns/state"
)

// model is the state as a plain map: what one run must see.
type model map[string]int64

func (m model) list(prefix, after string, limit int) string {
	entries, more := []string{}, false
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if !strings.HasPrefix(key, prefix) || key <= after {
			continue
		}
		if len(entries) == limit {
			more = true
			break
		}
		entries = append(entries, fmt.Sprintf(`{"key":%q,"value":%d}`, key, m[key]))
	}
	return fmt.Sprintf(`{"entries":[%s],"more":%v}`, strings.Join(entries, ","), more)
}

// apply makes one random call on the session and on the model.
func apply(t *rapid.T, c caller, m model) {
	key := rapid.SampledFrom([]string{"a", "b", "b/1", "b/2", "c"}).Draw(t, "key")
	n := rapid.Int64Range(-2, 2).Draw(t, "n")
	old, found := m[key]
	var name, request, want string
	switch op := rapid.SampledFrom([]string{"get", "set", "delete", "cas", "cas-absent", "add", "list"}).Draw(t, "op"); op {
	case "get":
		name, request, want = "state_get", fmt.Sprintf(`{"key":%q}`, key), `{"found":false,"value":null}`
		if found {
			want = fmt.Sprintf(`{"found":true,"value":%d}`, old)
		}
	case "set":
		name, request, want = "state_set", fmt.Sprintf(`{"key":%q,"value":%d}`, key, n), `{}`
		m[key] = n
	case "delete":
		name, request, want = "state_delete", fmt.Sprintf(`{"key":%q}`, key), `{}`
		delete(m, key)
	case "cas":
		name, request = "state_cas", fmt.Sprintf(`{"key":%q,"old":%d,"new":7}`, key, n)
		swapped := found && old == n
		want = fmt.Sprintf(`{"swapped":%v}`, swapped)
		if swapped {
			m[key] = 7
		}
	case "cas-absent":
		name, request, want = "state_cas", fmt.Sprintf(`{"key":%q,"new":8}`, key), fmt.Sprintf(`{"swapped":%v}`, !found)
		if !found {
			m[key] = 8
		}
	case "add":
		m[key] = old + n
		name, request, want = "state_add", fmt.Sprintf(`{"key":%q,"delta":%d}`, key, n), fmt.Sprintf(`{"value":%d}`, m[key])
	case "list":
		prefix := rapid.SampledFrom([]string{"", "b", "b/", "x"}).Draw(t, "prefix")
		limit := rapid.IntRange(1, 6).Draw(t, "limit")
		name = "state_list"
		request = fmt.Sprintf(`{"prefix":%q,"after":%q,"limit":%d}`, prefix, key, limit)
		want = m.list(prefix, key, limit)
	}
	if got := c.call(name, request); got != want {
		t.Fatalf("%s %s: got %s, want %s", name, request, got, want)
	}
}

// One run sees its own writes as if it were alone, and its commit leaves what
// it saw.
func TestSessionAgreesWithAMap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		m := model{}
		committed := newStore(nil)
		for _, key := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"a", "b", "b/1", "b/3"}), rapid.ID).Draw(rt, "stored") {
			m[key] = rapid.Int64Range(-2, 2).Draw(rt, "value")
			committed.put(key, json.RawMessage(fmt.Sprint(m[key])))
		}
		s := state.NewSession(committed, state.Limits{})
		c := callerOf(t, s)
		for range rapid.IntRange(1, 20).Draw(rt, "steps") {
			apply(rt, c, m)
		}
		if !committed.commit(s.Changes()) {
			rt.Fatal("nobody else wrote, and the commit conflicts")
		}
		got := model{}
		for key, e := range committed.entries {
			var n int64
			if err := json.Unmarshal(e.Value, &n); err != nil {
				rt.Fatal(err)
			}
			got[key] = n
		}
		if !maps.Equal(got, m) {
			rt.Fatalf("committed %v, want %v", got, m)
		}
	})
}

// However runs interleave, those that commit have each counted once, and those
// that only add always commit.
func TestSessionsLoseNoUpdate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		committed := newStore(map[string]string{"n": `0`})
		type run struct {
			session *state.Session
			caller  caller
			adds    bool
		}
		var open []run
		want := int64(0)
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			if len(open) == 0 || rapid.Bool().Draw(rt, "start") {
				s := state.NewSession(committed, state.Limits{})
				r := run{session: s, caller: callerOf(t, s), adds: rapid.Bool().Draw(rt, "adds")}
				if r.adds {
					r.caller.call("state_add", `{"key":"n","delta":1}`)
				} else {
					var now struct{ Value int64 }
					if err := json.Unmarshal([]byte(r.caller.call("state_get", `{"key":"n"}`)), &now); err != nil {
						rt.Fatal(err)
					}
					r.caller.call("state_set", fmt.Sprintf(`{"key":"n","value":%d}`, now.Value+1))
				}
				open = append(open, r)
				continue
			}
			i := rapid.IntRange(0, len(open)-1).Draw(rt, "commit")
			ok := committed.commit(open[i].session.Changes())
			if ok {
				want++
			} else if open[i].adds {
				rt.Fatal("a run that only adds conflicts")
			}
			open = slices.Delete(open, i, i+1)
		}
		if got := string(committed.entries["n"].Value); got != fmt.Sprint(want) {
			rt.Fatalf("got %s after %d commits", got, want)
		}
	})
}
