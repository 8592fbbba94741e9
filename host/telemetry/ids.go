package telemetry

import (
	"context"
	"crypto/rand"
	"sync"

	"go.opentelemetry.io/otel/trace"
)

// rootKey is under what a context has the id of the trace whose root is told.
type rootKey struct{}

// IDs makes ids of traces and spans, at random but for the roots of executions. It is an
// IDGenerator of OpenTelemetry's SDK: give it to the provider, with trace.WithIDGenerator.
type IDs struct{}

// NewIDs implements IDGenerator.
func (g IDs) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if id, ok := ctx.Value(rootKey{}).(trace.TraceID); ok {
		return id, rootOf(id)
	}
	var id trace.TraceID
	for !id.IsValid() {
		rand.Read(id[:]) // It never fails: <https://pkg.go.dev/crypto/rand#Read>.
	}
	return id, g.NewSpanID(ctx, id)
}

// NewSpanID implements IDGenerator.
func (IDs) NewSpanID(context.Context, trace.TraceID) trace.SpanID {
	var id trace.SpanID
	for !id.IsValid() {
		rand.Read(id[:]) // As above.
	}
	return id
}

// request is what was found out about a request while it was answered.
type request struct {
	mu         sync.Mutex
	executions []string
}

type requestKey struct{}

// WithRequest returns a context in which Caused is heard, and what gives the executions that it
// was told.
func WithRequest(ctx context.Context) (_ context.Context, caused func() []string) {
	r := &request{}
	return context.WithValue(ctx, requestKey{}, r), func() []string {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.executions
	}
}

// Caused says that the request of ctx, if there is one, has made an execution.
func Caused(ctx context.Context, execution string) {
	if r, ok := ctx.Value(requestKey{}).(*request); ok && execution != "" {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.executions = append(r.executions, execution)
	}
}
