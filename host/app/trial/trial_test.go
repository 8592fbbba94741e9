package trial_test

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/app"
	"github.com/cofferdam-run/cofferdam/host/app/trial"
	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider/providertest"
)

// way leads to an emulated server, with a certificate if one is shown.
type way struct {
	*http.Transport

	server *providertest.Server
}

func (w way) Showing(shown tls.Certificate) http.RoundTripper {
	t := w.server.Transport()
	t.TLSClientConfig.Certificates = []tls.Certificate{shown}
	return t
}

func load(t *testing.T) provider.Set {
	t.Helper()
	set, err := provider.Load()
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// named returns a provider of the test's own, to change.
func named(t *testing.T, name string) provider.Provider {
	t.Helper()
	p, err := load(t).Provider(name)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(p)
	if err == nil {
		p, err = provider.Parse(name, data)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func run(t *testing.T, p provider.Provider, change func(*trial.Config)) []trial.Check {
	t.Helper()
	server := providertest.Serve(t, p.Name)
	c := trial.Config{
		Transport: way{server.Transport(), server}, Provider: p, Variables: map[string]string{},
		App:    app.App{ClientID: server.ClientID, Grant: server.Grant, Scopes: server.Scopes, Variables: map[string]string{}},
		Secret: oauth.Secret{ClientSecret: server.ClientSecret}, RedirectURI: server.RedirectURI, Agree: server.Agree, Leave: server.Unplayed(), Now: time.Now,
	}
	if p.ClientCertificate {
		c.Secret.Certificate, c.Secret.PrivateKey = server.ClientCertificate()
	}
	for name, value := range server.Input {
		if p.Variables[name].Of == "app" {
			c.App.Variables[name] = value
		} else {
			c.Variables[name] = value
		}
	}
	if change != nil {
		change(&c)
	}
	checks, err := trial.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return checks
}

func TestWhatIsRightDiffersNowhere(t *testing.T) {
	t.Parallel()
	for _, p := range load(t).All() {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			tried := false
			for _, c := range run(t, p, nil) {
				tried = tried || c.Name == "access token"
				if c.Verdict == trial.Differs {
					t.Errorf("%s: %s", c.Name, c.Why)
				}
			}
			if !tried {
				t.Error("no authorization was tried")
			}
		})
	}
}

func TestWhatIsWrongIsNamed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		provider string
		change   func(p *provider.Provider)
		check    string
		why      string
	}{
		"another token endpoint":               {"google", func(p *provider.Provider) { p.TokenEndpoint += "x" }, "reach token_endpoint", "compare the address"},
		"another host":                         {"github", func(p *provider.Provider) { p.TokenEndpoint = "https://api.github.example/token" }, "reach token_endpoint", "does not answer"},
		"metadata of another issuer":           {"docuware", func(p *provider.Provider) { p.Issuer = "{identity_service}/x" }, "metadata", "cannot be read"},
		"another endpoint than the metadata's": {"wordpress", func(p *provider.Provider) { p.TokenEndpoint = "https://public-api.wordpress.com/x" }, "metadata token_endpoint", "and the descriptor https://public-api.wordpress.com/x"},
		"the secret elsewhere":                 {"notion", func(p *provider.Provider) { p.TokenAuth = "client_secret_post" }, "authorization", ""},
		"a lifetime in seconds":                {"clover", func(p *provider.Provider) { p.Response.ExpiresUnit = "s" }, "lifetime", "compare expires_unit"},
		"a lifetime elsewhere":                 {"google", func(p *provider.Provider) { p.Response.ExpiresIn = "/lifetime" }, "lifetime", "there is none at /lifetime"},
		"scopes separated otherwise":           {"github", func(p *provider.Provider) { p.Scopes.ResponseSeparator = ";" }, "scopes", "response_separator"},
		"no refresh token":                     {"dropbox", func(p *provider.Provider) { p.Parameters = provider.Parameters{} }, "authorization", ""},
		"rotation that is not said":            {"x", func(p *provider.Provider) { p.Refresh.Rotates = false }, "rotation", "rotates: true, and the descriptor says false"},
		"PKCE that is refused":                 {"linkedin", func(p *provider.Provider) { p.PKCE = "S256" }, "authorization", "PKCE"},
		"a variable that never comes": {"quickbooks", func(p *provider.Provider) {
			v := p.Variables["realm_id"]
			v.From = "callback:realmid"
			p.Variables["realm_id"] = v
		}, "variables that come", "realm_id"},
		"errors of its own":  {"twitch", func(p *provider.Provider) { p.Response.ErrorCodes, p.Response.Error = nil, "/error" }, "wrong code", "error_codes"},
		"another revocation": {"google", func(p *provider.Provider) { p.RevocationEndpoint += "x" }, "reach revocation_endpoint", "compare the address"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := named(t, tt.provider)
			tt.change(&p)
			checks := run(t, p, nil)
			for _, c := range checks {
				if c.Verdict == trial.Differs && c.Name == tt.check && strings.Contains(c.Why, tt.why) {
					return
				}
			}
			t.Errorf("no %q differs with %q: %+v", tt.check, tt.why, checks)
		})
	}
}

func TestWithoutCredentialsNobodyIsAsked(t *testing.T) {
	t.Parallel()
	checks := run(t, named(t, "github"), func(c *trial.Config) {
		c.App.ClientID, c.Secret = "", oauth.Secret{}
		c.Agree = nil
	})
	last := checks[len(checks)-1]
	if last.Name != "authorization" || last.Verdict != trial.Skipped {
		t.Errorf("got %+v", last)
	}
}

func TestAClockThatIsWrongIsNoticed(t *testing.T) {
	t.Parallel()
	checks := run(t, named(t, "github"), func(c *trial.Config) {
		c.Now = func() time.Time { return time.Now().Add(-10 * time.Minute) }
	})
	for _, c := range checks {
		if c.Name == "clock" && c.Verdict == trial.Differs && strings.Contains(c.Why, "m") {
			return
		}
	}
	t.Errorf("got %+v", checks)
}

func TestWhoSaysNo(t *testing.T) {
	t.Parallel()
	checks := run(t, named(t, "github"), func(c *trial.Config) {
		c.Agree = nil
		c.Variables = map[string]string{"shop": "x"}
	})
	if len(checks) != 1 || checks[0].Verdict != trial.Differs || checks[0].Name != "variables" {
		t.Errorf("got %+v", checks)
	}
}
