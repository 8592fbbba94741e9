package connection_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

func request(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestApplyAddsTheCredential(t *testing.T) {
	t.Parallel()
	const host = "api.example.com"
	tests := []struct {
		name    string
		spec    connection.Spec
		url     string
		header  http.Header // What the guest set.
		want    http.Header
		query   string
		secrets []string
	}{
		{
			name: "bearer",
			spec: connection.Spec{Type: connection.Bearer, Credential: connection.Credential{Token: "t0ken"}},
			want: http.Header{"Authorization": {"Bearer t0ken"}}, secrets: []string{"t0ken"},
		},
		{
			name: "basic",
			spec: connection.Spec{Type: connection.Basic, Credential: connection.Credential{Username: "Aladdin", Password: "open sesame"}},
			// The pair of https://www.rfc-editor.org/rfc/rfc7617#section-2.
			want:    http.Header{"Authorization": {"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}},
			secrets: []string{"open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="},
		},
		{
			name:    "basic without a password",
			spec:    connection.Spec{Type: connection.Basic, Credential: connection.Credential{Username: "sk_live"}},
			want:    http.Header{"Authorization": {"Basic c2tfbGl2ZTo="}},
			secrets: []string{"sk_live", "c2tfbGl2ZTo="},
		},
		{
			name: "a key in a header, over what the guest wrote",
			spec: connection.Spec{Type: connection.APIKey, Header: "x-api-key", Credential: connection.Credential{Key: "k"}},
			header: http.Header{
				"X-Api-Key": {"a", "b"}, "x-API-key": {"c"}, "Accept": {"*/*"},
			},
			want: http.Header{"X-Api-Key": {"k"}, "Accept": {"*/*"}}, secrets: []string{"k"},
		},
		{
			name: "a key in the query, over what the guest wrote",
			spec: connection.Spec{Type: connection.APIKey, Query: "key", Credential: connection.Credential{Key: "a&b=c"}},
			url:  "https://" + host + "/?b=2&key=x&a=%31&k%65y=y&c", query: "b=2&a=%31&c&key=a%26b%3Dc",
			want: http.Header{}, secrets: []string{"a&b=c", "a%26b%3Dc"},
		},
		{
			name: "a key in an empty query",
			spec: connection.Spec{Type: connection.APIKey, Query: "key", Credential: connection.Credential{Key: "k"}},
			want: http.Header{}, query: "key=k", secrets: []string{"k", "k"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			tt.spec.Name, tt.spec.Hosts = "vendor", []string{host}
			c := b.create(t, tt.spec)
			if tt.url == "" {
				tt.url = "https://" + host + "/"
			}
			r := request(t, tt.url)
			maps.Copy(r.Header, tt.header)
			before := r.URL
			secrets, err := b.connections.For(tenant, map[string]string{"main": c.ID}).Apply(t.Context(), "main", r)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, r.Header); diff != "" {
				t.Errorf("header: -want +got:\n%s", diff)
			}
			if got := r.URL.RawQuery; got != tt.query {
				t.Errorf("query: got %s, want %s", got, tt.query)
			}
			if diff := cmp.Diff(tt.secrets, secrets); diff != "" {
				t.Errorf("secrets: -want +got:\n%s", diff)
			}
			if before.String() != tt.url {
				t.Errorf("the caller's URL changed to %s", before)
			}
		})
	}
}

func TestApplySendsToTheConnectionsHostsOnly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	spec := bearer()
	spec.Hosts = []string{"api.example.com", "*.example.org", "127.0.0.1:8081"}
	granted := map[string]string{"github": b.create(t, spec).ID}
	tests := map[string]bool{
		"https://api.example.com/x":          true,
		"https://API.EXAMPLE.com:443/x":      true,
		"https://a.b.example.org/":           true,
		"http://127.0.0.1:8081/":             true,
		"https://api.example.com:8443/":      false,
		"http://api.example.com/":            false,
		"https://example.org/":               false,
		"https://evilexample.org/":           false,
		"https://api.example.com.evil.net/":  false,
		"https://evil.net/api.example.com":   false,
		"https://evil.net#@api.example.com/": false,
		"https://api.example.com@evil.net/":  false,
		"http://127.0.0.1:8082/":             false,
		"http://127.0.0.1/":                  false,
	}
	for url, want := range tests {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			r := request(t, url)
			secrets, err := b.connections.For(tenant, granted).Apply(t.Context(), "github", r)
			if want != (err == nil) || !want && !errors.Is(err, egress.ErrHostNotAllowed) {
				t.Errorf("got %v, want success %t", err, want)
			}
			if sent := r.Header.Get("Authorization") != ""; sent != want || (secrets != nil) != want {
				t.Errorf("the credential was added: %t, want %t", sent, want)
			}
		})
	}
	t.Run("a Host header of another site", func(t *testing.T) {
		t.Parallel()
		r := request(t, "https://api.example.com/")
		r.Host = "evil.example.com"
		if _, err := b.connections.For(tenant, granted).Apply(t.Context(), "github", r); !errors.Is(err, egress.ErrHostNotAllowed) {
			t.Errorf("got %v, want ErrHostNotAllowed", err)
		}
	})
}

