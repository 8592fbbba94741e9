// Package telemetry tells what happens as spans of OpenTelemetry, to a
// trace.TracerProvider of the embedder's or to package otlp's.
//
//	t := telemetry.New(telemetry.Config{Provider: provider, Sample: 0.1})
//	if ctx, ok := t.Execution(ctx, "exe_..."); ok {
//		t.Tell(ctx, telemetry.Span{Name: "attempt", Begin: begun, End: ended})
//	}
//
// A nil *Tracer tells nothing, and costs the comparison with nil.
//
// # The trace of an execution
//
// All that is told of an execution is one trace, whose id is made of the execution's: see
// TraceID. So whoever has the one finds the other, processes that never speak to each other
// tell parts of the same trace, and nothing has to be stored. Its root is told last, when the
// execution is done: the spans below it are there before. A provider that makes ids by IDs
// tells the root as such; with another its id stays that of a span which nobody tells.
//
// Whether a trace is sampled is decided by its id, with the rule of TraceIDRatioBased:
// everybody decides the same.
//
// # What is in a span
//
// Names, ids, numbers, codes. Never a URL's path or query, a header, a body, a message, or
// what an execution is given, asks or answers: that is sealed in the database, and spans leave
// it.
package telemetry

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"net/http"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// name is that of the instrumentation scope.
const name = "github.com/cofferdam-run/cofferdam"

// Config configures a Tracer.
type Config struct {
	// Provider takes the spans. Without one there is no Tracer.
	Provider trace.TracerProvider
	// Sample is the part of the executions that are told of, up to 1. Defaults to all.
	Sample float64
}

// Tracer tells spans. It is safe for concurrent use.
type Tracer struct {
	tracer trace.Tracer
	// below is what half the last eight bytes of a trace's id must be below to be sampled.
	below uint64
	// rooted says that the provider makes ids by IDs.
	rooted bool
}

// New returns a Tracer, or nil without a provider.
func New(c Config) *Tracer {
	if c.Provider == nil {
		return nil
	}
	t := &Tracer{tracer: c.Provider.Tracer(name), below: math.MaxUint64}
	if c.Sample > 0 && c.Sample < 1 {
		t.below = uint64(c.Sample * (1 << 63))
	}
	// What is not ended is not told.
	id := TraceID("")
	_, span := t.tracer.Start(context.WithValue(context.Background(), rootKey{}, id), "probe", trace.WithNewRoot()) //nolint:forbidigo // It belongs to no call.
	t.rooted = span.SpanContext().TraceID() == id
	return t
}

// TraceID is the id of an execution's trace.
func TraceID(execution string) trace.TraceID {
	sum := sha256.Sum256([]byte("cofferdam trace " + execution))
	return trace.TraceID(sum[:16])
}

// rootOf is the id of the span that is the root of an execution's trace.
func rootOf(id trace.TraceID) trace.SpanID {
	sum := sha256.Sum256(append([]byte("cofferdam root "), id[:]...))
	return trace.SpanID(sum[:8])
}

// Execution returns a context in which spans are told below an execution's root, and whether
// any are to be.
func (t *Tracer) Execution(ctx context.Context, execution string) (context.Context, bool) {
	if t == nil {
		return ctx, false
	}
	id := TraceID(execution)
	if binary.BigEndian.Uint64(id[8:16])>>1 >= t.below {
		return ctx, false
	}
	return trace.ContextWithRemoteSpanContext(ctx, root(id)), true
}

func root(id trace.TraceID) trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: rootOf(id), TraceFlags: trace.FlagsSampled, Remote: true})
}

// Kind is the kind of a Span.
type Kind = trace.SpanKind

// The kinds.
const (
	Internal = trace.SpanKindInternal
	Server   = trace.SpanKindServer
	Client   = trace.SpanKindClient
	Consumer = trace.SpanKindConsumer
	Producer = trace.SpanKindProducer
)

// Span is something that has happened.
type Span struct {
	Name       string
	Kind       Kind
	Begin, End time.Time
	// Code is what it failed with, one word; empty for what did not fail.
	Code string
	// Attributes are texts, numbers and flags, of what may leave.
	Attributes []Attribute
	// Executions are others' traces that this one is about.
	Executions []string
}

// Tell tells a span below what ctx says, and returns a context to tell others below it.
func (t *Tracer) Tell(ctx context.Context, s Span) context.Context {
	if t == nil {
		return ctx
	}
	options := []trace.SpanStartOption{
		trace.WithTimestamp(s.Begin), trace.WithSpanKind(s.Kind), trace.WithAttributes(told(s.Attributes)...),
	}
	for _, execution := range s.Executions {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: root(TraceID(execution))}))
	}
	ctx, span := t.tracer.Start(ctx, s.Name, options...)
	if code := Word(s.Code); code != "" {
		span.SetAttributes(attribute.String("cofferdam.code", code))
		span.SetStatus(codes.Error, code)
	}
	end := s.End
	if end.Before(s.Begin) { // Clocks are set.
		end = s.Begin
	}
	span.End(trace.WithTimestamp(end))
	return ctx
}

// TellRoot tells the root of an execution's trace.
func (t *Tracer) TellRoot(ctx context.Context, execution string, s Span) {
	below, ok := t.Execution(ctx, execution)
	switch {
	case !ok:
	case t.rooted:
		t.Tell(context.WithValue(trace.ContextWithSpanContext(ctx, trace.SpanContext{}), rootKey{}, TraceID(execution)), s)
	default:
		t.Tell(below, s)
	}
}

// From returns a context in which spans are told below the span that a request names in its
// traceparent, https://www.w3.org/TR/trace-context. What its tracestate says is left out: it
// would be told on.
func From(ctx context.Context, h http.Header) context.Context {
	given := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(h)))
	return trace.ContextWithRemoteSpanContext(ctx, given.WithTraceState(trace.TraceState{}))
}

// Word is a code that may leave: one word of at most 64 small letters, digits and underscores. Of any
// other it is "other": guests make up their own.
func Word(code string) string {
	for _, c := range code {
		if len(code) > 64 || c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return "other"
		}
	}
	return code
}

// Attribute says something about a Span.
type Attribute = attribute.KeyValue

// Text is an Attribute that is a text; an empty one is left out.
func Text(key, text string) Attribute { return attribute.String(key, text) }

// Number is an Attribute that is a number.
func Number(key string, n int64) Attribute { return attribute.Int64(key, n) }

// Flag is an Attribute that is true or false.
func Flag(key string, is bool) Attribute { return attribute.Bool(key, is) }

// told are those that are told.
func told(all []Attribute) []Attribute {
	return slices.DeleteFunc(slices.Clone(all), func(a Attribute) bool { return a.Value.Type() == attribute.STRING && a.Value.AsString() == "" })
}

// Method is a request's method as it may leave: any but the usual ones is "other".
func Method(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	default:
		return "other"
	}
}
