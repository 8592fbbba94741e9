package runtime_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

func freeze(t *testing.T, module []byte, f runtime.Freezing) runtime.Frozen {
	t.Helper()
	frozen, err := sharedRuntime(t).Freeze(t.Context(), module, runtime.Limits{}, f)
	if err != nil {
		t.Fatalf("freeze: %v", err)
	}
	return frozen
}

// loader is a guest whose load keeps the first byte of its input, grows its memory
// and keeps a byte there. Run returns both, added to what they are each time.
func loader() []byte {
	const far = 2 << 16
	var b runtimetest.Builder
	input := b.Import(runtimetest.Extism, "input_load_u8", "I", "i")
	b.Memory(1)
	b.Data(100, []byte("data"))
	keep := func(at int32, value ...[]byte) []byte {
		return slices.Concat(runtimetest.I32(at), slices.Concat(value...), store8)
	}
	read := func(at int32) []byte { return slices.Concat(runtimetest.I32(at), load8) }
	b.Func("load", "", "i", "",
		runtimetest.I32(2), runtimetest.Op(0x40, 0, 0x1a), // memory.grow(2), drop
		keep(0, runtimetest.I64(0), runtimetest.Invoke(input)),
		keep(far, read(0), runtimetest.I32(1), runtimetest.Op(0x6a)),
		runtimetest.I32(0))
	b.Func("run", "", "i", "",
		keep(far, read(far), runtimetest.I32(1), runtimetest.Op(0x6a)),
		read(0), read(far), runtimetest.Op(0x6a), read(100), runtimetest.Op(0x6a))
	return b.Bytes()
}

func TestAFrozenModuleBeginsAsTheOtherEnded(t *testing.T) {
	t.Parallel()
	frozen := freeze(t, loader(), runtime.Freezing{Export: "load", Input: []byte{40}})
	if frozen.Usage.Fuel == 0 || frozen.Usage.InputBytes != 1 {
		t.Errorf("got a usage of %+v", frozen.Usage)
	}
	module := prepare(t, frozen.Module, runtime.Limits{})
	if got, want := module.Exports(), []string{"run"}; !slices.Equal(got, want) {
		t.Errorf("got exports %q, want %q", got, want)
	}
	if got, want := module.Facts().ImageBytes, int64(3<<16); got != want {
		t.Errorf("got an image of %d bytes, want %d", got, want)
	}
	for range 3 {
		_, err := module.Call(t.Context(), runtime.Call{Export: "run"})
		f := wantFailure(t, err, runtime.CodePluginBug)
		if want := fmt.Sprintf("returned %d ", 40+42+'d'); !strings.Contains(f.Message, want) {
			t.Errorf("got %q, want %q", f.Message, want)
		}
	}
}

func TestFreezingIsDeterministic(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		module   []byte
		freezing runtime.Freezing
	}{
		"made by hand": {loader(), runtime.Freezing{Export: "load", Input: []byte{1}}},
		"made by Go":   {runtimetest.Guest(t), runtime.Freezing{Export: "count"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, second := freeze(t, test.module, test.freezing), freeze(t, test.module, test.freezing)
			if !bytes.Equal(first.Module, second.Module) {
				t.Errorf("two freezings gave %d and %d bytes that differ", len(first.Module), len(second.Module))
			}
			again := freeze(t, first.Module, runtime.Freezing{})
			if !bytes.Equal(first.Module, again.Module) {
				t.Errorf("freezing it as it is changed it from %d to %d bytes", len(first.Module), len(again.Module))
			}
		})
	}
}

