package hostfns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
)

// ErrChanged ends a run that is made again where a body that the run before it has
// streamed is not what it was: no journal keeps such bodies, so that they are fetched
// again, and compared.
var ErrChanged = errors.New("a body that was streamed is not what it was")

// RefetchError ends a run that is made again where a body that the run before it has
// streamed could not be fetched again now.
type RefetchError struct {
	// Err is what a guest would have been told.
	Err *Error
}

// Error implements error.
func (e *RefetchError) Error() string {
	return "fetch again a body that was streamed: " + e.Err.Message
}

// Attach has bytes follow the JSON of the crossing's answer, after a line feed: they
// are the guest's, and go into no trace and no journal. What they have to be free of,
// they are free of already.
func Attach(ctx context.Context, b []byte) { crossingOf(ctx).attached = b }

// Attached are the bytes that follow the crossing's answer.
func Attached(ctx context.Context) []byte { return crossingOf(ctx).attached }

// Tally gives a function that adds to the StreamedBytes of the crossing's Step, also
// after it was answered, and from any goroutine.
func Tally(ctx context.Context) func(n int64) {
	c := crossingOf(ctx)
	total := &atomic.Int64{}
	if g := c.gate; g != nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.streamed == nil {
			g.streamed = map[int]*atomic.Int64{}
		}
		if before := g.streamed[c.ordinal]; before != nil {
			total = before
		}
		g.streamed[c.ordinal] = total
	}
	return func(n int64) { total.Add(n) }
}

// GoesOn says that what the crossing began is not over with its answer: what becomes
// of it is reported by a later crossing, that [Concludes] it.
func GoesOn(ctx context.Context) { crossingOf(ctx).goesOn = true }

// Concludes says that what is reported of the crossing is what became of an earlier
// one, which has that ordinal.
func Concludes(ctx context.Context, ordinal int) { crossingOf(ctx).concludes = ordinal }

// Parts says whether the crossing begins something that goes on, and which one it
// concludes, 0 for none. It is for who journals it.
func Parts(ctx context.Context) (goesOn bool, concludes int) {
	c := crossingOf(ctx)
	return c.goesOn, c.concludes
}

// KeptOf is what of the crossing's request is kept.
func KeptOf(ctx context.Context, request json.RawMessage) []byte {
	if keep := crossingOf(ctx).f.Keep; keep != nil {
		return keep(request)
	}
	return request
}

// Recalled is what the guest is told of a result that a journal has.
func Recalled(ctx context.Context, request, result json.RawMessage) (json.RawMessage, error) {
	recall := crossingOf(ctx).f.Recall
	if recall == nil {
		return result, nil
	}
	result, err := recall(ctx, request, result)
	if told, ok := errors.AsType[*Error](err); ok {
		// The guest was told a result before, and cannot be told an error now.
		return nil, fmt.Errorf("recall an answer: %w", &RefetchError{Err: told})
	}
	return result, err
}
