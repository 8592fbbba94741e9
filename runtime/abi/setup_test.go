package abi //nolint:testpackage // It calls functions one by one, as a guest would.

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/sys"
)

// onePage is a module with a memory of one page.
const onePage = "\x00asm\x01\x00\x00\x00\x05\x03\x01\x00\x01"

// engine is a runtime with the host modules, for all tests of this package.
type engine struct {
	offers *Offers
	rt     wazero.Runtime
	kernel wazero.CompiledModule
}

var sharedEngine = sync.OnceValues(func() (engine, error) {
	ctx := context.Background()
	offers, err := New([]string{"state_get"})
	if err != nil {
		return engine{}, err
	}
	rt := wazero.NewRuntime(ctx)
	if err := offers.Instantiate(ctx, rt); err != nil {
		return engine{}, err
	}
	kernel, err := CompileKernel(ctx, rt)
	return engine{offers, rt, kernel}, err
})

func theEngine(tb testing.TB) engine {
	tb.Helper()
	e, err := sharedEngine()
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

// newKernel returns a kernel for a budget.
func newKernel(tb testing.TB, budget int64) *Kernel {
	tb.Helper()
	e := theEngine(tb)
	k, err := NewKernel(tb.Context(), e.rt, e.kernel, sized(KernelSize(budget)))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { k.Close(context.Background()) }) //nolint:usetesting // Its own has ended.
	return k
}

// sized allocates memories of one size.
type sized uint64

func (s sized) Allocate(_, _ uint64) experimental.LinearMemory { return fixed(make([]byte, s)) }

// fixed is a memory that does not grow.
type fixed []byte

func (m fixed) Reallocate(uint64) []byte { return m }

func (m fixed) Free() {}

// bench is a guest with a memory whose host functions are called directly.
type bench struct {
	guest  *Guest
	module api.Module
	kernel *Kernel
	offers *Offers
	asked  []string
	answer Answer
	fails  error
}

func setup(tb testing.TB, o Options) *bench {
	tb.Helper()
	e := theEngine(tb)
	b := &bench{answer: Answer{Response: []byte(`{"result":{}}`)}, offers: e.offers}
	o.Ask = func(_ context.Context, name string, request []byte) (Answer, error) {
		b.asked = append(b.asked, name+" "+string(request))
		return b.answer, b.fails
	}
	if o.KernelBytes == 0 {
		o.KernelBytes = 1 << 16
	}
	b.kernel = newKernel(tb, o.KernelBytes)
	o.Kernel = b.kernel
	var err error
	if b.guest, err = NewGuest(o); err != nil {
		tb.Fatal(err)
	}
	if b.module, err = e.rt.InstantiateWithConfig(tb.Context(), []byte(onePage), wazero.NewModuleConfig().WithName("")); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { b.module.Close(context.Background()) }) //nolint:usetesting // Its own has ended.
	return b
}

// do calls a function that guests import and returns its result, and false when
// it ended the call.
func (b *bench) do(tb testing.TB, module, name string, args ...uint64) (result uint64, ok bool) {
	tb.Helper()
	if module == EnvModule || module == LegacyModule {
		return b.doKernel(tb, name, args)
	}
	f, found := b.offers.modules[module][name]
	if !found {
		tb.Fatalf("%s.%s is not offered", module, name)
	}
	stack := make([]uint64, max(len(f.params), len(f.results), len(args)))
	copy(stack, args)
	defer func() {
		switch p := recover().(type) {
		case nil:
		case *sys.ExitError:
			ok = false
		default:
			tb.Fatalf("%s.%s(%v) panicked: %v", module, name, args, p)
		}
	}()
	f.call(tb.Context(), b.guest, b.module, stack)
	if len(stack) > 0 {
		result = stack[0]
	}
	return result, true
}

func (b *bench) doKernel(tb testing.TB, name string, args []uint64) (uint64, bool) {
	tb.Helper()
	f := b.kernel.instance.ExportedFunction(name)
	results, err := f.Call(b.guest.Bind(tb.Context()), args...)
	if exit := (*sys.ExitError)(nil); errors.As(err, &exit) {
		return 0, false
	}
	if err != nil {
		tb.Fatalf("%s(%v): %v", name, args, err)
	}
	if len(results) == 0 {
		return 0, true
	}
	if f.Definition().ResultTypes()[0] == api.ValueTypeI32 {
		return uint64(uint32(results[0])), true // Above it is anything.
	}
	return results[0], true
}

func (b *bench) put(tb testing.TB, s string) uint64 {
	tb.Helper()
	offset, ok := b.kernel.heap.put([]byte(s))
	if !ok {
		tb.Fatalf("no room for %q", s)
	}
	return offset
}

func (b *bench) get(tb testing.TB, offset uint64) string {
	tb.Helper()
	return string(b.guest.take(tb.Context(), offset, "test"))
}
