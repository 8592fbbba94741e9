// Package abi is the host's half of the Extism ABI v1 and of the subset of WASI
// preview 1 that guests get: no files, no sockets, no environment, a clock that
// moves only with answers, and randomness from a seed.
//
// The host modules are instantiated once in a wazero.Runtime and are shared by
// all calls. A sandbox has a [Kernel] of its own, Extism's memory and the
// functions that work on it: a WebAssembly module, so that a guest's loads and
// stores stay within compiled code. What belongs to one call is a [Guest], which
// the host functions find in the context that the guest's are called with:
//
//	offers, err := abi.New(functions)
//	err = offers.Instantiate(ctx, rt)
//	compiled, err := abi.CompileKernel(ctx, rt)
//
//	kernel, err := abi.NewKernel(ctx, rt, compiled, allocator)
//	instance, err := rt.InstantiateModule(kernel.Import(ctx), module, config)
//
//	guest, err := abi.NewGuest(abi.Options{Kernel: kernel, Input: input, Ask: ask, ...})
//	_, err = export.Call(guest.Bind(ctx))
//	err = guest.Flush(ctx)
//	kernel.Reset()
//
// Offsets and lengths come from untrusted code: each is checked before use. A
// host function ends the call by recording why in the Guest, then unwinding the
// guest with wazero's own exit error, which never leaves wazero as a panic.
//
// See https://extism.org/docs/concepts/memory and
// https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md.
package abi

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/tetratelabs/wazero/sys"
)

// ErrBudget ends a call whose input, variables, requests and answers do not fit
// into Options.KernelBytes.
var ErrBudget = errors.New("extism memory is full")

// ExitError ends a call by the guest's own proc_exit.
type ExitError struct {
	// Code is the guest's; 0 is success.
	Code uint32
}

// Error implements error.
func (e *ExitError) Error() string { return fmt.Sprintf("the guest exited with code %d", e.Code) }

// MisuseError ends a call whose guest broke the ABI, such as by handing over an offset
// that it never got.
type MisuseError struct {
	Message string
}

// Error implements error.
func (e *MisuseError) Error() string { return e.Message }

// Answer is what came back from outside.
type Answer struct {
	// Response is a JSON document: {"result": ...} or {"error": {...}}.
	Response []byte
	// At is the time of the answer. Zero leaves the guest's clock alone.
	At time.Time
}

// Ask carries one question out of the sandbox. An error ends the call.
type Ask func(ctx context.Context, name string, request []byte) (Answer, error)

// Options describe one call.
type Options struct {
	// Kernel is the sandbox's.
	Kernel *Kernel
	// Input is what the guest reads; it is copied.
	Input []byte
	// Seed feeds random_get.
	Seed [32]byte
	// Start is what the clock shows first. Defaults to the Unix epoch.
	Start time.Time
	// Seen is what the clocks showed when the sandbox's image was taken: none of
	// them shows less. Defaults to a guest that has seen nothing.
	Seen Moment
	// Config answers config_get. It must not change while the guest runs.
	Config map[string]string
	// KernelBytes is the budget for everything the guest holds in Extism's memory,
	// the input included; the kernel's own size bounds it too. See KernelSize.
	KernelBytes int64
	// Ask answers the guest's questions.
	Ask Ask
	// Spend charges the guest for a host function's work, a unit of fuel a byte and
	// 2,000 a question: a guest must not have for one call what takes the host
	// seconds. An error ends the call. Defaults to nothing.
	Spend func(ctx context.Context, units uint64) error
}

// Guest is what the host keeps for one call. It is not safe for concurrent use:
// a guest has one thread.
type Guest struct {
	ask    Ask
	spends func(ctx context.Context, units uint64) error
	kernel *Kernel
	vars   map[string][]byte
	config map[string]string
	clock  clock

	seed   [32]byte
	seeded bool // Seeding takes longer than a small call, and few guests ask.
	random rand.ChaCha8

	http           httpState
	stdout, stderr lineBuffer
	tail           []byte // The end of standard error, for the operator.
	ended          error
}

// NewGuest returns the state of one call; ErrBudget when the input does not fit.
func NewGuest(o Options) (*Guest, error) {
	g := new(Guest)
	if err := g.Begin(o); err != nil {
		return nil, err
	}
	return g, nil
}

