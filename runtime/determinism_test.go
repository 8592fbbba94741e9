package runtime_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

var determinismCalls = flag.Int("determinism.calls", 100, "repetitions of each call that must not differ")

// observed is what must be the same each time.
func observed(result runtime.Result, err error) string {
	usage := result.Usage
	usage.Wall, usage.CPU = 0, 0
	return fmt.Sprintf("%x %+v %v", sha256.Sum256(result.Output), usage, err)
}

// witnessed makes a call, and is what must be the same each time of it and of its
// crossings.
func witnessed(ctx context.Context, module *runtime.Module, c runtime.Call, h *host) string {
	c.Host = h
	seen := observed(module.Call(ctx, c))
	return fmt.Sprintf("%s crossings %x at %v", seen, sha256.Sum256([]byte(strings.Join(h.asked, "\n"))), h.fuel)
}

// worlds are calls of everything in which a guest could notice a difference.
func worlds() []runtime.Call {
	var all []runtime.Call
	for i, c := range []runtime.Call{
		{Export: "random"},
		{Export: "echo", Input: bytes.Repeat([]byte("ab"), 3000)},
		{Export: "clock"},
		{Export: "sleep"},
		{Export: "print", Input: []byte("one\ntwo")},
		{Export: "http"},
		{Export: "count"},
		{Export: "panics"},
		{Export: "hog"},
		{Export: "spin", Limits: runtime.Limits{Fuel: 3_000_000}},
	} {
		c.World = runtime.World{Seed: [32]byte{byte(i)}, Start: time.Unix(1e9, 5), Config: map[string]string{"a": "b"}}
		all = append(all, c)
	}
	return all
}

// probes are calls of the tiny guest.
func probes() []runtime.Call {
	cut := runtime.Limits{Fuel: 54_321}
	return []runtime.Call{{Export: "work"}, {Export: "digest"}, {Export: "search", Input: make([]byte, 32)}, {Export: "work", Limits: cut}}
}

// guests are what determinism is shown of.
func guests(t *testing.T) []struct {
	wasm   []byte
	limits runtime.Limits
	calls  []runtime.Call
} {
	t.Helper()
	return []struct {
		wasm   []byte
		limits runtime.Limits
		calls  []runtime.Call
	}{
		{probe(false), probeLimits(), probes()},
		{probe(true), probeLimits(), probes()},
		{runtimetest.Guest(t), runtime.Limits{MemoryBytes: 12 << 20, KernelBytes: 1 << 20}, worlds()},
	}
}

// transcript is what all calls of all guests give in a runtime, each repeated
// and all of them held to the first.
func transcript(t *testing.T, rt *runtime.Runtime, times int) string {
	t.Helper()
	var all strings.Builder
	for _, g := range guests(t) {
		module, err := rt.Prepare(t.Context(), g.wasm, g.limits)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "start %d, image %s\n", module.Facts().StartFuel, module.Facts().ImageDigest)
		for _, c := range g.calls {
			first := ""
			for i := range times {
				got := witnessed(t.Context(), module, c, answering(httpAnswer))
				if first == "" {
					first = got
				}
				if got != first {
					t.Errorf("%s: time %d gave\n%s, the first\n%s", c.Export, i, got, first)
				}
			}
			fmt.Fprintln(&all, c.Export, first)
		}
		if err := module.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	return all.String()
}

func newRuntime(t *testing.T, c runtime.Config) *runtime.Runtime {
	t.Helper()
	c.Functions = []string{"state_get"}
	c.CacheDir = runtimetest.CacheDir(t)
	rt, err := runtime.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return rt
}

// TestCallsAreRepeatable compares outputs, fuel and memory to the bit: again and
// again in one sandbox, in sandboxes of modules that were unloaded and loaded
// again, in other runtimes, and with other numbers of processors.
func TestCallsAreRepeatable(t *testing.T) {
	t.Parallel()
	// Each in a process of its own: the number of processors is a process's.
	const begin, end = "<<<transcript\n", ">>>"
	transcripts := map[string]string{}
	var mu sync.Mutex
	t.Run("all", func(t *testing.T) {
		for _, test := range []struct {
			procs  string
			config runtime.Config
		}{
			{"1", runtime.Config{Running: 1}},
			{"2", runtime.Config{Running: 3}},
			{"2", runtime.Config{HeldBytes: 1}}, // Everything is unloaded after each call.
		} {
			t.Run(fmt.Sprintf("%s processors, %d running, %d held", test.procs, test.config.Running, test.config.HeldBytes), func(t *testing.T) {
				t.Parallel()
				out := inProcess(t, func(t *testing.T) {
					t.Helper()
					times := *determinismCalls
					if test.config.HeldBytes == 1 {
						times = 1 + times/200 // Loading the Go guest takes a while.
					}
					rt := newRuntime(t, test.config)
					fmt.Print(begin, transcript(t, rt, times), end)
					if err := rt.Close(t.Context()); err != nil {
						t.Error(err)
					}
				}, "GOMAXPROCS="+test.procs)
				if out == "" { // This is that process.
					return
				}
				_, after, _ := strings.Cut(out, begin)
				got, _, ok := strings.Cut(after, end)
				if !ok || strings.Count(got, "\n") < 20 {
					t.Fatalf("got no transcript:\n%s", out)
				}
				mu.Lock()
				defer mu.Unlock()
				transcripts[t.Name()] = got
			})
		}
	})
	var first, name string
	for other, got := range transcripts {
		if first == "" {
			first, name = got, other
		}
		if got != first {
			t.Errorf("%s gave\n%s%s gave\n%s", name, first, other, got)
		}
	}
}

