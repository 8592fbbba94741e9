// Package trial checks a provider's descriptor against its server, live or emulated, and
// says what differs.
//
//	checks := trial.Run(ctx, trial.Config{Client: client, Transport: guarded, Provider: p, ...})
//
// Without credentials it looks at what anybody can see: whether endpoints answer over TLS,
// what the issuer's metadata has, and how the token endpoint refuses a code that is none.
// With an app's and somebody who agrees it goes through a whole authorization: each field
// of the token's answer, the lookups, a refresh, and a revocation at its end.
package trial

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cofferdam-run/cofferdam/host/app"
	"github.com/cofferdam-run/cofferdam/host/authorization"
	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
)

// Verdict is what a check has come to.
type Verdict string

// The verdicts.
const (
	OK      Verdict = "ok"
	Differs Verdict = "differs"
	Skipped Verdict = "not checked"
)

// Check is one thing that was looked at.
type Check struct {
	Name    string  `json:"name"`
	Verdict Verdict `json:"verdict"`
	// Why says what was found, and of what differs what to do.
	Why string `json:"why,omitempty"`
}

// Config configures Run.
type Config struct {
	// Transport makes all requests.
	Transport http.RoundTripper
	// Provider is what is checked, with these values of its variables.
	Provider  provider.Provider
	Variables map[string]string
	// App and Secret are those of a client. Without a ClientID none is there, and nothing
	// is checked that needs one.
	App    app.App
	Secret oauth.Secret
	// RedirectURI is one that the client has registered.
	RedirectURI string
	// Agree sends somebody to an address, and returns what the callback is called with.
	// Defaults to nobody.
	Agree func(ctx context.Context, authorizationURL string) (url.Values, error)
	// Leave names endpoints that are not looked at, such as revocation_endpoint.
	Leave []string
	Now   func() time.Time
}

// trial is one that runs.
type trial struct {
	c      Config
	client *oauth.Client
	checks []Check
	r      authorization.Registered
}

// stranger is the client of a trial without credentials.
const stranger = "cofferdam-provider-test"

// Run checks, in the order in which a connection meets things.
func Run(ctx context.Context, c Config) ([]Check, error) {
	client, err := oauth.New(oauth.Config{Transport: c.Transport, Flows: &flows{}, Now: c.Now, Loopback: strings.HasPrefix(c.RedirectURI, "http://")})
	if err != nil {
		return nil, err
	}
	known := c.App.ClientID != ""
	if !known {
		c.App.ClientID, c.Agree = stranger, nil
		c.Secret = oauth.Secret{ClientSecret: stranger}
	}
	if c.App.Grant == "" {
		c.App.Grant = c.Provider.Grant[0]
	}
	t := &trial{c: c, client: client}
	if err := t.join(c.Variables); err != nil {
		t.differs("variables", "%v", err)
		return t.checks, nil
	}
	t.ok("variables", "filled in: %s", names(t.r.Provider.Values))
	t.metadata(ctx)
	t.reachable(ctx)
	t.refusal(ctx)
	if !known || c.Agree == nil && c.App.Grant == "authorization_code" {
		t.skip("authorization", "it needs a client id, its secret, and somebody who agrees")
		return t.checks, nil
	}
	t.authorize(ctx)
	return t.checks, nil
}

func (t *trial) say(v Verdict, name, format string, args ...any) {
	t.checks = append(t.checks, Check{Name: name, Verdict: v, Why: fmt.Sprintf(format, args...)})
}
func (t *trial) ok(name, format string, args ...any)      { t.say(OK, name, format, args...) }
func (t *trial) differs(name, format string, args ...any) { t.say(Differs, name, format, args...) }
func (t *trial) skip(name, format string, args ...any)    { t.say(Skipped, name, format, args...) }

// check is ok, or else what differs.
func (t *trial) check(holds bool, name, is, isNot string) {
	if holds {
		t.ok(name, "%s", is)
		return
	}
	t.differs(name, "%s", isNot)
}

// join fills values in.
func (t *trial) join(values map[string]string) error {
	r, at, err := app.Join(t.c.Provider, values, t.c.App, t.c.Secret, t.c.RedirectURI)
	t.r = authorization.Registered{Registration: r, Provider: at}
	return err
}

