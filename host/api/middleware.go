package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cofferdam-run/cofferdam/host/telemetry"
)

// secured sets what keeps an answer from being taken for something else. Nothing
// here is to be kept by a cache, and nothing is a page.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		if r.TLS != nil {
			// Two years, as <https://hstspreload.org> wants it. Not of subdomains: they are others'.
			h.Set("Strict-Transport-Security", "max-age=63072000")
		}
		next.ServeHTTP(w, r)
	})
}

// recovered turns a panic into a 500, so that one request's fault stays its own.
func (s *server) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(v)
			}
			s.fail(w, r, fmt.Errorf("panic: %v\n%s", v, debug.Stack()))
		}()
		next.ServeHTTP(w, r)
	})
}

// observe counts and logs requests by route, never by path: a path names things,
// and a query may carry what should not be in a log.
func (s *server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := s.o.Now()
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		var found *telemetry.Request
		if s.tracer != nil {
			var ctx context.Context
			ctx, found = telemetry.WithRequest(r.Context())
			r = r.WithContext(ctx)
		}
		next.ServeHTTP(ww, r)
		took := s.o.Now().Sub(began)
		pattern, status := chi.RouteContext(r.Context()).RoutePattern(), ww.Status()
		if pattern == "" {
			pattern = "none"
		}
		if status == 0 {
			status = http.StatusOK
		}
		// A method is any word that a stranger sends, and each new one would be counted for ever.
		s.metrics.requests.WithLabelValues(telemetry.Method(r.Method), pattern, strconv.Itoa(status)).Inc()
		s.metrics.seconds.WithLabelValues(pattern).Observe(took.Seconds())
		s.tell(r, pattern, status, found, telemetry.Span{Begin: began, End: began.Add(took)})
		level := slog.LevelInfo
		if r.Method == http.MethodGet || pattern == hookPath {
			// What only looks, and what comes thousands of times a second.
			level = slog.LevelDebug
		}
		s.o.Logger.LogAttrs(r.Context(), level, "request",
			slog.String("method", r.Method), slog.String("route", pattern),
			slog.Int("status", status), slog.Duration("duration", took))
	})
}

// tell tells of a request, below the span of the caller's if it names one and was let in: a
// stranger does not decide what is told. Deliveries tell of themselves; what looks whether
// the program is well is no news.
func (s *server) tell(r *http.Request, pattern string, status int, found *telemetry.Request, span telemetry.Span) {
	if s.tracer == nil || !strings.HasPrefix(pattern, "/v1/") {
		return
	}
	if status >= http.StatusInternalServerError {
		span.Code = strconv.Itoa(status)
	}
	method := telemetry.Method(r.Method)
	span.Name, span.Kind = method+" "+pattern, telemetry.Server
	span.Attributes = []telemetry.Attribute{
		telemetry.Text("http.request.method", method), telemetry.Text("http.route", pattern), telemetry.Number("http.response.status_code", int64(status)),
	}
	span.Executions = found.Executions()
	ctx := context.WithoutCancel(r.Context())
	if found.IsAdmitted() {
		ctx = telemetry.From(ctx, r.Header)
	}
	s.tracer.Tell(ctx, span)
}

// metrics are the API's own.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cofferdam_http_requests_total", Help: "HTTP requests that were answered.",
		}, []string{"method", "route", "status"}),
		// A delivery takes about a millisecond and a synchronous call up to 30 s.
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "cofferdam_http_request_seconds", Help: "How long answers took.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"route"}),
	}
	m.registry.MustRegister(m.requests, m.seconds)
	return m
}
