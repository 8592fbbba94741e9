package api

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/cofferdam-run/cofferdam/host/token"
)

// reach says whose tokens open a route.
type reach string

const (
	// open needs no token.
	open reach = "public"
	// operated is for the operator's tokens; a tenant's get 403.
	operated reach = "operator"
	// owned names a {tenant}: for the operator's tokens and that tenant's own. Any
	// other tenant's get 404.
	owned reach = "tenant"
	// viewed is for every token, and shows each what it may see.
	viewed reach = "any"
)

// route is a line of the route table: all that is true of an operation besides
// what it does.
type route struct {
	Method, Path string
	Reach        reach
	// Scope is what the token must allow. With the reach it says which roles open the
	// route; see roles.
	Scope token.Scope
	// Kept says that the token must be a kept one, not a signed one.
	Kept bool
	// ID is the operation's id in the document.
	ID                        string
	Tag, Summary, Description string
	// Status is that of success. Defaults to 200.
	Status int
	// Also are further statuses of success, with the same body and a description.
	Also map[int]string
	// Refuses are error statuses beyond those that follow from the rest; see refusals.
	Refuses []int
	// Streams says that the handler reads the body itself, at most MaxBytes.
	Streams bool
	// MaxBytes caps the body. Defaults to jsonBytes.
	MaxBytes int64
	// Secret says that the request or the answer carries a secret: neither its
	// digest nor its bytes may be kept as they are.
	Secret bool
	// Waits says that the handler, once it has done what it does, waits for as long
	// as the client does.
	Waits bool
	// Example is a body that works, as JSON.
	Example string

	// shape adds to the document what huma cannot know, before it is registered.
	shape func(*huma.Operation)
	bind  func(*server, route)
}

// routes is the route table: every route that there is. Each resource's file has
// its lines.
func routes() []route {
	return slices.Concat(
		hookRoutes(), systemRoutes(), pluginRoutes(), versionRoutes(), publisherRoutes(), tenantRoutes(), deletionRoutes(), archiveRoutes(),
		installationRoutes(), callRoutes(), connectionRoutes(), appRoutes(), providerRoutes(), connectSessionRoutes(), connectPageRoutes(), endpointRoutes(), scheduleRoutes(), noticeRoutes(), healthRoutes(),
		eventRoutes(), executionRoutes(), queueRoutes(), flightRoutes(), recordingRoutes(), redriveRoutes(), redeliveryRoutes(), shadowRoutes(), keyRotationRoutes(), usageRoutes(), tokenRoutes(), auditRoutes(),
	)
}

func byID(all []route) map[string]route {
	m := make(map[string]route, len(all))
	for _, rt := range all {
		m[rt.ID] = rt
	}
	return m
}

// takesBody says that the method is one that sends a body.
func (rt route) takesBody() bool {
	return rt.Method == http.MethodPost || rt.Method == http.MethodPut || rt.Method == http.MethodPatch
}

func (rt route) maxBytes() int64 {
	if rt.MaxBytes > 0 {
		return rt.MaxBytes
	}
	return jsonBytes
}

// idempotent says that the route honours Idempotency-Key: every POST of ours. A
// vendor's delivery has an id of its own instead.
func (rt route) idempotent() bool { return rt.Method == http.MethodPost && rt.Reach != open }

// refusals are the error statuses that the route may answer with.
func (rt route) refusals() []int {
	set := map[int]bool{http.StatusInternalServerError: true, http.StatusServiceUnavailable: true}
	if rt.Reach != open {
		set[http.StatusUnauthorized], set[http.StatusForbidden], set[http.StatusTooManyRequests] = true, true, true
		// A parameter that is unknown or does not fit.
		set[http.StatusUnprocessableEntity] = true
	}
	if strings.Contains(rt.Path, "{") {
		set[http.StatusNotFound] = true
	}
	if rt.Reach == owned && rt.Method != http.MethodGet {
		// The tenant is being deleted.
		set[http.StatusConflict] = true
	}
	if rt.takesBody() && rt.Reach != open {
		for _, code := range []int{
			http.StatusBadRequest, http.StatusRequestTimeout, http.StatusConflict, http.StatusRequestEntityTooLarge,
			http.StatusUnsupportedMediaType,
		} {
			set[code] = true
		}
	}
	for _, code := range rt.Refuses {
		set[code] = true
	}
	return slices.Sorted(maps.Keys(set))
}

