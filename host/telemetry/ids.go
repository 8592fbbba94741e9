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

// Request is what was found out about a request while it was answered. A nil one knows
// nothing.
type Request struct {
	mu         sync.Mutex
	admitted   bool
	executions []string
}

type requestKey struct{}

// WithRequest returns a context in which Admitted and Caused are heard, and what they said.
func WithRequest(ctx context.Context) (context.Context, *Request) {
	r := &Request{}
	return context.WithValue(ctx, requestKey{}, r), r
}

// IsAdmitted says whether the caller may ask what was asked.
func (r *Request) IsAdmitted() bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.admitted
}

// Executions are those that the request has made.
func (r *Request) Executions() []string {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.executions
}

// Admitted says that the caller of the request of ctx, if there is one, may ask what it asks.
func Admitted(ctx context.Context) {
	note(ctx, func(r *Request) { r.admitted = true })
}

// Caused says that the request of ctx, if there is one, has made an execution.
func Caused(ctx context.Context, execution string) {
	if execution != "" {
		note(ctx, func(r *Request) { r.executions = append(r.executions, execution) })
	}
}

func note(ctx context.Context, f func(*Request)) {
	if r, ok := ctx.Value(requestKey{}).(*Request); ok {
		r.mu.Lock()
		defer r.mu.Unlock()
		f(r)
	}
}
