package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/api/apitest"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/token"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// bundle is a server with a host on SQLite whose workers run.
type bundle struct {
	h   *host.Host
	srv *httptest.Server
	url string
	// operator is an operator's token.
	operator string
	// c is a client with the operator's token, held to the document.
	c *apitest.Client
	// log is what the server logged.
	log *buffer
	// requests counts those of raw.
	requests atomic.Int64
}

// setup starts a server. wrap changes the store that the host sees.
func setup(t *testing.T, o api.Options, wrap ...func(store.Store) store.Store) *bundle {
	t.Helper()
	return setupHost(t, o, func(c *host.Config) {
		for _, w := range wrap {
			c.Store = w(c.Store)
		}
	})
}

// setupHost starts a server whose host is configured otherwise.
func setupHost(t *testing.T, o api.Options, change func(*host.Config)) *bundle {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	key, err := keyfile.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{log: &buffer{}}
	if o.TrustedProxies == nil {
		o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}
	o.Logger = slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c := host.Config{Store: db, Keeper: key, Logger: slog.New(slog.DiscardHandler), CacheDir: runtimetest.CacheDir(t)}
	c.Audit = auditKey(t)
	change(&c)
	b.h, err = host.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	run(t, b.h)
	b.operator, err = b.h.Tokens.Bootstrap(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(api.Handler(b.h, o))
	t.Cleanup(srv.Close)
	b.srv, b.url = srv, srv.URL
	doc, _ := document(t)
	if b.c, err = apitest.New(doc, srv.URL, b.operator); err != nil {
		t.Fatal(err)
	}
	return b
}

// run runs the host's workers until the test ends.
func run(t *testing.T, h *host.Host) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		if err := h.Close(context.WithoutCancel(ctx)); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

// do makes a request that the document declares and that must be answered so.
func (b *bundle) do(t *testing.T, want int, operation string, params map[string]any, body any) map[string]any {
	t.Helper()
	return do(t, b.c, want, operation, params, body)
}

func do(t *testing.T, c *apitest.Client, want int, operation string, params map[string]any, body any) map[string]any {
	t.Helper()
	got, raw, err := c.Do(t.Context(), operation, params, body)
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Fatalf("%s: status %d, want %d: %s", operation, got, want, raw)
	}
	var m map[string]any
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &m); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// answer is a response to a request that no document holds back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// problem is the answer as a problem.
func (a answer) problem(t *testing.T) map[string]any {
	t.Helper()
	if got, want := a.header.Get("Content-Type"), "application/problem+json"; got != want {
		t.Errorf("content type %q, want %q: %s", got, want, a.body)
	}
	var m map[string]any
	if err := json.Unmarshal(a.body, &m); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	if m["status"] != float64(a.status) || m["code"] == "" || m["title"] == "" {
		t.Errorf("it is no problem of status %d: %s", a.status, a.body)
	}
	return m
}

// raw makes a request as it is.
func (b *bundle) raw(t *testing.T, method, path, secret, body string, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, b.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if secret != "" {
		req.Header.Set("Authorization", "Bearer "+secret)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	// Each request is of somebody else: nobody is held up for what others try.
	n := b.requests.Add(1)
	req.Header.Set("X-Forwarded-For", fmt.Sprintf("10.%d.%d.%d", n>>16&255, n>>8&255, n&255))
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return send(t, req)
}

func send(t *testing.T, req *http.Request) answer {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		// It has no end.
		return a
	}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	return a
}

// tenant adds a tenant and returns its id and a token of it.
func (b *bundle) tenant(t *testing.T, name string) (id, secret string) {
	t.Helper()
	id = b.do(t, 201, "createTenant", nil, map[string]any{"name": name})["id"].(string)
	return id, b.token(t, id, token.Admin)
}

func (b *bundle) token(t *testing.T, tenant string, scopes ...token.Scope) string {
	t.Helper()
	_, secret, err := b.h.Tokens.Mint(t.Context(), token.Spec{Name: "test", Tenant: tenant, Scopes: scopes})
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// connector is a typed connector with one of everything, whose answers are
// always the same.
func connector(name, version string) []byte {
	return runtimetest.Outputs(map[string]string{
		"describe": fmt.Sprintf(`{"name":%q,"version":%q,"title":"A connector for tests","test":true,
			"config":{"type":"object","properties":{"label":{"type":"string"}},"additionalProperties":false},
			"actions":[{"name":"greet","input":{"type":"object"},"output":{}}],
			"webhooks":[{"name":"issues","scheme":"github"}],
			"polls":[{"name":"news","every":"5m"}],
			"connections":[{"name":"github","type":"bearer","hosts":["api.github.com"]}],
			"egress":[{"host":"api.github.com","methods":["GET"]}]}`, name, version),
		"action":  `{"greeting":"hello"}`,
		"webhook": `{"seen":true}`,
		"poll":    `{"records":[],"cursor":null,"more":false}`,
		"test":    `{"ok":true}`,
	})
}

// publish publishes a module with a token.
func (b *bundle) publish(t *testing.T, secret string, wasm []byte, query url.Values) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"/v1/plugins?"+query.Encode(), bytes.NewReader(wasm))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	req.Header.Set("Content-Type", "application/wasm")
	return send(t, req)
}

// installed publishes the connector for everyone and installs it for a tenant.
func (b *bundle) installed(t *testing.T, tenant string) string {
	t.Helper()
	if a := b.publish(t, b.operator, connector("hello", "0.1.0"), nil); a.status != 201 {
		t.Fatalf("publish: %d %s", a.status, a.body)
	}
	return b.do(t, 201, "createInstallation", map[string]any{"tenant": tenant}, map[string]any{"plugin": "hello"})["id"].(string)
}

// buffer collects what several goroutines write.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// serve asks a handler that does not listen.
func serve(t *testing.T, h http.Handler, path, secret string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	req.Header.Set("Authorization", "Bearer "+secret)
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return rec
}