// operation is the route as the document shows it.
func (rt route) operation() huma.Operation {
	op := huma.Operation{
		OperationID: rt.ID, Method: rt.Method, Path: rt.Path,
		Tags: []string{rt.Tag}, Summary: rt.Summary, Description: rt.Description,
		DefaultStatus: rt.Status, Responses: map[string]*huma.Response{},
		// The guard has read the body already: huma must neither cap it nor leave a
		// deadline on the connection, which would end a long call.
		MaxBodyBytes: rt.maxBytes() + 1, BodyReadTimeout: -1,
	}
	op.Extensions = map[string]any{"x-reach": string(rt.Reach)}
	if action := actionOf(rt); action != "" {
		op.Extensions["x-act"] = action
	}
	if rt.Reach != open {
		op.Security = []map[string][]string{{"bearer": {}}}
		op.Description += "\n\nNeeds " + rt.needs() + "."
		op.Extensions["x-scope"], op.Extensions["x-roles"] = string(rt.Scope), rt.roles()
	}
	if rt.idempotent() {
		op.Parameters = append(op.Parameters, idempotencyParam())
	}
	for _, code := range rt.refusals() {
		op.Responses[strconv.Itoa(code)] = refusal(code)
	}
	if rt.shape != nil {
		rt.shape(&op)
	}
	return op
}

func (rt route) needs() string {
	text := "one of the roles `" + strings.ReplaceAll(names(rt.roles()), " or ", "`, `") + "`"
	if len(rt.roles()) == 1 {
		text = "the role `" + names(rt.roles()) + "`"
	}
	if rt.Kept {
		text += ", and no signed token"
	}
	return text
}

// handle makes a typed handler a route's. I and O are huma's: I has the
// parameters and the Body, O the Body and, where it varies, the Status.
func handle[I, O any](f func(*server, context.Context, *I) (*O, error)) func(*server, route) {
	return func(s *server, rt route) {
		op := rt.operation()
		huma.Register(s.huma, op, func(ctx context.Context, in *I) (*O, error) {
			out, err := f(s, ctx, in)
			if err != nil {
				return nil, s.refuse(ctx, err)
			}
			return out, nil
		})
		complete(s.huma.OpenAPI(), rt)
	}
}

// plain makes an http handler a route's, around huma.
func plain(f func(*server, http.ResponseWriter, *http.Request)) func(*server, route) {
	return func(s *server, rt route) {
		op := rt.operation()
		s.huma.OpenAPI().AddOperation(&op)
		complete(s.huma.OpenAPI(), rt)
		s.mount(rt, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f(s, w, r) }))
	}
}

// mount puts the guard before a handler and both on the router.
func (s *server) mount(rt route, next http.Handler) {
	s.router.Method(rt.Method, rt.Path, s.guard(rt, next))
}

// adapter is huma's way to the router: through mount, so that no operation can be
// reached around the guard.
type adapter struct {
	s      *server
	routes map[string]route
}

// Handle implements huma.Adapter.
func (a *adapter) Handle(op *huma.Operation, h func(huma.Context)) {
	a.s.mount(a.routes[op.OperationID], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h(humachi.NewContext(op, r, w))
	}))
}

// ServeHTTP implements huma.Adapter.
func (a *adapter) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.s.router.ServeHTTP(w, r) }

// answer is a response with a body.
type answer[T any] struct{ Body T }

// answered makes a response of what a domain's method returned.
func answered[T any](v T, err error) (*answer[T], error) {
	if err != nil {
		return nil, err
	}
	return &answer[T]{Body: v}, nil
}

// nothing is a response without a body.
type nothing struct{}
