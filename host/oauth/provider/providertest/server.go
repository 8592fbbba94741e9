// Package providertest emulates authorization servers as their vendors' pages describe
// them, quirk by quirk, for tests of what talks to them.
//
//	s := providertest.Serve(t, "quickbooks")
//	client := &http.Client{Transport: s.Transport()} // The real URLs lead to s.
//	callback := s.Consent(t, authorizationURL)       // A person's browser.
//	// exchange callback's code for a token, and compare it with s.Want()
//
// What a server checks and answers is in documented/NAME.json, which was written from
// the vendor's pages that it names and not from the provider's descriptor, so that a
// descriptor that is wrong fails. A server is as strict as the pages allow: a request
// to a host or path that they do not name, by another method, with the secret in
// another place, is refused, and Complaints says why.
package providertest

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Server is an emulated provider, for one app and one user.
type Server struct {
	// Name is the provider's.
	Name string
	// Grant is how its tokens are got: authorization_code or client_credentials.
	Grant string
	// ClientID and ClientSecret are the app's. They have characters that HTTP Basic
	// with form encoding and without write in different ways.
	ClientID, ClientSecret string
	// RedirectURI is the one that the app has registered.
	RedirectURI string
	// Input is what the user enters for the provider's variables.
	Input map[string]string
	// Scopes are those that the app asks for.
	Scopes []string
	// API is a URL that wants the token: 200 with it, 401 without.
	API string

	doc  documented
	tls  certificates
	http *httptest.Server

	mu         sync.Mutex
	issued     int
	codes      map[string]*code
	live       tokens
	spent      []string
	revoked    bool
	asked      []Asked
	complaints []string
	next       []answer
}

// tokens are those that work now. first is what the token endpoint gave, which a
// Lookup may have replaced.
type tokens struct {
	first, access, refresh string
}

type code struct {
	challenge string
	used      bool
}

// answer is one that a test has prescribed.
type answer struct {
	status int
	header http.Header
	body   string
	lost   bool
}

// Asked is a request that the server got.
type Asked struct {
	// Endpoint is metadata, authorize, token, refresh, revoke, introspect, lookup, api
	// or unknown.
	Endpoint string
	Method   string
	// URL is without its query.
	URL string
	// Values are the parameters, of whatever kind the request has.
	Values url.Values
	Header http.Header
}

// Refusal is an error that the pages name.
type Refusal struct {
	Status int
	// Body is JSON.
	Body string
	// Means is what it is by the name of RFC 6749 or of package oauth.
	Means string
}

// Wanted is what a client has that understood the server's answers.
type Wanted struct {
	AccessToken, RefreshToken string
	// Lifetime is 0 if the server does not say, and -1 if the token has no end.
	Lifetime time.Duration
	// Variables are those that the user entered and those that the client learned.
	Variables map[string]string
	// Scopes are nil if the answer has none.
	Scopes []string
}

// Serve starts the emulation of a provider, or of one of its Lives, which ends with the
// test.
func Serve(tb testing.TB, name string) *Server {
	tb.Helper()
	s, err := Start(name)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	return s
}

// Start starts the emulation of a provider, or of one of its Lives. The caller closes it.
func Start(name string) (*Server, error) {
	doc, err := read(name)
	if err != nil {
		return nil, err
	}
	certs, err := certify(doc.hosts())
	if err != nil {
		return nil, err
	}
	provider, _, _ := strings.Cut(name, "/")
	s := &Server{
		Name: provider, Grant: doc.Grant, ClientID: "app 1:of+us", ClientSecret: "s%2Becret/+ é:1",
		RedirectURI: "https://cofferdam.example/oauth/callback",
		Input:       doc.Input, Scopes: doc.Scopes, API: doc.API.URL,
		doc: doc, codes: map[string]*code{}, tls: certs,
	}
	if strings.Contains(doc.Token.Auth, "raw") {
		s.ClientID = "app 1+of+us" // A colon would end it.
	}
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.http.TLS = &tls.Config{Certificates: []tls.Certificate{s.tls.server}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	s.http.StartTLS()
	return s, nil
}

// Close stops the emulation.
func (s *Server) Close() { s.http.Close() }

// Transport reaches the server by the hosts that the provider's pages name, and no
// other host. It shows no client certificate.
func (s *Server) Transport() *http.Transport {
	return &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: s.tls.roots, MinVersion: tls.VersionTLS12},
		DialContext:       s.Dial,
		DisableKeepAlives: true,
	}
}

// Dial connects to the server, whatever documented host addr names.
func (s *Server) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port != "443" || !slices.Contains(s.doc.hosts(), host) {
		s.complain("the pages of %s name no host %s", s.Name, addr)
		return nil, fmt.Errorf("the pages of %s name no host %s", s.Name, addr)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, s.http.Listener.Addr().String())
}

