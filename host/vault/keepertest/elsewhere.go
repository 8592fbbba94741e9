package keepertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/vault"
)

// Server is a keeper's server as it is reached by a keeper that is tested.
type Server struct {
	URL     string
	Client  *http.Client
	Timeout time.Duration
	After   func(time.Duration) <-chan time.Time
}

// Elsewhere makes what the suite of keepers elsewhere needs.
type Elsewhere struct {
	// Handler is a server that works.
	Handler http.Handler
	// Denied answers as the server does where the credential may not do this.
	Denied http.HandlerFunc
	// Throttled answers as it does where there are too many requests.
	Throttled http.HandlerFunc
	New       func(t *testing.T, s Server) vault.Keeper
	// Secrets are what may be sent to nobody else, and stand in no error.
	Secrets []string
}

// patience is how long a try may take here, and bound what all of it may: three tries,
// and much for a machine that is busy.
const (
	patience = 250 * time.Millisecond
	bound    = 10 * time.Second
)

// trouble is how a server behaves, and what is to come of it.
type trouble struct {
	name string
	act  http.HandlerFunc
	want string
	// tries is how often it is asked.
	tries int64
}

func troubles(e Elsewhere) []trouble {
	const away, refused = fault.CodeKeeperUnavailable, fault.CodeKeeperRefused
	status := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body) // The client may be gone.
		}
	}
	return []trouble{
		{"slow", func(_ http.ResponseWriter, r *http.Request) { hang(r) }, away, 3},
		{"slow in the middle of the answer", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, `{"`) // As above.
			_ = http.NewResponseController(w).Flush()
			hang(r)
		}, away, 3},
		{"hanging up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, away, 3},
		{"failing", status(500, `{"errors":["internal"]}`), away, 3},
		{"sealed", status(503, `{"errors":["Vault is sealed"]}`), away, 3},
		{"behind a gateway that fails", status(502, "<html>"), away, 3},
		{"throttling", e.Throttled, away, 3},
		{"denying", e.Denied, refused, 1},
		{"answering with a page", status(200, "<html>"), refused, 1},
		{"answering with nothing", status(200, ""), refused, 1},
		{"answering with something else", status(200, `{"ok":true}`), refused, 1},
		{"refusing with a page", status(400, "<html>"), refused, 1},
		{"answering without end", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(bytes.Repeat([]byte{'{'}, 32<<10)); err != nil {
					return
				}
			}
		}, away, 3},
	}
}

// hang waits until the client has given up, and answers nothing then.
func hang(r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // So that the server notices that it has.
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// RunElsewhere runs the suite of keepers that are elsewhere.
func RunElsewhere(t *testing.T, e Elsewhere) {
	t.Helper()
	for _, what := range troubles(e) {
		t.Run(what.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, e)
			wrapped := wrap(t, s.keeper, []byte("the key itself"))
			s.trouble.Store(&what.act)
			for verb, do := range s.verbs(wrapped) {
				s.asked.Store(0)
				err := s.bounded(t, verb, do)
				wantFault(t, verb, err, what.want)
				for _, secret := range append(e.Secrets, "the key itself") {
					if err != nil && strings.Contains(err.Error(), secret) {
						t.Errorf("%s: a secret is in the error", verb)
					}
				}
				if got := s.asked.Load(); got != what.tries {
					t.Errorf("%s: it was asked %d times, want %d", verb, got, what.tries)
				}
			}
			s.trouble.Store(nil)
			if _, err := s.keeper.Unwrap(t.Context(), tenant, wrapped); err != nil {
				t.Errorf("once it is well: %v", err)
			}
		})
	}
	t.Run("down", func(t *testing.T) {
		t.Parallel()
		s := serve(t, e)
		wrapped := wrap(t, s.keeper, []byte("key"))
		s.http.Close()
		for verb, do := range s.verbs(wrapped) {
			wantFault(t, verb, s.bounded(t, verb, do), fault.CodeKeeperUnavailable)
		}
	})
	t.Run("away for a moment", func(t *testing.T) { testMoment(t, e) })
	t.Run("redirecting", func(t *testing.T) { testRedirect(t, e) })
	t.Run("cancelled while it is asked", func(t *testing.T) { testCancelled(t, e) })
	t.Run("tenants who were here go on", func(t *testing.T) { testCached(t, e) })
}

func testMoment(t *testing.T, e Elsewhere) {
	t.Parallel()
	s := serve(t, e)
	var n atomic.Int64
	moment := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1)%2 == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		e.Handler.ServeHTTP(w, r)
	})
	s.trouble.Store(&moment)
	if got, err := s.keeper.Unwrap(t.Context(), tenant, wrap(t, s.keeper, []byte("key"))); err != nil || string(got) != "key" {
		t.Errorf("got %q, %v", got, err)
	}
}

