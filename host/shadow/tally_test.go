package shadow_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/shadow"
	"github.com/cofferdam-run/cofferdam/hostfns/replay"
)

func TestALimitIsShared(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		counts       []int
		limit        int
		total, quota int
	}{
		{nil, 0, 0, 0},
		{nil, 5, 0, 0},
		{[]int{3, 8}, 0, 11, 0},
		{[]int{3, 8}, 11, 11, 0},
		{[]int{3, 8}, 100, 11, 0},
		{[]int{8, 3}, 4, 4, 2},
		{[]int{8, 3}, 9, 9, 6},
		{[]int{8, 3}, 5, 5, 3},
		{[]int{1, 1, 1000}, 10, 10, 8},
		{[]int{0, 0, 7}, 3, 3, 3},
		{[]int{5, 5, 5, 5}, 2, 2, 1},
	} {
		total, quota := shadow.Share(append([]int(nil), tt.counts...), tt.limit)
		if total != tt.total || quota != tt.quota {
			t.Errorf("%v within %d: %d, each %d; want %d, each %d", tt.counts, tt.limit, total, quota, tt.total, tt.quota)
		}
		if quota == 0 {
			continue
		}
		taken := 0
		for _, n := range tt.counts {
			taken += min(n, quota)
		}
		if taken < tt.limit {
			t.Errorf("%v within %d: each %d gives %d only", tt.counts, tt.limit, quota, taken)
		}
	}
}

func TestGroupsAreBounded(t *testing.T) {
	t.Parallel()
	var keys []string
	for i := range 130 {
		keys = append(keys, fmt.Sprint("k", i))
	}
	keys = append(keys, "k5", "k5", "k5", "k120")
	got := shadow.Tally(shadow.Fails, keys, nil)
	if len(got.Groups) != 100 || got.Other != 31 || got.Fails != 134 || got.Done != 134 {
		t.Fatalf("%d groups and %d others of %d", len(got.Groups), got.Other, got.Fails)
	}
	if g := got.Groups[0]; g.Key != "k5" || g.Count != 4 || len(g.Samples) != 3 {
		t.Errorf("the largest group: %+v", g)
	}
	if g := got.Groups[1]; g.Key != "k0" || g.Count != 1 {
		t.Errorf("the next group: %+v", g)
	}
}

func TestFuelIsCompared(t *testing.T) {
	t.Parallel()
	near := func(got, want float64) bool { return math.Abs(got/want-1) < 0.01 }
	var fuel [][2]int64
	for i := range 100 {
		fuel = append(fuel, [2]int64{1000, int64(1000 + 10*i)})
	}
	got := shadow.Tally(shadow.Fails, nil, fuel).Fuel
	if got.Compared != 100 || !near(got.Total, 1.495) || !near(got.Median, 1.49) || !near(got.P95, 1.94) {
		t.Errorf("got %+v", got)
	}
	got = shadow.Tally(shadow.Fails, nil, [][2]int64{{1, math.MaxInt64}, {1, 1}, {0, 5}, {5, 0}}).Fuel
	if got.Compared != 2 || got.Median != 1 || got.P95 < 20000 {
		t.Errorf("got %+v", got)
	}
	if got := shadow.Tally(shadow.Fails, nil, nil).Fuel; got != (shadow.Fuel{}) {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestChangesOfDocuments(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		recorded, now string
		want          []shadow.Change
		key           string
	}{
		"members": {
			`{"a":1,"b":{"c":[1,2,3]},"e/~":"x"}`, `{"a":2,"b":{"c":[1,5]},"d":null,"e/~":"y"}`,
			[]shadow.Change{
				{Where: "/a", Recorded: "1", Now: "2"},
				{Where: "/b/c/1", Recorded: "2", Now: "5"},
				{Where: "/b/c/2", Recorded: "3"},
				{Where: "/d", Now: "null"},
				{Where: "/e~1~0", Recorded: `"x"`, Now: `"y"`},
			},
			"/a, /b/c/*, /d, /e~1~0",
		},
		"what looks like an id": {
			`{"users":{"7f3a":{"name":"a"},"anna@example.com":{"name":"a"}}}`, `{"users":{"7f3a":{"name":"b"},"anna@example.com":{"name":"b"}}}`,
			[]shadow.Change{
				{Where: "/users/7f3a/name", Recorded: `"a"`, Now: `"b"`},
				{Where: "/users/anna@example.com/name", Recorded: `"a"`, Now: `"b"`},
			},
			"/users/*/name",
		},
		"a document in a string": {
			`{"body":"{\"title\":\"a\"}"}`, `{"body":"{\"title\":\"b\"}"}`,
			[]shadow.Change{{Where: "/body/title", Recorded: `"a"`, Now: `"b"`}},
			"/body/title",
		},
		"a document in a string that is written otherwise": {
			`{"body":"{\"a\":1}"}`, `{"body":"{\"a\": 1}"}`,
			[]shadow.Change{{Where: "/body", Recorded: `"{\"a\":1}"`, Now: `"{\"a\": 1}"`}},
			"/body",
		},
		"another type":               {`[1]`, `{"a":1}`, []shadow.Change{{Recorded: `[1]`, Now: `{"a":1}`}}, "the whole"},
		"no JSON":                    {`hello`, `1`, []shadow.Change{{Recorded: `hello`, Now: `1`}}, "the whole"},
		"the same":                   {`{"a":1,"b":2}`, `{"b":2,"a":1}`, nil, ""},
		"a number of other spelling": {`{"a":1.0}`, `{"a":1}`, []shadow.Change{{Where: "/a", Recorded: "1.0", Now: "1"}}, "/a"},
		"more than a key names": {
			`{"a":1,"b":1,"c":1,"d":1,"e":1}`, `{}`,
			[]shadow.Change{
				{Where: "/a", Recorded: "1"}, {Where: "/b", Recorded: "1"}, {Where: "/c", Recorded: "1"}, {Where: "/d", Recorded: "1"}, {Where: "/e", Recorded: "1"},
			},
			"/a, /b, /c, /d and more",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := shadow.Changes([]byte(tt.recorded), []byte(tt.now))
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("(-want +got) %s", d)
			}
			if key := shadow.Pointers(got); key != tt.key {
				t.Errorf("the key is %q, want %q", key, tt.key)
			}
		})
	}
}

func TestCallsAreNamed(t *testing.T) {
	t.Parallel()
	for request, want := range map[string]string{
		`{"method":"post","url":"https://acme.example.com:8443/v1/issues/17/labels?x=1"}`: "http POST /v1/issues/*/labels",
		`{"url":"https://example.com"}`:               "http GET /",
		`{"method":"GET","url":"https://a b\u0000/"}`: "http",
		`{"key":"cursor"}`:                            "http",
		``:                                            "http",
	} {
		if got := shadow.CallKey(&replay.Call{Func: "http", Request: []byte(request)}); got != want {
			t.Errorf("%s: %q, want %q", request, got, want)
		}
	}
}

func FuzzChanges(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":"{\"c\":1}"}]}`), []byte(`{"a":[2,{"b":"{\"c\":2}"}]}`))
	f.Add([]byte(`[[[]]]`), []byte(`"x"`))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		all := shadow.Changes(a, b)
		if len(all) > 32 {
			t.Errorf("%d changes", len(all))
		}
		if same := shadow.Changes(a, a); len(same) > 0 {
			t.Errorf("%q differs from itself: %v", a, same)
		}
		shadow.Pointers(all)
	})
}
