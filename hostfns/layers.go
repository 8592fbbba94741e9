package hostfns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	goruntime "runtime"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/runtime"
)

// trace records a Step. It is outermost, so that it shows what the guest was
// told, whoever told it.
func (g *Gate) trace(next Handler) Handler {
	return func(ctx context.Context, c runtime.Crossing) (json.RawMessage, error) {
		f := g.funcs[c.Func]
		if f.Quiet {
			return next(ctx, c)
		}
		start := g.config.Now()
		result, err := next(ctx, c)
		step := Step{
			Ordinal: Ordinal(ctx), Func: clip(c.Func, 64),
			At: start, Duration: g.config.Now().Sub(start),
			Recorded:     crossingOf(ctx).recorded,
			Code:         codeOf(err),
			RequestBytes: len(c.Request),
		}
		step.Summary = clip(g.private.String(g.config.Secrets.String(summary(ctx, c.Request, result, err))), 256)
		if response, err := Envelope(result, err); err == nil {
			step.ResponseBytes = len(response)
			if !f.Private {
				// The redaction layer has been over it.
				step.Response = g.cut(g.private.Bytes(response))
			}
		}
		if f.Private {
			g.private.Add(words(result)...)
		} else {
			step.Request = g.excerpt(c.Request)
		}
		g.record(step)
		return result, err
	}
}

// words are the strings of a private answer's members that are long enough to mean
// something only there.
func words(result json.RawMessage) []string {
	const meaningful = 24
	var members map[string]any
	if json.Unmarshal(result, &members) != nil {
		return nil
	}
	var found []string
	for _, v := range members {
		if s, ok := v.(string); ok && len(s) >= meaningful {
			found = append(found, s)
		}
	}
	return found
}

// record keeps a Step. Calls over the quota leave one Step, not one each: a
// guest that asks for ever must not fill the host's memory with refusals.
func (g *Gate) record(s Step) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.steps) > g.config.Quota.Calls {
		return
	}
	g.steps = append(g.steps, s)
	if n := g.streamed[s.Ordinal]; n != nil {
		s.StreamedBytes = n.Load()
	}
	if g.config.Sink != nil {
		g.config.Sink(s)
	}
}

// excerpt redacts before it cuts: a secret across the cut would lose the half
// by which it is known.
func (g *Gate) excerpt(request []byte) string {
	if len(request) > g.config.Quota.RequestBytes {
		return ""
	}
	return g.cut(g.private.Bytes(g.config.Secrets.Bytes(request)))
}

// cut leaves the runes of up to 4 bytes whole for clip to cut between.
func (g *Gate) cut(doc []byte) string {
	return clip(string(doc[:min(len(doc), g.config.ExcerptBytes+4)]), g.config.ExcerptBytes)
}

// CodeSuspended is of Steps only: no guest is told that its run has ended.
const CodeSuspended Code = "suspended"

func codeOf(err error) Code {
	var told *Error
	var waits *Suspended
	switch {
	case err == nil:
		return ""
	case errors.As(err, &told):
		return told.Code
	case errors.As(err, &waits):
		return CodeSuspended
	default:
		return CodeInternal
	}
}

func summary(ctx context.Context, request, result json.RawMessage, err error) string {
	c := crossingOf(ctx)
	f := c.f
	line := guarded(f.Summarize, request) + c.tried
	if err == nil {
		line += guarded(f.SummarizeResult, result)
	}
	return line
}

// guarded calls a summary function of an embedder; a broken one leaves no
// summary and harms nothing else.
func guarded(summarize func(json.RawMessage) string, doc json.RawMessage) (line string) {
	if summarize == nil {
		return ""
	}
	defer func() {
		if recover() != nil {
			line = ""
		}
	}()
	return summarize(doc)
}

