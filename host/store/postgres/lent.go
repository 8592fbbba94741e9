package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// lender lends the contexts that it is given for as long as a statement or a batch
// runs. A connection of pgx keeps the context of its last one, for as long as it is
// idle, and of those that set it up for as long as it is open; and with a context all
// that its values lead to: of a guest's call that is the run, its memory, and the
// secrets that are looked for in what it is answered.
type lender struct{}

// TraceQueryStart implements pgx.QueryTracer.
func (lender) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return &lent{of: ctx}
}

// TraceQueryEnd implements pgx.QueryTracer.
func (lender) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryEndData) { giveBack(ctx) }

// TraceBatchStart implements pgx.BatchTracer.
func (lender) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return &lent{of: ctx}
}

// TraceBatchQuery implements pgx.BatchTracer.
func (lender) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd implements pgx.BatchTracer.
func (lender) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchEndData) { giveBack(ctx) }

func giveBack(ctx context.Context) {
	if l, ok := ctx.(*lent); ok {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.of = nil
	}
}

// lent is a context that is given back, and is then one that has nothing and does not
// end.
type lent struct {
	mu sync.Mutex
	of context.Context //nolint:containedctx // It is what this is about.
}

// Deadline implements context.Context.
func (l *lent) Deadline() (deadline time.Time, ok bool) {
	if of := l.context(); of != nil {
		return of.Deadline()
	}
	return time.Time{}, false
}

// Done implements context.Context.
func (l *lent) Done() <-chan struct{} {
	if of := l.context(); of != nil {
		return of.Done()
	}
	return nil
}

// Err implements context.Context.
func (l *lent) Err() error {
	if of := l.context(); of != nil {
		return of.Err()
	}
	return nil
}

// Value implements context.Context.
func (l *lent) Value(key any) any {
	if of := l.context(); of != nil {
		return of.Value(key)
	}
	return nil
}

func (l *lent) context() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of
}
