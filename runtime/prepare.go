package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/cofferdam-run/cofferdam/runtime/abi"
	"github.com/cofferdam-run/cofferdam/runtime/internal/outline"
)

const (
	pageBytes = 64 << 10

	// What a module may ask of the compiler, whose time and memory nothing else
	// bounds: both grow faster than the function. The largest function of 123
	// modules of other people's had 80 KB.
	maxBodyBytes = 256 << 10
	maxLocals    = 5_000
	maxFunctions = 50_000
	// Tables live outside of the memory limit: 4 x 100,000 entries are 3.2 MB.
	maxTables       = 4
	maxTableEntries = 100_000
	// maxOffending is how many imports a refusal names.
	maxOffending = 20
)

const (
	hintBuild  = "Build a core WebAssembly module, for wasm32-wasip1 or wasm32-unknown-unknown, not a component and not text."
	hintImport = "Offered are Extism's functions (extism:host/env), WASI preview 1 (wasi_snapshot_preview1) and this host's own functions (extism:host/user)."
	hintLegacy = "Imports from \"env\" are served where they are those of Extism PDKs before 1.0 (extism_alloc and so on). Others are C functions that nobody defined: define or remove them, or rebuild the plugin with a PDK of 1.0 or later."
)

// Prepare checks and compiles a module. A module that is refused gives an
// *InvalidModule. The context bounds nothing while a function is compiled: the
// limits on functions do.
func (r *Runtime) Prepare(ctx context.Context, binary []byte, l Limits) (*Module, error) {
	l, err := l.checked()
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if r.closed.Load() {
		return nil, errors.New("prepare module: the runtime is closed")
	}
	if err := checkBytes(binary, l); err != nil {
		return nil, err
	}
	outline, err := outline.Read(binary)
	if err != nil {
		// Not the compiler's to judge: it makes room for what the bytes promise.
		return nil, &InvalidModule{Code: "invalid_module", Message: err.Error(), Hint: hintBuild}
	}
	if err := r.checkOutline(outline, l); err != nil {
		return nil, err
	}
	compiled, err := r.compile(ctx, outline.ClampTables(binary, maxTableEntries))
	if err != nil {
		return nil, &InvalidModule{Code: "invalid_module", Message: err.Error(), Hint: hintBuild}
	}
	return newModule(r, compiled, outline, l), nil
}

func checkBytes(binary []byte, l Limits) error {
	if !bytes.HasPrefix(binary, []byte(outline.Header[:4])) {
		return &InvalidModule{
			Code:    "not_wasm",
			Message: fmt.Sprintf("the file of %d bytes does not begin with \\0asm, as WebAssembly does", len(binary)),
			Hint:    hintBuild,
		}
	}
	if len(binary) > l.ModuleBytes {
		return &InvalidModule{
			Code:    "module_too_large",
			Message: fmt.Sprintf("the module has %d bytes; the limit is %d", len(binary), l.ModuleBytes),
			Hint:    "Strip debug information: -ldflags='-s -w' in Go, strip = true in Cargo's release profile, wasm-opt --strip-debug.",
		}
	}
	return nil
}

func (r *Runtime) checkOutline(o *outline.Outline, l Limits) error {
	if err := r.checkImports(o); err != nil {
		return err
	}
	if asked := o.MinMemoryPages * pageBytes; asked > uint64(l.MemoryBytes) {
		return &InvalidModule{
			Code:    "memory_too_large",
			Message: fmt.Sprintf("the module starts with %d bytes of memory; the limit is %d", asked, l.MemoryBytes),
			Hint:    "Lower the initial memory (wasm-ld --initial-memory), or ask the operator for a higher limit.",
		}
	}
	return checkSizes(o)
}

func (r *Runtime) checkImports(o *outline.Outline) error {
	var offending []string
	hint := hintImport
	for _, i := range o.Imports {
		if problem := r.problem(i); problem != "" {
			offending = append(offending, fmt.Sprintf("%.128q.%.128q %s", i.Module, i.Name, problem))
			if i.Module == abi.LegacyModule {
				hint = hintLegacy
			}
		}
		if i.Module == abi.WASIModule && !o.HasMemory {
			return &InvalidModule{
				Code:    "invalid_module",
				Message: fmt.Sprintf("the module imports %q.%q and has no memory for it to work on", i.Module, i.Name),
				Hint:    "WASI's functions read and write the module's own memory: define one.",
			}
		}
	}
	if len(offending) == 0 {
		return nil
	}
	if more := len(offending) - maxOffending; more > 0 {
		offending = append(offending[:maxOffending], fmt.Sprintf("and %d more", more))
	}
	return &InvalidModule{
		Code:    "import_not_offered",
		Message: "the module imports what is not offered: " + strings.Join(offending, "; "),
		Hint:    hint,
	}
}

// problem says what is wrong with an import, if anything.
func (r *Runtime) problem(i outline.Import) string {
	if i.Kind != outline.KindFunction {
		return fmt.Sprintf("(a %s; only functions can be imported)", i.Kind)
	}
	offered, ok := r.offers.Lookup(i.Module, i.Name)
	if !ok {
		return "(unknown)"
	}
	if asked := (abi.Signature{Params: i.Params, Results: i.Results}); !offered.Equal(asked) {
		return fmt.Sprintf("(imported as %s, offered as %s)", asked, offered)
	}
	return ""
}

func checkSizes(o *outline.Outline) error {
	tooLarge := func(format string, args ...any) error {
		return &InvalidModule{
			Code:    "invalid_module",
			Message: fmt.Sprintf(format, args...),
			Hint:    "Build with optimisation, and split generated functions and tables.",
		}
	}
	if len(o.Functions) > maxFunctions {
		return tooLarge("the module has %d functions; the limit is %d", len(o.Functions), maxFunctions)
	}
	for i, f := range o.Functions {
		if f.BodyBytes > maxBodyBytes {
			return tooLarge("defined function %d has %d bytes; the limit is %d", i, f.BodyBytes, maxBodyBytes)
		}
		if f.Locals > maxLocals {
			return tooLarge("defined function %d has %d local variables; the limit is %d", i, f.Locals, maxLocals)
		}
	}
	if len(o.Tables) > maxTables {
		return tooLarge("the module has %d tables; the limit is %d", len(o.Tables), maxTables)
	}
	for i, t := range o.Tables {
		if t.Min > maxTableEntries {
			return tooLarge("table %d starts with %d entries; the limit is %d", i, t.Min, maxTableEntries)
		}
	}
	return nil
}

// compile keeps a fault of the compiler's from ending the process: the bytes are
// anybody's.
func (r *Runtime) compile(ctx context.Context, binary []byte) (compiled wazero.CompiledModule, err error) {
	defer func() {
		if p := recover(); p != nil {
			compiled, err = nil, fmt.Errorf("the compiler gave up: %v", p)
		}
	}()
	return r.engine.CompileModule(ctx, binary)
}

// callable returns the exports of type () -> i32 and () -> (), sorted.
func callable(compiled wazero.CompiledModule) []string {
	exports := compiled.ExportedFunctions()
	maps.DeleteFunc(exports, func(name string, f api.FunctionDefinition) bool {
		results := f.ResultTypes()
		fits := len(f.ParamTypes()) == 0 &&
			(len(results) == 0 || len(results) == 1 && results[0] == api.ValueTypeI32)
		return !fits || name == exportInitialize || name == exportConstructors
	})
	return slices.Sorted(maps.Keys(exports))
}
