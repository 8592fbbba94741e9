package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/telemetry"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/token"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/registry"
)

// caller is who makes a request and which tenant it is about.
type caller struct {
	token token.Token
	// secret is what the token was shown by, for keyed digests. It is never stored.
	secret string
	// tenant is the id of the {tenant} in the path, or the token's own.
	tenant string
}

type callerKey struct{}

// callerOf returns the caller that the guard let in.
func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// tenantOf returns the id of the tenant that the request is about.
func tenantOf(ctx context.Context) string { return callerOf(ctx).tenant }

// viewer is the caller as the registry knows it.
func (c caller) viewer() registry.Viewer {
	return registry.Viewer{Operator: c.token.Tenant == "", Tenant: c.token.Tenant}
}

// guard stands before every route: first who asks, then what the body is, then
// whether it was asked before.
func (s *server) guard(rt route, next http.Handler) http.Handler {
	next = s.acting(rt, next)
	if rt.idempotent() {
		next = s.idempotent(rt, next)
	}
	if rt.takesBody() && rt.Reach != open {
		next = s.buffered(rt, next)
	}
	if rt.Reach != open {
		next = s.authorised(rt, next)
	}
	return next
}

// authorised lets in whoever the route table says, and says no to the rest.
func (s *server) authorised(rt route, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := s.authenticate(r)
		if err == nil {
			c.tenant, err = s.reached(r, rt, c.token)
		}
		if err == nil {
			err = rt.permits(c.token)
		}
		if err != nil {
			s.denied(r, rt, c, err)
			s.fail(w, r, err)
			return
		}
		s.seen(r, c)
		telemetry.Admitted(r.Context())
		ctx := vault.Using(context.WithValue(r.Context(), callerKey{}, c), vault.Use{Who: "token " + c.token.ID})
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// authenticate returns the caller of a request's bearer token (RFC 6750).
func (s *server) authenticate(r *http.Request) (caller, error) {
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if secret = strings.TrimSpace(secret); !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return caller{}, fault.New(fault.Auth, "token_missing", "the request carries no token").
			WithHint("send the header Authorization: Bearer <token>; an operator makes tokens with \"cofferdam token create\"")
	}
	t, err := s.h.Tokens.Authenticate(r.Context(), token.Presented{Secret: secret, From: s.address(r), Login: s.o.Login})
	return caller{token: t, secret: secret}, err
}

// reached returns the tenant that a request is about, if the token reaches it.
func (s *server) reached(r *http.Request, rt route, t token.Token) (string, error) {
	if t.Kind == token.Signed && rt.Method != http.MethodGet {
		// The tokens that are kept go with a tenant; of a signed one that is seen here.
		if _, err := s.living(r.Context(), rt, t.Tenant); err != nil {
			return "", err
		}
	}
	if rt.Reach != owned {
		return t.Tenant, nil
	}
	name := chi.URLParam(r, "tenant")
	own := name == "me" || name == "self"
	if t.Tenant != "" && (name == t.Tenant || own) {
		return t.Tenant, nil
	}
	if own {
		return "", fault.NotFound("tenant", name).WithHint("an operator's token belongs to no tenant: name one")
	}
	if t.Tenant == "" {
		return s.living(r.Context(), rt, name)
	}
	found, err := s.h.Tenants.Get(r.Context(), name)
	if err == nil && found.ID != t.Tenant {
		return "", fault.NotFound("tenant", name)
	}
	return found.ID, err
}

// living returns the id of a tenant in which the route may be used.
func (s *server) living(ctx context.Context, rt route, name string) (string, error) {
	found, err := s.h.Tenants.Get(ctx, name)
	if err != nil {
		return "", err
	}
	if found.State == tenant.Deleting && rt.Method != http.MethodGet {
		return "", tenant.BeingDeleted(found)
	}
	return found.ID, nil
}

// buffered reads the body before the handler does, so that too much of it, or too
// little, is said in the same words everywhere, and so that it can be digested. A
// streamed body is left alone unless it must be digested.
func (s *server) buffered(rt route, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rt.Streams {
			s.readWithin(w, uploadTimes*s.o.BodyTimeout)
		}
		if rt.Streams && r.Header.Get(idempotencyHeader) == "" {
			r.Body = http.MaxBytesReader(w, r.Body, rt.maxBytes())
			next.ServeHTTP(w, r)
			return
		}
		body, err := readBody(r, rt.maxBytes())
		if err != nil {
			s.fail(w, r, err)
			return
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		next.ServeHTTP(w, r)
	})
}

// bodyRoom is what a body gets before any of it has come: more than most have.
const bodyRoom = 64 << 10

// readBody reads a body of at most limit bytes.
func readBody(r *http.Request, limit int64) ([]byte, error) {
	return readAll(r.Body, r.ContentLength, limit)
}

// readAll reads a body of at most limit bytes, of which so many were announced, or -1.
func readAll(body io.Reader, announced, limit int64) ([]byte, error) {
	if announced > limit {
		return nil, tooLarge(limit, announced)
	}
	var buf bytes.Buffer
	if announced > 0 {
		// What a stranger announces is no reason to make room for all of it.
		buf.Grow(int(min(announced, bodyRoom)) + bytes.MinRead)
	}
	n, err := buf.ReadFrom(io.LimitReader(body, limit+1))
	if err != nil {
		return nil, unreadable(err)
	}
	if n > limit {
		return nil, tooLarge(limit, 0)
	}
	return buf.Bytes(), nil
}

// tooLarge says that a body is over its cap; size is 0 if it was not announced.
func tooLarge(limit, size int64) error {
	f := fault.New(fault.LimitExceeded, fault.CodeBodyTooLarge, "the body has %d bytes; the limit is %d", size, limit)
	if size == 0 {
		f.Message = fault.New("", "", "the body has more than %d bytes, which is the limit", limit).Message
	}
	return f.WithHint("send less at once; nothing was stored")
}

// unreadable says why not all of a body could be read.
func unreadable(err error) error {
	if over, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(over.Limit, 0)
	}
	if slow, ok := errors.AsType[*problem](err); ok {
		return slow
	}
	if full, ok := errors.AsType[*fault.Error](err); ok {
		return full
	}
	return fault.New(fault.InvalidInput, fault.CodeMalformed, "the body ended before all of it had arrived").Because(err)
}
