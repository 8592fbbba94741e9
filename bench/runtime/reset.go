package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/cofferdam-run/cofferdam/bench/internal/stopwatch"
	"github.com/cofferdam-run/cofferdam/runtime/image"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

const (
	// resets is how many calls are reset after.
	resets = 2000
	// What a reset may take, in microseconds.
	resetBase, resetPage = 1.5, .3
)

// reset measures putting back what one mapping of the Go guest leaves behind.
func (s *suite) reset(ctx context.Context) (err error) {
	binary, err := s.golang(ctx, "mapper")
	if err != nil {
		return err
	}
	e, err := newEngine(ctx, plain)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close(ctx)) }()
	g, err := newImaged(ctx, e, binary)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.close(ctx)) }()
	var times, pages, calls []float64
	for range resets {
		start := time.Now()
		if err := g.call(ctx, "sample"); err != nil {
			return err
		}
		called := time.Now()
		n, err := g.reset()
		if err != nil {
			return err
		}
		times = append(times, float64(time.Since(called))/1e3)
		calls = append(calls, float64(called.Sub(start))/1e3)
		pages = append(pages, float64(n))
	}
	changed := stopwatch.Median(pages)
	s.print("reset_go_us", stopwatch.Median(times), "us", peer("goal", resetBase+resetPage*changed),
		peer("p99", stopwatch.Quantile(times, .99)), peer("call_us", stopwatch.Median(calls)))
	s.print("reset_go_pages", changed, "pages", peer("max", stopwatch.Quantile(pages, 1)),
		fmt.Sprintf("mechanism=%q", image.Probe()))
	return nil
}

// imaged is an instance whose memory begins as a snapshot, and is put back to it.
type imaged struct {
	plan     *image.Plan
	image    *image.Image
	memory   *image.Memory
	instance api.Module
	// linear and globals are looked up once, as a sandbox does, and values are the image's.
	linear  api.Memory
	globals []api.MutableGlobal
	values  []uint64
}

// guestBytes is the memory that the guest may have.
const guestBytes = 64 << 20

// newImaged starts a module once, takes the snapshot, and makes an instance of it.
func newImaged(ctx context.Context, e *engine, binary []byte) (g *imaged, err error) {
	m, err := wasm.Decode(binary, wasm.Limits{})
	if err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	plan, err := image.NewPlan(m)
	if err != nil {
		return nil, err
	}
	if plan.Fresh != "" {
		return nil, fmt.Errorf("it cannot be reset: %s", plan.Fresh)
	}
	m.Clamp(guestBytes/wasm.PageBytes+1, 1<<16)
	c, err := e.compile(ctx, m.Encode())
	if err != nil {
		return nil, err
	}
	if err := c.refuseImports(ctx); err != nil {
		return nil, err
	}
	first := &imaged{plan: plan}
	if first.image, err = plan.Image(image.Best); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, first.close(ctx)) }()
	if err := first.instantiate(ctx, c); err != nil {
		return nil, err
	}
	for _, export := range []string{"_initialize", "warmup"} {
		if err := first.call(ctx, export); err != nil {
			return nil, err
		}
	}
	g = &imaged{plan: plan}
	content, _ := first.instance.ExportedMemory(image.MemoryExport).Read(0, first.instance.Memory().Size())
	if g.image, err = image.New(content, image.Best); err != nil {
		return nil, err
	}
	for _, name := range plan.Globals {
		g.values = append(g.values, first.instance.ExportedGlobal(name).Get())
	}
	if err := g.instantiate(ctx, c); err != nil {
		return nil, errors.Join(err, g.close(ctx))
	}
	g.setGlobals()
	return g, nil
}

// refuseImports defines what a module imports: what is measured here asks for
// nothing.
func (c *code) refuseImports(ctx context.Context) error {
	builders := map[string]wazero.HostModuleBuilder{}
	for _, f := range c.compiled.ImportedFunctions() {
		module, name, _ := f.Import()
		if c.engine.runtime.Module(module) != nil {
			continue
		}
		if builders[module] == nil {
			builders[module] = c.engine.runtime.NewHostModuleBuilder(module)
		}
		builders[module].NewFunctionBuilder().WithGoModuleFunction(
			api.GoModuleFunc(func(context.Context, api.Module, []uint64) { panic(errors.New("nothing is imported here")) }),
			f.ParamTypes(), f.ResultTypes()).Export(name)
	}
	for module, b := range builders {
		if _, err := b.Instantiate(ctx); err != nil {
			return fmt.Errorf("define %s: %w", module, err)
		}
	}
	return nil
}

func (g *imaged) instantiate(ctx context.Context, c *code) (err error) {
	if g.memory, err = image.Reserve(g.image, guestBytes, 0); err != nil {
		return err
	}
	ctx = experimental.WithMemoryAllocator(ctx, g.memory.Guest())
	g.instance, err = c.engine.runtime.InstantiateModule(ctx, c.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return fmt.Errorf("instantiate: %w", err)
	}
	g.linear = g.instance.ExportedMemory(image.MemoryExport)
	for _, name := range g.plan.Globals {
		global, ok := g.instance.ExportedGlobal(name).(api.MutableGlobal)
		if !ok {
			return fmt.Errorf("the global %q is no mutable one", name)
		}
		g.globals = append(g.globals, global)
	}
	return nil
}

func (g *imaged) call(ctx context.Context, export string) error {
	if _, err := g.instance.ExportedFunction(export).Call(ctx); err != nil {
		return fmt.Errorf("call %s: %w", export, err)
	}
	return nil
}

func (g *imaged) reset() (pages int, err error) {
	if err := g.memory.Shrink(g.linear); err != nil {
		return 0, err
	}
	pages, err = g.memory.Reset(0)
	g.setGlobals()
	return pages, err
}

func (g *imaged) setGlobals() {
	for i, v := range g.values {
		g.globals[i].Set(v)
	}
}

func (g *imaged) close(ctx context.Context) error {
	var errs []error
	if g.instance != nil {
		errs = append(errs, g.instance.Close(ctx))
	}
	if g.memory != nil {
		errs = append(errs, g.memory.Close())
	}
	return errors.Join(append(errs, g.image.Close())...)
}
