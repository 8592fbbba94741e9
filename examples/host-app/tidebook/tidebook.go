// Package tidebook is a vendor that there is not: an address book on the web, with an
// OAuth 2.0 authorization server and an API, in memory and on this machine. It stands
// for what an integration connects to, so that the example needs no account anywhere.
//
// It is as strict as the strict ones are: PKCE is required, codes are good once and for a
// minute, access tokens for five, each refresh ends the refresh token that it was made
// with, and whoever uses an ended one ends all that the user has agreed to.
//
// /admin is what a user's settings page would be: there an app's access is taken away.
package tidebook

import (
	"embed"
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Config configures a Server.
type Config struct {
	// URL is where browsers and apps reach it, without a slash at its end.
	URL string
	// ClientID, ClientSecret and RedirectURI are those of the one app that is registered,
	// and App is what users know it by.
	App, ClientID, ClientSecret, RedirectURI string
	// Life is how long an access token is good. Defaults to five minutes.
	Life time.Duration
	// Now is the clock.
	Now func() time.Time
}

// Server is the vendor. It is safe for concurrent use.
type Server struct {
	c     Config
	mux   *http.ServeMux
	pages *template.Template

	mu sync.Mutex
	// requests are consents that were asked for, codes those that were given, by their
	// secrets; access and refresh have each token that ever was.
	requests        map[string]request
	codes           map[string]*code
	access, refresh map[string]*grant
	accounts        []*account
}

// account is a user of the vendor's, with their address book.
type account struct {
	Email    string
	Contacts []Contact
	// Grant is what this user has agreed to, or nil.
	Grant *grant
	// byKey are the contacts that requests with these idempotency keys have made.
	byKey map[string]Contact
}

//go:embed pages
var files embed.FS

// New returns a Server with two users, one for each customer of the host app.
func New(c Config) *Server {
	if c.Life == 0 {
		c.Life = 5 * time.Minute
	}
	s := &Server{
		c: c, mux: http.NewServeMux(), pages: template.Must(template.ParseFS(files, "pages/*.html")),
		requests: map[string]request{}, codes: map[string]*code{}, access: map[string]*grant{}, refresh: map[string]*grant{},
	}
	for _, email := range []string{"ada@lantern.example", "ben@nordwind.example"} {
		s.accounts = append(s.accounts, &account{Email: email, byKey: map[string]Contact{}})
	}
	s.mux.HandleFunc("GET /oauth/authorize", s.authorize)
	s.mux.HandleFunc("POST /oauth/authorize", s.answer)
	s.mux.HandleFunc("POST /oauth/token", s.token)
	s.mux.HandleFunc("POST /oauth/revoke", s.revoke)
	s.mux.HandleFunc("GET /api/me", s.authorized(s.me))
	s.mux.HandleFunc("POST /api/contacts", s.authorized(s.addContact))
	s.mux.HandleFunc("GET /admin", s.admin)
	s.mux.HandleFunc("POST /admin/revoke", s.takeAway)
	s.mux.Handle("GET /pages/style.css", http.FileServerFS(files))
	s.mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	s.mux.Handle("GET /{$}", http.RedirectHandler("/admin", http.StatusSeeOther))
	return s
}

// ServeHTTP implements http.Handler. A consent in a frame is one that a click can be
// stolen for, and a form of another site's is none of ours.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	back, _ := url.Parse(s.c.RedirectURI)
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self' "+back.Scheme+"://"+back.Host)
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Cache-Control", "no-store")
	http.NewCrossOriginProtection().Handler(s.mux).ServeHTTP(w, r)
}

// Descriptor is what Cofferdam has to know of the vendor: see package provider. A real
// vendor's has https addresses, and comes with the program, with the plugin's manifest
// or, as here, from the host app.
func (s *Server) Descriptor() json.RawMessage {
	at, _ := url.Parse(s.c.URL)
	text, _ := json.Marshal(map[string]any{ // Of texts alone: it cannot fail.
		"name": "tidebook", "title": "Tidebook", "docs": []string{"https://tidebook.example/developers"},
		"authorization_endpoint": s.c.URL + "/oauth/authorize",
		"token_endpoint":         s.c.URL + "/oauth/token",
		"revocation_endpoint":    s.c.URL + "/oauth/revoke",
		"hosts":                  []string{at.Host},
		"scopes":                 map[string]any{"default": []string{"contacts"}},
		"pkce":                   "required",
		"refresh":                map[string]any{"rotates": true},
		// Whose account it is: the host app shows it, and a reconnect with another is refused.
		"variables": map[string]any{"account": map[string]any{"title": "Account", "example": "ada@lantern.example", "from": "lookup", "kind": "text"}},
		"lookups":   []any{map[string]any{"url": s.c.URL + "/api/me", "variables": map[string]string{"account": "/email"}}},
	})
	return text
}

// show writes a page.
func (s *Server) show(w http.ResponseWriter, status int, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = s.pages.ExecuteTemplate(w, name, data) // Who does not read on has left.
}

// tell writes JSON.
func tell(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // As above.
}