func (t *trial) resolve(ctx context.Context, values map[string]string) (authorization.Registered, error) {
	if err := t.join(values); err != nil {
		return authorization.Registered{}, err
	}
	r, err := app.Discover(ctx, t.client, t.r.Registration, t.c.App.Grant)
	t.r.Registration = r
	return t.r, err
}

// metadata compares what the issuer says with the descriptor.
func (t *trial) metadata(ctx context.Context) {
	issuer := t.r.Endpoints.Issuer
	if issuer == "" {
		t.skip("metadata", "the descriptor names no issuer")
		return
	}
	m, err := t.client.Discover(ctx, issuer)
	if err != nil {
		lacks := t.r.Endpoints.Token == ""
		t.check(!lacks, "metadata", fmt.Sprintf("none that can be read (%s); the descriptor does without", brief(err)), fmt.Sprintf("the issuer's cannot be read, and the descriptor has no endpoints: %s", brief(err)))
		return
	}
	said, own := m.Endpoints, t.r.Endpoints
	for _, e := range []struct{ name, own, said string }{
		{"authorization_endpoint", own.Authorization, said.Authorization},
		{"token_endpoint", own.Token, said.Token},
		{"revocation_endpoint", own.Revocation, said.Revocation},
		{"introspection_endpoint", own.Introspection, said.Introspection},
		{"device_authorization_endpoint", own.DeviceAuthorization, said.DeviceAuthorization},
	} {
		switch {
		case e.own == e.said || e.own == "":
			t.ok("metadata "+e.name, "%s", either(e.said, "neither has one"))
		case e.said == "":
			t.skip("metadata "+e.name, "the metadata has none, and the descriptor has %s", e.own)
		default:
			t.differs("metadata "+e.name, "the metadata has %s, and the descriptor %s", e.said, e.own)
		}
	}
	t.methods(m)
	t.r.Registration = t.r.Discovered(m)
}

// methods compares PKCE and how the client proves itself.
func (t *trial) methods(m oauth.Metadata) {
	p := t.c.Provider
	if methods := m.Endpoints.PKCEMethods; methods != nil {
		has := slices.Contains(methods, "S256")
		t.check(has == (p.PKCE != "none"), "metadata pkce", fmt.Sprintf("the metadata has %v, and the descriptor %s", methods, p.PKCE),
			fmt.Sprintf("the metadata has %v, and the descriptor says %s: write %s", methods, p.PKCE, map[bool]string{true: "S256 or required", false: "none"}[has]))
	}
	if m.TokenAuth != nil {
		own := strings.TrimSuffix(p.TokenAuth, "_raw")
		t.check(slices.Contains(m.TokenAuth, own), "metadata token_endpoint_auth_method", own, fmt.Sprintf("the metadata has %v, and the descriptor %s", m.TokenAuth, own))
	}
}

// reachable asks each endpoint for nothing, over TLS.
func (t *trial) reachable(ctx context.Context) {
	e := t.r.Endpoints
	asked := map[string]bool{}
	for _, to := range []struct{ name, method, at string }{
		{"authorization_endpoint", http.MethodGet, e.Authorization},
		{"token_endpoint", t.r.Wire.Method, e.Token},
		{"refresh_endpoint", t.r.Wire.RefreshMethod, e.Refresh},
		{"revocation_endpoint", http.MethodPost, e.Revocation},
		{"introspection_endpoint", http.MethodPost, e.Introspection},
		{"device_authorization_endpoint", http.MethodPost, e.DeviceAuthorization},
	} {
		switch {
		case to.at == "" && to.name == "token_endpoint":
			t.skip("reach "+to.name, "the callback says where it is")
		case to.at == "" || asked[to.at] || slices.Contains(t.c.Leave, to.name):
		default:
			asked[to.at] = true
			t.reach(ctx, to.name, to.method, to.at)
		}
	}
}

