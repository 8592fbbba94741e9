package tck

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing" //nolint:depguard // It is for tests.

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// testStart calls what runs when a module is started as if it were exports like
// others, with somebody to ask.
func (g *guest) testStart(t *testing.T, limits runtime.Limits) {
	t.Helper()
	starts := []string{"_initialize", "__wasm_call_ctors", "warmup"}
	for i, start := range starts {
		m, err := wasm.Decode(g.wasm, wasm.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(m.Exports, func(e wasm.Export) bool { return e.Kind == wasm.KindFunction && e.Name == start })
		if i == 0 && at < 0 && m.Start != nil { // One is enough to start a module.
			m.Exports = append(m.Exports, wasm.Export{Index: *m.Start})
			at, m.Start = len(m.Exports)-1, nil
		}
		if at < 0 {
			continue
		}
		const observed = "tck_start"
		m.Exports[at].Name = observed
		// What comes after it needs it.
		m.Exports = slices.DeleteFunc(m.Exports, func(e wasm.Export) bool { return slices.Contains(starts[i+1:], e.Name) })
		module, err := g.runtime.Prepare(t.Context(), m.Encode(), limits)
		if err != nil {
			t.Fatal(err)
		}
		h := newHost(&vector{Now: defaultNow()})
		_, err = module.Call(t.Context(), runtime.Call{Export: observed, Host: h})
		for _, asked := range h.seen {
			t.Errorf("%s asks the host for %s %s", start, asked.Func, clip(asked.Request))
		}
		for _, l := range h.lines.Lines() {
			t.Errorf("%s logs %q, which nobody sees", start, l.Message)
		}
		if err != nil && len(h.seen) == 0 {
			t.Errorf("%s: %v", start, err)
		}
	}
}

// sight is all that can be seen of a run, and must be equal in equal runs.
func sight(r run) string {
	u := r.result.Usage
	seen, err := json.Marshal(r.host.seen)
	if err != nil {
		return err.Error()
	}
	lines, err := json.Marshal(r.host.lines.Lines())
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("fuel %d, memory %d, %s, calls %x, logs %s",
		u.Fuel, u.MemoryBytes, ended(r), sha256.Sum256(seen), clip(lines))
}

// testAlone makes all calls in one order, in the reverse, and side by side.
func (g *guest) testAlone(t *testing.T, vectors []vector) {
	t.Helper()
	first := map[string]string{}
	for i := range vectors {
		first[vectors[i].Name] = sight(g.play(t.Context(), &vectors[i], runtime.Limits{}))
	}
	check := func(how string, v *vector, got string) {
		if want := first[v.Name]; got != want {
			t.Errorf("%s, %s:\n got %s\nwant %s", v.Name, how, got, want)
		}
	}
	for i := range slices.Backward(vectors) {
		check("after others", &vectors[i], sight(g.play(t.Context(), &vectors[i], runtime.Limits{})))
	}
	seen := make([]string, len(vectors))
	var done sync.WaitGroup
	for i := range vectors {
		done.Go(func() { seen[i] = sight(g.play(t.Context(), &vectors[i], runtime.Limits{})) })
	}
	done.Wait()
	for i := range vectors {
		check("while others go on", &vectors[i], seen[i])
	}
}

// testFuel cuts calls off in the middle of their work.
func (g *guest) testFuel(t *testing.T, vectors []vector) {
	t.Helper()
	for i := range vectors {
		v := &vectors[i]
		whole := g.play(t.Context(), v, runtime.Limits{})
		if whole.err != nil {
			continue
		}
		for _, part := range []int64{1, whole.result.Usage.Fuel / 2, whole.result.Usage.Fuel - 1} {
			r := g.play(t.Context(), v, runtime.Limits{Fuel: part})
			if !isFailure(r.err, runtime.CodeFuelExhausted) {
				t.Errorf("%s, with %d of the %d units of fuel that it takes: got %s, want fuel_exhausted", v.Name, part, whole.result.Usage.Fuel, ended(r))
			}
		}
	}
}

// testMemory gives the guest more to read than it has room for. A language that can
// say so may; the guest ends all the same.
func (g *guest) testMemory(t *testing.T) {
	t.Helper()
	const size = 7 << 20 // Of the 8 MiB that an input may have.
	input := slices.Concat([]byte(`{"action":"`), bytes.Repeat([]byte("x"), size), []byte(`"}`))
	r := g.play(context.WithoutCancel(t.Context()), &vector{Export: "action", Input: input, Now: defaultNow()},
		runtime.Limits{MemoryBytes: g.module.Facts().ImageBytes + wasm.PageBytes})
	said := r.failure != nil && r.failure.Code == runtime.CodePluginBug && bytes.Contains(bytes.ToLower([]byte(r.failure.Message)), []byte("memory"))
	if !said && !isFailure(r.err, runtime.CodeMemoryExceeded) {
		t.Errorf("with no memory to grow into: got %s, want memory_exceeded, or plugin_bug with a message about memory", ended(r))
	}
}
