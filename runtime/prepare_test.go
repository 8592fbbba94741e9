package runtime_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

func importing(add func(b *runtimetest.Builder)) []byte {
	var b runtimetest.Builder
	add(&b)
	b.Func("run", "", "i", "", runtimetest.I32(0))
	return b.Bytes()
}

func TestPrepareRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		wasm   []byte
		limits runtime.Limits
		code   string
		says   []string
	}{
		{"nothing", nil, runtime.Limits{}, "not_wasm", []string{"0 bytes"}},
		{"text", []byte("(module)"), runtime.Limits{}, "not_wasm", []string{"\\0asm"}},
		{"a component", []byte("\x00asm\x0d\x00\x01\x00"), runtime.Limits{}, "feature_not_supported", []string{"component model"}},
		{"half a module", runtimetest.Trap("run")[:20], runtime.Limits{}, "invalid_module", nil},
		{"lengths that no module has", []byte("\x00asm\x01\x00\x00\x00\x07\x05\xff\xff\xff\xff\x0f"), runtime.Limits{}, "invalid_module", []string{"4294967295 entries in 0 bytes"}},
		{"a type error", importing(func(b *runtimetest.Builder) { b.Func("bad", "", "i", "") }), runtime.Limits{}, "invalid_module", []string{"bad"}},
		{"a module over the limit", runtimetest.Trap("run"), runtime.Limits{ModuleBytes: 10}, "module_too_large", []string{"the limit is 10"}},
		{"a memory over the limit", importing(func(b *runtimetest.Builder) { b.Memory(17) }), runtime.Limits{MemoryBytes: 1 << 20}, "memory_too_large", []string{"1114112", "1048576"}},
		{
			"imports that nobody offers, by name",
			importing(func(b *runtimetest.Builder) {
				b.Import("extism:host/user", "rm_rf", "I", "I")
				b.Import("elsewhere", "f", "", "")
				b.Import("extism:host/user", "state_get", "I", "I")
			}),
			runtime.Limits{},
			"import_not_offered",
			[]string{`"extism:host/user"."rm_rf" (unknown)`, `"elsewhere"."f" (unknown)`},
		},
		{
			"imports that nobody offers, as long as a person reads",
			importing(func(b *runtimetest.Builder) {
				for range 50 {
					b.Import("elsewhere", "f", "", "")
				}
			}),
			runtime.Limits{},
			"import_not_offered",
			[]string{"(unknown); and 30 more"},
		},
		{
			"an import of another type",
			importing(func(b *runtimetest.Builder) { b.Import("extism:host/env", "alloc", "i", "i") }),
			runtime.Limits{},
			"import_not_offered",
			[]string{"imported as (i32) -> (i32), offered as (i64) -> (i64)"},
		},
		{
			"an imported memory",
			importing(func(b *runtimetest.Builder) { b.ImportRaw("m", "mem", 2, 0, 1) }),
			runtime.Limits{},
			"import_not_offered",
			[]string{`"m"."mem" (a memory`},
		},
		{
			"an imported table",
			importing(func(b *runtimetest.Builder) { b.ImportRaw("m", "tab", 1, 0x70, 0, 1) }),
			runtime.Limits{},
			"import_not_offered",
			[]string{`"m"."tab" (a table`},
		},
		{
			"an imported global",
			importing(func(b *runtimetest.Builder) { b.ImportRaw("m", "glo", 3, 0x7f, 0) }),
			runtime.Limits{},
			"import_not_offered",
			[]string{`"m"."glo" (a global`},
		},
		{
			"WASI without a memory",
			importing(func(b *runtimetest.Builder) { b.Import("wasi_snapshot_preview1", "random_get", "ii", "i") }),
			runtime.Limits{},
			"invalid_module",
			[]string{"random_get", "no memory"},
		},
		{
			"a function with too many locals",
			importing(func(b *runtimetest.Builder) { b.Func("many", "", "i", strings.Repeat("I", 5001), runtimetest.I32(0)) }),
			runtime.Limits{},
			"limit_exceeded",
			[]string{"5001 parameters and variables; the limit Locals is 5000"},
		},
		{
			"a function that is too long",
			importing(func(b *runtimetest.Builder) {
				b.Func("long", "", "", "", make([]byte, 0), []byte(strings.Repeat("\x01", 256<<10)))
			}),
			runtime.Limits{},
			"limit_exceeded",
			[]string{"the limit BodyBytes is 262144"},
		},
		{
			"a table that is too long",
			importing(func(b *runtimetest.Builder) { b.Table(100_001) }),
			runtime.Limits{},
			"limit_exceeded",
			[]string{"100001 entries"},
		},
		{
			"too many tables",
			importing(func(b *runtimetest.Builder) {
				for range 5 {
					b.Table(1)
				}
			}),
			runtime.Limits{},
			"limit_exceeded",
			[]string{"5 tables; the limit Tables is 4"},
		},
		{
			"atomics",
			importing(func(b *runtimetest.Builder) {
				b.Memory(1)
				b.Func("a", "", "i", "", runtimetest.I32(0), runtimetest.Op(0xfe, 0x10, 0x02, 0x00))
			}),
			runtime.Limits{},
			"feature_not_supported", nil,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := sharedRuntime(t).Prepare(t.Context(), test.wasm, test.limits)
			var invalid *runtime.InvalidModule
			if !errors.As(err, &invalid) || invalid.Code != test.code {
				t.Fatalf("got %v, want code %s", err, test.code)
			}
			for _, says := range test.says {
				if !strings.Contains(invalid.Message, says) {
					t.Errorf("got message %q, want it to say %q", invalid.Message, says)
				}
			}
			if invalid.Hint == "" {
				t.Error("got no hint")
			}
		})
	}
}

