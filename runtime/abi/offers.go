package abi

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

const (
	// UserModule is where guests import the host functions of ours from.
	UserModule = "extism:host/user"
	// WASIModule is where guests import WASI preview 1 from.
	WASIModule = "wasi_snapshot_preview1"
)

// Signature is the type of a function.
type Signature struct {
	Params, Results []api.ValueType
}

// Equal says whether two types are one.
func (s Signature) Equal(o Signature) bool {
	return slices.Equal(s.Params, o.Params) && slices.Equal(s.Results, o.Results)
}

// String writes the type as in (i32, i64) -> (i32).
func (s Signature) String() string { return list(s.Params) + " -> " + list(s.Results) }

func list(types []api.ValueType) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = api.ValueTypeName(t)
	}
	return "(" + strings.Join(names, ", ") + ")"
}

// call is a host function. The stack holds the parameters, then the result.
type call func(ctx context.Context, g *Guest, m api.Module, stack []uint64)

// function is a host function as it is written down: i32 is "i", i64 is "I".
type function struct {
	name, params, results string
	call                  call
}

func (f function) signature() Signature {
	return Signature{Params: values(f.params), Results: values(f.results)}
}

func values(letters string) []api.ValueType {
	types := make([]api.ValueType, len(letters))
	for i := range letters {
		types[i] = api.ValueTypeI32
		if letters[i] == 'I' {
			types[i] = api.ValueTypeI64
		}
	}
	return types
}

// Offers is everything that guests may import. It is immutable.
type Offers struct {
	modules map[string]map[string]function
	// kernel is what a kernel exports, under its names of today.
	kernel map[string]Signature
}

// New returns the ABI with the functions named, each (i64) -> (i64) in
// extism:host/user.
func New(functions []string) (*Offers, error) {
	o := &Offers{modules: map[string]map[string]function{}, kernel: map[string]Signature{}}
	o.add(WASIModule, wasiFunctions())
	user := make([]function, len(functions))
	for i, name := range functions {
		if name == "" {
			return nil, fmt.Errorf("host function %d has no name", i)
		}
		if slices.Contains(functions[:i], name) {
			return nil, fmt.Errorf("host function %q is named twice", name)
		}
		user[i] = userFunction(name)
	}
	o.add(UserModule, user)
	for _, f := range hostFunctions() {
		o.kernel[f.name] = f.signature()
	}
	for _, f := range kernelFunctions() {
		o.kernel[f.name] = Signature{Params: values(f.params), Results: values(f.results)}
	}
	delete(o.kernel, "") // What only the kernel itself calls.
	return o, nil
}

// Lookup returns the type of an offered function.
func (o *Offers) Lookup(module, name string) (Signature, bool) {
	switch module {
	case EnvModule:
		s, ok := o.kernel[name]
		return s, ok
	case LegacyModule:
		name, old := strings.CutPrefix(name, legacyPrefix)
		s, ok := o.kernel[name]
		return s, ok && old
	default:
		f, ok := o.modules[module][name]
		return f.signature(), ok
	}
}

// Instantiate makes the host modules in rt, which closes them. Once per rt.
func (o *Offers) Instantiate(ctx context.Context, rt wazero.Runtime) error {
	for module, functions := range o.modules {
		if err := instantiate(ctx, rt, module, maps.Values(functions)); err != nil {
			return err
		}
	}
	return instantiate(ctx, rt, hostModule, slices.Values(handedOn()))
}

func (o *Offers) add(module string, functions []function) {
	o.modules[module] = make(map[string]function, len(functions))
	for _, f := range functions {
		o.modules[module][f.name] = f
	}
}

func instantiate(ctx context.Context, rt wazero.Runtime, module string, functions iter.Seq[function]) error {
	builder := rt.NewHostModuleBuilder(module)
	for f := range functions {
		signature := f.signature()
		builder.NewFunctionBuilder().
			WithGoModuleFunction(bound(f.call), signature.Params, signature.Results).
			Export(f.name)
	}
	if _, err := builder.Instantiate(ctx); err != nil {
		return fmt.Errorf("instantiate host module %q: %w", module, err)
	}
	return nil
}

// userFunction is a host function of ours: a request's offset in, an answer's out.
func userFunction(name string) function {
	return function{name, "I", "I", func(ctx context.Context, g *Guest, _ api.Module, s []uint64) {
		s[0] = g.give(ctx, g.question(ctx, name, g.take(ctx, s[0], name)))
	}}
}
