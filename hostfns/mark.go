package hostfns

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// ErrNotHeld ends a run whose lease is over, or so near to its end that what it would
// send could arrive after another has taken over. Nothing was sent.
var ErrNotHeld = errors.New("the run does not hold its lease any more, and may send nothing")

// Mark is what a Func says of a request that is about to be made, for whoever may
// have to make it again.
type Mark struct {
	// Keyed says that the request carries an idempotency key, by which the other side
	// knows one that it has seen. The Func finds it in [KeyOf].
	Keyed bool
	// Name is the guest's for the key. Without one it is made of Same, which identical
	// requests have in common, and of how many of these there were before.
	Name, Same string
	// TTL is how long the other side knows a key.
	TTL time.Duration
	// Account is whose account at the other side the request goes to; empty for none.
	Account string
	// Host is the one that the request is sent to.
	Host string
}

// MarkOf is what the crossing's Func says of the request; by default nothing.
func MarkOf(ctx context.Context, request json.RawMessage) (Mark, error) {
	f := crossingOf(ctx).f
	if f.Mark == nil {
		return Mark{}, nil
	}
	return f.Mark(ctx, request)
}

// SetKey gives the crossing its idempotency key. It is for who journals it.
func SetKey(ctx context.Context, key string) { crossingOf(ctx).key = key }

// KeyOf is the idempotency key that the crossing's request has to carry; empty for
// none.
func KeyOf(ctx context.Context) string { return crossingOf(ctx).key }
