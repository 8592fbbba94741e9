package runtime

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/cofferdam-run/cofferdam/runtime/abi"
	"github.com/cofferdam-run/cofferdam/runtime/fairshare"
	"github.com/cofferdam-run/cofferdam/runtime/image"
	"github.com/cofferdam-run/cofferdam/runtime/meter"
)

// sandboxHeap is what a sandbox holds besides its private memory: the instance,
// its tables and the stacks of its functions. Measured for a Go guest, whose
// table is the largest part of it.
const sandboxHeap = 160 << 10

// sandbox is one instance of a module with the memory and the kernel that are
// its own. It serves one call at a time, and is reset after each.
type sandbox struct {
	live     *loaded
	memory   *image.Memory
	kernel   *abi.Kernel
	instance api.Module
	fuel     api.MutableGlobal
	globals  []api.MutableGlobal
	// functions are those that were called: a handle costs 12 KB to make.
	functions map[string]*function

	account   *meter.Account
	ticket    *fairshare.Ticket
	asks      abi.Ask // The methods of these names, made values once.
	spends    func(ctx context.Context, units uint64) error
	guest     abi.Guest
	run       run
	idleSince time.Time
	// pages is how many pages the last reset found written.
	pages int
}

// newSandbox makes a sandbox that is as the image says.
func (l *loaded) newSandbox(ctx context.Context) (*sandbox, error) {
	s := l.emptySandbox()
	if err := s.furnish(ctx); err != nil {
		return nil, joined(err, s.close(ctx))
	}
	return s, nil
}

// emptySandbox makes one that costs next to nothing, and cannot be run in before it
// is furnished.
func (l *loaded) emptySandbox() *sandbox {
	rt := l.runtime
	s := &sandbox{live: l, functions: map[string]*function{}}
	s.ticket = rt.shares.NewTicket()
	s.asks, s.spends = s.ask, s.spend
	s.account = meter.NewAccount(meter.Options{Now: rt.now, Pause: s.pause})
	return s
}

// furnish makes the memory and the instance. After an error there is only close.
func (s *sandbox) furnish(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("make sandbox: %w", err)
		}
	}()
	l, rt := s.live, s.live.runtime
	if s.memory, err = image.Reserve(l.image, l.memoryMost(l.limits.MemoryBytes), int(abi.KernelSize(l.limits.KernelBytes))); err != nil {
		return err
	}
	if s.kernel, err = abi.NewKernel(ctx, rt.engine, rt.kernel, s.memory.Kernel()); err != nil {
		return err
	}
	ctx = experimental.WithMemoryAllocator(s.kernel.Import(ctx), s.memory.Guest())
	if s.instance, err = instantiate(ctx, rt.engine, l.code.compiled); err != nil {
		return err
	}
	s.fuel = s.instance.ExportedGlobal(meter.Global).(api.MutableGlobal)
	for _, name := range l.plan.Globals {
		s.globals = append(s.globals, s.instance.ExportedGlobal(name).(api.MutableGlobal))
	}
	s.setGlobals()
	return nil
}

// instantiate keeps a fault of the engine's from ending the process.
func instantiate(ctx context.Context, engine wazero.Runtime, compiled wazero.CompiledModule) (instance api.Module, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &engineError{reason: p, stack: debug.Stack()}
		}
	}()
	config := wazero.NewModuleConfig().
		WithName(""). // Anonymous, so that there can be many.
		WithStartFunctions().
		WithRandSource(rand.Reader) // Nobody reads it: it is cheaper than the default.
	return engine.InstantiateModule(ctx, compiled, config)
}

func (s *sandbox) setGlobals() {
	for i, v := range s.live.globals {
		s.globals[i].Set(v)
	}
}

func (s *sandbox) readGlobals() []uint64 {
	values := make([]uint64, 0, len(s.globals))
	for _, g := range s.globals {
		values = append(values, g.Get())
	}
	return values
}

