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
	"time"

	"github.com/cofferdam-run/cofferdam/runtime/abi"
	"github.com/cofferdam-run/cofferdam/runtime/meter"
)

// Call is one call of an export.
type Call struct {
	Export string
	Input  []byte
	World  World
	// Host answers the guest's crossings. A nil Host answers none of them:
	// each ends the call with CodeDenied.
	Host Host
	// Limits are this call's own: of MemoryBytes, InputBytes, OutputBytes,
	// Deadline and Fuel the lesser of these and the module's. Defaults to the
	// module's.
	Limits Limits
	// Share says whose CPU the call uses. Defaults to everybody's, of weight 1.
	Share Share
}

// Share is a part in the CPU: while there are more guests than processors, each
// key gets time in proportion to its weight, however many calls it has.
type Share struct {
	Key string
	// Weight is relative to others'. Defaults to 1.
	Weight int
}

// Result is what a call gave.
type Result struct {
	// Output is the guest's, at most Limits.OutputBytes.
	Output []byte
	Usage  Usage
	// LostLines are log lines that the guest began and did not end, and that the Host
	// did not take within a second once the guest had ended.
	LostLines int
}

const (
	exportInitialize   = "_initialize"       // A WASI reactor's.
	exportConstructors = "__wasm_call_ctors" // A WASI command's, when it is exported.
	exportHaskell      = "hs_init"           // GHC's runtime; takes argc and argv.
	exportStart        = "_start"            // A WASI command's main: it constructs by itself.
	exportWarmUp       = "warmup"            // Ours: run once, before the image is taken.
	exportReseed       = "reseed"            // Ours: run before each call, to draw new randomness.
)

// lastWordsTime is what a Host may take for the lines that a guest left behind.
const lastWordsTime = time.Second

const (
	// stackBytes bounds how deep a guest recurses, as runtime/meter estimates it, whose
	// unit is 16 bytes of native stack. What the stack really has is bounded by
	// mostStack.
	stackBytes = 4 << 20
	stackUnits = stackBytes / 16
)

// Call runs an export in a sandbox of its own, which is as the module's image
// says. See the package comment for errors.
func (m *Module) Call(ctx context.Context, c Call) (Result, error) {
	start := m.runtime.now()
	limits := c.Limits.within(m.limits)
	err := m.admit(ctx, c, limits)
	var s *sandbox
	if err == nil {
		s, err = m.take(ctx)
	}
	if err != nil {
		return Result{Usage: Usage{InputBytes: len(c.Input), Wall: m.runtime.now().Sub(start)}}, err
	}
	s.run = run{sandbox: s, ctx: ctx, call: c, limits: limits, start: start}
	if s.idleSince.IsZero() { // It was made for this call, and perhaps the module loaded.
		s.run.away = m.runtime.now().Sub(start)
	}
	over := false
	defer func() {
		if !over { // The Host has ended its goroutine: nobody is left to be told an error.
			_ = joined(s.close(ctx), m.leave(ctx, nil))
		}
	}()
	result, err := s.run.do() //nolint:contextcheck // The run carries its own, which is this one.
	over = true
	if s.reset() {
		return result, joined(err, m.leave(ctx, s))
	}
	return result, joined(err, s.close(ctx), m.leave(ctx, nil))
}

// joined is the first error as it is when it is the only one.
func joined(err error, more ...error) error {
	if others := errors.Join(more...); others != nil {
		return errors.Join(err, others)
	}
	return err
}

// admit says what is wrong with a call before anything is done for it.
func (m *Module) admit(ctx context.Context, c Call, limits Limits) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return c.admissible(m.exports, limits)
}

func (c Call) admissible(exports []string, limits Limits) error {
	if _, ok := slices.BinarySearch(exports, c.Export); !ok {
		return &Failure{Code: CodeNoExport, Message: fmt.Sprintf(
			"there is no export %q of type () -> i32 or () -> (); there is: %s", c.Export, orNone(exports))}
	}
	if n := len(c.Input); n > limits.InputBytes {
		return &Failure{Code: CodeInputTooLarge, Message: fmt.Sprintf(
			"the input has %d bytes; the limit is %d: pass less at once", n, limits.InputBytes)}
	}
	return nil
}

