package api

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"hash"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store"
)

const (
	// idempotencyHeader is that of draft-ietf-httpapi-idempotency-key-header:
	// <https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header>.
	idempotencyHeader = "Idempotency-Key"
	replayedHeader    = "Idempotency-Replayed"
	// maxKeyBytes is room for a UUID, a hash or an order number with its prefix.
	maxKeyBytes = 255
	codeOnce    = "idempotency_secret_once"
	// operatorsKey begins the operator's keys for requests about a tenant. No key that a
	// tenant can send has a line break.
	operatorsKey = "operator\n"
)

func idempotencyParam() *huma.Param {
	longest := maxKeyBytes
	return &huma.Param{
		Name: idempotencyHeader, In: "header",
		Description: "Names the request, so that sending it again does nothing again: the first answer is given once more, with the header `" +
			replayedHeader + ": true`. The same key with another request is a conflict. Only successes are kept: a request that failed had no effect, and may be sent again, corrected, with its key.",
		Schema:  &huma.Schema{Type: huma.TypeString, MaxLength: &longest},
		Example: "order-1001-install",
	}
}

// idempotent answers a POST that was answered before as it was then.
//
// What is kept is the status and body of a success, under the caller's scope and
// the key, with a digest of method, path, query and body. Everything else gives
// the key back. Where the answer carries a secret it is kept without it, and a
// second request is told so: no secret lies in the clear in the database. Where
// the request does, its digest is keyed with the caller's token, so that a weak
// password cannot be guessed from it.
func (s *server) idempotent(rt route, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.Header.Get(idempotencyHeader)
		if name == "" {
			next.ServeHTTP(w, r)
			return
		}
		key, err := keyOf(rt, r, name)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		before, err := s.h.Store.Reserve(r.Context(), key, s.o.Now())
		switch {
		case err != nil:
			s.fail(w, r, err)
		case before != nil && rt.Secret:
			s.fail(w, r, secretOnce(before.Body))
		case before != nil:
			w.Header().Set(replayedHeader, "true")
			send(w, before.Status, before.Body)
		default:
			s.answerOnce(rt, key, next, w, r)
		}
	})
}

// answerOnce runs the handler and keeps its answer before it is sent. The client
// may be gone by then: what was done must be known all the same.
func (s *server) answerOnce(rt route, key store.Key, next http.Handler, w http.ResponseWriter, r *http.Request) {
	ctx := context.WithoutCancel(r.Context())
	rec := &recorder{header: http.Header{}}
	settled := false
	defer func() {
		if !settled {
			s.note(ctx, "give back an idempotency key", s.h.Store.ReleaseKey(ctx, key))
		}
	}()
	if !rt.Waits {
		// A client that goes away must not leave an effect that it is told nothing
		// of, and whose key is free again.
		r = r.WithContext(ctx)
	}
	next.ServeHTTP(rec, r)
	if rec.status >= 200 && rec.status <= 299 {
		settled = true
		kept := store.Answered{Status: rec.status, Body: rec.body.Bytes()}
		if rt.Secret {
			kept.Body = withoutSecret(kept.Body)
		}
		s.note(ctx, "keep an idempotent answer", s.h.Store.Settle(ctx, key, kept))
	}
	maps.Copy(w.Header(), rec.header)
	w.WriteHeader(rec.status)
	_, _ = w.Write(rec.body.Bytes())
}

// note logs an error that the request it happened in need not fail for.
func (s *server) note(ctx context.Context, what string, err error) {
	if err != nil {
		s.o.Logger.LogAttrs(ctx, slog.LevelError, "idempotency", slog.String("step", what), slog.String("cause", err.Error()))
	}
}

// keyOf returns the store's key of a request, whose body it reads and puts back.
func keyOf(rt route, r *http.Request, name string) (store.Key, error) {
	if len(name) > maxKeyBytes || strings.ContainsFunc(name, func(c rune) bool { return c < 0x20 || c > 0x7e }) {
		return store.Key{}, fault.New(fault.InvalidInput, "idempotency_key_invalid",
			"the key has %d bytes; it may have 1 to %d printable ASCII characters", len(name), maxKeyBytes).
			At(idempotencyHeader).WithHint("a UUID is a good key")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return store.Key{}, unreadable(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	c := callerOf(r.Context())
	digest := sha256.New()
	if rt.Secret {
		digest = hmac.New(sha256.New, []byte(c.secret))
	}
	digestRequest(digest, r, body)
	k := store.Key{Scope: c.token.Tenant, Key: name, Digest: digest.Sum(nil)}
	switch {
	case k.Scope != "":
	case c.tenant != "":
		// What the operator is told of a tenant is the tenant's, sealed with its key and
		// gone with it.
		k.Scope, k.Key = c.tenant, operatorsKey+name
	default:
		k.Scope = "operator"
	}
	return k, nil
}

// digestRequest writes what makes a request the same one: its parts, each ended
// by a byte that none of them can hold, and the body last.
func digestRequest(h hash.Hash, r *http.Request, body []byte) {
	for _, part := range []string{r.Method, r.URL.EscapedPath(), r.URL.RawQuery} {
		_, _ = io.WriteString(h, part+"\x00")
	}
	_, _ = h.Write(body)
}

// secretOnce refuses to replay an answer that had a secret. What it kept, which
// names the thing that was made, is in the details.
func secretOnce(kept []byte) error {
	f := fault.New(fault.Conflict, codeOnce, "this request was answered before, with a secret that is shown only once").
		WithHint("if the secret was lost, rotate it or delete the thing in details and make it again with another key").
		At(idempotencyHeader)
	if json.Valid(kept) {
		f.Details = kept
	}
	return f
}

// withoutSecret removes the secret from an answer; an answer that it cannot
// remove it from it drops.
func withoutSecret(body []byte) []byte {
	var m map[string]json.RawMessage
	if json.Unmarshal(body, &m) != nil {
		return nil
	}
	delete(m, secretProperty)
	b, err := json.Marshal(m)
	if err != nil {
		return nil
	}
	return b
}

// send answers with JSON that is encoded already.
func send(w http.ResponseWriter, status int, body []byte) {
	if len(body) > 0 {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) //nolint:gosec // G705: it is JSON of ours, and nosniff says that it is no page.
}

// recorder holds an answer back.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(b)
}
