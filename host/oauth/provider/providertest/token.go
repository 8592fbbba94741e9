package providertest

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// token exchanges a code, or the client's own credentials, for a token.
func (s *Server) token(w http.ResponseWriter, r *http.Request, v url.Values) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lost, done := s.prescribed(w)
	if done {
		return
	}
	if reason := s.unlike(s.doc.Token, r, v); reason != "" {
		s.refuse(w, "token: "+reason)
		return
	}
	if s.doc.Grant == "authorization_code" {
		if reason := s.redeem(v); reason != "" {
			s.refuseBy(w, *s.doc.Ended, "token: "+reason)
			return
		}
	}
	s.issue(true)
	s.answer(w, r, s.doc.Token, lost)
}

// redeem takes a code, once.
func (s *Server) redeem(v url.Values) string {
	c := s.codes[v.Get("code")]
	switch {
	case c == nil:
		return "there is no such code"
	case c.used:
		return "the code was used before"
	case v.Get("redirect_uri") != s.RedirectURI && v.Get("redirect_uri") != "":
		return "redirect_uri is another than that of the authorization request"
	case s.doc.Authorize.PKCE == "refused" && v.Has("code_verifier"):
		return "there is a code_verifier, and the pages know no PKCE"
	}
	if c.challenge != "" {
		sum := sha256.Sum256([]byte(v.Get("code_verifier")))
		if base64.RawURLEncoding.EncodeToString(sum[:]) != c.challenge {
			return "code_verifier is not that of code_challenge"
		}
	}
	c.used = true
	return ""
}

func (s *Server) refresh(w http.ResponseWriter, r *http.Request, v url.Values) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lost, done := s.prescribed(w)
	if done {
		return
	}
	doc := *s.doc.Refresh
	reason := s.unlike(doc, r, v)
	given := v.Get(doc.Sends)
	now := s.live.refresh
	if doc.Sends == "access_token" {
		now = s.live.first
	}
	how := s.doc.Refusal
	if reason == "" {
		how = *s.doc.Ended
	}
	switch {
	case reason != "":
	case slices.Contains(s.spent, given):
		reason = "the refresh token was used before"
		if s.doc.Reuse == "revokes" {
			s.live, s.revoked = tokens{first: "revoked", access: "revoked", refresh: "revoked"}, true
		}
	case given != now:
		reason = "the refresh token is not the user's"
	}
	if reason != "" {
		s.refuseBy(w, how, "refresh: "+reason)
		return
	}
	s.issue(s.doc.Rotates)
	s.answer(w, r, doc, lost)
}

// issue makes new tokens. With rotation, the refresh token is spent.
func (s *Server) issue(refreshToo bool) {
	s.issued++
	s.live.first = fmt.Sprintf("access-%d", s.issued)
	s.live.access = s.live.first
	if slices.ContainsFunc(s.doc.Lookups, func(l lookup) bool { return l.Issues && l.Each }) {
		s.live.access = "none until the lookup"
	}
	if refreshToo && s.doc.Refresh != nil && s.doc.Refresh.Sends == "refresh_token" {
		if s.live.refresh != "" {
			s.spent = append(s.spent, s.live.refresh)
		}
		s.live.refresh = fmt.Sprintf("refresh-%d", s.issued)
	}
}

