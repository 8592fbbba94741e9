package abi

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

const (
	// UserModule is where guests import the host functions of ours from.
	UserModule = "extism:host/user"
	// LegacyModule is where PDKs before 1.0 imported Extism's functions from.
	LegacyModule = "env"
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
}

// New returns the ABI with the functions named, each (i64) -> (i64) in
// extism:host/user.
func New(functions []string) (*Offers, error) {
	o := &Offers{modules: map[string]map[string]function{}}
	o.add(envModule, envFunctions())
	o.add(WASIModule, wasiFunctions())
	user := map[string]function{}
	for i, name := range functions {
		if name == "" {
			return nil, fmt.Errorf("host function %d has no name", i)
		}
		if _, ok := user[name]; ok {
			return nil, fmt.Errorf("host function %q is named twice", name)
		}
		user[name] = userFunction(name)
	}
	o.modules[UserModule] = user
	return o, nil
}

// Lookup returns the type of an offered function.
func (o *Offers) Lookup(module, name string) (Signature, bool) {
	f, ok := o.modules[module][name]
	if !ok {
		return Signature{}, false
	}
	return f.signature(), true
}

// Instantiate makes the host modules in rt, which closes them. Once per rt.
func (o *Offers) Instantiate(ctx context.Context, rt wazero.Runtime) error {
	for module, functions := range o.modules {
		builder := rt.NewHostModuleBuilder(module)
		for name, f := range functions {
			signature := f.signature()
			builder.NewFunctionBuilder().
				WithGoModuleFunction(bound(f.call), signature.Params, signature.Results).
				Export(name)
		}
		if _, err := builder.Instantiate(ctx); err != nil {
			return fmt.Errorf("instantiate host module %q: %w", module, err)
		}
	}
	return nil
}

func (o *Offers) add(module string, functions []function) {
	o.modules[module] = make(map[string]function, len(functions))
	for _, f := range functions {
		o.modules[module][f.name] = f
	}
}

// bound finds the call's Guest.
func bound(f call) api.GoModuleFunc {
	return func(ctx context.Context, m api.Module, stack []uint64) {
		g, ok := ctx.Value(guestKey{}).(*Guest)
		if !ok {
			panic("abi: the guest was called with a context that Bind did not make")
		}
		f(ctx, g, m, stack)
	}
}

// userFunction is a host function of ours: a request's offset in, an answer's out.
func userFunction(name string) function {
	return function{name, "I", "I", func(ctx context.Context, g *Guest, _ api.Module, s []uint64) {
		s[0] = g.give(g.question(ctx, name, g.take(s[0], name)))
	}}
}
