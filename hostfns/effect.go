package hostfns

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Effect is what a call of a Func does to the world outside.
type Effect byte

const (
	// Computed is nothing, and a result that depends on nothing but the run itself:
	// it is computed by each run anew.
	Computed Effect = iota
	// Read changes nothing: it may be made again at any time.
	Read
	// Idempotent changes something, and made twice changes no more.
	Idempotent
	// Unsafe must not be made twice.
	Unsafe
)

// String is the effect as JSON and traces have it.
func (e Effect) String() string { return name(int(e), "computed", "read", "idempotent", "unsafe") }

// Always is a Func.Effect that does not depend on the request.
func Always(e Effect) func(json.RawMessage) Effect {
	return func(json.RawMessage) Effect { return e }
}

// Outcome is what is known of what a guest asked to be done.
type Outcome byte

const (
	// Unknown is what may have been done or not: bytes were sent and no final answer
	// came, or nobody lived to see it.
	Unknown Outcome = iota
	// Done is what was answered.
	Done
	// NotDone is what was certainly not done: no byte of it was sent, or the answer
	// says that it was not accepted.
	NotDone
)

// String is the outcome as JSON and traces have it.
func (o Outcome) String() string { return name(int(o), "unknown", "done", "not_done") }

func name(n int, names ...string) string {
	if n >= len(names) {
		return fmt.Sprintf("(%d)", n)
	}
	return names[n]
}

// crossing is what the gate, its layers and a Func tell each other of one call.
type crossing struct {
	ordinal int
	// nth is its number among those that count against the same part of the Quota.
	nth      int
	f        Func
	at       time.Time
	key      string
	fuel     int64
	outcome  Outcome
	reported bool
	recorded bool
	// gate is nil outside of one.
	gate *Gate
	// attached follows the answer.
	attached []byte
	// tried is what the trace shows of tries before the answer.
	tried string
	// goesOn and concludes are of what ends with another crossing: see GoesOn.
	goesOn    bool
	concludes int
}

type crossingKey struct{}

func crossingOf(ctx context.Context) *crossing {
	if c, ok := ctx.Value(crossingKey{}).(*crossing); ok {
		return c
	}
	return &crossing{}
}

// Ordinal gives the number of the crossing that a Func is answering, as its
// Step has it, or 0 outside a Gate.
func Ordinal(ctx context.Context) int { return crossingOf(ctx).ordinal }

// FuelOf is what the guest had burnt when it asked.
func FuelOf(ctx context.Context) int64 { return crossingOf(ctx).fuel }

// EffectOf is what the crossing's request does. What no Func answers does nothing.
func EffectOf(ctx context.Context, request json.RawMessage) Effect {
	switch f := crossingOf(ctx).f; {
	case f.Answer == nil:
		return Computed
	case f.Effect == nil:
		return Unsafe
	default:
		return f.Effect(request)
	}
}

// Report says what became of the crossing, by a Func that knows better than its
// result tells: by default a result, and an *Error too, is Done, and any other
// error is Unknown. The last report counts.
func Report(ctx context.Context, o Outcome) {
	c := crossingOf(ctx)
	c.outcome, c.reported = o, true
}

// Reported is what was reported of the crossing, if anything was.
func Reported(ctx context.Context) (o Outcome, ok bool) {
	c := crossingOf(ctx)
	return c.outcome, c.reported
}

// Answered says that the crossing's answer is of a certain time, to which the
// guest's clock moves, and whether it was recorded before.
func Answered(ctx context.Context, at time.Time, recorded bool) {
	c := crossingOf(ctx)
	c.at, c.recorded = at, recorded
}

// Tried has the trace show, before what it shows of the result, what became of a try
// that the function has made again by itself, such as " -> 401".
func Tried(ctx context.Context, what string) { crossingOf(ctx).tried += what }
