package worker

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/telemetry"
	"github.com/cofferdam-run/cofferdam/hostfns"
)

// tell tells of a run whose end is stored: how long it had waited, the run with what it asked
// for, and the commit, which began at that time. Once the execution is done, it tells of all of it.
func (w *Worker) tell(ctx context.Context, c execution.Claimed, done completed, committing time.Time) {
	ctx, ok := w.c.Tracer.Execution(ctx, c.Execution)
	if !ok {
		return
	}
	now, a := w.c.Now(), done.attempt
	about := []telemetry.Attribute{telemetry.Text("cofferdam.tenant", c.Tenant), telemetry.Text("cofferdam.execution", c.Execution)}
	w.c.Tracer.Tell(ctx, telemetry.Span{
		Name: "queue", Kind: telemetry.Consumer, Begin: c.QueuedAt, End: a.StartedAt,
		Attributes: append(about, telemetry.Text("cofferdam.lane", laneName(c.Lane)), telemetry.Number("cofferdam.claim", c.Claim)),
	})
	class, code := "", ""
	if f := done.fault; f != nil && done.completion.Outcome != execution.Succeeded {
		class, code = string(f.Class), f.Code
	}
	ran := append(about,
		telemetry.Text("cofferdam.plugin", done.plugin), telemetry.Text("cofferdam.plugin.version", done.version),
		telemetry.Text("cofferdam.outcome", string(done.completion.Outcome)), telemetry.Text("cofferdam.class", class),
	)
	below := w.c.Tracer.Tell(ctx, telemetry.Span{
		Name: "attempt", Begin: a.StartedAt, End: a.FinishedAt, Code: code,
		Attributes: append(ran, telemetry.Number("cofferdam.attempt", int64(a.Number)), telemetry.Number("cofferdam.fuel", a.Usage.Fuel),
			telemetry.Number("cofferdam.memory_bytes", a.Usage.MemoryBytes), telemetry.Text("cofferdam.reason", done.completion.Reason)),
	})
	for i := range a.Steps {
		if s := &a.Steps[i]; !s.Recorded { // What an earlier run asked, that has told.
			span := telemetry.Span{
				Name: "host " + s.Func, Kind: kindOf(s.Func), Begin: s.At, End: s.At.Add(s.Duration), Code: string(s.Code), Attributes: stepAttrs(s),
			}
			if s.Code == hostfns.CodeSuspended { // It waits, and has not failed.
				span.Code, span.Attributes = "", append(span.Attributes, telemetry.Flag("cofferdam.suspended", true))
			}
			w.c.Tracer.Tell(below, span)
		}
	}
	w.c.Tracer.Tell(ctx, telemetry.Span{Name: "commit", Begin: committing, End: now, Attributes: about})
	if created, ok := ident.Time(c.Execution); ok && done.completion.Outcome.Done() {
		w.c.Tracer.TellRoot(ctx, c.Execution, telemetry.Span{Name: "execution", Begin: created, End: now, Code: code, Attributes: ran})
	}
}

func kindOf(function string) telemetry.Kind {
	if function == "http" {
		return telemetry.Client
	}
	return telemetry.Internal
}

// stepAttrs is what may leave of a step: of a request its method, the status and the host's
// name, if it may be asked: what a guest made up may be made of what it was given.
func stepAttrs(s *hostfns.Step) []telemetry.Attribute {
	about := []telemetry.Attribute{
		telemetry.Number("cofferdam.ordinal", int64(s.Ordinal)), telemetry.Number("cofferdam.request_bytes", int64(s.RequestBytes)),
		telemetry.Number("cofferdam.response_bytes", int64(s.ResponseBytes)),
	}
	if s.Func != "http" {
		return about
	}
	const leads = " -> " // To a status, after each try.
	asked, _, _ := strings.Cut(s.Summary, leads)
	method, address, _ := strings.Cut(asked, " ")
	about = append(about, telemetry.Text("http.request.method", telemetry.Method(method)))
	if u, err := url.Parse(address); err == nil && s.Code != hostfns.CodeDenied {
		about = append(about, telemetry.Text("server.address", u.Hostname()))
	}
	if at := strings.LastIndex(s.Summary, leads); at >= 0 {
		if n, err := strconv.Atoi(s.Summary[at+len(leads):]); err == nil {
			about = append(about, telemetry.Number("http.response.status_code", int64(n)))
		}
	}
	return about
}
