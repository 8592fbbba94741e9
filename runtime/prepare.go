package runtime

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero"

	"github.com/cofferdam-run/cofferdam/runtime/compile"
	"github.com/cofferdam-run/cofferdam/runtime/image"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

const (
	// maxOffending is how many imports a refusal names.
	maxOffending = 20
	// nativeFactor is how many bytes of machine code there are to one of a module.
	// Measured for Go guests, of which it is 5.
	nativeFactor = 5
)

const (
	hintBuild  = "Build a core WebAssembly module, for wasm32-wasip1 or wasm32-unknown-unknown, not a component and not text."
	hintImport = "Offered are Extism's functions (extism:host/env), WASI preview 1 (wasi_snapshot_preview1) and this host's own functions (extism:host/user)."
	hintLegacy = "Imports from \"env\" are served where they are those of Extism PDKs before 1.0 (extism_alloc and so on). Others are C functions that nobody defined: define or remove them, or rebuild the plugin with a PDK of 1.0 or later."
	hintStart  = "What runs at start-up runs once, when the plugin is uploaded, and may ask the host for nothing: do the rest in the exports."
)

// Prepare checks, compiles and starts a module, and takes the image that every
// sandbox begins as. A module that is refused gives an *InvalidModule.
func (r *Runtime) Prepare(ctx context.Context, binary []byte, l Limits) (*Module, error) {
	l, err := r.ready(ctx, l)
	if err != nil {
		return nil, err
	}
	live, outline, err := r.build(ctx, binary, l)
	if err != nil {
		return nil, err
	}
	m := &Module{runtime: r, limits: l, exports: outline.exports, imports: outline.imports, live: live, used: r.now()}
	m.facts = live.facts
	if m.source, err = keep(r.sources(), binary, r.now()); err != nil {
		return nil, errors.Join(err, live.close(ctx))
	}
	m.maps = mapper(binary, func() ([]byte, error) { return m.source.read(r.now()) })
	live.maps = m.maps
	r.held.Add(live.bytes)
	r.remember(m)
	// What is given back now is others': its error is not this module's.
	_ = r.relieve(ctx)
	return m, nil
}

// sources is the folder of the modules that are unloaded, if there is one.
func (r *Runtime) sources() string {
	if r.cacheDir == "" {
		return ""
	}
	return filepath.Join(r.cacheDir, "modules")
}

// build does all of the work of Prepare, and does it again when a module that
// was unloaded is called.
func (r *Runtime) build(ctx context.Context, binary []byte, l Limits) (*loaded, outline, error) {
	m, err := r.decode(binary, l)
	if err != nil {
		return nil, outline{}, err
	}
	return r.load(ctx, m, binary, l)
}

// decode reads a module and holds it against what there is for it.
func (r *Runtime) decode(binary []byte, l Limits) (*wasm.Module, error) {
	if err := checkBytes(binary, l); err != nil {
		return nil, err
	}
	m, err := wasm.Decode(binary, wasm.Limits{})
	if err != nil {
		return nil, refused(err)
	}
	return m, r.check(m, l)
}

// load makes a module ready that was decoded, which it changes.
func (r *Runtime) load(ctx context.Context, m *wasm.Module, binary []byte, l Limits) (*loaded, outline, error) {
	// An import that is exported again is nobody's to call: from outside of a guest
	// there is no memory for it to work on, and no fuel.
	imported := m.ImportCount(wasm.KindFunction)
	m.Exports = slices.DeleteFunc(m.Exports, func(e wasm.Export) bool {
		return e.Kind == wasm.KindFunction && e.Index < imported
	})
	o := outlineOf(m)
	imports, exports := functionsOf(m, o)
	functions := len(m.Functions) // Before there are those that count fuel.
	plan, err := image.NewPlan(m)
	if err != nil {
		return nil, o, &InvalidModule{Code: "invalid_module", Message: err.Error(), Hint: hintBuild}
	}
	newInstance := instanceFuel(m, plan) // Before there is what counts fuel, here too.
	// Memory is bounded where it grows, which tells apart who was refused.
	m.Clamp(wasm.MaxPages, wasm.DefaultTableEntries)
	live := &loaded{
		runtime: r, limits: l, plan: plan, globals: plan.Values,
		everyCall: o.has(exportStart) && o.has(exportConstructors) && !o.has(exportInitialize),
	}
	live.callBefore(o)
	live.instanceFuel = newInstance
	live.facts = Facts{
		Imports: imports, Exports: exports,
		ModuleBytes: len(binary), Functions: functions, Fresh: plan.Fresh,
	}
	if err := live.prepare(ctx, m, sha256.Sum256(binary)); err != nil {
		return nil, o, errors.Join(err, live.close(ctx))
	}
	return live, o, nil
}

// prepare has it count fuel, compiles it, and takes its image.
func (l *loaded) prepare(ctx context.Context, m *wasm.Module, sum [sha256.Size]byte) (err error) {
	begun := l.runtime.now()
	if l.code, err = l.runtime.compile(ctx, m); err != nil {
		return err
	}
	l.facts.RewrittenBytes = l.code.rewritten
	l.facts.CompileTime = l.runtime.now().Sub(begun)
	begun = l.runtime.now()
	if err := l.snapshot(ctx, sum); err != nil {
		return err
	}
	l.facts.StartTime = l.runtime.now().Sub(begun)
	l.facts.ImageBytes = int64(l.image.Bytes())
	l.bytes = int64(l.image.Held())
	return nil
}

// compileHere keeps a fault of the compiler's from ending the process: the bytes
// are anybody's.
func compileHere(ctx context.Context, engine wazero.Runtime, binary []byte) (compiled wazero.CompiledModule, err error) {
	defer func() {
		if p := recover(); p != nil {
			compiled, err = nil, &compile.ModuleError{Message: fmt.Sprintf("the compiler gave up: %v", p)}
		}
	}()
	compiled, err = engine.CompileModule(ctx, binary)
	if err != nil && strings.HasPrefix(err.Error(), "compilationcache:") {
		return nil, fmt.Errorf("load compiled code: %w: remove the folder of compiled code; it is made again", err)
	}
	if err != nil {
		return nil, &compile.ModuleError{Message: err.Error()}
	}
	return compiled, nil
}

// refused makes an *InvalidModule of what is wrong with a module, and leaves
// errors alone that are the host's.
func refused(err error) error {
	var limit *wasm.LimitError
	var cost *compile.CostError
	var format *wasm.FormatError
	var feature *wasm.FeatureError
	var module *compile.ModuleError
	switch {
	case errors.As(err, &limit):
		return &InvalidModule{Code: "limit_exceeded", Message: unhinted(err, limit.Hint), Hint: limit.Hint}
	case errors.As(err, &cost):
		return &InvalidModule{Code: "compile_too_costly", Message: unhinted(err, cost.Hint()), Hint: cost.Hint()}
	case errors.As(err, &feature):
		return &InvalidModule{Code: "feature_not_supported", Message: unhinted(err, feature.Hint), Hint: feature.Hint}
	case errors.As(err, &format), errors.As(err, &module):
		return &InvalidModule{Code: "invalid_module", Message: err.Error(), Hint: hintBuild}
	default:
		return err
	}
}

// unhinted is an error's text without the hint that it ends with.
func unhinted(err error, hint string) string {
	return strings.TrimSuffix(err.Error(), ": "+hint)
}
