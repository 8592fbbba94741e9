package transit_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/keepertest"
	"github.com/cofferdam-run/cofferdam/host/vault/transit"
)

func tokenFile(t *testing.T, token string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func newEngine(derived bool) *engine {
	return &engine{token: token, keys: map[string]*key{"cofferdam": newKey(derived), "other": newKey(derived)}}
}

// serve starts an engine and returns how it is reached.
func serve(t *testing.T, e http.Handler) transit.Config {
	t.Helper()
	s := httptest.NewTLSServer(e)
	t.Cleanup(s.Close)
	return transit.Config{Address: s.URL, Key: "cofferdam", TokenFile: tokenFile(t, token+"\n"), Client: s.Client()}
}

func open(t *testing.T, c transit.Config) *transit.Keeper {
	t.Helper()
	k, err := transit.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeeper(t *testing.T) {
	t.Parallel()
	for name, derived := range map[string]bool{"derived": true, "one key for all": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := serve(t, newEngine(derived))
			other := c
			other.Key = "other"
			keepertest.Run(t, keepertest.Keepers{
				New:     func(t *testing.T) vault.Keeper { t.Helper(); return open(t, c) },
				Other:   func(t *testing.T) vault.Keeper { t.Helper(); return open(t, other) },
				Secrets: []string{token},
			})
		})
	}
}

func TestElsewhere(t *testing.T) {
	t.Parallel()
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, body, status) }
	}
	keepertest.RunElsewhere(t, keepertest.Elsewhere{
		Handler:   newEngine(true),
		Denied:    answer(403, `{"errors":["1 error occurred:\n\t* permission denied\n\n"]}`),
		Throttled: answer(429, `{"errors":["request path \"transit/decrypt/cofferdam\": rate limit quota exceeded"]}`),
		New: func(t *testing.T, s keepertest.Server) vault.Keeper {
			t.Helper()
			return open(t, transit.Config{
				Address: s.URL, Key: "cofferdam", TokenFile: tokenFile(t, token), Client: s.Client, Timeout: s.Timeout, After: s.After,
			})
		},
		Secrets: []string{token},
	})
}

func TestKeysHaveVersions(t *testing.T) {
	t.Parallel()
	e := newEngine(true)
	k := open(t, serve(t, e))
	wrapped, err := k.Wrap(t.Context(), "ten_a", []byte("key"))
	if err != nil || !strings.HasPrefix(string(wrapped), "vault:v1:") {
		t.Fatalf("got %s, %v", wrapped, err)
	}
	e.keys["cofferdam"].rotate()
	if got, err := k.Unwrap(t.Context(), "ten_a", wrapped); err != nil || string(got) != "key" {
		t.Errorf("an older version: got %q, %v", got, err)
	}
	anew, err := k.Rewrap(t.Context(), "ten_a", wrapped)
	if err != nil || !strings.HasPrefix(string(anew), "vault:v2:") {
		t.Fatalf("got %s, %v", anew, err)
	}
	e.keys["cofferdam"].oldest = 2
	if got, err := k.Unwrap(t.Context(), "ten_a", anew); err != nil || string(got) != "key" {
		t.Errorf("got %q, %v", got, err)
	}
	// That the engine does not want to is no word about the bytes.
	_, err = k.Unwrap(t.Context(), "ten_a", wrapped)
	if f := fault.From(err); f == nil || f.Code != fault.CodeKeeperRefused || !strings.Contains(err.Error(), "too old") {
		t.Errorf("got %v", err)
	}
}

func TestTheTokenIsReadAnew(t *testing.T) {
	t.Parallel()
	e := newEngine(true)
	c := serve(t, e)
	k := open(t, c)
	if _, err := k.Wrap(t.Context(), "ten_a", []byte("key")); err != nil {
		t.Fatal(err)
	}
	e.token = "hvs.another"
	_, err := k.Wrap(t.Context(), "ten_a", []byte("key"))
	if f := fault.From(err); f == nil || f.Code != fault.CodeKeeperRefused || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(c.TokenFile, []byte("hvs.another"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Wrap(t.Context(), "ten_a", []byte("key")); err != nil {
		t.Errorf("with the new token: %v", err)
	}
	for name, content := range map[string]string{"empty": "\n", "two lines": "a\nb", "with a control character": "a\x00", "huge": strings.Repeat("a", 1<<20)} {
		if err := os.WriteFile(c.TokenFile, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := k.Wrap(t.Context(), "ten_a", []byte("key"))
		if f := fault.From(err); f == nil || f.Code != fault.CodeKeeperRefused || !strings.Contains(err.Error(), c.TokenFile) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := os.Remove(c.TokenFile); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Wrap(t.Context(), "ten_a", []byte("key")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a file: got %v", err)
	}
}

func TestNamespacesAndMounts(t *testing.T) {
	t.Parallel()
	e := newEngine(true)
	e.namespace = "team/a"
	c := serve(t, e)
	c.Namespace = "team/a"
	k := open(t, c)
	if _, err := k.Wrap(t.Context(), "ten_a", []byte("key")); err != nil {
		t.Error(err)
	}
	if got, want := k.KeyID(), "transit:team/a/transit/cofferdam"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	c.Mount = "elsewhere"
	_, err := open(t, c).Wrap(t.Context(), "ten_a", []byte("key"))
	if f := fault.From(err); f == nil || f.Code != fault.CodeKeeperRefused || !strings.Contains(err.Error(), "no handler") {
		t.Errorf("got %v", err)
	}
}

func TestAKeyThatThereIsNot(t *testing.T) {
	t.Parallel()
	c := serve(t, newEngine(true))
	c.Key = "none"
	k := open(t, c)
	for _, err := range []error{
		second(k.Wrap(t.Context(), "ten_a", []byte("key"))), second(k.Unwrap(t.Context(), "ten_a", []byte("vault:v1:AAAA"))),
	} {
		if f := fault.From(err); f == nil || f.Code != fault.CodeKeeperRefused || !strings.Contains(err.Error(), "not found") {
			t.Errorf("got %v", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	good := transit.Config{Address: "https://vault:8200", Key: "cofferdam", TokenFile: "token"}
	for name, change := range map[string]func(*transit.Config){
		"no address":                  func(c *transit.Config) { c.Address = "" },
		"an address without a scheme": func(c *transit.Config) { c.Address = "vault:8200" },
		"plain http elsewhere":        func(c *transit.Config) { c.Address = "http://vault:8200" },
		"plain http that looks local": func(c *transit.Config) { c.Address = "http://127.0.0.1.example.com" },
		"another scheme":              func(c *transit.Config) { c.Address = "file:///vault" },
		"a password":                  func(c *transit.Config) { c.Address = "https://a:b@vault" },
		"no key":                      func(c *transit.Config) { c.Key = "" },
		"a key with a question":       func(c *transit.Config) { c.Key = "a?b" },
		"a key that goes up":          func(c *transit.Config) { c.Key = "a/../b" },
		"a mount that goes up":        func(c *transit.Config) { c.Mount = ".." },
		"no token file":               func(c *transit.Config) { c.TokenFile = "" },
	} {
		c := good
		change(&c)
		if _, err := transit.New(c); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
	for _, address := range []string{good.Address, "http://127.0.0.1:8200", "http://localhost:8200", "http://[::1]:8200/"} {
		c := good
		c.Address = address
		if _, err := transit.New(c); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}