// reset makes the sandbox what the image says, or says that it cannot be known
// to be: it is to be thrown away then.
func (s *sandbox) reset() bool {
	if s.live.plan.Fresh != "" || s.run.broken || s.instance.IsClosed() {
		return false
	}
	if s.memory.Size() > s.live.image.Bytes() && s.memory.Shrink(s.instance.ExportedMemory(image.MemoryExport)) != nil {
		return false
	}
	pages, err := s.memory.Reset(s.kernel.Used())
	if err != nil {
		return false
	}
	s.pages = pages
	s.setGlobals()
	// What the host keeps for a guest goes with the call, too, which what begins the
	// next one takes for granted: its variables may have as many bytes as its memory.
	s.run, s.guest = run{}, abi.Guest{}
	s.dropStacks()
	return true
}

// bytes is about what the sandbox holds while it is idle.
func (s *sandbox) bytes() int64 { return sandboxHeap + int64(s.memory.Held()) }

// close may be called on a sandbox that was made in part.
func (s *sandbox) close(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	var errs []error
	if s.instance != nil {
		errs = append(errs, s.instance.Close(ctx))
	}
	if s.kernel != nil {
		errs = append(errs, s.kernel.Close(ctx))
	}
	if s.memory != nil {
		errs = append(errs, s.memory.Close())
	}
	return errors.Join(errs...)
}

// function returns an export, or nil.
func (s *sandbox) function(name string) api.Function {
	f, ok := s.functions[name]
	if !ok {
		f = newFunction(s.instance.ExportedFunction(name))
		s.functions[name] = f
	}
	return f.Function
}

// invoke calls an export that takes params and gives one i32 or nothing. What a
// program does wrong comes back as the error of wazero, panics included.
func (s *sandbox) invoke(ctx context.Context, f api.Function, params ...uint64) (code uint32, err error) {
	defer s.survive(&err)
	var stack [2]uint64
	copy(stack[:], params)
	if err := f.CallWithStack(ctx, stack[:]); err != nil {
		return 0, err
	}
	if len(f.Definition().ResultTypes()) == 0 {
		return 0, nil
	}
	return uint32(stack[0]), nil
}

// survive makes an error of a panic.
func (s *sandbox) survive(err *error) {
	if p := recover(); p != nil {
		s.run.broken = true
		*err = &engineError{reason: p, stack: debug.Stack()}
	}
}

// startUp starts the guest's language: the module's start function, what there
// is of a reactor's initialization, else of a command's constructors, then
// Haskell's, and the author's warm-up, whose code it returns.
func (s *sandbox) startUp(ctx context.Context) (code uint32, err error) {
	defer s.survive(&err)
	for _, name := range []string{image.StartExport, exportInitialize, exportConstructors, exportHaskell, exportWarmUp} {
		f := s.startFunction(name)
		if f == nil {
			continue
		}
		if code, err = s.invoke(ctx, f, make([]uint64, len(f.Definition().ParamTypes()))...); err != nil {
			return 0, err
		}
		if name != exportWarmUp {
			code = 0
		}
	}
	return code, nil
}

// content is the guest's memory as it is.
func (s *sandbox) content() []byte {
	memory := s.instance.ExportedMemory(image.MemoryExport)
	if memory == nil {
		return nil
	}
	content, _ := memory.Read(0, memory.Size())
	return content
}

// startFunction is the export if it is one that starts the guest.
func (s *sandbox) startFunction(name string) api.Function {
	f := s.function(name)
	if f == nil {
		return nil
	}
	params := f.Definition().ParamTypes()
	switch {
	case name == exportHaskell:
		if !slices.Equal(params, []api.ValueType{api.ValueTypeI32, api.ValueTypeI32}) {
			return nil
		}
	case name == exportConstructors && (s.live.everyCall || s.function(exportInitialize) != nil), len(params) > 0:
		return nil
	}
	return f
}
