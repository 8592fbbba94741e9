package api

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func systemRoutes() []route {
	return []route{
		{
			Method: http.MethodGet, Path: "/healthz", Reach: open, ID: "health", Tag: "system",
			Summary: "Whether the program is alive", Description: "It does not look at the database: restarting the program would not help that.",
			shape: shapeStatus, bind: plain((*server).health),
		},
		{
			Method: http.MethodGet, Path: "/readyz", Reach: open, ID: "ready", Tag: "system",
			Summary: "Whether requests should be sent here", Description: "The database can be reached and written to, and its schema is one that this program works with.",
			shape: shapeStatus, bind: plain((*server).ready),
		},
		{
			Method: http.MethodGet, Path: "/metrics", Reach: open, ID: "metrics", Tag: "system",
			Summary: "Prometheus metrics", Description: "In the Prometheus text format. No metric names a tenant's data.",
			shape: shapeMetrics, bind: plain((*server).measure),
		},
		{
			Method: http.MethodGet, Path: "/openapi.json", Reach: open, ID: "openapi", Tag: "system",
			Summary: "This document", Description: "OpenAPI 3.1.", shape: shapeDocument, bind: plain((*server).describe),
		},
	}
}

// status is the answer of the health checks.
type status struct {
	Status string `json:"status" enum:"ok" doc:"ok"`
	// Version is the program's.
	Version string `json:"version" doc:"The program's version."`
}

func (s *server) health(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, "application/json", status{Status: "ok", Version: s.o.Version})
}

func (s *server) ready(w http.ResponseWriter, r *http.Request) {
	if err := s.h.Store.Ready(r.Context()); err != nil {
		p := problemOf(err)
		if p.Status != http.StatusServiceUnavailable {
			// Whatever it is, the answer to this question is 503.
			p.Status, p.Title = http.StatusServiceUnavailable, http.StatusText(http.StatusServiceUnavailable)
			p.retryAfter = retryAfter
		}
		s.fail(w, r, p)
		return
	}
	writeJSON(w, http.StatusOK, "application/json", status{Status: "ok", Version: s.o.Version})
}

func (s *server) measure(w http.ResponseWriter, r *http.Request) {
	from := prometheus.Gatherers{s.metrics.registry}
	if s.o.Gatherer != nil {
		from = append(from, s.o.Gatherer)
	}
	promhttp.HandlerFor(from, promhttp.HandlerOpts{}).ServeHTTP(w, r)
}

func (s *server) describe(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/openapi+json")
	_, _ = w.Write(s.document)
}

func shapeStatus(op *huma.Operation) { op.Responses["200"] = jsonResponse(status{}) }

func shapeMetrics(op *huma.Operation) {
	op.Responses["200"] = &huma.Response{Content: map[string]*huma.MediaType{
		"text/plain": {Schema: &huma.Schema{Type: huma.TypeString}},
	}}
}

func shapeDocument(op *huma.Operation) {
	op.Responses["200"] = &huma.Response{Content: map[string]*huma.MediaType{
		"application/openapi+json": {Schema: &huma.Schema{Type: huma.TypeObject}},
	}}
}