func TestAGoGuestFreezes(t *testing.T) {
	t.Parallel()
	frozen := freeze(t, runtimetest.Guest(t), runtime.Freezing{Export: "count"})
	if got, want := string(frozen.Output), "1 1"; got != want {
		t.Errorf("got output %q, want %q", got, want)
	}
	m, err := wasm.Decode(frozen.Module, wasm.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range m.Exports {
		if e.Name == "count" || e.Name == "_initialize" {
			t.Errorf("it has the export %q still", e.Name)
		}
	}
	module := prepare(t, frozen.Module, runtime.Limits{})
	if fuel := module.Facts().StartFuel; fuel != 0 {
		t.Errorf("its start uses %d units of fuel", fuel)
	}
	for range 3 {
		result, err := module.Call(t.Context(), runtime.Call{Export: "echo", Input: []byte("hello")})
		if err != nil || string(result.Output) != "hello" {
			t.Errorf("got %q, %v", result.Output, err)
		}
	}
	random, err := module.Call(t.Context(), runtime.Call{Export: "random"})
	if err != nil || len(random.Output) == 0 {
		t.Errorf("got %q, %v", random.Output, err)
	}
	sleep, err := module.Call(t.Context(), runtime.Call{Export: "sleep", Host: &host{}})
	if want := "10ms@10ms 30ms@30ms"; err != nil || string(sleep.Output) != want {
		t.Errorf("got %q, %v, want %q", sleep.Output, err, want)
	}
}

func TestFreezingAGuestThatFails(t *testing.T) {
	t.Parallel()
	const said = `{"code":"invalid_input","message":"no default export","details":{"stack":"at connector.js:1:2"}}`
	t.Run("gives its own error", func(t *testing.T) {
		t.Parallel()
		_, err := sharedRuntime(t).Freeze(t.Context(), runtimetest.Fail("load", said, 1), runtime.Limits{}, runtime.Freezing{Export: "load"})
		f := wantFailure(t, err, "invalid_input")
		if f.Message != "no default export" || string(f.Details) != `{"stack":"at connector.js:1:2"}` {
			t.Errorf("got %q and %s", f.Message, f.Details)
		}
	})
	t.Run("gives the trap", func(t *testing.T) {
		t.Parallel()
		_, err := sharedRuntime(t).Freeze(t.Context(), runtimetest.Trap("load"), runtime.Limits{}, runtime.Freezing{Export: "load"})
		wantFailure(t, err, runtime.CodeTrapped)
	})
	t.Run("keeps to its fuel", func(t *testing.T) {
		t.Parallel()
		_, err := sharedRuntime(t).Freeze(t.Context(), runtimetest.Loop("load"), runtime.Limits{Fuel: 100_000}, runtime.Freezing{Export: "load"})
		wantFailure(t, err, runtime.CodeFuelExhausted)
	})
	t.Run("keeps to its memory", func(t *testing.T) {
		t.Parallel()
		_, err := sharedRuntime(t).Freeze(t.Context(), runtimetest.Grow("load"), runtime.Limits{MemoryBytes: 4 << 20}, runtime.Freezing{Export: "load"})
		wantFailure(t, err, runtime.CodeMemoryExceeded)
	})
	t.Run("says what there is to call", func(t *testing.T) {
		t.Parallel()
		_, err := sharedRuntime(t).Freeze(t.Context(), loader(), runtime.Limits{}, runtime.Freezing{Export: "lode"})
		if f := wantFailure(t, err, runtime.CodeNoExport); !strings.Contains(f.Message, "load, run") {
			t.Errorf("got %q", f.Message)
		}
	})
	t.Run("denies it what it asks for", func(t *testing.T) {
		t.Parallel()
		frozen := freeze(t, runtimetest.Ask("load", "state_get", "{}"), runtime.Freezing{Export: "load"})
		if want := `{"error":{"code":"denied","message":"a plugin that is starting may ask the host for nothing"}}`; string(frozen.Output) != want {
			t.Errorf("got %s, want %s", frozen.Output, want)
		}
	})
}

func TestModulesThatCannotBeFrozen(t *testing.T) {
	t.Parallel()
	var command runtimetest.Builder
	command.Func("_start", "", "", "")
	command.Func("__wasm_call_ctors", "", "", "")
	var table runtimetest.Builder
	table.Table(1)
	table.Func("run", "", "", "", runtimetest.I32(0), runtimetest.Op(0xd0, 0x70, 0x26, 0)) // table.set 0
	for name, test := range map[string]struct {
		module       []byte
		freezing     runtime.Freezing
		limits       runtime.Limits
		code, reason string
	}{
		"no module":                      {[]byte("x"), runtime.Freezing{}, runtime.Limits{}, "not_wasm", "begin with"},
		"a command of constructors":      {command.Bytes(), runtime.Freezing{}, runtime.Limits{}, "cannot_freeze", "reactor"},
		"one that changes its table":     {table.Bytes(), runtime.Freezing{}, runtime.Limits{}, "cannot_freeze", "table.set"},
		"one that has slept":             {runtimetest.Guest(t), runtime.Freezing{Export: "sleep"}, runtime.Limits{}, "cannot_freeze", "slept"},
		"one that has become too large":  {loader(), runtime.Freezing{Export: "load", Input: []byte{1}}, runtime.Limits{ModuleBytes: len(loader()) + 1}, "module_too_large", "the limit is"},
		"one whose imports are not here": {runtimetest.Ask("load", "nobody", "{}"), runtime.Freezing{}, runtime.Limits{}, "import_not_offered", "nobody"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := sharedRuntime(t).Freeze(t.Context(), test.module, test.limits, test.freezing)
			invalid, ok := errors.AsType[*runtime.InvalidModule](err)
			if !ok || invalid.Code != test.code || !strings.Contains(invalid.Message, test.reason) || invalid.Hint == "" {
				t.Errorf("got %v, want %s that says %q", err, test.code, test.reason)
			}
		})
	}
}

