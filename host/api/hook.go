package api

import (
	"context"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/webhook"
)

// hookPath is where vendors deliver. It is the only route that is called
// thousands of times a second, and goes around huma for that.
const hookPath = "/hooks/{endpoint}"

func hookRoutes() []route {
	refuses := []int{
		http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestTimeout, http.StatusGone, http.StatusRequestEntityTooLarge,
		http.StatusUnprocessableEntity, http.StatusTooManyRequests, http.StatusBadGateway,
	}
	routes := []route{{
		Method: http.MethodPost, Path: hookPath, Reach: open, ID: "deliverWebhook", Tag: "hooks",
		Summary: "Deliver a webhook", Status: http.StatusAccepted,
		Description: "The signature is verified over the raw bytes. The answer is sent after the delivery has been stored durably, with the execution that it causes. " +
			"A delivery whose id came before is answered 200 with `duplicate` and runs nothing. A 429 or 503 says that nothing was stored: deliver again. " +
			"Vendors that want another status or no body have that, and a vendor's handshake has the answer that the vendor wants. " +
			"An endpoint with `respond` waits for the execution and answers what the plugin says, or 202 at its deadline.",
		Also:    map[int]string{http.StatusOK: "It was taken before, or causes nothing: nothing new was queued. Or it is what the vendor wants of a delivery that was taken."},
		Refuses: refuses,
		shape:   shapeHook, bind: plain((*server).deliver),
	}}
	for method, id := range map[string]string{http.MethodGet: "tryWebhook", http.MethodHead: "tryWebhookHead", http.MethodOptions: "tryWebhookOptions"} {
		routes = append(routes, route{
			Method: method, Path: hookPath, Reach: open, ID: id, Tag: "hooks", Summary: "Answer a vendor's handshake",
			Description: "Some vendors try an endpoint before they deliver to it. Nothing is stored; 404 where the endpoint's vendor does not ask like that.",
			Refuses:     refuses, shape: shapeHandshake, bind: plain((*server).deliver),
		})
	}
	slices.SortFunc(routes, func(a, b route) int { return strings.Compare(a.ID, b.ID) })
	return routes
}

// deliver takes a delivery. What the vendor is told is durable.
func (s *server) deliver(w http.ResponseWriter, r *http.Request) {
	visit, err := s.h.Webhooks.Admit(r.Context(), chi.URLParam(r, "endpoint"), r.ContentLength)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer visit.Close()
	body, err := visit.Read(r.Context(), r.Body, func(body io.Reader) ([]byte, error) {
		return readAll(body, r.ContentLength, visit.MaxBytes(s.o.MaxBodyBytes))
	})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	taken, err := visit.Receive(r.Context(), webhook.Delivery{
		Endpoint: chi.URLParam(r, "endpoint"), Method: r.Method,
		Path: r.URL.Path, Query: r.URL.RawQuery, Header: r.Header, Body: body,
	})
	switch {
	case err != nil:
		s.fail(w, r, err)
	case taken.Handshake != nil && (taken.Silent || r.Method != http.MethodPost || taken.Handshake.ContentType != "" || len(taken.Handshake.Header) > 0 || taken.Status == http.StatusNoContent):
		answerHandshake(w, taken)
	case taken.Wait > 0 && taken.Execution != "":
		visit.Close() // Its body is stored.
		s.respond(w, r, taken)
	default:
		answerStored(w, taken)
	}
}

// answerStored says that a delivery was stored.
func answerStored(w http.ResponseWriter, taken webhook.Answer) {
	if taken.Silent {
		w.WriteHeader(taken.Status)
		return
	}
	writeJSON(w, taken.Status, "application/json", taken.Accepted)
}

// maxWaiting bounds the deliveries that wait for an answer: each has a goroutine, and looks
// into the database now and then.
const maxWaiting = 1024

// respond waits for the execution of a delivery, and answers what it says. At the deadline,
// or at once where too many wait already, it says that the delivery was stored, which it was
// before: the execution goes on.
func (s *server) respond(w http.ResponseWriter, r *http.Request, taken webhook.Answer) {
	defer s.waiting.Add(-1)
	if s.waiting.Add(1) > maxWaiting {
		taken.Wait = 0
	}
	limited, cancel := context.WithTimeout(r.Context(), taken.Wait)
	defer cancel()
	x, err := s.h.Executions.Wait(limited, taken.Tenant, taken.Execution)
	switch {
	case err == nil && x.State == execution.Succeeded:
		said := webhook.ResponseOf(x.Output)
		maps.Copy(w.Header(), said.Header)
		w.WriteHeader(said.Status)
		_, _ = w.Write(said.Body) // That the vendor has gone is nobody's fault.
	case err == nil:
		s.fail(w, r, newProblem(http.StatusBadGateway, fault.PluginBug, "execution_failed", "the delivery is stored, and its execution has ended without an answer"))
	default:
		if limited.Err() == nil {
			s.report(r.Context(), err)
		}
		taken.Status, taken.Silent = http.StatusAccepted, false
		answerStored(w, taken)
	}
}

// answerHandshake answers what the vendor wants to read, which repeats what it sent: never
// anything that a browser would run.
func answerHandshake(w http.ResponseWriter, taken webhook.Answer) {
	maps.Copy(w.Header(), taken.Handshake.Header)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if taken.Handshake.ContentType != "" {
		w.Header().Set("Content-Type", taken.Handshake.ContentType)
	}
	w.WriteHeader(taken.Status)
	_, _ = w.Write(taken.Handshake.Body) // That the vendor has gone is nobody's fault.
}

func shapeHandshake(op *huma.Operation) {
	op.Parameters = append(op.Parameters, endpointParameter())
	op.Responses["200"] = &huma.Response{Description: "What the vendor wants to read.", Content: map[string]*huma.MediaType{"*/*": {Schema: &huma.Schema{}}}}
}

func endpointParameter() *huma.Param {
	return &huma.Param{
		Name: "endpoint", In: "path", Required: true, Description: "The endpoint's id.",
		Schema: &huma.Schema{Type: huma.TypeString},
	}
}

func shapeHook(op *huma.Operation) {
	op.Parameters = append(op.Parameters, endpointParameter())
	op.RequestBody = &huma.RequestBody{
		Description: "Whatever the vendor sends, with the vendor's headers.", Required: true,
		Content: map[string]*huma.MediaType{"*/*": {Schema: &huma.Schema{}}},
	}
	op.Responses["202"] = jsonResponse(event.Accepted{})
}
