package runtime_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/abi"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// TestEachCrossingHasItsPrice: the host works for each line, and for no byte of it.
func TestEachCrossingHasItsPrice(t *testing.T) {
	t.Parallel()
	const lines, least = 1000, 2000
	var b runtimetest.Builder
	write := b.Import(abi.WASIModule, "fd_write", "iiii", "i")
	log := b.Import(abi.EnvModule, "log_info", "I", "")
	b.Memory(1)
	b.Func("write", "", "i", "",
		runtimetest.I32(0), runtimetest.I32(1024), runtimetest.Op(0x36, 2, 0),
		runtimetest.I32(4), runtimetest.I32(lines), runtimetest.Op(0x36, 2, 0),
		runtimetest.I32(1024), runtimetest.I32('\n'), runtimetest.I32(lines), runtimetest.Op(0xfc, 0x0b, 0), // memory.fill
		runtimetest.I32(1), runtimetest.I32(0), runtimetest.I32(1), runtimetest.I32(16), runtimetest.Invoke(write))
	b.Func("log", "", "i", "i",
		runtimetest.Op(0x03, 0x40), runtimetest.I64(0), runtimetest.Invoke(log),
		runtimetest.Op(0x20, 0), runtimetest.I32(1), runtimetest.Op(0x6a, 0x22, 0), // Add 1 to local 0.
		runtimetest.I32(lines), runtimetest.Op(0x47, 0x0d, 0, 0x0b), runtimetest.I32(0))
	module := prepare(t, b.Bytes(), runtime.Limits{})
	for _, export := range []string{"write", "log"} {
		result, err := module.Call(t.Context(), runtime.Call{Export: export, Host: &host{}})
		if err != nil {
			t.Fatal(err)
		}
		if got := result.Usage.HostCalls; got != lines {
			t.Errorf("%s: got %d host calls, want %d", export, got, lines)
		}
		if got := result.Usage.Fuel; got < lines*least {
			t.Errorf("%s: %d crossings cost %d units of fuel; each is to cost %d", export, lines, got, least)
		}
	}
}

// rises says whether each value is above the one before it.
func rises(values []int64) bool {
	for i := 1; i < len(values); i++ {
		if values[i] <= values[i-1] {
			return false
		}
	}
	return true
}

// severalCrossings are calls with more than one, of the tiny guest and of the Go one.
func severalCrossings(t *testing.T) []struct {
	name   string
	module *runtime.Module
	call   runtime.Call
} {
	t.Helper()
	var b runtimetest.Builder
	ask := b.Import(runtimetest.User, "state_get", "I", "I")
	b.Table(1)
	b.Func("run", "", "i", "", // A module that has an instance for each call.
		runtimetest.I64(0), runtimetest.Invoke(ask), runtimetest.Op(0x1a),
		runtimetest.Op(0xd0, 0x70), runtimetest.I32(1), runtimetest.Op(0xfc, 0x0f, 0x00, 0x1a), // ref.null table.grow drop
		runtimetest.I64(0), runtimetest.Invoke(ask), runtimetest.Op(0x1a), runtimetest.I32(0))
	tiny, fresh := prepare(t, probe(false), probeLimits()), prepare(t, b.Bytes(), runtime.Limits{})
	large := func() *runtime.Module { // One for each: its sandboxes are counted.
		return prepare(t, runtimetest.Guest(t), runtime.Limits{MemoryBytes: 16 << 20, KernelBytes: 1 << 20})
	}
	return []struct {
		name   string
		module *runtime.Module
		call   runtime.Call
	}{
		{"tiny", tiny, runtime.Call{Export: "work"}},
		{"fresh", fresh, runtime.Call{Export: "run"}},
		{"Go, which sleeps", large(), runtime.Call{Export: "sleep"}},
		{"Go, which logs, to its last words", large(), runtime.Call{Export: "print", Input: []byte("one\n\ntwo\nthree")}},
	}
}

func TestACrossingSaysWhatTheCallHasUsed(t *testing.T) {
	t.Parallel()
	for _, test := range severalCrossings(t) {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			whole := answering(httpAnswer)
			test.call.Host = whole
			result, err := test.module.Call(t.Context(), test.call)
			if err != nil {
				t.Fatal(err)
			}
			used, at := result.Usage.Fuel, whole.fuel
			if len(at) == 0 || at[0] <= 0 || !slices.IsSorted(at) || at[len(at)-1] > used {
				t.Fatalf("got crossings at %v of %d units", at, used)
			}
			if n := result.Usage.HostCalls; n != len(at) || test.call.Export != "print" && !rises(at) {
				t.Errorf("got %d host calls, at %v", n, at)
			}
			// Where a call is cut off is no matter up to there; then there are its last words.
			for budget := int64(1); budget <= used; budget += 1 + used/41 {
				cut := answering(httpAnswer)
				test.call.Host, test.call.Limits.Fuel = cut, budget
				result, _ := test.module.Call(t.Context(), test.call)
				for i, fuel := range cut.fuel {
					if same := cut.asked[i] == whole.asked[i] && fuel == at[i]; !same && fuel != result.Usage.Fuel {
						t.Errorf("with %d units: crossing %d is %s at %d, want %s at %d", budget, i, cut.asked[i], fuel, whole.asked[i], at[i])
					}
				}
				if before := slices.IndexFunc(append(at, used), func(fuel int64) bool { return fuel > budget }); len(cut.fuel) < before {
					t.Errorf("with %d units: got %d crossings at %v, want those at %v", budget, len(cut.fuel), cut.fuel, at)
				}
			}
		})
	}
}

// suspension is an error of a Host's own, as one has that ends a call to go on later.
type suspension struct{ at int }

func (s *suspension) Error() string { return "suspended" }

// TestCallEndedByItsHostGivesTheSandboxBack: calls that sleep may be many, and end in
// their host calls.
func TestCallEndedByItsHostGivesTheSandboxBack(t *testing.T) {
	t.Parallel()
	for _, test := range severalCrossings(t) {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.call.Host = answering(httpAnswer)
			known := undisturbed(t, test.module, test.call)[0]
			var first any
			for n := range 20 * known.usage.HostCalls {
				at := 1 + n%known.usage.HostCalls
				h := &host{}
				h.answer = func(context.Context, runtime.Crossing) (runtime.Answer, error) {
					if len(h.asked) == at {
						return runtime.Answer{}, errors.Join(errors.New("the host's"), &suspension{at})
					}
					return runtime.Answer{Response: []byte(httpAnswer)}, nil
				}
				test.call.Host = h
				result, err := test.module.Call(t.Context(), test.call)
				if mine, ok := errors.AsType[*suspension](err); !ok || mine.at != at {
					t.Fatalf("ended in crossing %d: got %v", at, err)
				}
				if len(h.asked) != at || result.Output != nil {
					t.Fatalf("ended in crossing %d: it has asked for %q, and given %q", at, h.asked, result.Output)
				}
				if u := result.Usage; u.HostCalls != at || u.Fuel != h.fuel[at-1] || u.MemoryBytes != known.usage.MemoryBytes && at == known.usage.HostCalls {
					t.Fatalf("ended in crossing %d, at %d units: got %+v", at, h.fuel[at-1], u)
				}
				if test.module.Facts().Fresh == "" {
					first = sameSandbox(t, test.module, first)
				}
			}
			if err := known.differs(t.Context(), test.module); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}
