package runtime

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero/api"

	"github.com/cofferdam-run/cofferdam/runtime/abi"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

func checkBytes(binary []byte, l Limits) error {
	if !bytes.HasPrefix(binary, []byte(wasm.Header[:4])) {
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

// check holds a module that can be followed against what it would have here.
func (r *Runtime) check(m *wasm.Module, l Limits) error {
	if err := r.checkImports(m); err != nil {
		return err
	}
	if m.Memory == nil {
		return nil
	}
	if asked := int64(m.Memory.Min) * wasm.PageBytes; asked > l.MemoryBytes {
		return &InvalidModule{
			Code:    "memory_too_large",
			Message: fmt.Sprintf("the module starts with %d bytes of memory; the limit is %d", asked, l.MemoryBytes),
			Hint:    "Lower the initial memory (wasm-ld --initial-memory), or ask the operator for a higher limit.",
		}
	}
	return nil
}

func (r *Runtime) checkImports(m *wasm.Module) error {
	var offending []string
	hint := hintImport
	for i := range m.Imports {
		imp := &m.Imports[i]
		if problem := r.problem(m, imp); problem != "" {
			offending = append(offending, fmt.Sprintf("%.128q.%.128q %s", imp.Module, imp.Name, problem))
			if imp.Module == abi.LegacyModule {
				hint = hintLegacy
			}
		}
		if imp.Module == abi.WASIModule && m.Memory == nil {
			return &InvalidModule{
				Code:    "invalid_module",
				Message: fmt.Sprintf("the module imports %q.%q and has no memory for it to work on", imp.Module, imp.Name),
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
func (r *Runtime) problem(m *wasm.Module, i *wasm.Import) string {
	if i.Kind != wasm.KindFunction {
		return fmt.Sprintf("(a %s; only functions can be imported)", i.Kind)
	}
	offered, ok := r.offers.Lookup(i.Module, i.Name)
	if !ok {
		return "(unknown)"
	}
	t := m.Types[i.Type]
	if asked := (abi.Signature{Params: apiTypes(t.Params), Results: apiTypes(t.Results)}); !offered.Equal(asked) {
		return fmt.Sprintf("(imported as %s, offered as %s)", asked, offered)
	}
	return ""
}

func apiTypes(types []wasm.ValueType) []api.ValueType {
	same := make([]api.ValueType, len(types))
	for i, t := range types {
		same[i] = api.ValueType(t)
	}
	return same
}

// outline is what callers may know of a module.
type outline struct {
	// exports are the functions that can be called, imports those that are asked of
	// the host app, both sorted.
	exports, imports []string
	// all are all functions that are exported.
	all []string
	// reseeds says that there is an export to be called before each call.
	reseeds bool
}

func outlineOf(m *wasm.Module) outline {
	var o outline
	types := m.FunctionTypes()
	for _, e := range m.Exports {
		if e.Kind != wasm.KindFunction {
			continue
		}
		o.all = append(o.all, e.Name)
		switch {
		case !callable(m.Types[types[e.Index]]), e.Name == exportInitialize, e.Name == exportConstructors, e.Name == exportWarmUp:
		case e.Name == exportReseed:
			o.reseeds = true
		default:
			o.exports = append(o.exports, e.Name)
		}
	}
	for i := range m.Imports {
		if m.Imports[i].Module == abi.UserModule {
			o.imports = append(o.imports, m.Imports[i].Name)
		}
	}
	slices.Sort(o.exports)
	slices.Sort(o.imports)
	o.imports = slices.Compact(o.imports)
	return o
}

// callable says whether a function is () -> i32 or () -> ().
func callable(t wasm.FuncType) bool {
	return len(t.Params) == 0 && (len(t.Results) == 0 || len(t.Results) == 1 && t.Results[0] == wasm.I32)
}

func (o outline) has(export string) bool { return slices.Contains(o.all, export) }