func TestFreezingKeepsTheSectionsThatAreAskedFor(t *testing.T) {
	t.Parallel()
	module, err := runtime.WithSections(loader(), map[string][]byte{"one": []byte("1"), "two": []byte("2")})
	if err != nil {
		t.Fatal(err)
	}
	frozen := freeze(t, module, runtime.Freezing{Drop: []string{"memory"}, Keep: []string{"two", "three"}})
	if _, ok := runtime.Section(frozen.Module, "one"); ok {
		t.Error("it has a section that nobody asked for")
	}
	if got, ok := runtime.Section(frozen.Module, "two"); !ok || string(got) != "2" {
		t.Errorf("got %q, %t for the one that was", got, ok)
	}
	m, err := wasm.Decode(frozen.Module, wasm.Limits{})
	if err != nil || slices.ContainsFunc(m.Exports, func(e wasm.Export) bool { return e.Name == "memory" }) {
		t.Errorf("got the export that was to be dropped, and %v", err)
	}
}

func TestSections(t *testing.T) {
	t.Parallel()
	module := loader()
	with := func(module []byte, contents map[string][]byte) []byte {
		t.Helper()
		changed, err := runtime.WithSections(module, contents)
		if err != nil {
			t.Fatal(err)
		}
		return changed
	}
	both := with(module, map[string][]byte{"b": []byte("first"), "a": {}})
	t.Run("come back", func(t *testing.T) {
		t.Parallel()
		for name, want := range map[string]string{"a": "", "b": "first"} {
			if got, ok := runtime.Section(both, name); !ok || string(got) != want {
				t.Errorf("%s: got %q, %t, want %q", name, got, ok, want)
			}
		}
		if got, ok := runtime.Section(both, "c"); ok {
			t.Errorf("got %q of one that is not there", got)
		}
	})
	t.Run("are in the order of their names", func(t *testing.T) {
		t.Parallel()
		if !bytes.HasSuffix(both, []byte("\x00\x02\x01a\x00\x07\x01bfirst")) {
			t.Errorf("got %q", both[len(module):])
		}
	})
	t.Run("replace those of the same names", func(t *testing.T) {
		t.Parallel()
		twice := slices.Concat(both, both[len(module):]) // Each is there twice.
		changed := with(twice, map[string][]byte{"b": []byte("second")})
		want := with(module, map[string][]byte{"a": {}})
		want = append(want, want[len(module):]...)
		want = with(want, map[string][]byte{"b": []byte("second")})
		if diff := cmp.Diff(want, changed); diff != "" {
			t.Errorf("differs (-want +got):\n%s", diff)
		}
	})
	t.Run("go when they are nil", func(t *testing.T) {
		t.Parallel()
		if got := with(both, map[string][]byte{"a": nil, "b": nil}); !bytes.Equal(got, module) {
			t.Errorf("got %d bytes, want the %d of before", len(got), len(module))
		}
	})
	t.Run("are not added to what is no module", func(t *testing.T) {
		t.Parallel()
		for _, bad := range [][]byte{nil, []byte("text"), module[:20], append(bytes.Clone(module), 0, 200)} {
			_, err := runtime.WithSections(bad, map[string][]byte{"a": nil})
			if _, ok := errors.AsType[*runtime.InvalidModule](err); !ok {
				t.Errorf("%d bytes: got %v", len(bad), err)
			}
			if _, ok := runtime.Section(bad, "a"); ok {
				t.Errorf("%d bytes: got a section", len(bad))
			}
		}
		if _, err := runtime.WithSections(module, map[string][]byte{"\xff": {}}); err == nil {
			t.Error("got no error for a name that is not UTF-8")
		}
	})
}