func TestApplyRefusesWhatIsNotGranted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	mine := b.create(t, bearer())
	others, err := b.connections.Create(t.Context(), "ten_b", bearer())
	if err != nil {
		t.Fatal(err)
	}
	granted := map[string]string{"mine": mine.ID, "others": others.ID, "gone": "con_gone"}
	credentials := b.connections.For(tenant, granted)
	granted["late"] = mine.ID // What was granted does not change afterwards.
	for name, want := range map[string]string{
		"slack":  `grant a connection named "slack"`,
		"late":   `grant a connection named "late"`,
		"gone":   "was deleted",
		"others": "was deleted", // Another tenant's looks like none.
	} {
		r := request(t, "https://api.github.com/")
		_, err := credentials.Apply(t.Context(), name, r)
		if !errors.Is(err, egress.ErrNoConnection) || !strings.Contains(err.Error(), want) || len(r.Header) != 0 {
			t.Errorf("%s: got %v, want ErrNoConnection with %q", name, err, want)
		}
	}
	if _, err := credentials.Apply(t.Context(), "mine", request(t, "https://api.github.com/")); err != nil {
		t.Error(err)
	}
	accounts, ok := credentials.(egress.Accounts)
	if !ok || accounts.Account("mine") != mine.ID || accounts.Account("late") != "" {
		t.Errorf("the accounts behind the names are not the connections that were granted")
	}
}

func TestApplyUsesWhatWasReplaced(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.create(t, bearer())
	credentials := b.connections.For(tenant, map[string]string{"github": c.ID})
	apply := func() string {
		r := request(t, "https://api.github.com/")
		if _, err := credentials.Apply(t.Context(), "github", r); err != nil {
			t.Error(err)
		}
		return r.Header.Get("Authorization")
	}
	if got, want := apply(), "Bearer ghp_hunter2"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := b.connections.Replace(t.Context(), tenant, c.ID, connection.Credential{Token: "new"}); err != nil {
		t.Fatal(err)
	}
	if got, want := apply(), "Bearer new"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestCredentialIsNotPrinted(t *testing.T) {
	t.Parallel()
	secret := connection.Credential{Token: "hunter2", Username: "hunter2", Password: "hunter2", Key: "hunter2"}
	spec := bearer()
	spec.Credential = secret
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%t"} {
		for _, v := range []any{secret, &secret, spec, &spec, []connection.Credential{secret}, map[string]any{"c": secret}, fmt.Errorf("x %v", secret)} {
			if got := fmt.Sprintf(verb, v); strings.Contains(got, "hunter2") || strings.Contains(got, "68756e746572") {
				t.Errorf("%s of %T prints %s", verb, v, got)
			}
		}
	}
	if got := secret.String(); got != "[redacted]" {
		t.Errorf("got %s", got)
	}
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
		slog.New(h).LogAttrs(t.Context(), slog.LevelInfo, "x", slog.Any("credential", secret), slog.Any("spec", spec))
	}
	if got := log.String(); strings.Contains(got, "hunter2") || !strings.Contains(got, "[redacted]") {
		t.Errorf("the log has %s", got)
	}
}