// Begin is NewGuest for a Guest that is used again: g is the zero Guest, which
// whoever has it made of it when its last call was over. What was returned of that
// one is no longer valid. A kernel that was used and not reset is reset first.
func (g *Guest) Begin(o Options) error {
	g.ask, g.spends, g.kernel, g.config = o.Ask, o.Spend, o.Kernel, o.Config
	g.clock = newClock(o.Start, o.Seen)
	g.seed = o.Seed
	g.stdout, g.stderr = lineBuffer{level: "info"}, lineBuffer{level: "warn"}

	h := o.Kernel.heap
	if h.word(wordTop) != 0 {
		o.Kernel.Reset()
	}
	h.begin(o.KernelBytes)
	offset, ok := h.put(o.Input)
	if !ok {
		return ErrBudget
	}
	h.setWord(wordInput, offset)
	h.setWord(wordInputLength, uint64(len(o.Input)))
	return nil
}

// Ended is why a host function ended the call, or nil when none did: an *ExitError, a
// *MisuseError, ErrBudget, or what Ask returned.
func (g *Guest) Ended() error { return g.ended }

// Clock is what the guest's clocks show now: Options.Seen of a guest that goes on
// from this one's image.
func (g *Guest) Clock() Moment {
	return Moment{Wall: g.clock.now, Monotonic: time.Duration(g.clock.monotonic())}
}

// Output is the range that the guest set last, as it is now; empty when it set
// none. It shares the kernel's memory: it is valid until Reset.
func (g *Guest) Output() []byte {
	data, ok := g.kernel.heap.bytes(g.kernel.heap.span(wordOutput))
	if !ok {
		return []byte{}
	}
	return data
}

// Error is the error that the guest set last, or nil. It shares the kernel's
// memory: it is valid until Reset.
func (g *Guest) Error() []byte {
	data, _ := g.kernel.heap.bytes(g.kernel.heap.span(wordError))
	return data
}

// Stderr is the end of what the guest wrote to standard error.
func (g *Guest) Stderr() string { return string(g.tail) }

// Flush tells the log the lines that the guest began and did not end. After an error
// Unsaid says how many the log has not taken.
func (g *Guest) Flush(ctx context.Context) error {
	if err := g.flush(ctx, &g.stdout); err != nil {
		return err
	}
	return g.flush(ctx, &g.stderr)
}

// Unsaid is how many lines the guest began and did not end.
func (g *Guest) Unsaid() int {
	n := 0
	for _, b := range []*lineBuffer{&g.stdout, &g.stderr} {
		if len(b.line) > 0 {
			n++
		}
	}
	return n
}

// end unwinds the guest: nothing of it runs after this. The first reason stays.
func (g *Guest) end(reason error) {
	if g.ended == nil {
		g.ended = reason
	}
	// wazero recovers this and returns it from the export's call. The code is
	// not read by anyone: Ended has the reason.
	panic(sys.NewExitError(1))
}

func (g *Guest) misuse(format string, args ...any) {
	g.end(&MisuseError{Message: fmt.Sprintf(format, args...)})
}

// question asks, moves the clock to the answer and returns the response. A
// question that fails ends the call.
func (g *Guest) question(ctx context.Context, name string, request []byte) []byte {
	g.spend(ctx, crossing)
	response, err := g.tryQuestion(ctx, name, request)
	if err != nil {
		g.end(err)
	}
	return response
}

func (g *Guest) tryQuestion(ctx context.Context, name string, request []byte) ([]byte, error) {
	// Here and not only in the guest's loops: one fd_write can ask a billion times.
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	answer, err := g.ask(ctx, name, request)
	if err != nil {
		return nil, err
	}
	g.clock.advance(answer.At)
	return answer.Response, nil
}

const (
	// handling is what a block costs that a host function takes or gives, beside its
	// bytes.
	handling = 64
	// crossing is what a question costs: a microsecond or two, whatever it is about.
	// A guest that writes empty lines asks one with each byte.
	crossing = 2000
)

// spend charges the guest for work that is done for it.
func (g *Guest) spend(ctx context.Context, units int) {
	if g.spends == nil {
		return
	}
	if err := g.spends(ctx, uint64(units)); err != nil {
		g.end(err)
	}
}

// give puts data into a new block and returns its offset; 0 for no data.
func (g *Guest) give(ctx context.Context, data []byte) uint64 {
	g.spend(ctx, handling+len(data))
	offset, ok := g.kernel.heap.put(data)
	if !ok {
		g.end(ErrBudget)
	}
	return offset
}

const noBlock = "%s: offset %d is not the start of a block of Extism memory"

// take returns the block at offset, which what names in the error.
func (g *Guest) take(ctx context.Context, offset uint64, what string) []byte {
	if offset == 0 {
		return nil
	}
	h := g.kernel.heap
	size := h.length(offset)
	data, ok := h.bytes(span{offset, size})
	if size == 0 || !ok {
		g.misuse(noBlock, what, offset)
	}
	g.spend(ctx, handling+len(data))
	return data
}
