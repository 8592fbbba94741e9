package login_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/login"
	"github.com/cofferdam-run/cofferdam/host/login/logintest"
	"github.com/cofferdam-run/cofferdam/host/token"
)

type testBundle struct {
	*login.Login
	provider *logintest.Provider
	now      time.Time
}

func setup(t *testing.T) *testBundle {
	t.Helper()
	p, err := logintest.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	b := &testBundle{provider: p, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	b.Login, err = login.New(login.Config{
		Issuer: p.URL, Audience: "cofferdam", Now: func() time.Time { return b.now },
		Grants: []login.Grant{
			{Claim: "groups", Value: "platform", Role: token.Operator},
			{Claim: "realm_access.roles", Value: "publish", Role: token.Publisher},
			{Claim: "https://example.com/team", Value: "support", Role: token.OperatorViewer},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *testBundle) token(t *testing.T, claims map[string]any) string {
	t.Helper()
	raw, err := b.provider.Token(b.now, claims)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestClaimsGiveRoles(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tests := []struct {
		name   string
		claims map[string]any
		want   []token.Role
	}{
		{"a value in a list", map[string]any{"groups": []string{"all", "platform"}}, []token.Role{token.Operator}},
		{"a text", map[string]any{"groups": "platform"}, []token.Role{token.Operator}},
		{"a path", map[string]any{"realm_access": map[string]any{"roles": []string{"publish"}}}, []token.Role{token.Publisher}},
		{"a name with dots", map[string]any{"https://example.com/team": "support"}, []token.Role{token.OperatorViewer}},
		{
			"several",
			map[string]any{"https://example.com/team": "support", "realm_access": map[string]any{"roles": []string{"publish"}}},
			[]token.Role{token.OperatorViewer, token.Publisher},
		},
		{"another value", map[string]any{"groups": []string{"platforms", "PLATFORM", "plat"}}, nil},
		{"a value within a text", map[string]any{"groups": "all platform"}, nil},
		{"other types", map[string]any{"groups": map[string]any{"platform": true}, "realm_access": []string{"publish"}}, nil},
		{"none", nil, nil},
	}
	for _, tt := range tests {
		claims := map[string]any{"sub": "user-1", "aud": "cofferdam", "email": "ada@example.com"}
		maps.Copy(claims, tt.claims)
		got, err := b.Verify(t.Context(), b.token(t, claims))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if diff := cmp.Diff(tt.want, got.Roles()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		if got.ID != "login:user-1" || got.Name != "ada@example.com" || got.Kind != token.Login || got.Tenant != "" || !got.ExpiresAt.Equal(b.now.Add(time.Hour)) {
			t.Errorf("%s: got %+v", tt.name, got)
		}
	}
	if n := b.provider.Requests("/keys"); n != 1 {
		t.Errorf("the keys were fetched %d times, want once", n)
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	good := map[string]any{"sub": "user-1", "aud": "cofferdam", "groups": "platform"}
	with := func(name string, v any) map[string]any {
		claims := map[string]any{name: v}
		for k, v := range good {
			if _, ok := claims[k]; !ok {
				claims[k] = v
			}
		}
		return claims
	}
	valid := b.token(t, good)
	if _, err := b.Verify(t.Context(), valid); err != nil {
		t.Fatal(err)
	}
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	forge := func(header map[string]any) string {
		raw, err := logintest.Sign(stranger, header, map[string]any{
			"iss": b.provider.URL, "sub": "user-1", "aud": "cofferdam", "groups": "platform", "exp": b.now.Add(time.Hour).Unix(),
		})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	parts := strings.Split(valid, ".")
	none, _ := json.Marshal(map[string]string{"alg": "none"})
	tests := map[string]string{
		"for another audience":     b.token(t, with("aud", "somebody-else")),
		"for several others":       b.token(t, with("aud", []string{"a", "b"})),
		"for nobody":               b.token(t, with("aud", []string{})),
		"of another issuer":        b.token(t, with("iss", "https://id.example.com")),
		"of the issuer with /":     b.token(t, with("iss", b.provider.URL+"/")),
		"expired":                  b.token(t, with("exp", b.now.Unix()-1)),
		"not yet valid":            b.token(t, with("nbf", b.now.Add(time.Hour).Unix())),
		"without an expiry":        b.token(t, with("exp", 0)),
		"signed by a stranger":     forge(map[string]any{"alg": "ES256", "kid": "1"}),
		"with a key that is none":  forge(map[string]any{"alg": "ES256", "kid": "77"}),
		"with a symmetric alg":     forge(map[string]any{"alg": "HS256", "kid": "1"}),
		"with another alg":         forge(map[string]any{"alg": "RS256", "kid": "1"}),
		"with its own key":         forge(map[string]any{"alg": "ES256", "jwk": map[string]string{"kty": "EC"}}),
		"with a key from anywhere": forge(map[string]any{"alg": "ES256", "jku": "https://evil.example/keys"}),
		"unsigned":                 base64.RawURLEncoding.EncodeToString(none) + "." + parts[1] + ".",
		"without a signature":      parts[0] + "." + parts[1] + ".",
		"with another payload":     parts[0] + "." + strings.Split(b.token(t, with("sub", "root")), ".")[1] + "." + parts[2],
		"two parts":                parts[0] + "." + parts[1],
		"nothing":                  "", "dots": "..", "garbage": "a.b.c",
	}
	for name, raw := range tests {
		got, err := b.Verify(t.Context(), raw)
		var f *fault.Error
		if !errors.As(err, &f) || f.Class != fault.Auth || f.Message != "the login is not valid" {
			t.Errorf("%s: got %+v, %v; want the same refusal for all", name, got, err)
		}
	}
}

func TestKeysThatAreReplacedAreFetched(t *testing.T) {
	t.Parallel()
	b := setup(t)
	claims := map[string]any{"sub": "user-1", "aud": "cofferdam"}
	before := b.token(t, claims)
	for range 3 {
		if _, err := b.Verify(t.Context(), before); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.provider.Rotate(); err != nil {
		t.Fatal(err)
	}
	for _, raw := range []string{b.token(t, claims), before} {
		if _, err := b.Verify(t.Context(), raw); err != nil {
			t.Error(err)
		}
	}
	if n := b.provider.Requests("/keys"); n != 2 {
		t.Errorf("the keys were fetched %d times, want twice", n)
	}
}

func TestAProviderThatIsDownIsAskedNowAndThen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	raw := b.token(t, map[string]any{"sub": "user-1", "aud": "cofferdam"})
	b.provider.SetDown(true)
	for range 10 {
		_, err := b.Verify(t.Context(), raw)
		var f *fault.Error
		if !errors.As(err, &f) || f.Code != fault.CodeLoginUnavailable || fault.Status(f) != 503 || f.RetryAfter <= 0 {
			t.Fatalf("got %v, want to be told when to try again", err)
		}
	}
	if n := b.provider.Requests("/.well-known/openid-configuration"); n != 1 {
		t.Errorf("it was asked %d times, want once in 5 s", n)
	}
	b.provider.SetDown(false)
	b.now = b.now.Add(5 * time.Second)
	if _, err := b.Verify(t.Context(), raw); err != nil {
		t.Errorf("got %v once it is up", err)
	}
	b.provider.SetDown(true)
	if _, err := b.Verify(t.Context(), raw); err != nil {
		t.Errorf("got %v: who it is, and its keys, are known", err)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	grants := []login.Grant{{Claim: "groups", Value: "platform", Role: token.Operator}}
	tests := map[string]struct {
		give login.Config
		want string
	}{
		"no issuer":      {login.Config{Audience: "a", Grants: grants}, "Issuer is not a URL"},
		"plain http":     {login.Config{Issuer: "http://id.example.com", Audience: "a", Grants: grants}, "must be https"},
		"no audience":    {login.Config{Issuer: "https://id.example.com", Grants: grants}, "Audience is empty"},
		"no grants":      {login.Config{Issuer: "https://id.example.com", Audience: "a"}, "nobody would have a role"},
		"a tenant role":  {login.Config{Issuer: "https://id.example.com", Audience: "a", Grants: []login.Grant{{"a", "b", token.TenantAdmin}}}, "Grants[0]"},
		"an unknown one": {login.Config{Issuer: "https://id.example.com", Audience: "a", Grants: slices.Concat(grants, []login.Grant{{"a", "b", "root"}})}, "Grants[1]"},
		"an empty value": {login.Config{Issuer: "https://id.example.com", Audience: "a", Grants: []login.Grant{{"a", "", token.Operator}}}, "Grants[0]"},
	}
	for name, tt := range tests {
		if _, err := login.New(tt.give); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
	if _, err := login.New(login.Config{Issuer: "http://[::1]:1", Audience: "a", Grants: grants}); err != nil {
		t.Errorf("on the loopback: %v", err)
	}
}
