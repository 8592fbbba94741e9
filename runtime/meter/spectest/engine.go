package spectest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"

	"github.com/cofferdam-run/cofferdam/runtime/meter"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

const (
	plenty = int64(1) << 60
	// stack is 16 MB in units: less than wazero's own limit, so that the metered
	// module's is met first.
	stack = int64(1) << 20

	// large is more than what is allowed: scripts have a br_table of 24,000 labels.
	large = 1 << 16

	startExport = "\x00start"
)

// engine is a runtime and what a script has put in it, either as it was or
// rewritten. In a rewritten one each instance has a G, and so a ledger, of its own:
// calls between instances need no more.
type engine struct {
	runtime wazero.Runtime
	// ledger makes ledgers; nil leaves modules as they are.
	ledger func() ledger
	// compiled are the modules by file name.
	compiled  map[string]*compiled
	instances map[api.Module]*instance
	named     map[string]*instance
	last      *instance
}

// compiled is one module of a script.
type compiled struct {
	module wazero.CompiledModule
	info   info
	err    error
	// refused says why the module could not be rewritten; it is then as it was.
	refused error
	// asIs says that the start function is left alone, which makes a module that
	// cannot be instantiated: it would run without fuel.
	asIs bool
}

// info is what must be known of a module.
type info struct {
	memory, start bool
	// stateless modules are the same after any call.
	stateless bool
}

type instance struct {
	module    api.Module
	of        *compiled
	ledger    ledger
	fuel      api.MutableGlobal
	functions map[string]api.Function
}

// outcome is what a command did.
type outcome struct {
	results []uint64
	types   []api.ValueType
	// err is "" or the trap. ended is why a ledger ended the call.
	err   string
	ended error
	// used is what the invoked instance used.
	used int64
}

// newEngine returns an engine with the module "spectest", which scripts import.
func newEngine(ctx context.Context, cache wazero.CompilationCache, l func() ledger, root string) (*engine, error) {
	config := wazero.NewRuntimeConfigCompiler().WithCoreFeatures(api.CoreFeaturesV2).WithCompilationCache(cache)
	e := &engine{
		runtime: wazero.NewRuntimeWithConfig(ctx, config), ledger: l,
		compiled: map[string]*compiled{}, instances: map[api.Module]*instance{}, named: map[string]*instance{},
	}
	if err := e.offerFuel(ctx); err != nil {
		return nil, err
	}
	if _, err := e.instantiate(ctx, filepath.Join(root, "testdata", "spectest.wasm"), "spectest"); err != nil {
		return nil, fmt.Errorf("instantiate spectest: %w", err)
	}
	return e, nil
}

// offerFuel is meter.Instantiate for many accounts: it finds the one of the
// module that calls.
func (e *engine) offerFuel(ctx context.Context) error {
	i64 := api.ValueTypeI64
	b := e.runtime.NewHostModuleBuilder("\x00fuel")
	b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, m api.Module, stack []uint64) {
		f, err := e.instances[m].ledger.Refuel(ctx, stack[0])
		if err != nil {
			panic(sys.NewExitError(1))
		}
		stack[0] = f
	}), []api.ValueType{i64}, []api.ValueType{i64}).Export("refuel")
	b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, m api.Module, stack []uint64) {
		g, err := e.instances[m].ledger.Charge(ctx, stack[0], stack[1])
		if err != nil {
			panic(sys.NewExitError(1))
		}
		stack[0] = g
	}), []api.ValueType{i64, i64}, []api.ValueType{i64}).Export("charge")
	_, err := b.Instantiate(ctx)
	return err
}

// compile returns the module in a file, rewritten if this engine's are.
func (e *engine) compile(ctx context.Context, path string, asIs bool) *compiled {
	if c := e.compiled[path]; c != nil {
		return c
	}
	c := &compiled{asIs: asIs}
	e.compiled[path] = c
	binary, err := os.ReadFile(path)
	if err != nil {
		c.err = err
		return c
	}
	if e.ledger != nil {
		if rewritten, err := c.rewrite(binary); err != nil {
			c.refused = err
		} else {
			binary = rewritten
		}
	}
	c.module, c.err = e.runtime.CompileModule(ctx, binary)
	return c
}

