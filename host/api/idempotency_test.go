package api_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/tenant"
)

const keyHeader = "Idempotency-Key"

func TestEveryPostTakesAKey(t *testing.T) {
	t.Parallel()
	_, doc := document(t)
	doc.each(t, func(t *testing.T, method, _ string, op operation) {
		t.Helper()
		takes := false
		for _, p := range op.Parameters {
			takes = takes || p.Name == keyHeader && p.In == "header"
		}
		if want := method == "post" && op.Reach != "public"; takes != want {
			t.Errorf("takes an %s: %v, want %v", keyHeader, takes, want)
		}
	})
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	first := b.raw(t, "POST", "/v1/tenants", b.operator, `{"name":"acme"}`, keyHeader, "k1")
	if first.status != 201 || first.header.Get("Idempotency-Replayed") != "" {
		t.Fatalf("first: %d %v", first.status, first.header)
	}
	t.Run("replays the answer to the same request", func(t *testing.T) {
		t.Parallel()
		again := b.raw(t, "POST", "/v1/tenants", b.operator, `{"name":"acme"}`, keyHeader, "k1")
		if again.status != 201 || string(again.body) != string(first.body) {
			t.Errorf("again: %d %s, want 201 %s", again.status, again.body, first.body)
		}
		if again.header.Get("Idempotency-Replayed") != "true" || again.header.Get("Content-Type") != "application/json" {
			t.Errorf("headers = %v", again.header)
		}
	})
	t.Run("refuses the key for another request", func(t *testing.T) {
		t.Parallel()
		for path, body := range map[string]string{"/v1/tenants": `{"name":"other"}`, "/v1/publishers": `{"name":"acme"}`} {
			if a := b.raw(t, "POST", path, b.operator, body, keyHeader, "k1"); a.status != 409 {
				t.Errorf("%s: %d, want 409: %s", path, a.status, a.body)
			}
		}
	})
	t.Run("gives the key back after a failure", func(t *testing.T) {
		t.Parallel()
		if a := b.raw(t, "POST", "/v1/tenants", b.operator, `{"name":"NOT A NAME"}`, keyHeader, "k2"); a.status != 422 {
			t.Fatalf("%d, want 422: %s", a.status, a.body)
		}
		if a := b.raw(t, "POST", "/v1/tenants", b.operator, `{"name":"corrected"}`, keyHeader, "k2"); a.status != 201 {
			t.Errorf("%d, want 201: %s", a.status, a.body)
		}
	})
	t.Run("refuses a key that is none", func(t *testing.T) {
		t.Parallel()
		for _, key := range []string{strings.Repeat("k", 256), "schlüssel"} {
			a := b.raw(t, "POST", "/v1/tenants", b.operator, `{"name":"x"}`, keyHeader, key)
			if p := a.problem(t); a.status != 422 || p["where"] != keyHeader {
				t.Errorf("%d %s, want 422 at the header", a.status, a.body)
			}
		}
	})
	t.Run("keeps tenants' keys apart", func(t *testing.T) {
		t.Parallel()
		for _, name := range []string{"one", "two"} {
			_, secret := b.tenant(t, name)
			body := `{"name":"api","type":"bearer","hosts":["a.example"],"credential":{"token":"x"}}`
			if a := b.raw(t, "POST", "/v1/tenants/me/connections", secret, body, keyHeader, "same"); a.status != 201 {
				t.Errorf("%s: %d, want 201: %s", name, a.status, a.body)
			}
		}
	})
}

func TestIdempotencyKeyOfAnUpload(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	wasm := string(connector("typed", "1.0.0"))
	first := b.raw(t, "POST", "/v1/plugins", b.operator, wasm, keyHeader, "k", "Content-Type", "application/wasm")
	again := b.raw(t, "POST", "/v1/plugins", b.operator, wasm, keyHeader, "k", "Content-Type", "application/wasm")
	if first.status != 201 || again.status != 201 || string(first.body) != string(again.body) {
		t.Errorf("first %d %s, again %d %s", first.status, first.body, again.status, again.body)
	}
	if other := b.raw(t, "POST", "/v1/plugins?share=*", b.operator, wasm, keyHeader, "k", "Content-Type", "application/wasm"); other.status != 409 {
		t.Errorf("with another query: %d, want 409", other.status)
	}
}

// spy sees what is kept of answers.
type spy struct {
	store.Store

	mu   sync.Mutex
	kept []store.Answered
}

func (s *spy) Settle(ctx context.Context, k store.Key, a store.Answered) error {
	s.mu.Lock()
	s.kept = append(s.kept, a)
	s.mu.Unlock()
	return s.Store.Settle(ctx, k, a)
}

func TestSecretsAreShownOnce(t *testing.T) {
	t.Parallel()
	s := &spy{}
	b := setup(t, api.Options{}, func(inner store.Store) store.Store { s.Store = inner; return s })
	first := b.raw(t, "POST", "/v1/tokens", b.operator, `{"name":"ci"}`, keyHeader, "k")
	var made struct{ ID, Secret string }
	decode(t, first.body, &made)
	if first.status != 201 || made.Secret == "" {
		t.Fatalf("%d %s", first.status, first.body)
	}
	for _, a := range s.kept {
		if strings.Contains(string(a.Body), made.Secret) {
			t.Error("the secret was stored in the clear")
		}
	}
	again := b.raw(t, "POST", "/v1/tokens", b.operator, `{"name":"ci"}`, keyHeader, "k")
	p := again.problem(t)
	if again.status != 409 || p["code"] != "idempotency_secret_once" {
		t.Errorf("again: %d %s", again.status, again.body)
	}
	if details, _ := p["details"].(map[string]any); details["id"] != made.ID {
		t.Errorf("details = %v, want the token %s", p["details"], made.ID)
	}
}