func testRedirect(t *testing.T, e Elsewhere) {
	t.Parallel()
	var met atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { met.Add(1) }))
	t.Cleanup(elsewhere.Close)
	s := serve(t, e)
	for _, code := range []int{301, 302, 303, 307, 308} {
		away := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, code) })
		s.trouble.Store(&away)
		_, err := s.keeper.Wrap(t.Context(), tenant, []byte("key"))
		wantFault(t, fmt.Sprint(code), err, fault.CodeKeeperRefused)
	}
	if met.Load() != 0 {
		t.Errorf("it followed %d redirects", met.Load())
	}
}

func testCancelled(t *testing.T, e Elsewhere) {
	t.Parallel()
	s := serve(t, e)
	ctx, cancel := context.WithCancel(t.Context())
	slow := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { cancel(); hang(r) })
	s.trouble.Store(&slow)
	if _, err := s.keeper.Wrap(ctx, tenant, []byte("key")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got := s.asked.Load(); got != 1 {
		t.Errorf("it was asked %d times", got)
	}
}

func testCached(t *testing.T, e Elsewhere) {
	t.Parallel()
	s := serve(t, e)
	m := &memory{keys: map[string]vault.Key{}}
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	v := vault.Configured(vault.Config{Store: m, Keeper: s.keeper, Now: func() time.Time { return now }})
	f := vault.Field{Tenant: tenant, Table: "t", Record: "r", Name: "n"}
	sealed, err := v.Seal(t.Context(), f, []byte("plaintext"))
	if err != nil {
		t.Fatal(err)
	}
	s.http.Close()
	for range 3 { // Longer than any key is held without a look at what is stored.
		now = now.Add(time.Hour)
		if got, err := v.Open(t.Context(), f, sealed); err != nil || string(got) != "plaintext" {
			t.Errorf("open: got %q, %v", got, err)
		}
		if _, err := v.Seal(t.Context(), f, []byte("more")); err != nil {
			t.Errorf("seal: %v", err)
		}
	}
	f.Tenant = "ten_new"
	_, err = v.Seal(t.Context(), f, nil)
	wantFault(t, "a new tenant", err, fault.CodeKeeperUnavailable)
	wantFault(t, "a start", vault.New(m, s.keeper).Check(t.Context()), fault.CodeKeeperUnavailable)
}

// served is a server in trouble, with its keeper.
type served struct {
	http    *httptest.Server
	keeper  vault.Keeper
	trouble atomic.Pointer[http.HandlerFunc]
	asked   atomic.Int64
}

func serve(t *testing.T, e Elsewhere) *served {
	t.Helper()
	s := &served{}
	s.http = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		if act := s.trouble.Load(); act != nil {
			(*act)(w, r)
			return
		}
		e.Handler.ServeHTTP(w, r)
	}))
	t.Cleanup(s.http.Close)
	s.keeper = e.New(t, Server{URL: s.http.URL, Client: s.http.Client(), Timeout: patience, After: at})
	return s
}

// at is a clock on which all pauses are over.
func at(time.Duration) <-chan time.Time {
	over := make(chan time.Time)
	close(over)
	return over
}

// verbs are what a keeper can be asked for.
func (s *served) verbs(wrapped []byte) map[string]func(context.Context) error {
	verbs := map[string]func(context.Context) error{
		"wrap": func(ctx context.Context) error {
			_, err := s.keeper.Wrap(ctx, tenant, []byte("the key itself"))
			return err
		},
		"unwrap": func(ctx context.Context) error {
			_, err := s.keeper.Unwrap(ctx, tenant, wrapped)
			return err
		},
	}
	if versioned, ok := s.keeper.(vault.Rewrapper); ok {
		verbs["rewrap"] = func(ctx context.Context) error {
			_, err := versioned.Rewrap(ctx, tenant, wrapped)
			return err
		}
	}
	return verbs
}

// bounded does something that has to end by itself.
func (*served) bounded(t *testing.T, verb string, do func(context.Context) error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	err := do(ctx)
	if ctx.Err() != nil {
		t.Errorf("%s took longer than %v", verb, bound)
	}
	return err
}

func wantFault(t *testing.T, what string, err error, code string) {
	t.Helper()
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Code != code || errors.Is(err, vault.ErrSealed) {
		t.Errorf("%s: got %v, want %s", what, err, code)
		return
	}
	if f.Hint == "" || f.Err == nil {
		t.Errorf("%s: %v does not say why, or what to do", what, err)
	}
}
