// Package api serves a Host over HTTP: JSON under /v1, webhook deliveries under
// /hooks, and an OpenAPI 3.1 document at /openapi.json that describes all of it.
//
//	mux.Handle("/", api.Handler(h, api.Options{Version: "1.2.0"}))
//
// The rules that every route follows, whatever it is about:
//
//   - What exists is said once, in the route table (see route): the router, the
//     authorisation, the document and the tests are all made from it.
//   - A bearer token is an operator's or a tenant's. To a tenant's token another
//     tenant is what a missing one is: 404, with the same words.
//   - Errors are RFC 9457 problems with a stable code, a hint and a place. They
//     never repeat what was sent, for it may be a credential, and never show a
//     cause: that is logged, once.
//   - Bodies are capped in size and time, and a property that is not known is refused.
//   - Every POST honours Idempotency-Key (see idempotent).
//   - Lists answer {"items": [...], "next_cursor": "..."}; the cursor is empty at
//     the end.
//
// The handler opens no port. Whoever listens sets ReadHeaderTimeout, and cancels
// http.Server.BaseContext to end live tails at shutdown. It answers below a
// prefix if it is given http.StripPrefix; host.Config.PublicURL then ends in that prefix,
// for the pages under /connect and the callbacks under /oauth name their own addresses:
//
//	h, err := host.New(ctx, host.Config{PublicURL: "https://app.example/cofferdam", ...})
//	mux.Handle("/cofferdam/", http.StripPrefix("/cofferdam", api.Handler(h, api.Options{})))
package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/api/internal/connectpage"
	"github.com/cofferdam-run/cofferdam/host/telemetry"
	"github.com/cofferdam-run/cofferdam/host/token"
)

const (
	mib = 1 << 20
	// jsonBytes caps the bodies that are JSON. The largest are an action's input
	// and a configuration; larger things are uploaded.
	jsonBytes = 1 * mib
	// uploadBytes is what a plugin may have to be looked at. It is over the
	// registry's own cap of 20 MiB, so that it is the registry who explains.
	uploadBytes = 32 * mib
)

// Options configures Handler.
type Options struct {
	// Version is the program's, as the OpenAPI document states it. Defaults to "dev".
	Version string
	// MaxBodyBytes caps a webhook delivery. GitHub sends up to 25 MiB, most vendors
	// less than one. Defaults to 5 MiB.
	MaxBodyBytes int64
	// BodyTimeout is how long a body may take to come; an upload has ten times as
	// long. Defaults to 30 s.
	BodyTimeout time.Duration
	// CallTimeout is the longest that a synchronous call waits for its execution,
	// which goes on if it takes longer. Defaults to 30 s.
	CallTimeout time.Duration
	// KeepAlive is how often a silent live tail says that it is alive. Proxies
	// close what is silent for 30 to 60 s. Defaults to 15 s.
	KeepAlive time.Duration
	// Login knows the tokens of an OpenID provider. Defaults to nobody, who knows none.
	Login token.Verifier
	// TrustedProxies are believed when they say, in X-Forwarded-For, whom they ask for.
	// Defaults to none.
	TrustedProxies []netip.Prefix
	// Gatherer is what /metrics shows beside the API's own metrics. Defaults to the Host's.
	Gatherer prometheus.Gatherer
	// Logger takes a line per request and the causes of answers over 499. Defaults
	// to slog.Default.
	Logger *slog.Logger
	// Now is the clock, also of the deadlines of connections. Defaults to time.Now.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	o.TrustedProxies = slices.Clone(o.TrustedProxies)
	if o.Version == "" {
		o.Version = "dev"
	}
	if o.MaxBodyBytes == 0 {
		o.MaxBodyBytes = 5 * mib
	}
	if o.BodyTimeout == 0 {
		o.BodyTimeout = 30 * time.Second
	}
	if o.CallTimeout == 0 {
		o.CallTimeout = 30 * time.Second
	}
	if o.KeepAlive == 0 {
		o.KeepAlive = 15 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now //nolint:forbidigo // The default clock has to come from somewhere.
	}
	return o
}

// Handler serves a Host.
func Handler(h *host.Host, o Options) http.Handler {
	return newServer(h, o).router
}

// Document returns the OpenAPI document of a version of the API, indented.
func Document(version string) ([]byte, error) {
	var b bytes.Buffer
	if err := json.Indent(&b, newServer(nil, Options{Version: version}).document, "", "  "); err != nil {
		return nil, fmt.Errorf("indent the OpenAPI document: %w", err)
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// server is what the handlers share. It does not change after newServer, but for waiting.
type server struct {
	// waiting counts the deliveries that are stored and wait for their executions' answers.
	waiting atomic.Int64

	h *host.Host // Nil for the document alone.
	// tracer tells of requests; nil where nobody wants to know.
	tracer  *telemetry.Tracer
	o       Options
	router  *chi.Mux
	huma    huma.API
	metrics *metrics
	// pages are those of connect sessions; nil where there are none.
	pages *connectpage.Pages
	// document is the OpenAPI document as it is served.
	document []byte
}

func newServer(h *host.Host, o Options) *server {
	if o.Gatherer == nil && h != nil {
		o.Gatherer = h.Metrics
	}
	s := &server{h: h, o: o.withDefaults(), router: chi.NewRouter(), metrics: newMetrics()}
	if h != nil {
		s.tracer = h.Tracer
	}
	if h != nil && h.Connects != nil {
		s.pages = connectpage.New(connectpage.Config{Sessions: h.Connects, PublicURL: h.Connects.PublicURL(), Logger: s.o.Logger})
	}
	s.huma = huma.NewAPI(document(s.o), &adapter{s: s, routes: byID(routes())})
	s.router.Use(s.observe, s.recovered, secured, s.hurried, middleware.GetHead)
	s.router.NotFound(s.notFound)
	s.router.MethodNotAllowed(s.methodNotAllowed)
	for _, rt := range routes() {
		rt.bind(s, rt)
	}
	finish(s.huma.OpenAPI())
	var err error
	if s.document, err = json.Marshal(s.huma.OpenAPI()); err != nil {
		// The document is made of types in this program: it cannot depend on input.
		panic(fmt.Sprintf("encode the OpenAPI document: %v", err))
	}
	return s
}