func TestRequestInFlightIsAConflict(t *testing.T) {
	t.Parallel()
	g := &gate{entered: make(chan struct{}), open: make(chan struct{})}
	b := setup(t, api.Options{}, func(inner store.Store) store.Store { g.Store = inner; return g })
	first := make(chan int)
	go func() {
		first <- b.raw(t, "POST", "/v1/tenants", b.operator, `{"name":"slow"}`, keyHeader, "k").status
	}()
	<-g.entered
	if a := b.raw(t, "POST", "/v1/tenants", b.operator, `{"name":"slow"}`, keyHeader, "k"); a.status != http.StatusConflict {
		t.Errorf("second: %d, want 409: %s", a.status, a.body)
	}
	close(g.open)
	if got := <-first; got != 201 {
		t.Errorf("first: %d, want 201", got)
	}
}

// gate holds up the first tenant that is added.
type gate struct {
	store.Store
	entered, open chan struct{}
}

func (g *gate) InsertTenant(ctx context.Context, t tenant.Tenant) error {
	close(g.entered)
	<-g.open
	return g.Store.InsertTenant(ctx, t)
}

func TestPanicGivesTheKeyBack(t *testing.T) {
	t.Parallel()
	f := &flaky{}
	b := setup(t, api.Options{}, func(inner store.Store) store.Store { f.Store = inner; return f })
	if a := b.raw(t, "POST", "/v1/tenants", b.operator, `{"name":"acme"}`, keyHeader, "k"); a.status != 500 {
		t.Fatalf("%d, want 500", a.status)
	}
	if a := b.raw(t, "POST", "/v1/tenants", b.operator, `{"name":"acme"}`, keyHeader, "k"); a.status != 201 {
		t.Errorf("%d, want 201: %s", a.status, a.body)
	}
}

// flaky panics at the first tenant that is added.
type flaky struct {
	store.Store
	once sync.Once
}

func (f *flaky) InsertTenant(ctx context.Context, t tenant.Tenant) error {
	f.once.Do(func() { panic("broken") })
	return f.Store.InsertTenant(ctx, t)
}

func TestClientThatGoesLeavesItsAnswer(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]struct{ path, body string }{
		"what is made": {"/v1/tenants", `{"name":"slow"}`},
		"what is called": {
			"/v1/tenants/acme/installations/hello/actions/greet", `{}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, leave := context.WithCancel(t.Context())
			d := &deserted{leave: leave, settled: make(chan struct{}, 1)}
			b := setup(t, api.Options{}, func(inner store.Store) store.Store { d.Store = inner; return d })
			b.tenant(t, "acme")
			b.installed(t, "acme")
			d.armed.Store(true)
			r, err := http.NewRequestWithContext(client, http.MethodPost, b.url+call.path, strings.NewReader(call.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header = http.Header{"Authorization": {"Bearer " + b.operator}, "Content-Type": {"application/json"}, keyHeader: {"k"}}
			if a, err := http.DefaultClient.Do(r); err == nil { //nolint:bodyclose // There is none.
				t.Fatalf("got %d, and the client had gone", a.StatusCode)
			}
			<-d.settled
			again := b.raw(t, http.MethodPost, call.path, b.operator, call.body, keyHeader, "k")
			if again.status/100 != 2 || again.header.Get("Idempotency-Replayed") != "true" {
				t.Errorf("again: %d %v %s, want the first answer", again.status, again.header, again.body)
			}
		})
	}
}

// deserted has its client leave in the middle of the first effect, whose outcome
// is then unknown to a handler that leaves with it.
type deserted struct {
	store.Store
	armed   atomic.Bool
	leave   context.CancelFunc
	settled chan struct{}
}

func (d *deserted) InsertTenant(ctx context.Context, tn tenant.Tenant) error {
	return d.desert(ctx, d.Store.InsertTenant(context.WithoutCancel(ctx), tn))
}

func (d *deserted) Accept(ctx context.Context, e event.Event, w *event.Work) (event.Accepted, error) {
	a, err := d.Store.Accept(context.WithoutCancel(ctx), e, w)
	return a, d.desert(ctx, err)
}

func (d *deserted) Settle(ctx context.Context, k store.Key, a store.Answered) error {
	defer func() { d.settled <- struct{}{} }()
	return d.Store.Settle(ctx, k, a)
}

func (d *deserted) ReleaseKey(ctx context.Context, k store.Key) error {
	defer func() { d.settled <- struct{}{} }()
	return d.Store.ReleaseKey(ctx, k)
}

func (d *deserted) desert(ctx context.Context, err error) error {
	if !d.armed.Swap(false) {
		return err
	}
	d.leave()
	if gone := ctx.Done(); gone != nil {
		<-gone
		return ctx.Err()
	}
	return err
}
