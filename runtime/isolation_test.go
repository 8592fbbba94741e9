package runtime_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"flag"
	"slices"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

var canaryCalls = flag.Int("canary.calls", 2000, "calls of the tiny guest that plant a secret; each is searched for by another call")

// secret is 32 random bytes, and what looks for them.
type secret []byte

func newSecret(t *testing.T) secret {
	t.Helper()
	s := make(secret, 8*probeWords)
	if _, err := rand.Read(s); err != nil {
		t.Fatal(err)
	}
	return s
}

// masked is what searches without being found.
func (s secret) masked() []byte {
	var masked []byte
	for word := range slices.Chunk(s, 8) {
		masked = binary.LittleEndian.AppendUint64(masked, binary.LittleEndian.Uint64(word)^probeMask)
	}
	return masked
}

// in counts the words of the secret in memory, wherever they lie.
func (s secret) in(memory []byte) (found int) {
	for word := range slices.Chunk(s, 8) {
		found += bytes.Count(memory, word)
	}
	return found
}

// planting calls plant in one of the ways in which a call ends.
func planting(s secret, end int) runtime.Call {
	asked := 0
	answer := func(context.Context, runtime.Crossing) (runtime.Answer, error) {
		if asked++; asked > 1 {
			return runtime.Answer{}, errors.New("no answer")
		}
		return runtime.Answer{Response: slices.Concat([]byte(`{"result":"`), s, []byte(`"}`))}, nil
	}
	c := runtime.Call{
		Export: "plant", Input: append(slices.Clone(s), byte(end), 0, 0, 0, 0, 0, 0, 0),
		World: runtime.World{Config: map[string]string{probeName: string(s)}},
		Host:  &host{answer: answer},
	}
	if end == endLoop {
		c.Limits.Fuel = 200_000
	}
	return c
}

// TestNothingOfACallIsLeft plants a secret in every place that a guest has, and
// looks for it in everything that the next call can see, and beyond that in the
// whole of the sandbox's memory.
func TestNothingOfACallIsLeft(t *testing.T) {
	t.Parallel()
	module := prepare(t, probe(false), probeLimits())
	hits := 0
	var last any
	for i := range *canaryCalls {
		s, end := newSecret(t), i%endRecurse
		if i%100 == 99 {
			end = endRecurse
		}
		result, err := module.Call(t.Context(), planting(s, end))
		if (err == nil) != (end == endReturn) {
			t.Fatalf("a call that ends in way %d: got %v", end, err)
		}
		if err == nil && !bytes.Equal(result.Output, s) {
			t.Fatalf("got output %x, want the secret", result.Output)
		}
		found := 0
		if idle := runtime.Idle(module); end == endRecurse {
			// It holds megabytes of stack, and was thrown away.
			if len(idle) != 0 {
				t.Fatalf("a call that recursed too deep: %d sandboxes are kept", len(idle))
			}
		} else {
			if len(idle) != 1 || i%100 > 0 && idle[0] != last {
				t.Fatalf("call %d: the sandbox was thrown away, so nothing is shown of resets", i)
			}
			if last = idle[0]; runtime.Remembers(module) {
				t.Fatal("the host keeps what belongs to a call that is over")
			}
			memory, err := runtime.Range(module)
			if err != nil {
				t.Fatal(err)
			}
			found = s.in(memory)
		}
		result, err = module.Call(t.Context(), runtime.Call{Export: "search", Input: s.masked()})
		if err != nil {
			t.Fatalf("search: %v", err)
		}
		places := word(t, result)
		if found > 0 || places > 0 {
			hits++
			t.Errorf("after a call that ended in way %d: %d words are left in memory; the next call sees places %05b", end, found, places)
		}
	}
	t.Logf("%d secrets planted and searched for, %d hits", *canaryCalls, hits)
}