func (t *trial) reach(ctx context.Context, name, method, at string) {
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, at, http.NoBody)
	if err != nil {
		t.differs("reach "+name, "%s is no address", at)
		return
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	sent := t.c.Now()
	resp, err := t.c.Transport.RoundTrip(r)
	if err != nil {
		t.differs("reach "+name, "%s does not answer: %v", at, err)
		return
	}
	_ = resp.Body.Close() // Nobody reads it.
	switch {
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone:
		t.differs("reach "+name, "%s answers %s: compare the address with the vendor's page", at, resp.Status)
	case resp.StatusCode/100 == 3 && name != "authorization_endpoint":
		t.differs("reach "+name, "%s redirects to %s: no secret follows there; write that address, if it is the vendor's", at, host(resp.Header.Get("Location")))
	default:
		t.ok("reach "+name, "%s answers %s", at, resp.Status)
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil && name == "token_endpoint" {
		skew := date.Sub(sent).Round(time.Second)
		t.check(skew.Abs() < skewMost, "clock", fmt.Sprintf("the server's is %s ahead", skew), fmt.Sprintf("the server's is %s ahead of this machine's: what the client signs may be refused", skew))
	}
}

const (
	reachTime = 15 * time.Second
	// skewMost is what servers let pass in the times of what clients sign.
	skewMost = 30 * time.Second
)

// refusal has the token endpoint refuse a code that it never gave.
func (t *trial) refusal(ctx context.Context) {
	r := t.r.Registration
	switch {
	case t.c.App.Grant != "authorization_code":
		t.skip("wrong code", "the grant is %s", t.c.App.Grant)
		return
	case r.Endpoints.Token == "":
		t.skip("wrong code", "the callback says where the token endpoint is")
		return
	case r.Wire.CallbackHMAC != "":
		r.Wire.CallbackHMAC = "" // There is no callback.
	}
	if strings.HasSuffix(r.Wire.TokenAuth, "_jwt") || strings.HasPrefix(r.Wire.TokenAuth, "tls") || t.c.Provider.ClientCertificate && r.Secret.Certificate == "" {
		if r.Secret.PrivateKey == "" {
			t.skip("wrong code", "the client proves itself with a key, and none is given")
			return
		}
	}
	e := r.Endpoints
	_, err := t.client.Exchange(ctx, r, oauth.Arrived{
		Flow:   oauth.Flow{Issuer: e.Issuer, Authorization: e.Authorization, Token: e.Token, ClientID: r.ClientID, RedirectURI: r.RedirectURI},
		Values: url.Values{r.Wire.CodeParameter: {stranger}},
	})
	said, ok := errors.AsType[*oauth.Error](err)
	switch {
	case err == nil:
		t.differs("wrong code", "the token endpoint gave a token for a code that is none")
	case !ok:
		t.differs("wrong code", "%v", err)
	case slices.Contains([]string{oauth.CodeInvalidGrant, "invalid_client", "invalid_request", "unauthorized_client"}, said.Code):
		t.ok("wrong code", "refused with %s, and the status %d", said.Code, said.Status)
	case said.Retryable:
		t.skip("wrong code", "the server is not itself: %s", brief(err))
	case said.Code == "answer_invalid":
		t.differs("wrong code", "%s", brief(err))
	default:
		t.differs("wrong code", "refused with %s (%s), which no specification has: give it a meaning in token_response.error_codes, or its place in token_response.error", said.Code, said.Description)
	}
}

// brief is an error without what operators alone need.
func brief(err error) string {
	if e, ok := errors.AsType[*oauth.Error](err); ok {
		return e.Description
	}
	return err.Error()
}

func host(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "another path"
	}
	return u.Scheme + "://" + u.Host + u.Path
}

func either(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

func names(values map[string]string) string {
	if len(values) == 0 {
		return "there are none to fill in"
	}
	var all []string
	for name, value := range values {
		all = append(all, name+"="+value)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// flows keeps the one flow of a trial.
type flows struct {
	mu  sync.Mutex
	all map[string]oauth.Flow
}

// PutFlow implements oauth.Flows.
func (f *flows) PutFlow(_ context.Context, flow oauth.Flow) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = map[string]oauth.Flow{flow.ID: flow}
	return nil
}

// TakeFlow implements oauth.Flows.
func (f *flows) TakeFlow(_ context.Context, id string) (oauth.Flow, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	flow, ok := f.all[id]
	delete(f.all, id)
	return flow, ok, nil
}