// ClientCertificate is the one that the app has, with its key, in PEM, for a provider
// that wants one.
func (s *Server) ClientCertificate() (certificate, key string) {
	return s.tls.clientCertificate, s.tls.clientKey
}

// RootCAs is the authority of the server's own certificate, in PEM.
func (s *Server) RootCAs() string { return s.tls.rootPEM }

// Consent opens an authorization URL as a user's browser, agrees, and returns the
// parameters that the callback is called with. It fails the test if the server calls
// back with an error, or not at all.
func (s *Server) Consent(tb testing.TB, authorizationURL string) url.Values {
	tb.Helper()
	callback := s.Visit(tb, authorizationURL)
	if reason := callback.Get("error"); reason != "" {
		tb.Fatalf("%s calls back with %s: %s", s.Name, reason, callback.Get("error_description"))
	}
	return callback
}

// Visit does as Consent does, and returns errors that the server calls back with.
func (s *Server) Visit(tb testing.TB, authorizationURL string) url.Values {
	tb.Helper()
	callback, err := s.Agree(tb.Context(), authorizationURL)
	if err != nil {
		tb.Fatal(err)
	}
	return callback
}

// Agree opens an authorization URL as a user's browser that agrees, and returns what the
// callback is called with.
func (s *Server) Agree(ctx context.Context, authorizationURL string) (url.Values, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, authorizationURL, nil)
	if err != nil {
		return nil, fmt.Errorf("open the authorization URL: %w", err)
	}
	resp, err := s.Transport().RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("open the authorization URL: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // What matters is in its header.
	to, err := resp.Location()
	if err != nil || !strings.HasPrefix(to.String(), s.RedirectURI+"?") {
		return nil, fmt.Errorf("%s answers the authorization request with %s, %v", s.Name, resp.Status, s.Complaints())
	}
	return to.Query(), nil
}

// Want is what a client has to have now.
func (s *Server) Want() Wanted {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := Wanted{AccessToken: s.live.access, RefreshToken: s.live.refresh, Variables: map[string]string{}, Scopes: s.doc.Granted}
	w.Lifetime = time.Duration(s.doc.Lifetime) * time.Second
	if s.doc.Lifetime < 0 {
		w.Lifetime = -1
	}
	for _, m := range []map[string]string{s.doc.Input, s.doc.Learns} {
		maps.Copy(w.Variables, m)
	}
	return w
}

// Refreshes says whether the provider's tokens can be refreshed.
func (s *Server) Refreshes() bool { return s.doc.Refresh != nil }

// Revokes and Introspects say whether the pages have those endpoints.
func (s *Server) Revokes() bool { return s.doc.Revoke != "" }

// Introspects is as Revokes.
func (s *Server) Introspects() bool { return s.doc.Introspect != "" }

// Signs says whether the callback has an hmac over all else.
func (s *Server) Signs() bool { return s.doc.Authorize.Signed }

// NeedsScope says whether an authorization request without a scope is refused.
func (s *Server) NeedsScope() bool { return s.doc.Authorize.Scoped }

// Refusals are the errors of the token endpoint that the pages name, for AnswerNext.
func (s *Server) Refusals() []Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Refusal
	for _, e := range s.doc.Errors {
		body, err := json.Marshal(e.Answer)
		if err != nil {
			panic(err) // It was read from JSON.
		}
		all = append(all, Refusal{Status: e.Status, Body: string(body), Means: e.Means})
	}
	return all
}

// Unplayed names the endpoints that are not emulated, although providers have them.
func (s *Server) Unplayed() []string {
	names := []string{"device_authorization_endpoint"}
	if !s.Revokes() {
		names = append(names, "revocation_endpoint")
	}
	if !s.Introspects() {
		names = append(names, "introspection_endpoint")
	}
	return names
}

// Rotates says whether a refresh ends the token that it was made with.
func (s *Server) Rotates() bool { return s.doc.Rotates }

// Expire ends the access token.
func (s *Server) Expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live.access = "expired"
}

// Revoked says whether the reuse of a refresh token has revoked all that came of it.
func (s *Server) Revoked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revoked
}

// AnswerNext makes the next request to the token endpoint get this answer, unheard.
func (s *Server) AnswerNext(status int, header http.Header, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = append(s.next, answer{status: status, header: header, body: body})
}

// LoseNext makes the next request to the token endpoint have its effect, and its
// answer get lost.
func (s *Server) LoseNext() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = append(s.next, answer{lost: true})
}

// Asked returns the requests so far.
func (s *Server) Asked() []Asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// Complaints says of each request that was not as the pages have it why not.
func (s *Server) Complaints() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.complaints)
}

func (s *Server) complain(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.complaints = append(s.complaints, fmt.Sprintf(format, args...))
}
