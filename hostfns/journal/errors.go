package journal

import (
	"errors"
	"fmt"
)

// ErrOffline ends a run that is only replayed, at the first question to which its
// journal has no answer.
var ErrOffline = errors.New("the journal has no answer to this, and the run has no way out")

// ErrUndecided ends a run that would make an effect again of which nobody knows
// whether it was made, and of which nobody has said that it may be made again.
var ErrUndecided = errors.New("it may have had its effect, and nobody has decided whether to make it again")

// ErrForgotten ends a run that would make an effect again by an idempotency key that
// the other side may not know any more: it has become too old since that was decided,
// or belongs to another account.
var ErrForgotten = errors.New("the other side may not know its idempotency key any more")

// FullError ends a run whose journal would grow beyond its limits.
type FullError struct {
	// Entries and Bytes are what it would have.
	Entries, Bytes int
}

// Error implements error.
func (e *FullError) Error() string {
	return fmt.Sprintf("the journal would have %d entries and %d bytes; an execution may have %d and %d: "+
		"spread the work over several executions", e.Entries, e.Bytes, MaxEntries, MaxBytes)
}

// DivergedError ends a run that asks for something else than the run before it did
// at the same place. Nothing was sent.
type DivergedError struct {
	// Expected is the entry that the journal has there.
	Expected Entry
	// Func and Request are what was asked for.
	Func    string
	Request []byte
	// Effect is the first entry, from Expected on, that has or may have changed
	// something outside; nil when there is none.
	Effect *Entry
}

// Error implements error.
func (e *DivergedError) Error() string {
	const shown = 200
	text := fmt.Sprintf("at entry %d the journal has %s of %.*q, and now %s of %.*q was asked",
		e.Expected.Ordinal, e.Expected.Func, shown, e.Expected.Request, e.Func, shown, e.Request)
	if e.Effect != nil {
		text += fmt.Sprintf("; entry %d, %s, has changed something outside, so that the rest cannot be dropped", e.Effect.Ordinal, e.Effect.Func)
	}
	return text
}
