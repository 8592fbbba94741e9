package app_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/app"
	"github.com/cofferdam-run/cofferdam/host/authorization"
	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider/providertest"
)

// The emulations do not read descriptors. Here package oauth's client, joined with a
// descriptor, lives through a connection with each.

// flows keeps flows in memory.
type flows struct {
	mu  sync.Mutex
	all map[string]oauth.Flow
}

func (f *flows) PutFlow(_ context.Context, flow oauth.Flow) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == nil {
		f.all = map[string]oauth.Flow{}
	}
	f.all[flow.ID] = flow
	return nil
}

func (f *flows) TakeFlow(_ context.Context, id string) (oauth.Flow, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	flow, ok := f.all[id]
	delete(f.all, id)
	return flow, ok, nil
}

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

// life is a connection's.
type life struct {
	p      provider.Provider
	server *providertest.Server
	client *oauth.Client
	app    app.App
	secret oauth.Secret
	visit  app.Visit
	at     provider.Resolved
}

func newLife(t *testing.T, p provider.Provider, server *providertest.Server) *life {
	t.Helper()
	client, err := oauth.New(oauth.Config{Transport: way{server.Transport(), server}, Flows: &flows{}, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	l := &life{
		p: p, server: server, client: client,
		app:    app.App{ClientID: server.ClientID, Scopes: server.Scopes, Grant: server.Grant, Variables: map[string]string{}},
		secret: oauth.Secret{ClientSecret: server.ClientSecret},
		visit:  app.Visit{Variables: map[string]string{}},
	}
	if p.ClientCertificate {
		l.secret.Certificate, l.secret.PrivateKey = server.ClientCertificate()
	}
	for name, value := range server.Input {
		if p.Variables[name].Of == "app" {
			l.app.Variables[name] = value
		} else {
			l.visit.Variables[name] = value
		}
	}
	return l
}

func (l *life) resolve(ctx context.Context, variables map[string]string) (authorization.Registered, error) {
	r, at, err := app.Join(l.p, variables, l.app, l.secret, l.server.RedirectURI)
	if err == nil {
		r, err = app.Discover(ctx, l.client, r, l.app.Grant)
	}
	l.at = at
	return authorization.Registered{Registration: r, Provider: at}, err
}

// connect has a user connect the app, up to a token that works.
func (l *life) connect(ctx context.Context) error {
	r, err := l.resolve(ctx, l.visit.Variables)
	if err != nil {
		return err
	}
	if l.server.Grant == "client_credentials" {
		l.visit.Token, err = l.client.ClientCredentials(ctx, r.Registration)
	} else {
		l.visit.Token, err = l.agree(ctx, r.Registration)
	}
	if err != nil {
		return err
	}
	for {
		if l.visit, err = app.Look(ctx, l.client, l.resolve, l.visit); err != nil || len(l.visit.Choices) == 0 {
			break
		}
		if l.visit, err = l.visit.Choose(0); err != nil {
			break
		}
	}
	return err
}

var starter = oauth.Starter{Tenant: "ten_1", Session: "s"}

// visited is the callback of a user who agrees.
func (l *life) visited(ctx context.Context, r oauth.Registration) (url.Values, error) {
	begun, err := l.client.Begin(ctx, r, starter, "")
	if err != nil {
		return nil, err
	}
	return l.server.Agree(ctx, begun.URL)
}

// agree is the user's consent.
func (l *life) agree(ctx context.Context, r oauth.Registration) (oauth.Token, error) {
	callback, err := l.visited(ctx, r)
	if err != nil {
		return oauth.Token{}, err
	}
	return l.redeem(ctx, callback)
}

// redeem makes a token of what the user comes back with.
func (l *life) redeem(ctx context.Context, callback url.Values) (oauth.Token, error) {
	arrived, err := l.client.Accept(ctx, starter, l.server.RedirectURI, callback)
	if err != nil {
		return oauth.Token{}, err
	}
	maps.Copy(l.visit.Variables, app.Learned(l.p, arrived.Values, oauth.Token{}))
	now, err := l.resolve(ctx, l.visit.Variables)
	if err != nil {
		return oauth.Token{}, err
	}
	return l.client.Exchange(ctx, now.Registration, arrived)
}

// use calls the API, if the token may be sent there.
func (l *life) use(ctx context.Context) error {
	if _, err := l.resolve(ctx, l.visit.Variables); err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.server.API, nil)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(l.at.Hosts, func(host string) bool {
		domain, wild := strings.CutPrefix(host, "*")
		return host == req.URL.Host || wild && strings.HasSuffix(req.URL.Host, domain)
	}) {
		return fmt.Errorf("the token may go to %v, and the API is at %s", l.at.Hosts, req.URL.Host)
	}
	use := l.at.Token
	if use.Query != "" {
		req.URL.RawQuery = url.Values{use.Query: {l.visit.Token.Access}}.Encode()
	} else {
		req.Header.Set(use.Header, use.Prefix+l.visit.Token.Access)
	}
	for name, value := range use.Headers {
		req.Header.Set(name, value)
	}
	resp, err := l.server.Transport().RoundTrip(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the API answers %s", resp.Status)
	}
	return nil
}

func (l *life) refresh(ctx context.Context) error {
	r, err := l.resolve(ctx, l.visit.Variables)
	if err != nil {
		return err
	}
	sent := l.visit.Token.Refresh
	if r.Provider.Refresh.Sends == "access_token" {
		sent = l.visit.Token.Access
	}
	token, err := l.client.Refresh(ctx, r.Registration, sent)
	if err != nil {
		return err
	}
	if token.Rotated && !l.p.Refresh.Rotates {
		return errors.New("the refresh token has rotated, and the descriptor does not say so")
	}
	token, variables, err := app.New(app.Config{Client: l.client}).Again(ctx, r, token, l.visit.Variables)
	l.visit.Token, l.visit.Variables = token, variables
	return err
}

// ended refreshes what was never given.
func (l *life) ended(ctx context.Context) error {
	r, err := l.resolve(ctx, l.visit.Variables)
	if err != nil {
		return err
	}
	_, err = l.client.Refresh(ctx, r.Registration, "none-of-theirs")
	if e, ok := errors.AsType[*oauth.Error](err); !ok || e.Code != oauth.CodeInvalidGrant {
		return fmt.Errorf("a refresh token that is none of theirs: got %w, want invalid_grant", err)
	}
	return nil
}

// unscoped registers an app that asks for nothing.
func (l *life) unscoped(context.Context) error {
	asks := l.app
	asks.Scopes = nil
	if refused := len(app.ScopeProblems(&asks, l.p)) > 0; refused != l.server.NeedsScope() {
		return fmt.Errorf("an app without scopes is refused: %t, and the provider needs one: %t", refused, l.server.NeedsScope())
	}
	return nil
}

// forged comes back with callbacks that the provider has not signed.
func (l *life) forged(ctx context.Context) error {
	forgeries := map[string]func(url.Values){
		"with another shop": func(v url.Values) { v.Set("shop", "another.example") },
		"unsigned":          func(v url.Values) { v.Del("hmac") },
	}
	for what, forge := range forgeries {
		r, err := l.resolve(ctx, l.visit.Variables)
		if err != nil {
			return err
		}
		callback, err := l.visited(ctx, r.Registration)
		if err != nil {
			return err
		}
		forge(callback)
		if _, err := l.redeem(ctx, callback); err == nil {
			return fmt.Errorf("a callback %s is taken", what)
		}
	}
	return nil
}

// refused meets the errors that the provider's pages name.
func (l *life) refused(ctx context.Context) error {
	r, err := l.resolve(ctx, l.visit.Variables)
	if err != nil {
		return err
	}
	for _, refusal := range l.server.Refusals() {
		l.server.AnswerNext(refusal.Status, http.Header{"Content-Type": {"application/json"}}, refusal.Body)
		_, err := l.client.Refresh(ctx, r.Registration, "any")
		if e, ok := errors.AsType[*oauth.Error](err); !ok || e.Code != refusal.Means {
			return fmt.Errorf("the answer %s: got %w, want %s", refusal.Body, err, refusal.Means)
		}
	}
	return nil
}

func (l *life) introspect(ctx context.Context) error {
	r, err := l.resolve(ctx, l.visit.Variables)
	if err != nil {
		return err
	}
	said, err := l.client.Introspect(ctx, r.Registration, l.visit.Token.Access, "")
	if err == nil && !said.Active {
		return errors.New("the token is not active")
	}
	return err
}

func (l *life) revoke(ctx context.Context) error {
	r, err := l.resolve(ctx, l.visit.Variables)
	if err != nil {
		return err
	}
	if err := l.client.Revoke(ctx, r.Registration, l.visit.Token.Access, ""); err != nil {
		return err
	}
	if got := l.server.Want().AccessToken; got != "revoked" {
		return fmt.Errorf("the token is %q, want it revoked", got)
	}
	return nil
}

// understood compares what the client has with what it has to have.
func (l *life) understood(ctx context.Context) error {
	got, want := l.visit.Token, l.server.Want()
	lifetime := got.ExpiresAt.Sub(got.ObtainedAt)
	if got.ExpiresAt.IsZero() {
		lifetime = 0
		if l.p.Refresh.NeverExpires {
			lifetime = -1
		}
	}
	switch {
	case got.Access != want.AccessToken:
		return fmt.Errorf("the token is %q, want %q", got.Access, want.AccessToken)
	case got.Refresh != want.RefreshToken:
		return fmt.Errorf("the refresh token is %q, want %q", got.Refresh, want.RefreshToken)
	case math.Abs(float64(lifetime-want.Lifetime)) > float64(time.Minute), want.Lifetime <= 0 && lifetime != want.Lifetime:
		return fmt.Errorf("the lifetime is %v, want %v", lifetime, want.Lifetime)
	case want.Scopes != nil && !slices.Equal(got.Scopes, want.Scopes):
		return fmt.Errorf("the scopes are %q, want %q", got.Scopes, want.Scopes)
	}
	for name, value := range want.Variables {
		if l.at.Values[name] != value {
			return fmt.Errorf("%s is %q, want %q", name, l.at.Values[name], value)
		}
	}
	if len(l.at.Waiting) > 0 {
		return fmt.Errorf("nothing has brought %v", l.at.Waiting)
	}
	return l.content(ctx)
}

// content says that the server has nothing to complain of.
func (l *life) content(context.Context) error {
	if complaints := l.server.Complaints(); len(complaints) > 0 {
		return fmt.Errorf("the server complains: %v", complaints)
	}
	return nil
}

// step is one of a connection's life.
type step struct {
	name string
	run  func(context.Context) error
}

// live goes through the life of a connection: consent, use, refresh, use, revocation.
func (l *life) live(ctx context.Context) error {
	use := step{"use the token", l.use}
	steps := []step{{"ask for nothing", l.unscoped}, {"connect", l.connect}, {"read the answer", l.understood}, use}
	if l.server.Refreshes() {
		steps = append(steps, step{"refresh", l.refresh}, use)
	}
	if l.server.Introspects() {
		steps = append(steps, step{"introspect", l.introspect})
	}
	if l.server.Revokes() {
		steps = append(steps, step{"revoke", l.revoke})
	}
	if l.server.Signs() {
		steps = append(steps, step{"come back forged", l.forged})
	}
	steps = append(steps, step{"end", l.content}, step{"be refused", l.refused})
	if l.server.Refreshes() {
		steps = append(steps, step{"refresh what has ended", l.ended})
	}
	for _, step := range steps {
		if err := step.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	if l.server.Rotates() && !l.p.Refresh.Rotates {
		return errors.New("refresh tokens rotate, and the descriptor does not say so")
	}
	return nil
}

func load(t *testing.T) provider.Set {
	t.Helper()
	set, err := provider.Load()
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestEachDescriptorFitsTheDocumentedServer(t *testing.T) {
	t.Parallel()
	for _, p := range load(t).All() {
		for _, name := range providertest.Lives(t, p.Name) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				if err := newLife(t, p, providertest.Serve(t, name)).live(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
