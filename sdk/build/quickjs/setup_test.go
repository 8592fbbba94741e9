package quickjs_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/sdk/build/quickjs"
)

// probe is a bundle that evaluates what it gets: {"code"} in a dispatcher that
// catches, as a connector's does, {"raw"} in one that does not.
const probe = `(() => {
  const door = globalThis.__cofferdam;
  delete globalThis.__cofferdam;
  globalThis.kept = { count: 0 };
  globalThis.__cofferdam_dispatch = (index) => {
    const { input, output, error, call, random } = door;
    const request = JSON.parse(input());
    if (request.raw !== undefined) return (0, eval)("(" + request.raw + ")")(door);
    return (async () => {
      try {
        let result = eval(request.code);
        if (result && typeof result.then === "function") result = await result;
        output(JSON.stringify(result === undefined ? null : result));
      } catch (e) {
        error(JSON.stringify({ code: "plugin_bug", message: String(e), details: { stack: e && e.stack } }));
      }
    })();
  };
})();`

// functions are those that the test's modules are linked with.
func functions() []string { return []string{"http", "log", "state_get"} }

// packageDir is the npm package. A test that needs it is skipped where nobody ran
// npm, unless that is required.
func packageDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join("..", "..", "typescript", "node_modules", quickjs.Package)
	if _, err := os.Stat(filepath.Join(dir, "quickjs.wasm")); err != nil {
		missing(t, "COFFERDAM_TEST_REQUIRE_NODE", "the npm package "+quickjs.Package+" is not in "+dir+": run npm ci in sdk/typescript")
	}
	return dir
}

func missing(t *testing.T, required, what string) {
	t.Helper()
	if os.Getenv(required) == "1" {
		t.Fatalf("%s=1, and %s", required, what)
	}
	t.Skip("NOT TESTED: " + what)
}

// bench is what the tests share: compiling the engine takes a second.
type bench struct {
	runtime *runtime.Runtime
	engine  []byte
	frozen  []byte
	// probe is frozen with the default limits, short with a tenth of a second.
	probe, short *runtime.Module
}

var shared struct {
	once  sync.Once
	bench bench
	err   error
}

func setup(t *testing.T) bench {
	t.Helper()
	dir := packageDir(t)
	shared.once.Do(func() { shared.bench, shared.err = newBench(context.WithoutCancel(t.Context()), dir) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.bench
}

func newBench(ctx context.Context, dir string) (b bench, err error) {
	if b.engine, err = quickjs.Link(dir, functions()); err != nil {
		return b, err
	}
	if b.runtime, err = runtime.New(ctx, runtime.Config{Functions: functions()}); err != nil {
		return b, err
	}
	if b.frozen, err = b.freeze(ctx, probe); err != nil {
		return b, err
	}
	if b.probe, err = b.runtime.Prepare(ctx, b.frozen, runtime.Limits{}); err != nil {
		return b, err
	}
	b.short, err = b.runtime.Prepare(ctx, b.frozen, runtime.Limits{Fuel: 200_000_000})
	return b, err
}

func (b bench) freeze(ctx context.Context, script string) ([]byte, error) {
	frozen, err := b.runtime.Freeze(ctx, b.engine, runtime.Limits{}, runtime.Freezing{Export: "load", Input: []byte(script)})
	return frozen.Module, err
}

// host answers with what it was asked.
type host struct{}

func (host) Call(_ context.Context, c runtime.Crossing) (runtime.Answer, error) {
	request := string(c.Request)
	if !json.Valid(c.Request) {
		request = "null"
	}
	return runtime.Answer{Response: []byte(`{"result":{"function":"` + c.Func + `","request":` + request + `}}`)}, nil
}

func world(seed byte) runtime.World {
	return runtime.World{Seed: [32]byte{seed}, Start: time.Unix(1_700_000_000, 0)}
}

// call runs code in the probe.
func (b bench) call(t *testing.T, w runtime.World, request map[string]string) (runtime.Result, error) {
	t.Helper()
	return callOf(t, b.probe, w, request)
}

func callOf(t *testing.T, m *runtime.Module, w runtime.World, request map[string]string) (runtime.Result, error) {
	t.Helper()
	input, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	return m.Call(t.Context(), runtime.Call{Export: "action", Input: input, World: w, Host: host{}})
}

// value is what code comes to, as JSON.
func (b bench) value(t *testing.T, code string) string {
	t.Helper()
	result, err := b.call(t, world(1), map[string]string{"code": code})
	if err != nil {
		t.Fatalf("%s: %v", code, err)
	}
	return string(result.Output)
}

// failure is what the guest is to blame for.
func failure(t *testing.T, err error) *runtime.Failure {
	t.Helper()
	f, ok := errors.AsType[*runtime.Failure](err)
	if !ok {
		t.Fatalf("got %v, want a failure of the guest's", err)
	}
	return f
}

// stackOf is the stack in a failure's details.
func stackOf(t *testing.T, f *runtime.Failure) string {
	t.Helper()
	var details struct{ Stack string }
	if len(f.Details) > 0 {
		if err := json.Unmarshal(f.Details, &details); err != nil {
			t.Fatal(err)
		}
	}
	return details.Stack
}