// redaction takes the run's secrets out of everything that goes to the guest or
// to whoever reads why its call ended.
func (g *Gate) redaction(next Handler) Handler {
	return func(ctx context.Context, c runtime.Crossing) (json.RawMessage, error) {
		result, err := next(ctx, c)
		secrets := g.config.Secrets
		if err == nil {
			return secrets.JSON(result), nil
		}
		if told, ok := errors.AsType[*Error](err); ok {
			return nil, &Error{Code: told.Code, Message: clip(secrets.String(told.Message), 4<<10), RetryAfter: told.RetryAfter}
		}
		if waits, ok := errors.AsType[*Suspended](err); ok {
			later := *waits
			if later.Answer != nil {
				later.Answer = secrets.JSON(later.Answer)
			}
			return nil, &later
		}
		if clean := secrets.String(err.Error()); clean != err.Error() {
			return nil, redactedError{text: clean, cause: err}
		}
		return nil, err
	}
}

// redactedError reads without the secrets, and is its cause to errors.Is.
type redactedError struct {
	text  string
	cause error
}

func (e redactedError) Error() string { return e.text }
func (e redactedError) Unwrap() error { return e.cause }

// quota bounds the run's crossings. What a journal answers does not come here, but is
// one of them: else a run that is made again would have more of them left than the
// first, for what it computes.
func (g *Gate) quota(next Handler) Handler {
	q := g.config.Quota
	return func(ctx context.Context, c runtime.Crossing) (json.RawMessage, error) {
		limit := q.Calls
		if g.funcs[c.Func].Quiet {
			limit = q.QuietCalls
		}
		if crossingOf(ctx).nth > limit {
			return nil, Errorf(CodeLimitExceeded,
				"this run has made the %d host calls that it may: make fewer, or spread the work over several executions", limit)
		}
		if len(c.Request) > q.RequestBytes {
			return nil, Errorf(CodeLimitExceeded, "the request is %d bytes long, and %d is the limit: send less at a time",
				len(c.Request), q.RequestBytes)
		}
		return next(ctx, c)
	}
}

// capability lets through what is there and granted.
func (g *Gate) capability(next Handler) Handler {
	return func(ctx context.Context, c runtime.Crossing) (json.RawMessage, error) {
		f, known := g.funcs[c.Func]
		switch {
		case !known:
			return nil, Errorf(CodeDenied, "this host has no function %q; it has %s", clip(c.Func, 64), strings.Join(g.Names(), ", "))
		case f.Granted && !slices.Contains(g.config.Granted, f.Name):
			return nil, Errorf(CodeDenied,
				"the installation is not granted the function %q: name it under \"functions\" in the manifest, and ask the tenant to grant it", f.Name)
		}
		return next(ctx, c)
	}
}

// recovery turns a panic into an error. Embedders write functions and layers; a
// mistake in one ends this guest's call, not the process that serves all tenants.
func (g *Gate) recovery(next Handler) Handler {
	return func(ctx context.Context, c runtime.Crossing) (result json.RawMessage, err error) {
		defer func() {
			if p := recover(); p != nil {
				result, err = nil, fmt.Errorf("panic at %s: %v", panicSite(), p)
			}
		}()
		return next(ctx, c)
	}
}

// dispatch is the innermost handler: the function itself. The capability layer
// has seen to it that there is one.
func (g *Gate) dispatch(ctx context.Context, c runtime.Crossing) (json.RawMessage, error) {
	v, err := g.funcs[c.Func].Answer(ctx, c.Request)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return json.RawMessage(`{}`), nil
	}
	result, err := marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode result: %w", err)
	}
	return result, nil
}

// panicSite finds the line that panicked, for an operator who has no stack. It
// is called by the function that recovers.
func panicSite() string {
	pcs := make([]uintptr, 32)
	frames := goruntime.CallersFrames(pcs[:goruntime.Callers(3, pcs)])
	for {
		frame, more := frames.Next()
		if frame.Function != "" && !strings.HasPrefix(frame.Function, "runtime.") {
			return fmt.Sprintf("%s:%d", frame.Function, frame.Line)
		}
		if !more {
			return "unknown"
		}
	}
}
