package runtime

import (
	"fmt"
	"slices"
	"time"

	"github.com/cofferdam-run/cofferdam/runtime/abi"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// Facts are what is known of a module since it was prepared.
type Facts struct {
	// Imports are what the module imports, all of it offered; Exports the functions
	// that it exports. Both in the module's order.
	Imports []Function `json:"imports"`
	Exports []Function `json:"exports"`
	// ModuleBytes is the size of the module, RewrittenBytes that of what it became
	// when fuel was put in.
	ModuleBytes    int `json:"module_bytes"`
	RewrittenBytes int `json:"rewritten_bytes"`
	// Functions is how many the module defines.
	Functions int `json:"functions"`
	// ImageBytes is the size of the memory that every sandbox begins as.
	ImageBytes int64 `json:"image_bytes"`
	// ImageDigest is sha256:..., of that memory, of the mutable globals, and of what the
	// clocks show: all that a sandbox begins as. Whoever prepares the same module with
	// the same limits under the same Model gets the same. It is empty for a module that
	// is started anew for each call.
	ImageDigest string `json:"image_digest,omitempty"`
	// CompileTime is what compiling took, or loading when it was compiled before, or
	// next to nothing when another module has the same code;
	// StartTime and StartFuel what starting took.
	CompileTime time.Duration `json:"compile_ns"`
	StartTime   time.Duration `json:"start_ns"`
	StartFuel   int64         `json:"start_fuel"`
	// Fresh says why each call has to start the module anew, or is empty when a
	// sandbox can be reset.
	Fresh string `json:"fresh,omitempty"`
}

// Function is a function that a module imports or exports.
type Function struct {
	// Module is where it is imported from.
	Module string `json:"module,omitempty"`
	Name   string `json:"name"`
	// Type is as in (i32, i64) -> (i32).
	Type string `json:"type"`
	// Callable says of an export that Call can be asked for it.
	Callable bool `json:"callable,omitempty"`
}

// Facts returns what is known of the module.
func (m *Module) Facts() Facts {
	f := m.facts
	f.Imports, f.Exports = slices.Clone(f.Imports), slices.Clone(f.Exports)
	return f
}

// functionsOf lists what a module imports and exports. It only imports functions. A
// type is written once, however many have it: it may be as long as a small module.
func functionsOf(m *wasm.Module, o outline) (imports, exports []Function) {
	imports, exports = []Function{}, []Function{}
	types := m.FunctionTypes()
	names := make([]string, len(m.Types))
	typeName := func(t uint32) string {
		if names[t] == "" {
			names[t] = typeName(m.Types[t])
		}
		return names[t]
	}
	for i := range m.Imports {
		imp := &m.Imports[i]
		imports = append(imports, Function{Module: imp.Module, Name: imp.Name, Type: typeName(imp.Type)})
	}
	for _, e := range m.Exports {
		if e.Kind != wasm.KindFunction {
			continue
		}
		_, callable := slices.BinarySearch(o.exports, e.Name)
		exports = append(exports, Function{Name: e.Name, Type: typeName(types[e.Index]), Callable: callable})
	}
	return imports, exports
}

// typeName writes a type, of a very long one the beginning.
func typeName(t wasm.FuncType) string {
	const most = 64
	if params, results := len(t.Params), len(t.Results); params+results > most {
		return fmt.Sprintf("a function of %d parameters and %d results", params, results)
	}
	return abi.Signature{Params: apiTypes(t.Params), Results: apiTypes(t.Results)}.String()
}
