package hostfns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cofferdam-run/cofferdam/runtime"
)

// Handler answers a crossing with the JSON of its result. An *Error is told to
// the guest; any other error, such as a *Suspended, ends the guest's call.
type Handler func(ctx context.Context, c runtime.Crossing) (result json.RawMessage, err error)

// Layer puts something around a Handler that holds for every function.
type Layer func(Handler) Handler

// Quota bounds what one run may ask.
type Quota struct {
	// Calls of functions that are not Quiet. Defaults to 1000.
	Calls int
	// QuietCalls of Quiet functions. Defaults to 10,000.
	QuietCalls int
	// RequestBytes of one request. Defaults to 16 MiB: a body of 8 MiB, which
	// base64 makes 10.7 MiB, and its headers.
	RequestBytes int
}

// GateConfig configures a Gate.
type GateConfig struct {
	// Funcs are all that a guest can ask for. Two of one name are a panic.
	Funcs []Func
	// Granted names the functions that the installation is granted, of those
	// that need it. Defaults to none.
	Granted []string
	// Quota defaults to its fields' defaults.
	Quota Quota
	// Secrets is shared with the sessions that put credentials on the wire.
	// Defaults to none known.
	Secrets *Redactor
	// ExcerptBytes of each request and answer are kept in the trace. Defaults
	// to 2 KiB: 4 MiB for a trace of 1000 steps.
	ExcerptBytes int
	// Layers go around the functions, inside the Gate's own, outermost first.
	// Defaults to none.
	Layers []Layer
	// Journal goes around all but the trace: what it answers is neither allowed nor
	// counted again. It says of each answer that comes from outside when it came
	// ([Answered]); the guest's clock stands still otherwise. Defaults to none, and
	// then the clock moves with each answer.
	Journal Layer
	// Sink is told each Step of the trace at once, and must not block. Defaults to none.
	Sink func(Step)
	// Now is the clock. It must be set.
	Now func() time.Time
}

// Gate is the only way out of a guest. It implements runtime.Host for one run.
//
// A crossing passes, from the outside in: trace, journal, redaction, quota,
// capability, the further layers of the GateConfig, the function. It is called by one
// goroutine at a time; Steps may be read meanwhile by another.
type Gate struct {
	config GateConfig
	funcs  map[string]Func
	handle Handler
	// private is what the guest may know, and the trace does not show.
	private *Redactor

	mu      sync.Mutex
	ordinal int
	// calls and quiet are how many crossings there were of each kind.
	calls, quiet int
	steps        []Step
	// streamed is how many bytes passed of the bodies of a crossing, by its ordinal.
	streamed map[int]*atomic.Int64
}

var _ runtime.Host = (*Gate)(nil)

// NewGate returns a Gate. Funcs of one name, a Func without an Answer and a
// missing clock are mistakes of the program, and panic.
func NewGate(c GateConfig) *Gate {
	if c.Now == nil {
		panic("hostfns: GateConfig.Now is not set")
	}
	c.Quota.Calls = orDefault(c.Quota.Calls, 1000)
	c.Quota.QuietCalls = orDefault(c.Quota.QuietCalls, 10_000)
	c.Quota.RequestBytes = orDefault(c.Quota.RequestBytes, 16<<20)
	c.ExcerptBytes = orDefault(c.ExcerptBytes, 2<<10)
	c.Funcs, c.Granted = slices.Clone(c.Funcs), slices.Clone(c.Granted)

	g := &Gate{config: c, funcs: make(map[string]Func, len(c.Funcs)), private: NewRedactor()}
	for _, f := range c.Funcs {
		if _, taken := g.funcs[f.Name]; taken {
			panic(fmt.Sprintf("hostfns: two functions are named %q", f.Name))
		}
		if f.Name == "" || f.Answer == nil {
			panic(fmt.Sprintf("hostfns: function %q lacks a name or an Answer", f.Name))
		}
		g.funcs[f.Name] = f
	}
	layers := []Layer{g.trace}
	if c.Journal != nil {
		layers = append(layers, c.Journal)
	}
	layers = slices.Concat(layers, []Layer{g.redaction, g.quota, g.capability, g.recovery}, c.Layers)
	g.handle = g.dispatch
	for _, layer := range slices.Backward(layers) {
		g.handle = layer(g.handle)
	}
	return g
}

// Call implements runtime.Host.
func (g *Gate) Call(ctx context.Context, c runtime.Crossing) (runtime.Answer, error) {
	g.mu.Lock()
	g.ordinal++
	crossing := &crossing{gate: g, ordinal: g.ordinal, f: g.funcs[c.Func], fuel: c.Fuel}
	count := &g.calls
	if crossing.f.Quiet {
		count = &g.quiet
	}
	*count++
	crossing.nth = *count
	g.mu.Unlock()
	ctx = context.WithValue(ctx, crossingKey{}, crossing)

	result, failed := g.handle(ctx, c)
	response, err := Envelope(result, failed)
	if err != nil {
		return runtime.Answer{}, fmt.Errorf("answer host function %q: %w", clip(c.Func, 64), err)
	}
	if failed == nil && len(crossing.attached) > 0 {
		response = slices.Concat(response, []byte("\n"), crossing.attached)
	}
	if g.config.Journal == nil {
		crossing.at = g.config.Now()
	}
	return runtime.Answer{Response: response, At: crossing.at}, nil
}

// Steps gives the trace so far.
func (g *Gate) Steps() []Step {
	g.mu.Lock()
	defer g.mu.Unlock()
	steps := slices.Clone(g.steps)
	for i := range steps {
		if n := g.streamed[steps[i].Ordinal]; n != nil {
			steps[i].StreamedBytes = n.Load()
		}
	}
	return steps
}

// Names gives the sorted names of the functions behind the Gate, granted or not.
func (g *Gate) Names() []string { return Names(g.config.Funcs) }

// Envelope builds the answer that the guest reads of what a Handler returned, or
// returns the error that ends its call.
func Envelope(result json.RawMessage, err error) ([]byte, error) {
	if told, ok := errors.AsType[*Error](err); ok {
		e := map[string]any{"code": told.Code, "message": told.Message}
		if ms := told.RetryAfter.Milliseconds(); ms > 0 {
			e["retry_after_ms"] = ms
		}
		return marshal(map[string]any{"error": e})
	}
	if err != nil {
		return nil, err
	}
	const head = `{"result":`
	doc := make([]byte, 0, len(head)+len(result)+1)
	doc = append(doc, head...)
	doc = append(doc, result...)
	return append(doc, '}'), nil
}

// Open is the reverse of Envelope: what a Handler has to return for the answer.
func Open(answer []byte) (result json.RawMessage, err error) {
	var e struct {
		Result json.RawMessage
		Error  *struct {
			Code         Code
			Message      string
			RetryAfterMS int64 `json:"retry_after_ms"`
		}
	}
	if err := json.Unmarshal(answer, &e); err != nil {
		return nil, fmt.Errorf("open answer: %w", err)
	}
	if e.Error != nil {
		return nil, &Error{Code: e.Error.Code, Message: e.Error.Message, RetryAfter: time.Duration(e.Error.RetryAfterMS) * time.Millisecond}
	}
	return e.Result, nil
}

// orDefault gives n, or the default where n was not set.
func orDefault(n, def int) int {
	if n <= 0 {
		return def
	}
	return n
}