// TestSearchFinds shows that the searches above find what is there.
func TestSearchFinds(t *testing.T) {
	t.Parallel()
	module := prepare(t, probe(false), probeLimits())
	s := newSecret(t)
	c := planting(s, endReturn)
	c.Export = "both"
	result, err := module.Call(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if got := word(t, result); got != probeEverywhere {
		t.Errorf("the guest found its secret in places %05b, want %05b", got, probeEverywhere)
	}
	memory, err := runtime.Range(module)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(memory, []byte("the image")) || len(memory) < probeMemory+probeKernel {
		t.Errorf("the range of %d bytes is not the guest's and the kernel's", len(memory))
	}
	for _, at := range []int{3, probeMemory - 100, len(memory) - 40} {
		copy(memory[at:], s)
		if got := s.in(memory); got != probeWords {
			t.Errorf("found %d words of the secret at %d", got, at)
		}
		clear(memory[at : at+len(s)])
	}
}

// TestGoGuestLeavesNothing does it to a heap with a garbage collector's habits.
func TestGoGuestLeavesNothing(t *testing.T) {
	t.Parallel()
	module := prepare(t, runtimetest.Guest(t), runtime.Limits{MemoryBytes: 16 << 20, KernelBytes: 1 << 20})
	s := newSecret(t)
	result, err := module.Call(t.Context(), runtime.Call{Export: "both", Input: s, Host: answering(`{"result":{}}`)})
	if err != nil || string(result.Output) == "0" {
		t.Fatalf("a search that must find something: got %q, %v", result.Output, err)
	}
	want := "0  0" // No words, no variable, nothing kept.
	calls := max(10, *canaryCalls/100)
	for range calls {
		s := newSecret(t)
		if _, err := module.Call(t.Context(), runtime.Call{Export: "plant", Input: s, Host: answering(`{"result":{}}`)}); err != nil {
			t.Fatal(err)
		}
		memory, err := runtime.Range(module)
		if err != nil {
			t.Fatal(err)
		}
		if found := s.in(memory); found > 0 {
			t.Errorf("%d words are left in memory", found)
		}
		result, err := module.Call(t.Context(), runtime.Call{Export: "search", Input: s.masked()})
		if err != nil || string(result.Output) != want {
			t.Errorf("the next call sees %q, %v, want %q", result.Output, err, want)
		}
	}
	t.Logf("%d secrets planted and searched for", calls)
}

// TestTenantsShareNothing has two tenants' calls under way at once in sandboxes
// that both have used before.
func TestTenantsShareNothing(t *testing.T) {
	t.Parallel()
	module := prepare(t, probe(false), probeLimits())
	s := newSecret(t)
	c := planting(s, endReturn)
	inside := 0
	c.Host = &host{answer: func(ctx context.Context, _ runtime.Crossing) (runtime.Answer, error) {
		// The other tenant, while this one's secret is everywhere in its sandbox.
		for range 3 {
			result, err := module.Call(ctx, runtime.Call{Export: "search", Input: s.masked()})
			if err != nil {
				return runtime.Answer{}, err
			}
			inside++
			if places := word(t, result); places != 0 {
				t.Errorf("another call sees the secret in places %05b", places)
			}
		}
		return runtime.Answer{Response: []byte(`{"result":{}}`)}, nil
	}}
	c.Limits.Deadline = time.Minute
	for range 10 {
		if _, err := module.Call(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if inside != 30 {
		t.Errorf("%d calls were made inside of others", inside)
	}
}

// TestFreshModulesShareNothing is about modules whose tables change.
func TestFreshModulesShareNothing(t *testing.T) {
	t.Parallel()
	module := prepare(t, probe(true), probeLimits())
	if module.Facts().Fresh == "" {
		t.Fatal("the module can be reset")
	}
	for range 20 {
		s := newSecret(t)
		if _, err := module.Call(t.Context(), planting(s, endReturn)); err != nil {
			t.Fatal(err)
		}
		result, err := module.Call(t.Context(), runtime.Call{Export: "search", Input: s.masked()})
		if err != nil || word(t, result) != 0 {
			t.Errorf("the next call sees %x, %v", result.Output, err)
		}
		if idle := runtime.Idle(module); len(idle) != 0 {
			t.Errorf("%d sandboxes were kept", len(idle))
		}
	}
}