// rewrite returns the module metered, with its start function as an export: G is
// set before that is called.
func (c *compiled) rewrite(binary []byte) ([]byte, error) {
	m, err := wasm.Decode(binary, wasm.Limits{BranchTargets: large, Blocks: large, BlocksSquared: large * large})
	if err != nil {
		return nil, err
	}
	c.info = infoOf(m)
	if m.Start != nil && !c.asIs {
		m.Exports = append(m.Exports, wasm.Export{Name: startExport, Kind: wasm.KindFunction, Index: *m.Start})
		m.Start = nil
	}
	if err := meter.Rewrite(m); err != nil {
		return nil, err
	}
	return m.Encode(), nil
}

func infoOf(m *wasm.Module) info {
	i := info{memory: m.Memory != nil, start: m.Start != nil}
	i.stateless = m.Memory == nil && len(m.Tables) == 0
	for _, g := range m.Globals {
		i.stateless = i.stateless && !g.Mutable
	}
	for _, imp := range m.Imports {
		i.memory = i.memory || imp.Kind == wasm.KindMemory
		i.stateless = i.stateless && imp.Kind == wasm.KindFunction
	}
	return i
}

// instantiate makes an instance, and runs its start function.
func (e *engine) instantiate(ctx context.Context, path, name string) (*instance, error) {
	c := e.compile(ctx, path, false)
	if c.err != nil {
		return nil, c.err
	}
	module, err := e.runtime.InstantiateModule(ctx, c.module, wazero.NewModuleConfig().WithName(name).WithStartFunctions())
	if err != nil {
		return nil, err
	}
	i := &instance{module: module, of: c, functions: map[string]api.Function{}}
	if metered := e.ledger != nil && c.refused == nil; !metered {
		return i, nil
	}
	i.ledger = e.ledger()
	i.fuel = module.ExportedGlobal(meter.Global).(api.MutableGlobal)
	e.instances[module] = i
	if c.info.start {
		if o := e.invoke(ctx, i, &action{Field: startExport}, plenty); o.err != "" {
			return nil, errors.Join(errors.New(o.err), module.Close(ctx))
		}
	}
	return i, nil
}

// target is the instance that an action is on.
func (e *engine) target(a *action) *instance {
	if a.Module != "" {
		return e.named[a.Module]
	}
	return e.last
}

// perform does an action with a budget.
func (e *engine) perform(ctx context.Context, a *action, budget int64) outcome {
	i := e.target(a)
	if i == nil {
		return outcome{err: "there is no such module"}
	}
	if a.Type == "get" {
		g := i.module.ExportedGlobal(a.Field)
		if g == nil {
			return outcome{err: "there is no such global"}
		}
		return outcome{results: []uint64{g.Get()}, types: []api.ValueType{g.Type()}}
	}
	return e.invoke(ctx, i, a, budget)
}

func (e *engine) invoke(ctx context.Context, i *instance, a *action, budget int64) outcome {
	f := i.functions[a.Field]
	if f == nil {
		if f = i.module.ExportedFunction(a.Field); f == nil {
			return outcome{err: "there is no such function"}
		}
		i.functions[a.Field] = f
	}
	parameters, err := a.parameters()
	if err != nil {
		return outcome{err: err.Error()}
	}
	for _, other := range e.instances {
		other.fuel.Set(other.ledger.Open(plenty, stack))
	}
	if i.ledger != nil {
		i.fuel.Set(i.ledger.Open(budget, stack))
	}
	o := outcome{types: f.Definition().ResultTypes()}
	o.results, err = f.Call(ctx, parameters...)
	if err != nil {
		o.err, _, _ = strings.Cut(err.Error(), "\n")
	}
	if i.ledger != nil {
		settle := i.ledger.Settle
		if err != nil {
			settle = i.ledger.SettleTrap
		}
		o.used, o.ended = settle(i.fuel.Get())
	}
	for _, other := range e.instances {
		if ended := other.ledger.Ended(); ended != nil && o.ended == nil {
			o.ended = ended
		}
	}
	if o.ended != nil {
		o.err, o.results = o.ended.Error(), nil
	}
	return o
}
