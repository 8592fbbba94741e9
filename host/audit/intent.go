package audit

import (
	"context"
	"sync/atomic"
)

// Intent is an entry of what is about to be done. It is written by the transaction
// that makes durable that it is about to be done, where there is one: then it costs no
// commit of its own.
type Intent struct {
	Entry Entry

	written atomic.Bool
}

type intentKey struct{}

// Intend returns the context of a transaction that is to have an entry in it, filled in
// as that of Use is. Only what an execution records of what it is about to do looks for it.
func (l *Log) Intend(ctx context.Context, e Entry) (context.Context, *Intent) {
	i := &Intent{Entry: l.stamped(e)}
	return context.WithValue(ctx, intentKey{}, i), i
}

// IntentOf returns the intent whose entry belongs into a transaction of ctx, or nil if
// there is none that has not been written.
func IntentOf(ctx context.Context) *Intent {
	i, _ := ctx.Value(intentKey{}).(*Intent)
	if i == nil || i.Written() {
		return nil
	}
	return i
}

// Committed says that the transaction has ended well.
func (i *Intent) Committed() {
	if i != nil {
		i.written.Store(true)
	}
}

// Written says that the entry is durable.
func (i *Intent) Written() bool { return i != nil && i.written.Load() }
