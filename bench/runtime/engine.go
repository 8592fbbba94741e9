package main

import (
	"context"
	"fmt"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/cofferdam-run/cofferdam/bench/internal/stopwatch"
	"github.com/cofferdam-run/cofferdam/runtime/fairshare"
	"github.com/cofferdam-run/cofferdam/runtime/meter"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

const (
	plain      = "plain"
	terminated = "termination"
	metered    = "metered"

	// plenty is a budget that nothing here uses up.
	plenty = 1 << 50
	depth  = 1 << 20
)

// engine is wazero in one configuration, which but for its name's sake is always
// the same: as it comes, with its own termination, or with fuel rewritten in.
type engine struct {
	name    string
	runtime wazero.Runtime
}

func newEngine(ctx context.Context, name string) (*engine, error) {
	config := wazero.NewRuntimeConfigCompiler().
		WithCoreFeatures(api.CoreFeaturesV2).
		WithCloseOnContextDone(name == terminated)
	e := &engine{name: name, runtime: wazero.NewRuntimeWithConfig(ctx, config)}
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, e.runtime); err != nil {
		return nil, fmt.Errorf("instantiate WASI: %w", err)
	}
	if name == metered {
		if err := meter.Instantiate(ctx, e.runtime); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func (e *engine) close(ctx context.Context) error { return e.runtime.Close(ctx) }

// code is a module that an engine has compiled.
type code struct {
	engine   *engine
	compiled wazero.CompiledModule
	// bytes is the size of what was compiled, after rewriting.
	bytes int
	// rewriting and compiling are what they took.
	rewriting, compiling stopwatch.Cost
}

func (e *engine) compile(ctx context.Context, binary []byte) (*code, error) {
	c := &code{engine: e}
	var err error
	if e.name == metered {
		if c.rewriting, err = stopwatch.Timed(1, func() (err error) {
			binary, err = rewritten(binary)
			return err
		}); err != nil {
			return nil, err
		}
	}
	c.bytes = len(binary)
	c.compiling, err = stopwatch.Timed(1, func() (err error) {
		c.compiled, err = e.runtime.CompileModule(ctx, binary)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("compile for %s: %w", e.name, err)
	}
	return c, nil
}

func rewritten(binary []byte) ([]byte, error) {
	m, err := wasm.Decode(binary, wasm.Limits{})
	if err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	if err := meter.Rewrite(m); err != nil {
		return nil, err
	}
	return m.Encode(), nil
}

// instance is an instance of a module, and its account when it is metered.
type instance struct {
	module  api.Module
	account *meter.Account
	fuel    api.MutableGlobal
	// used is the fuel of the last call.
	used int64
}

// instantiate makes an instance and has it initialize itself. The clock is the
// account's, which learns from it how long slices are to be.
func (c *code) instantiate(ctx context.Context, now func() time.Time) (*instance, error) {
	i := &instance{}
	if c.engine.name == metered {
		ticket := fairshare.New(0).NewTicket()
		if err := ticket.Enter(ctx, "", 1); err != nil {
			return nil, err
		}
		i.account = meter.NewAccount(meter.Options{Now: now, Pause: ticket.Pause})
		i.account.Open(plenty, depth)
	}
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions()
	var err error
	if i.module, err = c.engine.runtime.InstantiateModule(i.bind(ctx), c.compiled, config); err != nil {
		return nil, fmt.Errorf("instantiate for %s: %w", c.engine.name, err)
	}
	if i.account != nil {
		var ok bool
		if i.fuel, ok = i.module.ExportedGlobal(meter.Global).(api.MutableGlobal); !ok {
			return nil, fmt.Errorf("find the global %q of a metered module", meter.Global)
		}
	}
	if i.module.ExportedFunction("_initialize") != nil {
		if _, err := i.call(ctx, "_initialize"); err != nil {
			return nil, err
		}
	}
	return i, nil
}

func (i *instance) bind(ctx context.Context) context.Context {
	if i.account == nil {
		return ctx
	}
	return meter.With(ctx, i.account)
}

// call calls an export and settles its fuel.
func (i *instance) call(ctx context.Context, export string, arguments ...uint64) (result uint64, err error) {
	f := i.module.ExportedFunction(export)
	if f == nil {
		return 0, fmt.Errorf("there is no export %q", export)
	}
	if i.fuel != nil {
		i.fuel.Set(i.account.Open(plenty, depth))
	}
	results, err := f.Call(i.bind(ctx), arguments...)
	if err != nil {
		return 0, fmt.Errorf("call %s: %w", export, err)
	}
	if i.fuel != nil {
		if i.used, err = i.account.Settle(i.fuel.Get()); err != nil {
			return 0, fmt.Errorf("settle %s: %w", export, err)
		}
	}
	if len(results) > 0 {
		result = results[0]
	}
	return result, nil
}
