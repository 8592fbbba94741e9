// Package authorizationtest is an authorization server for tests, on a port of its own:
// its refresh tokens rotate, and who uses one twice ends all that came of the consent, as
// RFC 9700 (4.14.2) has it. It counts, and it has faults on request.
package authorizationtest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cofferdam-run/cofferdam/host/authorization"
	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
)

// App is the client that the server knows, and clientSecret its secret.
const (
	App          = "app_test"
	clientSecret = "client-secret-of-the-test"
)

// Rules are what becomes of tokens.
type Rules struct {
	// Lifetime of access tokens. Defaults to an hour. Unlimited has none: nobody says when
	// one ends.
	Lifetime  time.Duration
	Unlimited bool
	// Fixed says that refresh tokens do not rotate.
	Fixed bool
	// Grace is for how long one that was replaced works.
	Grace time.Duration
	// IdleDays and LifeDays are what the provider's rules say of refresh tokens. RefreshLife
	// is what the server says itself: from the last refresh, or with FromConsent from there.
	IdleDays, LifeDays int
	RefreshLife        time.Duration
	FromConsent        bool
	// Latency of each answer.
	Latency time.Duration
	// Explains has it said in words that a token was used before.
	Explains bool
	// Irrevocable has no revocation endpoint, and Introspects has one for introspection.
	Irrevocable, Introspects bool
}

// Fault is what a request to the token endpoint meets.
type Fault struct {
	// Status and RetryAfter are answered, and nothing is done.
	Status     int
	RetryAfter time.Duration
	// Error is answered as an error of OAuth, with the status 400.
	Error string
	// Lost has it done, and the connection closed instead of an answer.
	Lost bool
	// Arrived is closed once the request is there, and done only once Go is closed; both
	// may be nil. Answering waits between what is done and the answer.
	Arrived, Go, Answering chan struct{}
}

// Counts are what happened.
type Counts struct {
	// Requests to the token endpoint, and Refreshes of those that went well.
	Requests, Refreshes int
	// Reused are the families that ended because a token was used twice, and Revoked those
	// that somebody revoked.
	Reused, Revoked int
	// AtOnce is how many requests were under way at a time, at most.
	AtOnce int
}

// Server is an authorization server, with an API at /api that takes its tokens.
type Server struct {
	URL   string
	rules Rules
	now   func() time.Time

	mu       sync.Mutex
	families []*family
	// owners are families by the tokens that they have had.
	owners map[string]*family
	faults []Fault
	counts Counts
	under  int
}

// family is what came of one consent.
type family struct {
	id, generation int
	access         string
	expires        time.Time
	refresh        string
	// replaced is when which refresh token was.
	replaced map[string]time.Time
	ended    bool
	// agreed is when its user has.
	agreed time.Time
}

// Serve serves until the cleanup that is asked for; now is the server's clock.
func Serve(cleanup func(func()), now func() time.Time, rules Rules) *Server {
	if rules.Lifetime == 0 {
		rules.Lifetime = time.Hour
	}
	s := &Server{rules: rules, now: now, owners: map[string]*family{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", s.token)
	mux.HandleFunc("POST /revoke", s.revoke)
	mux.HandleFunc("POST /introspect", s.introspect)
	mux.HandleFunc("GET /api", s.api)
	served := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", now().UTC().Format(http.TimeFormat))
		mux.ServeHTTP(w, r)
	}))
	cleanup(served.Close)
	s.URL = served.URL
	return s
}

// Connect is a consent: the tokens of a new family.
func (s *Server) Connect() oauth.Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	f := &family{id: len(s.families), replaced: map[string]time.Time{}, agreed: now}
	s.families = append(s.families, f)
	s.issue(f, true)
	t := oauth.Token{Access: f.access, Refresh: f.refresh, Type: "Bearer", Scopes: []string{"read"}, ObtainedAt: now}
	if !s.rules.Unlimited {
		t.ExpiresAt = now.Add(s.rules.Lifetime)
	}
	if s.rules.RefreshLife > 0 {
		t.RefreshExpiresAt = now.Add(s.rules.RefreshLife)
	}
	return t
}

// Fail has the next requests to the token endpoint meet faults, one each.
func (s *Server) Fail(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, faults...)
}

// End ends a token's family, as a user does at the provider.
func (s *Server) End(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owners[token].ended = true
}

// Counts returns what has happened so far.
func (s *Server) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// Good says that the API takes a token.
func (s *Server) Good(access string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.good(access)
}

// Alive says that a token's family has not ended.
func (s *Server) Alive(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.owners[token].ended
}

// Registered is the app at this server.
func (s *Server) Registered() authorization.Registered { return At(s.URL, s.rules) }

// At is the app at a server of another process.
func At(url string, rules Rules) authorization.Registered {
	r := authorization.Registered{App: App, Registration: oauth.Registration{
		Provider: "test", ClientID: App, Secret: oauth.Secret{ClientSecret: clientSecret}, Scopes: []string{"read"},
		Endpoints: oauth.Endpoints{Token: url + "/token"}, Wire: oauth.Wire{Answer: oauth.Answer{RefreshExpiresIn: "/refresh_token_expires_in"}},
	}}
	r.Provider = provider.Resolved{Provider: provider.Provider{
		Name: "test", Hosts: []string{strings.TrimPrefix(url, "http://")},
		Token: provider.TokenUse{Header: "Authorization", Prefix: "Bearer "},
		Refresh: provider.RefreshRules{
			Rotates: !rules.Fixed, GraceSeconds: int(rules.Grace / time.Second), IdleDays: rules.IdleDays, LifeDays: rules.LifeDays,
		},
	}}
	if !rules.Irrevocable {
		r.Endpoints.Revocation = url + "/revoke"
	}
	if rules.Introspects {
		r.Endpoints.Introspection = url + "/introspect"
	}
	return r
}

