package runtime_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/runtime/sourcemap"
)

// withSourceMap gives a module a source map of a bundle of two lines.
func withSourceMap(t *testing.T, module []byte) []byte {
	t.Helper()
	module, err := runtime.WithSections(module, map[string][]byte{
		sourcemap.Section: []byte(`{"version":3,"sources":["src/shop.ts"],"names":[],"mappings":"AAAA;AAWI"}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	return module
}

func TestFailuresNameLinesOfTheSources(t *testing.T) {
	t.Parallel()
	failing := withSourceMap(t, runtimetest.Fail("run",
		`{"code":"plugin_bug","message":"thrown at connector.js:2:9","details":{"stack":"    at run (connector.js:2:9)\n    at call (native)\n"}}`, 1))
	check := func(t *testing.T, err error) {
		t.Helper()
		f := wantFailure(t, err, runtime.CodePluginBug)
		want := &runtime.Failure{
			Code: runtime.CodePluginBug, Message: "thrown at src/shop.ts:12:5",
			Details: []byte(`{"stack":"    at run (src/shop.ts:12:5)\n"}`),
		}
		if diff := cmp.Diff(want, f); diff != "" {
			t.Errorf("differs (-want +got):\n%s", diff)
		}
	}
	t.Run("of a call", func(t *testing.T) {
		t.Parallel()
		module := prepare(t, failing, runtime.Limits{})
		for range 2 {
			_, err := module.Call(t.Context(), runtime.Call{Export: "run"})
			check(t, err)
		}
	})
	t.Run("of a module that was unloaded and comes again", func(t *testing.T) {
		t.Parallel()
		rt := newRuntime(t, runtime.Config{Idle: 1})
		module, err := rt.Prepare(t.Context(), failing, runtime.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			_, err := module.Call(t.Context(), runtime.Call{Export: "run"})
			check(t, err)
			if err := rt.Trim(t.Context()); err != nil || runtime.Loaded(module) {
				t.Fatalf("it is loaded still: %v", err)
			}
		}
	})
	t.Run("of freezing", func(t *testing.T) {
		t.Parallel()
		_, err := sharedRuntime(t).Freeze(t.Context(), failing, runtime.Limits{}, runtime.Freezing{Export: "run"})
		check(t, err)
	})
	t.Run("but not without a source map", func(t *testing.T) {
		t.Parallel()
		module := prepare(t, runtimetest.Fail("run", "at connector.js:2:9", 1), runtime.Limits{})
		_, err := module.Call(t.Context(), runtime.Call{Export: "run"})
		if f := wantFailure(t, err, runtime.CodePluginBug); f.Message != "at connector.js:2:9" {
			t.Errorf("got %q", f.Message)
		}
	})
}

func TestLogLinesNameLinesOfTheSources(t *testing.T) {
	t.Parallel()
	h := &host{}
	module := prepare(t, withSourceMap(t, runtimetest.Guest(t)), runtime.Limits{})
	if _, err := module.Call(t.Context(), runtime.Call{Export: "print", Input: []byte("Error: \"no\"\tat connector.js:2:9\n"), Host: h}); err != nil {
		t.Fatal(err)
	}
	if got, want := h.asked[0], `log {"level":"info","message":"Error: \"no\"\tat src/shop.ts:12:5"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// Nothing else is changed on its way.
	asking := prepare(t, withSourceMap(t, runtimetest.Ask("ask", "state_get", `{"key":"connector.js:2:9"}`)), runtime.Limits{})
	h = &host{}
	if _, err := asking.Call(t.Context(), runtime.Call{Export: "ask", Host: h}); err != nil {
		t.Fatal(err)
	}
	if got, want := h.asked[0], `state_get {"key":"connector.js:2:9"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