// TestSlicesDoNotCount runs calls beside others, which interrupt them at other
// places each time.
func TestSlicesDoNotCount(t *testing.T) {
	t.Parallel()
	rt := newRuntime(t, runtime.Config{Running: 1})
	defer rt.Close(t.Context())
	module, err := rt.Prepare(t.Context(), runtimetest.Guest(t), runtime.Limits{MemoryBytes: 12 << 20, KernelBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	calls := worlds()
	first := make([]string, len(calls))
	for i := range calls {
		first[i] = witnessed(t.Context(), module, calls[i], answering(httpAnswer))
	}
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 10 * len(calls) {
				c := calls[(i+g)%len(calls)]
				c.Share = runtime.Share{Key: strconv.Itoa(g), Weight: 1 + g}
				if got := witnessed(t.Context(), module, c, answering(httpAnswer)); got != first[(i+g)%len(calls)] {
					t.Errorf("%s: got\n%s, alone\n%s", c.Export, got, first[(i+g)%len(calls)])
				}
			}
		})
	}
	all.Wait()
}

// connectorHost answers the questions of examples/hello-go, each at its time.
func connectorHost() *host {
	now := time.Unix(1e9, 0)
	return &host{answer: func(_ context.Context, c runtime.Crossing) (runtime.Answer, error) {
		now = now.Add(1234567 * time.Microsecond)
		response, ok := map[string]string{
			"http":      `{"result":{"status":200,"headers":{"content-type":["application/json"]},"body":"[{\"name\":\"triage\"}]"}}`,
			"state_add": `{"result":{"value":7}}`,
		}[c.Func]
		if !ok {
			response = `{"result":{}}`
		}
		return runtime.Answer{Response: []byte(response), At: now}, nil
	}}
}

// TestAConnectorRunsTheSameAgain is about a connector as they are published, which
// asks for this and that: in sandboxes that are new and used, and on servers whose
// clocks differ.
func TestAConnectorRunsTheSameAgain(t *testing.T) {
	t.Parallel()
	wasm := runtimetest.BuildGoFresh(t, "../examples/hello-go")
	c := runtime.Call{
		Export: "webhook",
		Input: []byte(`{"execution":"e1","attempt":1,"webhook":"issues","config":{"label":"triage","api_url":"https://api.github.com"},` +
			`"connections":{"github":{}},"request":{"id":"d1","received_at":"2026-03-02T07:14:09Z","method":"POST","headers":{},` +
			`"body":"{\"action\":\"opened\",\"issue\":{\"number\":42,\"title\":\"t\"},\"repository\":{\"full_name\":\"o/r\"}}"}}`),
		World: runtime.World{Seed: [32]byte{4}, Start: time.Unix(1e9, 0)},
	}
	first := ""
	for server := range 2 {
		rt, err := runtime.New(t.Context(), runtime.Config{
			Functions: []string{"http", "log", "state_get", "state_set", "state_delete", "state_cas", "state_add", "state_list", "emit", "tag", "sleep"},
			CacheDir:  runtimetest.CacheDir(t),
			Now:       func() time.Time { return time.Now().Add(time.Duration(server) * 1000 * time.Hour) },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer rt.Close(t.Context())
		module, err := rt.Prepare(t.Context(), wasm, runtime.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		for run := range 10 {
			h := connectorHost()
			got := module.Facts().ImageDigest + " " + witnessed(t.Context(), module, c, h)
			if first == "" {
				first = got
				if !strings.HasSuffix(h.asked[len(h.asked)-1], `"count":7}}`) || len(h.asked) < 6 || !rises(h.fuel) {
					t.Fatalf("it does not do what it is for: it asked for %q at %v: %s", h.asked, h.fuel, got)
				}
			}
			if got != first {
				t.Errorf("server %d, run %d: got\n%s, the first\n%s", server, run, got, first)
			}
			if run%3 == 2 {
				if err := runtime.DropIdle(t.Context(), module); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// TestSeedsDecide holds crypto/rand to the call's seed. Go's math/rand and the
// order of its maps are drawn when the guest starts, and Go cannot draw them again:
// they are the image's, whatever the seed.
func TestSeedsDecide(t *testing.T) {
	t.Parallel()
	const seeds = 20
	parts := [3]map[string]int{{}, {}, {}} // By what is drawn: who drew it last.
	for seed := range seeds {
		drawn := ""
		for range 3 {
			output := call(t, runtime.Call{Export: "random", World: runtime.World{Seed: [32]byte{0, byte(seed)}}})
			if drawn != "" && output != drawn {
				t.Errorf("one seed drew %q and %q", drawn, output)
			}
			drawn = output
		}
		fields := strings.Fields(drawn)
		if len(fields) != len(parts) {
			t.Fatalf("got %q", drawn)
		}
		for i, field := range fields {
			parts[i][field] = seed
		}
	}
	for i, want := range []int{seeds, 1, 1} {
		if got := len(parts[i]); got != want {
			t.Errorf("%d seeds drew %d different values at position %d, want %d", seeds, got, i, want)
		}
	}
}