// Source is an authorization.Source that knows one app, whoever asks.
type Source struct{ authorization.Registered }

// Registration implements authorization.Source.
func (s Source) Registration(context.Context, string, string, map[string]string) (authorization.Registered, error) {
	return s.Registered, nil
}

func (s *Server) good(access string) bool {
	f := s.owners[access]
	return f != nil && !f.ended && f.access == access && (s.rules.Unlimited || s.now().Before(f.expires))
}

// issue gives a family its next tokens.
func (s *Server) issue(f *family, rotate bool) {
	f.generation++
	name := strconv.Itoa(f.id) + "-" + strconv.Itoa(f.generation)
	f.access, f.expires = "access-token-"+name, s.now().Add(s.rules.Lifetime)
	s.owners[f.access] = f
	if rotate {
		if f.refresh != "" {
			f.replaced[f.refresh] = s.now()
		}
		f.refresh = "refresh-token-" + name
		s.owners[f.refresh] = f
	}
}

// enter takes the fault that a request meets.
func (s *Server) enter() Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Requests++
	s.under++
	s.counts.AtOnce = max(s.counts.AtOnce, s.under)
	if len(s.faults) == 0 {
		return Fault{}
	}
	f := s.faults[0]
	s.faults = s.faults[1:]
	return f
}

func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	fault := s.enter()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.under--
	}()
	if fault.Arrived != nil {
		close(fault.Arrived)
	}
	wait(r.Context(), fault.Go)
	if id, secret, ok := r.BasicAuth(); !ok || id != App || secret != clientSecret {
		refuse(w, http.StatusUnauthorized, "invalid_client")
		return
	}
	switch {
	case fault.Status > 0:
		if fault.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(fault.RetryAfter/time.Second)))
		}
		w.WriteHeader(fault.Status)
		return
	case fault.Error != "":
		refuse(w, http.StatusBadRequest, fault.Error)
		return
	}
	answer, code := s.grant(r)
	if s.rules.Latency > 0 {
		time.Sleep(s.rules.Latency)
	}
	wait(r.Context(), fault.Answering)
	switch {
	case fault.Lost:
		panic(http.ErrAbortHandler)
	case code != "" && answer != nil && s.rules.Explains:
		answer["error"] = code
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(answer) // As below.
	case code != "":
		refuse(w, http.StatusBadRequest, code)
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer) // Who is gone has lost it.
	}
}

func wait(ctx context.Context, until chan struct{}) {
	if until == nil {
		return
	}
	select {
	case <-until:
	case <-ctx.Done():
	}
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"error":%q}`, code) // As above.
}

// grant does what a request to the token endpoint asks for.
func (s *Server) grant(r *http.Request) (answer map[string]any, code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var f *family
	switch r.PostFormValue("grant_type") {
	case "client_credentials":
		f = &family{id: len(s.families), replaced: map[string]time.Time{}}
		s.families = append(s.families, f)
		s.issue(f, false)
	case "refresh_token":
		sent := r.PostFormValue("refresh_token")
		f = s.owners[sent]
		switch {
		case f == nil || f.ended:
			return nil, oauth.CodeInvalidGrant
		case sent == f.refresh:
			s.issue(f, !s.rules.Fixed)
		case s.rules.Grace > 0 && s.now().Sub(f.replaced[sent]) <= s.rules.Grace:
			s.issue(f, false)
		default:
			f.ended = true
			s.counts.Reused++
			return map[string]any{"error_description": "The refresh token was already used."}, oauth.CodeInvalidGrant
		}
	default:
		return nil, "unsupported_grant_type"
	}
	s.counts.Refreshes++
	answer = map[string]any{"access_token": f.access, "token_type": "bearer"}
	if f.refresh != "" {
		answer["refresh_token"] = f.refresh
	}
	if !s.rules.Unlimited {
		answer["expires_in"] = s.rules.Lifetime.Seconds()
	}
	if from := s.now(); s.rules.RefreshLife > 0 && f.refresh != "" {
		if s.rules.FromConsent {
			from = f.agreed
		}
		answer["refresh_token_expires_in"] = int(from.Add(s.rules.RefreshLife).Sub(s.now()).Seconds())
	}
	return answer, ""
}

func (s *Server) revoke(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.faults) > 0 && s.faults[0].Status > 0 {
		w.WriteHeader(s.faults[0].Status)
		s.faults = s.faults[1:]
		return
	}
	if f := s.owners[r.PostFormValue("token")]; f != nil && !f.ended {
		f.ended = true
		s.counts.Revoked++
	}
	w.WriteHeader(http.StatusOK)
}

func (s *Server) introspect(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	access := r.PostFormValue("token")
	answer := map[string]any{"active": s.good(access)}
	if f := s.owners[access]; f != nil {
		answer["exp"] = f.expires.Unix()
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // Who is gone does not need it.
}

func (s *Server) api(w http.ResponseWriter, r *http.Request) {
	if !s.Good(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")) {
		w.WriteHeader(http.StatusUnauthorized)
	}
}
