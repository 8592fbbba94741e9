package api

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/webhook"
)

// hookPath is where vendors deliver. It is the only route that is called
// thousands of times a second, and goes around huma for that.
const hookPath = "/hooks/{endpoint}"

func hookRoutes() []route {
	return []route{{
		Method: http.MethodPost, Path: hookPath, Reach: open, ID: "deliverWebhook", Tag: "hooks",
		Summary: "Deliver a webhook", Status: http.StatusAccepted,
		Description: "The signature is verified over the raw bytes. The answer is sent after the delivery has been stored durably, with the execution that it causes. " +
			"A delivery whose id came before is answered 200 with `duplicate` and runs nothing. A 429 or 503 says that nothing was stored: deliver again.",
		Also: map[int]string{http.StatusOK: "It was taken before, or causes nothing: nothing new was queued."},
		Refuses: []int{
			http.StatusBadRequest, http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusGone, http.StatusRequestEntityTooLarge,
			http.StatusUnprocessableEntity, http.StatusTooManyRequests,
		},
		shape: shapeHook, bind: plain((*server).deliver),
	}}
}

// deliver takes a delivery. What the vendor is told is durable.
func (s *server) deliver(w http.ResponseWriter, r *http.Request) {
	body, err := readBody(r, s.o.MaxBodyBytes)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	taken, err := s.h.Webhooks.Receive(r.Context(), webhook.Delivery{
		Endpoint: chi.URLParam(r, "endpoint"), Method: r.Method,
		Path: r.URL.Path, Query: r.URL.RawQuery, Header: r.Header, Body: body,
	})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	status := http.StatusAccepted
	if taken.Duplicate || taken.Execution == "" {
		status = http.StatusOK
	}
	writeJSON(w, status, "application/json", taken)
}

func shapeHook(op *huma.Operation) {
	op.Parameters = append(op.Parameters, &huma.Param{
		Name: "endpoint", In: "path", Required: true, Description: "The endpoint's id.",
		Schema: &huma.Schema{Type: huma.TypeString},
	})
	op.RequestBody = &huma.RequestBody{
		Description: "Whatever the vendor sends, with the vendor's headers.", Required: true,
		Content: map[string]*huma.MediaType{"*/*": {Schema: &huma.Schema{}}},
	}
	op.Responses["202"] = jsonResponse(event.Accepted{})
}