// orNone lists names, as many as one can read: they are a stranger's.
func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	const most, longest = 20, 64
	var list []string
	for _, name := range names[:min(len(names), most)] {
		if len(name) > longest {
			name = strings.ToValidUTF8(name[:longest], "") + "..."
		}
		list = append(list, name)
	}
	if more := len(names) - most; more > 0 {
		list = append(list, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(list, ", ")
}

// run is one call under way.
type run struct {
	sandbox *sandbox
	call    Call
	limits  Limits
	start   time.Time

	ctx     context.Context //nolint:containedctx // A call's state, gone with it: the guest's questions come back through wazero.
	bounded context.Context //nolint:containedctx // ctx with the deadline; nil until somebody needs it.
	cancel  context.CancelFunc

	// away is the time that passed outside of the guest: answers and waits.
	away  time.Duration
	calls int
	lost  int   // Lines that the guest has not got rid of.
	used  int64 // Fuel.
	// overdue says that the deadline passed while the guest ran.
	overdue bool
	// inside says that the guest's ticket is for a processor.
	inside bool
	// played says that the guest has run, if only for its first instruction.
	played bool
	// over says that the guest has ended.
	over bool
	// entered says that initialization is over and the export began.
	entered bool
	// denied says that the Host has denied the guest something, so that a guest
	// that passes this on says nothing but the truth.
	denied bool
	// broken says that the sandbox is not to be used again: what became of it is
	// not known, or it holds megabytes of stack.
	broken bool
}

func (r *run) do() (Result, error) {
	s := r.sandbox
	result := Result{Usage: Usage{InputBytes: len(r.call.Input)}}
	defer r.stopTimer()
	output, err := r.serve()
	err = s.live.mapped(err)
	usage := &result.Usage
	usage.Wall = s.live.runtime.now().Sub(r.start)
	usage.CPU = max(0, usage.Wall-r.away)
	if s.memory != nil {
		usage.MemoryBytes = int64(s.memory.Peak())
	}
	usage.HostCalls = r.calls
	usage.Fuel = r.used
	usage.OutputBytes = len(output)
	result.Output, result.LostLines = output, r.lost
	return result, err
}

// serve runs the guest, from its first instruction to its last words.
func (r *run) serve() ([]byte, error) {
	err := r.play(r.execute)
	if r.played && (err == nil || isFailure(err)) {
		// The last words of a guest that ran into its deadline are wanted too.
		if lastErr := r.lastWords(); lastErr != nil {
			err = lastErr
		}
	}
	if err != nil {
		return nil, err
	}
	return r.output()
}

// lastWords tells the log what the guest began to say. A log that takes its time
// does not change what the guest has done: such lines are given up.
func (r *run) lastWords() error {
	r.end()
	err := r.sandbox.guest.Flush(r.ctx)
	if err == nil {
		return nil
	}
	if isTime(err) && r.ctx.Err() == nil && r.late() {
		r.lost = r.sandbox.guest.Unsaid()
		return nil
	}
	return r.hostError(err)
}

// play runs what it is given as the guest, with all that the guest is held by.
func (r *run) play(what func(ctx context.Context) (uint32, error)) error {
	s := r.sandbox
	if err := r.enter(); err != nil {
		return r.hostError(err)
	}
	defer r.exit(0) // A Host may end its goroutine.
	fuel := s.account.Open(r.limits.Fuel, stackUnits)
	if s.live.plan.Fresh != "" {
		var err error
		if fuel, err = r.furnish(fuel); err != nil {
			return err
		}
	}
	if err := r.ready(fuel); err != nil {
		return err
	}
	r.played = true
	code, trap := what(s.guest.Bind(meter.With(r.ctx, s.account)))
	r.settle(trap)
	return r.judge(code, trap)
}

func isFailure(err error) bool {
	_, ok := errors.AsType[*Failure](err)
	return ok
}

// furnish makes an instance for this call alone, and charges it: unlike a sandbox
// that is reset, it is made anew each time, on a processor that is the guest's.
func (r *run) furnish(fuel uint64) (uint64, error) {
	s := r.sandbox
	fuel, err := s.account.Charge(r.ctx, fuel, s.live.instanceFuel)
	if err != nil {
		r.used, _ = s.account.Settle(fuel)
		return 0, r.judgeFuel(err)
	}
	if s.instance == nil { // Else Measure has made it.
		err = s.furnish(r.ctx)
	}
	return fuel, err
}

// ready sets the sandbox up for the call.
func (r *run) ready(fuel uint64) error {
	s := r.sandbox
	s.memory.SetLimit(s.live.memoryMost(r.limits.MemoryBytes))
	s.fuel.Set(fuel)
	err := s.guest.Begin(abi.Options{
		Kernel:      s.kernel,
		Input:       r.call.Input,
		Seed:        r.call.World.Seed,
		Start:       r.call.World.Start,
		Seen:        s.live.seen,
		Config:      r.call.World.Config,
		KernelBytes: r.limits.KernelBytes,
		Ask:         s.asks,
		Spend:       s.spends,
	})
	if err != nil {
		return &Failure{Code: CodeInputTooLarge, Message: fmt.Sprintf(
			"the input of %d bytes does not fit into the %d bytes of Extism memory: pass less at once", len(r.call.Input), r.limits.KernelBytes)}
	}
	return nil
}

// waiting is the context with the call's deadline, which few calls live to need:
// it is made when the first waits for something.
func (r *run) waiting() context.Context {
	if r.bounded == nil {
		left := r.limits.Deadline - r.sandbox.live.runtime.now().Sub(r.start)
		if r.over {
			left = lastWordsTime
		}
		r.bounded, r.cancel = context.WithTimeout(r.ctx, left)
	}
	return r.bounded
}

// end says that the guest has ended: what it has still to say has a time of its
// own.
func (r *run) end() {
	r.over, r.overdue = true, false
	r.stopTimer()
	r.bounded, r.cancel = nil, nil
}

// patience is a run as the context of waiting, whose timer is made when somebody
// does wait.
type patience run

var _ context.Context = (*patience)(nil)

// Deadline implements context.Context.
func (p *patience) Deadline() (time.Time, bool) { return p.ctx.Deadline() }

// Done implements context.Context.
func (p *patience) Done() <-chan struct{} { return (*run)(p).waiting().Done() }

// Err implements context.Context.
func (p *patience) Err() error { return (*run)(p).waiting().Err() }

// Value implements context.Context.
func (p *patience) Value(key any) any { return p.ctx.Value(key) }

// execute runs what the call asks for and returns the export's code.
func (r *run) execute(ctx context.Context) (_ uint32, err error) {
	s := r.sandbox
	defer s.survive(&err) // The engine makes functions when they are asked for.
	if s.live.plan.Fresh != "" {
		if code, err := s.startUp(ctx); err != nil || code != 0 {
			return code, err
		}
	}
	for _, name := range s.live.before(r.call.Export) {
		if _, err := s.invoke(ctx, s.function(name)); err != nil {
			return 0, err
		}
	}
	r.entered = true
	return s.invoke(ctx, s.function(r.call.Export))
}

// settle counts what was used. A call that came back with more than its budget
// has failed all the same: whether a check came in time is chance.
func (r *run) settle(trap error) {
	a, g := r.sandbox.account, r.sandbox.fuel.Get()
	settle := a.Settle
	if trap != nil {
		settle = a.SettleTrap
	}
	// The account remembers the error, and judge asks it.
	r.used, _ = settle(g)
	r.exit(r.used - a.Paused())
}

// exit gives the processor back, once, and says what was burnt since the last pause.
func (r *run) exit(burnt int64) {
	if r.inside {
		r.inside = false
		r.sandbox.ticket.Exit(burnt)
	}
}

// enter waits until there is a processor for the guest.
func (r *run) enter() error {
	s := r.sandbox
	err := s.ticket.Enter((*patience)(r), r.call.Share.Key, r.call.Share.Weight)
	r.inside = err == nil
	if r.bounded != nil { // It was waited, and nothing of the guest has run since the start.
		r.away = s.live.runtime.now().Sub(r.start)
	}
	return err
}

// pause is called at the end of each slice of a guest's time.
func (s *sandbox) pause(_ context.Context, burnt int64) error {
	r := &s.run
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if s.tooDeep() {
		return meter.ErrStack
	}
	now := s.live.runtime.now()
	if now.Sub(r.start) >= r.limits.Deadline {
		r.overdue = true
		return context.DeadlineExceeded
	}
	err := s.ticket.Pause((*patience)(r), burnt) //nolint:contextcheck // The run carries its own, with the deadline.
	r.away += s.live.runtime.now().Sub(now)
	return err
}

// ask is the guest's way out. Whoever waits for an answer uses no processor. A
// Host that panics is a fault of the host's, and ends this call only.
func (s *sandbox) ask(_ context.Context, name string, request []byte) (answer abi.Answer, err error) { //nolint:contextcheck // The run carries its own, with the deadline.
	r := &s.run
	bounded := r.waiting()
	if err := bounded.Err(); err != nil {
		return answer, err
	}
	if !r.over && s.tooDeep() {
		return answer, r.tooDeep()
	}
	r.calls++
	if r.call.Host == nil {
		return answer, &Failure{Code: CodeDenied, Message: fmt.Sprintf("the guest asked for %q, and this call may ask for nothing", name)}
	}
	left := s.live.runtime.now()
	s.ticket.Leave()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("host function %q panicked: %v\n%s", name, p, debug.Stack())
		}
		if rejoinErr := s.ticket.Rejoin(bounded); err == nil {
			err = rejoinErr
		}
		s.account.Slept()
		r.away += s.live.runtime.now().Sub(left)
	}()
	a, err := r.call.Host.Call(bounded, Crossing{Func: name, Request: s.live.told(name, request), Fuel: r.fuel()}) //nolint:contextcheck // The run carries its own, with the deadline.
	if err != nil {
		return answer, fmt.Errorf("call host function %q: %w", name, err)
	}
	r.denied = r.denied || isDenial(a.Response)
	return abi.Answer(a), nil
}

// fuel is what the guest has used up to now, while it is in a host function. Each that
// asks has charged it first, so that it is within its budget.
func (r *run) fuel() int64 {
	if r.over {
		return r.used
	}
	return r.sandbox.account.Used(r.sandbox.fuel.Get())
}

// spend charges the guest for what a host function does for it.
func (s *sandbox) spend(ctx context.Context, units uint64) error {
	g, err := s.account.Charge(ctx, s.fuel.Get(), units)
	if err == nil {
		s.fuel.Set(g)
	}
	return err
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

func (r *run) output() ([]byte, error) {
	output := r.sandbox.guest.Output()
	if limit := r.limits.OutputBytes; len(output) > limit {
		return nil, &Failure{Code: CodeOutputTooLarge, Message: fmt.Sprintf(
			"the output has %d bytes; the limit is %d: return less at once", len(output), limit)}
	}
	return bytes.Clone(output), nil // Not the sandbox's own memory: that is reset.
}

// startUp runs what starts the guest, and nothing else.
func (r *run) startUp() error {
	defer r.stopTimer()
	return r.play(r.sandbox.startUp)
}

// stopTimer gives up the timer of waiting, if there is one.
func (r *run) stopTimer() {
	if r.cancel != nil {
		r.cancel()
	}
}
