package runtime

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cofferdam-run/cofferdam/runtime/image"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// Freezing says how a module is frozen.
type Freezing struct {
	// Export is called once, after what starts the module. Defaults to none: only
	// what starts it runs.
	Export string
	// Input is what the export reads.
	Input []byte
	// Drop names exports that the frozen module does not have, beside Export and
	// what starts a module: start function, _initialize, constructors, warmup.
	Drop []string
	// Keep names custom sections that the frozen module still has, as "name", the
	// functions' names. Defaults to none.
	Keep []string
}

// Frozen is what Freeze made.
type Frozen struct {
	// Module is an ordinary module, for any engine.
	Module []byte
	// Output is what the export put out, and Usage what it used.
	Output []byte
	Usage  Usage
}

// Freeze runs a module up to a point and returns a module that begins there: its
// memory's content are data segments, its mutable globals have the values that they
// had. It counts no fuel. Equal modules and inputs give equal bytes, on any machine.
//
// The export runs as a start does when a module is prepared: metered, within the
// limits, with a clock that stands at the Unix epoch and a seed that is the
// module's. The host denies whatever it asks for, and drops what it logs. What it
// left in Extism's memory and variables is gone.
//
// A guest that fails gives a *Failure, with its own message and details, by the source
// map in the module's custom section if there is one; a module
// that is refused, or whose state is in more than memory and globals, an
// *InvalidModule, of code cannot_freeze where Prepare would take it.
func (r *Runtime) Freeze(ctx context.Context, binary []byte, l Limits, f Freezing) (_ Frozen, err error) {
	l, err = r.ready(ctx, l)
	if err != nil {
		return Frozen{}, err
	}
	m, err := r.decode(binary, l)
	if err != nil {
		return Frozen{}, err
	}
	live, outline, err := r.load(ctx, m.Clone(), binary, l)
	if err != nil {
		return Frozen{}, err
	}
	live.maps = mapper(binary, func() ([]byte, error) { return binary, nil })
	r.codes.keep(live.code, r.now()) // The next is most likely the same module with another input.
	defer func() {
		err = joined(err, live.close(ctx))
		_ = r.relieve(ctx) // What is given back now is others'.
	}()
	if reason := live.lasting(); reason != "" {
		return Frozen{}, cannotFreeze(reason)
	}
	s, err := live.newSandbox(ctx)
	if err != nil {
		return Frozen{}, err
	}
	defer func() { err = joined(err, s.close(ctx)) }()
	result, err := s.load(ctx, f, outline, sha256.Sum256(binary))
	if err != nil {
		return Frozen{}, err
	}
	module, err := s.freeze(m, binary, f)
	return Frozen{Module: module, Output: result.Output, Usage: result.Usage}, err
}

// lasting is why what a guest has become is in more than its memory and globals.
func (l *loaded) lasting() string {
	if l.everyCall {
		return "it is a command whose constructors run in each call: build a reactor, with -mexec-model=reactor"
	}
	return l.plan.Fresh
}

// load calls the export.
func (s *sandbox) load(ctx context.Context, f Freezing, o outline, seed [sha256.Size]byte) (result Result, err error) {
	if f.Export != "" {
		c := Call{Export: f.Export, Input: f.Input, World: World{Seed: seed}, Host: startHost{}}
		if err := c.admissible(o.exports, s.live.limits); err != nil {
			return Result{}, err
		}
		if result, err = s.once(ctx, c); err != nil {
			return result, err
		}
	}
	if s.live.seen.Wall.After(time.Unix(0, 0)) || f.Export != "" && s.guest.Clock().Wall.After(time.Unix(0, 0)) {
		return result, cannotFreeze("it slept, and its clocks would go back: sleep in calls only")
	}
	return result, nil
}

// freeze makes of the module that it was what the sandbox is.
func (s *sandbox) freeze(m *wasm.Module, binary []byte, f Freezing) ([]byte, error) {
	if err := image.Freeze(m, s.content(), s.readGlobals()); err != nil {
		return nil, cannotFreeze(err.Error())
	}
	dropped := append([]string{f.Export, exportInitialize, exportConstructors, exportHaskell, exportWarmUp}, f.Drop...)
	m.Exports = slices.DeleteFunc(m.Exports, func(e wasm.Export) bool { return slices.Contains(dropped, e.Name) })
	m.Names = nil // The section is kept as it is, or not at all.
	kept := map[string][]byte{}
	for _, name := range f.Keep {
		if content, ok := wasm.Custom(binary, name); ok {
			kept[name] = content
		}
	}
	frozen, err := wasm.WithCustom(m.Encode(), kept)
	if err != nil {
		return nil, fmt.Errorf("freeze module: %w", err)
	}
	if err := checkBytes(frozen, s.live.limits); err != nil {
		return nil, err
	}
	return frozen, nil
}

const hintFreeze = "What a frozen module begins with is its memory and its numeric globals: build it without what changes more."

func cannotFreeze(reason string) error {
	return &InvalidModule{Code: "cannot_freeze", Message: "the module cannot be frozen: " + reason, Hint: hintFreeze}
}

// Section returns what a module's custom section holds, the first of that name. It is
// a part of binary. There is none in bytes that are no module.
func Section(binary []byte, name string) ([]byte, bool) { return wasm.Custom(binary, name) }

// WithSections returns a module with these custom sections, by name, instead of those
// that it has of the same names: at its end, in the order of their names. A nil
// content only removes. Nothing else of the module changes or is checked.
func WithSections(binary []byte, contents map[string][]byte) ([]byte, error) {
	module, err := wasm.WithCustom(binary, contents)
	if err != nil {
		return nil, refused(err)
	}
	return module, nil
}

// ready says what is wrong before work on a module begins.
func (r *Runtime) ready(ctx context.Context, l Limits) (Limits, error) {
	l, err := l.checked()
	if err != nil {
		return l, err
	}
	if err := ctx.Err(); err != nil {
		return l, err
	}
	if r.closed.Load() {
		return l, errors.New("prepare module: the runtime is closed")
	}
	return l, nil
}
