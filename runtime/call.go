package runtime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/cofferdam-run/cofferdam/runtime/abi"
)

// Call is one call of an export.
type Call struct {
	Export string
	Input  []byte
	World  World
	// Host answers the guest's crossings. A nil Host answers none of them:
	// each ends the call with CodeDenied.
	Host Host
}

// Result is what a call gave.
type Result struct {
	// Output is the guest's, at most Limits.OutputBytes.
	Output []byte
	Usage  Usage
}

const (
	exportInitialize   = "_initialize"       // A WASI reactor's.
	exportConstructors = "__wasm_call_ctors" // A WASI command's, when it is exported.
	exportHaskell      = "hs_init"           // GHC's runtime; takes argc and argv.
	exportStart        = "_start"            // A WASI command's main: it constructs by itself.
)

// Call runs an export in a fresh instance. See the package comment for errors.
func (m *Module) Call(ctx context.Context, c Call) (Result, error) {
	if err := m.enter(); err != nil {
		return Result{}, err
	}
	start := m.runtime.now()
	run := &run{module: m, call: c, memory: &memory{limit: uint64(m.limits.MemoryBytes)}}
	output, err := run.do(ctx)
	if run.kernel != nil {
		m.putKernel(run.kernel)
	}
	usage := run.usage
	usage.Wall = m.runtime.now().Sub(start)
	usage.MemoryBytes = int64(run.memory.peak)
	usage.InputBytes, usage.OutputBytes = len(c.Input), len(output)
	if leaveErr := m.leave(ctx); leaveErr != nil {
		err = errors.Join(err, leaveErr)
	}
	return Result{Output: output, Usage: usage}, err
}

// run is one call under way.
type run struct {
	module *Module
	call   Call
	memory *memory
	kernel *abi.Kernel
	guest  *abi.Guest
	usage  Usage
	// entered says that initialization is over and the export began.
	entered bool
	// denied says that the Host has denied the guest something, so that a guest
	// that passes this on says nothing but the truth.
	denied bool
}

func (r *run) do(ctx context.Context) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := r.admit(ctx); err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, r.module.limits.Deadline)
	defer cancel()
	code, trap := r.execute(r.guest.Bind(limited))
	err := r.judge(ctx, limited, code, trap)
	if failure := (*Failure)(nil); err == nil || errors.As(err, &failure) {
		// The last words of a guest that ran into its deadline are wanted too, so
		// this is under the caller's context alone.
		if flushErr := r.guest.Flush(ctx); flushErr != nil {
			err = r.hostError(ctx, limited, flushErr)
		}
	}
	if err != nil {
		return nil, err
	}
	return r.output()
}

// admit checks the call and readies the guest's state.
func (r *run) admit(ctx context.Context) error {
	if _, ok := slices.BinarySearch(r.module.exports, r.call.Export); !ok {
		return &Failure{Code: CodeNoExport, Message: fmt.Sprintf(
			"there is no export %q of type () -> i32 or () -> (); there is: %s",
			r.call.Export, orNone(r.module.exports))}
	}
	limits := r.module.limits
	if n := len(r.call.Input); n > limits.InputBytes {
		return &Failure{Code: CodeInputTooLarge, Message: fmt.Sprintf(
			"the input has %d bytes; the limit is %d", n, limits.InputBytes)}
	}
	kernel, err := r.module.takeKernel(ctx)
	if err != nil {
		return err
	}
	r.kernel = kernel
	guest, err := abi.NewGuest(abi.Options{
		Kernel:      kernel,
		Input:       r.call.Input,
		Seed:        r.call.World.Seed,
		Start:       r.call.World.Start,
		Config:      r.call.World.Config,
		KernelBytes: limits.KernelBytes,
		Ask:         r.ask,
	})
	if err != nil {
		return &Failure{Code: CodeInputTooLarge, Message: fmt.Sprintf(
			"the input of %d bytes does not fit into the %d bytes of Extism memory", len(r.call.Input), limits.KernelBytes)}
	}
	r.guest = guest
	return nil
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// ask is the guest's way out. A Host that panics is a fault of the host's, and
// ends this call only.
func (r *run) ask(ctx context.Context, name string, request []byte) (answer abi.Answer, err error) {
	r.usage.HostCalls++
	if r.call.Host == nil {
		return answer, &Failure{Code: CodeDenied, Message: fmt.Sprintf("the guest asked for %q, and this call may ask for nothing", name)}
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("host function %q panicked: %v\n%s", name, p, debug.Stack())
		}
	}()
	a, err := r.call.Host.Call(ctx, Crossing{Func: name, Request: request})
	if err != nil {
		return answer, fmt.Errorf("call host function %q: %w", name, err)
	}
	r.denied = r.denied || isDenial(a.Response)
	return abi.Answer(a), nil
}

// isDenial says whether an answer is {"error":{"code":"denied"}}.
func isDenial(answer []byte) bool {
	if !bytes.HasPrefix(answer, []byte(`{"error"`)) {
		return false
	}
	var e struct {
		Error struct {
			Code Code `json:"code"`
		} `json:"error"`
	}
	return json.Unmarshal(answer, &e) == nil && e.Error.Code == CodeDenied
}

// execute runs the export in a fresh instance and returns its code. What a
// program does wrong comes back as the error of wazero, panics included.
func (r *run) execute(ctx context.Context) (code uint32, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &engineError{reason: p, stack: debug.Stack()}
		}
	}()
	config := wazero.NewModuleConfig().
		WithName(""). // Anonymous, so that there can be many.
		WithStartFunctions()
	instance, err := r.module.runtime.engine.InstantiateModule(
		experimental.WithMemoryAllocator(r.kernel.Import(ctx), r.memory), r.module.compiled, config)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, instance.Close(context.WithoutCancel(ctx))) }()
	if err := r.initialize(ctx, instance); err != nil {
		return 0, err
	}
	r.entered = true
	results, err := instance.ExportedFunction(r.call.Export).Call(ctx)
	if err != nil || len(results) == 0 {
		return 0, err
	}
	return uint32(results[0]), nil
}

// initialize starts the guest's language: what there is of a reactor's, else of
// a command's constructors, then Haskell's.
func (r *run) initialize(ctx context.Context, instance api.Module) error {
	constructors := instance.ExportedFunction(exportInitialize)
	if constructors == nil && r.call.Export != exportStart {
		constructors = instance.ExportedFunction(exportConstructors)
	}
	if constructors != nil && len(constructors.Definition().ParamTypes()) == 0 {
		if _, err := constructors.Call(ctx); err != nil {
			return err
		}
	}
	haskell := instance.ExportedFunction(exportHaskell)
	if haskell != nil && slices.Equal(haskell.Definition().ParamTypes(), []api.ValueType{api.ValueTypeI32, api.ValueTypeI32}) {
		if _, err := haskell.Call(ctx, 0, 0); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) output() ([]byte, error) {
	output := r.guest.Output()
	if limit := r.module.limits.OutputBytes; len(output) > limit {
		return nil, &Failure{Code: CodeOutputTooLarge, Message: fmt.Sprintf(
			"the output has %d bytes; the limit is %d", len(output), limit)}
	}
	return bytes.Clone(output), nil // The kernel's memory is the next call's.
}
