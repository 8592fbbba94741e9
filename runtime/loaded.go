package runtime

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/cofferdam-run/cofferdam/runtime/abi"
	"github.com/cofferdam-run/cofferdam/runtime/image"
	"github.com/cofferdam-run/cofferdam/runtime/sourcemap"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// loaded is what a module needs in memory to be called.
type loaded struct {
	runtime *Runtime
	limits  Limits
	plan    *image.Plan
	code    *code
	// image is the memory that every sandbox begins as, globals are the values of
	// plan.Globals, and seen is what the clocks showed when it was taken. A module
	// that has to be started in each sandbox has image and values of before the start.
	image   *image.Image
	globals []uint64
	seen    abi.Moment
	// everyCall says that the constructors run in each call, but for the call of a
	// command's main, which runs them itself.
	everyCall bool
	// beforeMain are the functions to call before a command's main, beforeOthers
	// those to call before any other export.
	beforeMain, beforeOthers []string
	facts                    Facts
	// instanceFuel is what making an instance costs a call that gets one for itself.
	instanceFuel uint64
	bytes        int64 // About what this holds, without code and sandboxes.

	maps *sourcemap.Mapper // Nil for a module without a source map.
	idle idlers            // Guarded by Module.mu.
}

// memoryMost is what a guest's memory may grow to: what its module declares, when
// that is less than the limit.
func (l *loaded) memoryMost(limit int64) int {
	switch m := l.plan.Memory; {
	case m == nil:
		return 0
	case m.HasMax:
		return int(min(limit, int64(m.Max)*wasm.PageBytes))
	default:
		return int(limit)
	}
}

// callBefore names the functions to call before exports.
func (l *loaded) callBefore(o outline) {
	if o.reseeds {
		l.beforeMain = []string{exportReseed}
	}
	if l.everyCall {
		l.beforeOthers = []string{exportConstructors}
	}
	l.beforeOthers = append(l.beforeOthers, l.beforeMain...)
}

// before names the functions to call before an export.
func (l *loaded) before(export string) []string {
	if export == exportStart {
		return l.beforeMain
	}
	return l.beforeOthers
}

// snapshot starts the guest once and takes the image of what it is then.
func (l *loaded) snapshot(ctx context.Context, sum [sha256.Size]byte) (err error) {
	if l.image, err = l.plan.Image(l.runtime.mechanism); err != nil {
		return fmt.Errorf("make image: %w", err)
	}
	s, err := l.newSandbox(ctx)
	if err != nil {
		return err
	}
	defer func() { err = joined(err, s.close(ctx)) }()
	s.run = run{sandbox: s, ctx: ctx, limits: l.startLimits(), start: l.runtime.now(), call: Call{
		World: World{Seed: sum}, Host: startHost{},
	}}
	if err := s.run.startUp(); err != nil { //nolint:contextcheck // The run carries its own, which is this one.
		return refusedStart(err)
	}
	l.facts.StartFuel = s.run.used
	if l.plan.Fresh != "" {
		return nil
	}
	return l.capture(s)
}

// capture makes what the sandbox is the image.
func (l *loaded) capture(s *sandbox) error {
	content := s.content()
	started, err := image.New(content, l.runtime.mechanism)
	if err != nil {
		return fmt.Errorf("take image: %w", err)
	}
	l.globals = s.readGlobals()
	l.seen = s.guest.Clock()
	l.facts.ImageDigest = imageDigest(content, l.globals, l.seen)
	before := l.image
	l.image = started
	l.plan.Data = nil // A part of the module, which would stay with it.
	// The sandbox maps it still: the last to go releases it.
	return before.Close()
}

// imageDigest reads the memory where it is. At 1.2 GB/s, which processors do that know
// SHA-256, a Go connector's 4.5 MiB take 4 ms of each time that a module is loaded.
func imageDigest(memory []byte, globals []uint64, seen abi.Moment) string {
	h := sha256.New()
	// Its Write never fails. What comes after the memory has one length for one module.
	_, _ = h.Write(memory)
	rest := binary.LittleEndian.AppendUint64(nil, uint64(seen.Wall.UnixNano()))
	rest = binary.LittleEndian.AppendUint64(rest, uint64(seen.Monotonic))
	for _, g := range globals {
		rest = binary.LittleEndian.AppendUint64(rest, g)
	}
	_, _ = h.Write(rest)
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

const (
	// startFuel and startDeadline bound a start: a tenth to a third of a second of CPU, whatever it
	// is spent on, since anybody can upload a start that loops. A Go guest of 3 MB
	// needs 10 ms.
	startFuel     = 500_000_000
	startDeadline = 10 * time.Second
)

func (l *loaded) startLimits() Limits {
	limits := l.limits
	limits.Fuel = min(limits.Fuel, startFuel)
	limits.Deadline = min(limits.Deadline, startDeadline)
	return limits
}

// close releases everything. Nobody may be using a sandbox.
func (l *loaded) close(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	l.maps.Forget()
	var errs []error
	for _, s := range l.idle.all {
		errs = append(errs, s.close(ctx))
	}
	if l.code != nil {
		errs = append(errs, l.runtime.release(ctx, l.code))
	}
	if l.image != nil {
		errs = append(errs, l.image.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("release module: %w", err)
	}
	return nil
}

// startHost answers a guest that is starting. What it logs is dropped; the rest
// would have its effect once, and its answer in everybody's image.
type startHost struct{}

// Call implements Host.
func (startHost) Call(_ context.Context, c Crossing) (Answer, error) {
	if c.Func == crossingLog {
		return Answer{Response: []byte(`{"result":{}}`)}, nil
	}
	return Answer{Response: []byte(`{"error":{"code":"denied","message":"` + refusalAtStart + `"}}`)}, nil
}

const refusalAtStart = "a plugin that is starting may ask the host for nothing"

// refusedStart says why a guest that did not start is refused.
func refusedStart(err error) error {
	f, ok := errors.AsType[*Failure](err)
	if !ok {
		return fmt.Errorf("start module: %w", err)
	}
	return &InvalidModule{Code: "start_failed", Message: "the module did not start: " + f.Error(), Hint: hintStart}
}