// unlike says what of a request is not as the pages have it.
func (s *Server) unlike(doc exchange, r *http.Request, v url.Values) string {
	if reason := unlikeBody(doc, r); reason != "" {
		return reason
	}
	if reason := s.unlikeClient(doc, r, v); reason != "" {
		return reason
	}
	if doc.Grant != "-" && v.Get("grant_type") != doc.Grant {
		return fmt.Sprintf("grant_type is %q, and the pages say %q", v.Get("grant_type"), doc.Grant)
	}
	for _, name := range slices.Sorted(maps.Keys(doc.Want)) {
		if v.Get(name) != doc.Want[name] {
			return fmt.Sprintf("%s is %q, and the pages say %q", name, v.Get(name), doc.Want[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(doc.Headers)) {
		if r.Header.Get(name) != doc.Headers[name] {
			return fmt.Sprintf("the header %s is %q, and the pages say %q", name, r.Header.Get(name), doc.Headers[name])
		}
	}
	if doc.Certificate && (r.TLS == nil || len(r.TLS.PeerCertificates) == 0) {
		return "the client shows no certificate"
	}
	return ""
}

func unlikeBody(doc exchange, r *http.Request) string {
	contentType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	is := map[string]string{"application/x-www-form-urlencoded": "form", "application/json": "json"}[contentType]
	if is == "" || r.URL.RawQuery != "" {
		is = "query"
	}
	if !slices.Contains(strings.Fields(doc.Body), is) {
		return fmt.Sprintf("the parameters are in a %s, and the pages say %s", is, doc.Body)
	}
	return ""
}

// unlikeClient holds how the client proves itself: by one method (RFC 6749 section 2.3),
// of those that the pages have.
func (s *Server) unlikeClient(doc exchange, r *http.Request, v url.Values) string {
	used := "none"
	id, secret, basic := r.BasicAuth()
	switch {
	case basic && v.Has("client_secret"):
		return "the client's secret is in the header and in the body"
	case basic && id == s.ClientID && secret == s.ClientSecret:
		used = "raw"
	case basic && id == url.QueryEscape(s.ClientID) && secret == url.QueryEscape(s.ClientSecret):
		used = "basic"
	case basic:
		return "HTTP Basic has another client"
	case v.Has("client_secret") && (v.Get("client_secret") != s.ClientSecret || doc.Client != "-" && v.Get(doc.Client) != s.ClientID):
		return fmt.Sprintf("%s and client_secret are not the app's", doc.Client)
	case v.Has("client_secret"):
		used = "post"
	}
	if !slices.Contains(strings.Fields(doc.Auth), used) {
		return fmt.Sprintf("the client proves itself by %s, and the pages say %s", used, doc.Auth)
	}
	if used == "none" && doc.Client != "-" && v.Get(doc.Client) != s.ClientID {
		return doc.Client + " is not the app's"
	}
	return ""
}

// revoke ends all tokens of the user's for one of them, and answers 200 whatever it is
// given (RFC 7009 section 2.2). The client proves itself as to the token endpoint, or
// not at all: the token is proof enough for some.
func (s *Server) revoke(w http.ResponseWriter, r *http.Request, v url.Values) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if reason := s.unlikeToken(r, v, s.doc.Token.Auth+" none"); reason != "" {
		s.refuse(w, "revoke: "+reason)
		return
	}
	if given := v.Get("token"); given == s.live.access || given == s.live.first || given == s.live.refresh {
		s.live = tokens{first: "revoked", access: "revoked", refresh: "revoked"}
	}
	w.WriteHeader(http.StatusOK)
}

func (s *Server) introspect(w http.ResponseWriter, r *http.Request, v url.Values) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if reason := s.unlikeToken(r, v, s.doc.Token.Auth); reason != "" {
		s.refuse(w, "introspect: "+reason)
		return
	}
	if v.Get("token") != s.live.access {
		writeJSON(w, http.StatusOK, map[string]any{"active": false})
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"active": true, "exp": time.Now().Add(time.Hour).Unix(), "client_id": s.ClientID})
}

// unlikeToken says what of a request about a token is not as the RFCs have it.
func (s *Server) unlikeToken(r *http.Request, v url.Values, auth string) string {
	if reason := unlikeBody(exchange{Body: "form"}, r); reason != "" {
		return reason
	}
	if v.Get("token") == "" {
		return "there is no token"
	}
	return s.unlikeClient(exchange{Auth: auth, Client: s.doc.Token.Client}, r, v)
}

func (s *Server) prescribed(w http.ResponseWriter) (lost, done bool) {
	if len(s.next) == 0 {
		return false, false
	}
	next := s.next[0]
	s.next = s.next[1:]
	if next.lost {
		return true, false
	}
	maps.Copy(w.Header(), next.header)
	w.WriteHeader(next.status)
	_, _ = w.Write([]byte(next.body))
	return false, true
}

func (s *Server) refuse(w http.ResponseWriter, reason string) { s.refuseBy(w, s.doc.Refusal, reason) }

func (s *Server) refuseBy(w http.ResponseWriter, how refusal, reason string) {
	s.complaints = append(s.complaints, reason)
	filled, _ := s.fill(how.Answer, "").(map[string]any)
	for name, value := range filled {
		if value == "$reason" {
			filled[name] = reason
		}
	}
	writeJSON(w, how.Status, filled)
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, doc exchange, lost bool) {
	if lost {
		panic(http.ErrAbortHandler)
	}
	document := s.fill(doc.Answer, s.live.first)
	fields, _ := document.(map[string]any)
	if !doc.FormUnlessAsked || strings.Contains(r.Header.Get("Accept"), "application/json") {
		writeJSON(w, http.StatusOK, document)
		return
	}
	form := url.Values{}
	for name, value := range fields {
		form.Set(name, fmt.Sprint(value))
	}
	w.Header().Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	_, _ = w.Write([]byte(form.Encode()))
}

// fill puts what the server has issued into a documented answer.
func (s *Server) fill(document any, token string) any {
	switch d := document.(type) {
	case map[string]any:
		filled := make(map[string]any, len(d))
		for name, value := range d {
			filled[name] = s.fill(value, token)
		}
		return filled
	case []any:
		filled := make([]any, len(d))
		for i, value := range d {
			filled[i] = s.fill(value, token)
		}
		return filled
	case string:
		if d == "$in_an_hour" {
			return time.Now().Add(time.Hour).Unix()
		}
		return s.put(d, token)
	default:
		return d
	}
}

func (s *Server) put(text, token string) string {
	return strings.NewReplacer("$access_token", token, "$refresh_token", s.live.refresh, "$client_secret", s.ClientSecret,
		"$in_an_hour_rfc3339", time.Now().Add(time.Hour).UTC().Format(time.RFC3339)).Replace(text)
}
