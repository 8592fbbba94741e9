package runtime

import (
	"context"
	"time"
)

// Host is a guest's only way out of its sandbox: every crossing that asks for
// something from outside, or tells it something, passes this one method.
//
// Call is never entered by two goroutines for one guest call. An error ends the
// guest's call at once; everything that a guest may be told, a denial included,
// is an Answer.
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
	// is valid until Call returns.
	Request []byte
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
