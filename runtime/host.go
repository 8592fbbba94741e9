package runtime

import (
	"context"
	"time"

	"github.com/cofferdam-run/cofferdam/runtime/meter"
)

// Model is the version of all that a run's output, crossings and fuel depend on beside
// its module, World, limits, input and answers. Two runs are held to each other only
// under one Model; one that was begun under another is not gone on with.
//
// It is raised whenever meter.Version is, which is its last three digits, and by a
// thousand whenever equal runs would differ for another reason: the random stream and
// when guests are seeded, the clocks and how answers move them, what a start may do
// and which seed it has, the words and bytes of the ABI and its prices, how Extism's
// memory is laid out, how bits of a NaN come about in the engine, and what Go's
// encoding/json makes of a guest's mistakes.
const Model = 1_000*model + meter.Version

// model counts the changes that are not the meter's.
const model = 1

// Host is a guest's only way out of its sandbox: every crossing that asks for
// something from outside, or tells it something, passes this one method.
//
// Call is never entered by two goroutines for one guest call. An error ends the
// guest's call at once, and is in what Module.Call returns, for errors.Is and
// errors.As; one that is the end of a context, when the call's time is up, is its
// deadline. The sandbox is used again. Everything that a guest may be told, a denial
// included, is an Answer.
type Host interface {
	Call(ctx context.Context, c Crossing) (Answer, error)
}

// Crossing is one question of a guest to its Host.
type Crossing struct {
	// Func names what is asked for: "http", "log", "state_get", ... : the name
	// under which the guest imported it from extism:host/user, or the one that
	// the ABI translates to ("http" for http_request, "log" for log_* and for
	// writes to standard output and error, "sleep" for poll_oneoff).
	Func string
	// Request is the question: a JSON document for every function of ours. It
	// is valid until Call returns. In log lines of a guest that carries a source map,
	// positions in its bundle are positions in its sources.
	Request []byte
	// Fuel is what the call has used up to here. Equal worlds, inputs and answers give
	// equal values; it never falls from one crossing to the next, and Usage.Fuel is no
	// less than the last.
	Fuel int64
}

// Answer is what comes back through the gate.
type Answer struct {
	// Response is {"result": ...} or {"error": {"code": ..., "message": ...}}.
	Response []byte
	// At is the time of the answer, to which the guest's clock moves. A zero
	// time, or one before the guest's clock, leaves the clock where it is.
	At time.Time
}

// World is what a guest can observe of the universe without asking: equal
// worlds, inputs and answers give equal runs.
type World struct {
	// Seed feeds the random stream that the guest reads.
	Seed [32]byte
	// Start is what the guest's clocks show first; they stand still between
	// crossings. A zero Start is the Unix epoch.
	Start time.Time
	// Config answers Extism's config_get.
	Config map[string]string
}
