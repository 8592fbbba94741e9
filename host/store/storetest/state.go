package storetest

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/hostfns/state"
)

func testState(t *testing.T, open Open) {
	each(t, open, map[string]func(*testing.T, *bundle){
		"updates of concurrent runs are not lost":          lostUpdates,
		"two runs that found nothing do not both create":   bothCreate,
		"a value that went and came back is another":       aba,
		"runs that read what the other writes do not both": writeSkew,
		"deltas never conflict":                            deltas,
		"state is listed by prefix":                        listState,
	})
}

// change completes a new run with changes of state.
func (b *bundle) change(t testing.TB, p place, ch state.Changes) error {
	t.Helper()
	s := success(b.running(t, p))
	s.State = ch
	return b.Complete(t.Context(), s)
}

func set(key, value string) state.Write { return state.Write{Key: key, Value: raw(value)} }

func lostUpdates(t *testing.T, b *bundle) {
	const workers, updates = 6, 8
	claims := make(chan execution.Claimed, workers*updates)
	for range workers * updates {
		claims <- b.running(t, b.acme)
	}
	close(claims)
	reader := b.State(b.acme.tenant, b.acme.installation)
	var conflicts atomic.Int64
	together(workers, func(int) {
		for c := range claims {
			for {
				e, err := reader.Get(t.Context(), "n")
				if err != nil {
					t.Error(err)
					return
				}
				n, _ := strconv.Atoi(string(e.Value))
				s := success(c)
				s.State = state.Changes{Reads: map[string]int64{"n": e.Version}, Writes: []state.Write{set("n", strconv.Itoa(n+1))}}
				err = b.Complete(t.Context(), s)
				if err == nil {
					break
				}
				if _, ok := errors.AsType[*execution.StateConflictError](err); !ok {
					t.Error(err)
					return
				}
				conflicts.Add(1)
			}
		}
	})
	e, err := reader.Get(t.Context(), "n")
	must(t, err)
	if got, want := string(e.Value), strconv.Itoa(workers*updates); got != want {
		t.Errorf("got %s after %s updates (%d conflicts)", got, want, conflicts.Load())
	}
}

func bothCreate(t *testing.T, b *bundle) {
	for round := range 10 {
		key := fmt.Sprintf("k%d", round)
		pair := []execution.Claimed{b.running(t, b.acme), b.running(t, b.acme)}
		wantOneOfTwo(t, [2]string{key, key}, func(i int) error {
			s := success(pair[i])
			s.State = state.Changes{Reads: map[string]int64{key: 0}, Writes: []state.Write{set(key, strconv.Itoa(i))}}
			return b.Complete(t.Context(), s)
		})
	}
}

func writeSkew(t *testing.T, b *bundle) {
	for round := range 10 {
		keys := names(fmt.Sprintf("k%d-", round), 2)
		pair := []execution.Claimed{b.running(t, b.acme), b.running(t, b.acme)}
		wantOneOfTwo(t, [2]string{keys[1], keys[0]}, func(i int) error {
			s := success(pair[i])
			s.State = state.Changes{Reads: map[string]int64{keys[0]: 0, keys[1]: 0}, Writes: []state.Write{set(keys[i], "true")}}
			return b.Complete(t.Context(), s)
		})
	}
}

// wantOneOfTwo makes two calls at once, of which one has to be in conflict: over
// the key of its number.
func wantOneOfTwo(t testing.TB, over [2]string, call func(i int) error) {
	t.Helper()
	var mu sync.Mutex
	passed := 0
	together(2, func(i int) {
		err := call(i)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			passed++
		} else {
			wantConflict(t, err, over[i])
		}
	})
	if passed != 1 {
		t.Errorf("%d of two passed, want 1", passed)
	}
}

func aba(t *testing.T, b *bundle) {
	reader := b.State(b.acme.tenant, b.acme.installation)
	must(t, b.change(t, b.acme, state.Changes{Writes: []state.Write{set("k", "1")}}))
	seen, err := reader.Get(t.Context(), "k")
	must(t, err)
	must(t, b.change(t, b.acme, state.Changes{Writes: []state.Write{{Key: "k", Delete: true}}}))
	gone, err := reader.Get(t.Context(), "k")
	must(t, err)
	equal(t, state.Entry{Key: "k"}, gone)
	must(t, b.change(t, b.acme, state.Changes{Reads: map[string]int64{"k": 0}, Writes: []state.Write{set("k", "1")}}))
	back, err := reader.Get(t.Context(), "k")
	must(t, err)
	if string(back.Value) != string(seen.Value) || back.Version <= seen.Version {
		t.Errorf("got version %d after %d, want a higher one", back.Version, seen.Version)
	}
	err = b.change(t, b.acme, state.Changes{Reads: map[string]int64{"k": seen.Version}, Writes: []state.Write{set("k", "2")}})
	wantConflict(t, err, "k")
}

func deltas(t *testing.T, b *bundle) {
	const n = 40
	claims := make([]execution.Claimed, n)
	for i := range claims {
		claims[i] = b.running(t, b.acme)
	}
	together(n, func(i int) {
		s := success(claims[i])
		s.State = state.Changes{Writes: []state.Write{{Key: "n", Delta: int64(i)}, {Key: "m", Delta: -1}}}
		if err := b.Complete(t.Context(), s); err != nil {
			t.Error(err)
		}
	})
	got, err := b.State(b.acme.tenant, b.acme.installation).List(t.Context(), "", "", 10)
	must(t, err)
	values := map[string]string{}
	for _, e := range got {
		values[e.Key] = string(e.Value)
	}
	equal(t, map[string]string{"n": "780", "m": "-40"}, values)
}

func listState(t *testing.T, b *bundle) {
	var writes []state.Write
	for _, k := range []string{"a", "b/1", "b/2", "b/3", "b\xff", "b\xff\xffz", "c"} {
		writes = append(writes, set(k, "1"))
	}
	must(t, b.change(t, b.acme, state.Changes{Writes: writes}))
	must(t, b.change(t, b.other, state.Changes{Writes: []state.Write{set("b/9", "1")}}))
	reader := b.State(b.acme.tenant, b.acme.installation)
	for name, tt := range map[string]struct {
		prefix, after string
		limit         int
		want          []string
	}{
		"all":                  {"", "", 10, []string{"a", "b/1", "b/2", "b/3", "b\xff", "b\xff\xffz", "c"}},
		"a prefix":             {"b/", "", 10, []string{"b/1", "b/2", "b/3"}},
		"a limit":              {"b/", "", 2, []string{"b/1", "b/2"}},
		"the rest":             {"b/", "b/2", 10, []string{"b/3"}},
		"a prefix of 0xff":     {"b\xff", "", 10, []string{"b\xff", "b\xff\xffz"}},
		"after without prefix": {"", "b\xff", 10, []string{"b\xff\xffz", "c"}},
		"nothing":              {"x", "", 10, nil},
	} {
		t.Run(name, func(t *testing.T) {
			entries, err := reader.List(t.Context(), tt.prefix, tt.after, tt.limit)
			must(t, err)
			var keys []string
			for _, e := range entries {
				keys = append(keys, e.Key)
			}
			equal(t, tt.want, keys)
		})
	}
}