func TestPrepareTellsOldPDKsWhatToDo(t *testing.T) {
	t.Parallel()
	wasm := importing(func(b *runtimetest.Builder) { b.Import("env", "extism_load_u32", "I", "i") })
	_, err := sharedRuntime(t).Prepare(t.Context(), wasm, runtime.Limits{})
	var invalid *runtime.InvalidModule
	if !errors.As(err, &invalid) || !strings.Contains(invalid.Hint, "PDK of 1.0 or later") {
		t.Fatalf("got %#v", err)
	}
}

func TestPrepareTakesOldPDKs(t *testing.T) {
	t.Parallel()
	var b runtimetest.Builder
	offset := b.Import("env", "extism_input_offset", "", "I")
	length := b.Import("env", "extism_input_length", "", "I")
	output := b.Import("env", "extism_output_set", "II", "")
	b.Func("echo", "", "i", "", runtimetest.Invoke(offset), runtimetest.Invoke(length), runtimetest.Invoke(output), runtimetest.I32(0))
	result, err := prepare(t, b.Bytes(), runtime.Limits{}).Call(t.Context(), runtime.Call{Export: "echo", Input: []byte("old")})
	if err != nil || string(result.Output) != "old" {
		t.Errorf("got %q, %v", result.Output, err)
	}
}

func TestPrepareRefusesNegativeLimits(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]runtime.Limits{
		"ModuleBytes": {ModuleBytes: -1}, "MemoryBytes": {MemoryBytes: -1}, "KernelBytes": {KernelBytes: -1},
		"InputBytes": {InputBytes: -1}, "OutputBytes": {OutputBytes: -1}, "Deadline": {Deadline: -time.Second},
	} {
		_, err := sharedRuntime(t).Prepare(t.Context(), runtimetest.Trap("run"), limits)
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// FuzzPrepare looks for bytes that panic the host or that run away while they
// are prepared or, if they are a module, called.
func FuzzPrepare(f *testing.F) {
	for _, seed := range [][]byte{
		nil, []byte("\x00asm\x01\x00\x00\x00"), runtimetest.Loop("run"), runtimetest.Grow("run"), runtimetest.Recurse("run"),
		runtimetest.Echo("run"), runtimetest.Fail("run", "x", 1), runtimetest.Ask("run", "state_get", "{}"),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, wasm []byte) {
		limits := runtime.Limits{ModuleBytes: 1 << 16, MemoryBytes: 1 << 20, KernelBytes: 1 << 16, Deadline: 20 * time.Millisecond}
		module, err := sharedRuntime(t).Prepare(t.Context(), wasm, limits)
		if err != nil {
			var invalid *runtime.InvalidModule
			if !errors.As(err, &invalid) || invalid.Code == "" || invalid.Message == "" || invalid.Hint == "" {
				t.Fatalf("got %v, want a complete InvalidModule", err)
			}
			return
		}
		defer module.Close(t.Context())
		for _, export := range module.Exports() {
			_, err := module.Call(t.Context(), runtime.Call{Export: export, Host: answering(`{"result":{}}`)})
			if failure := (*runtime.Failure)(nil); err != nil && !errors.As(err, &failure) {
				t.Fatalf("got %v, want success or a failure of the guest", err)
			}
		}
	})
}
