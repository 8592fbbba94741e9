package providertest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// serve finds the endpoint that a request is for: by its host and path, as the pages
// have them.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	at := "https://" + r.Host + r.URL.Path
	values, err := valuesOf(r)
	if err != nil {
		s.complain("%s %s: %v", r.Method, at, err)
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	endpoint, handle := s.endpoint(at, r, values)
	s.mu.Lock()
	s.asked = append(s.asked, Asked{Endpoint: endpoint, Method: r.Method, URL: at, Values: values, Header: r.Header.Clone()})
	s.mu.Unlock()
	if handle == nil {
		s.complain("the pages of %s name no %s %s", s.Name, r.Method, at)
		http.NotFound(w, r)
		return
	}
	handle(w, r, values)
}

type handler func(w http.ResponseWriter, r *http.Request, values url.Values)

func (s *Server) endpoint(at string, r *http.Request, values url.Values) (string, handler) {
	is := func(request string) bool { return request == r.Method+" "+at }
	for _, l := range s.doc.Lookups {
		if is(l.Request) && (l.Token == "" || values.Has(l.Token)) {
			return "lookup", func(w http.ResponseWriter, r *http.Request, v url.Values) { s.lookup(w, r, v, l) }
		}
	}
	refreshes := s.doc.Refresh != nil && is(s.doc.Refresh.Request)
	exchanges := is(s.doc.Token.Request)
	if refreshes && exchanges {
		// One endpoint has both: what is sent says which.
		refreshes = values.Has(s.doc.Refresh.Sends)
	}
	switch {
	case s.doc.Metadata != nil && is("GET "+s.doc.Metadata.URL):
		return "metadata", func(w http.ResponseWriter, _ *http.Request, _ url.Values) { writeJSON(w, 200, s.doc.Metadata.Answer) }
	case s.doc.Metadata != nil && r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/.well-known/"):
		// Clients look at one place after the other: https://www.rfc-editor.org/rfc/rfc8414#section-5.
		return "metadata", func(w http.ResponseWriter, r *http.Request, _ url.Values) { http.NotFound(w, r) }
	case s.doc.Authorize.URL != "" && is("GET "+s.doc.Authorize.URL):
		return "authorize", s.authorize
	case refreshes:
		return "refresh", s.refresh
	case exchanges:
		return "token", s.token
	case s.doc.Revoke != "" && is(s.doc.Revoke):
		return "revoke", s.revoke
	case s.doc.Introspect != "" && is(s.doc.Introspect):
		return "introspect", s.introspect
	case is("GET " + s.doc.API.URL):
		return "api", s.api
	}
	return "unknown", nil
}

// valuesOf reads the parameters of a request, wherever they are.
func valuesOf(r *http.Request) (url.Values, error) {
	values := r.URL.Query()
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, 1<<20))
	if err != nil || len(body) == 0 {
		return values, err
	}
	contentType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	switch contentType {
	case "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, fmt.Errorf("read the form: %w", err)
		}
		for name, all := range form {
			values[name] = append(values[name], all...)
		}
	case "application/json":
		var document map[string]any
		if err := json.Unmarshal(body, &document); err != nil {
			return nil, fmt.Errorf("read the JSON: %w", err)
		}
		for name, value := range document {
			values.Add(name, fmt.Sprint(value))
		}
	default:
		return nil, fmt.Errorf("the body is %q", contentType)
	}
	for name, all := range values {
		if len(all) > 1 {
			return nil, fmt.Errorf("%s is there %d times", name, len(all))
		}
	}
	return values, nil
}

// authorize is the page where a user agrees, and does so at once.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request, v url.Values) {
	a := s.doc.Authorize
	if v.Get("redirect_uri") != s.RedirectURI || v.Get(a.Client) != s.ClientID {
		s.complain("authorize: %s or redirect_uri is not the app's", a.Client)
		http.Error(w, "unknown app", http.StatusBadRequest)
		return
	}
	back := url.Values{"state": {v.Get("state")}}
	if reason := s.unlikeAuthorization(v); reason != "" {
		s.complain("authorize: %s", reason)
		back.Set("error", "invalid_request")
		back.Set("error_description", reason)
		http.Redirect(w, r, s.RedirectURI+"?"+back.Encode(), http.StatusFound)
		return
	}
	s.mu.Lock()
	s.issued++
	name := fmt.Sprintf("code-%d", s.issued)
	s.codes[name] = &code{challenge: v.Get("code_challenge")}
	s.mu.Unlock()
	back.Set(a.Code, name)
	for parameter, value := range a.Callback {
		back.Set(parameter, value)
	}
	if a.Signed {
		back.Set("hmac", s.signed(back))
	}
	http.Redirect(w, r, s.RedirectURI+"?"+back.Encode(), http.StatusFound)
}

func (s *Server) unlikeAuthorization(v url.Values) string {
	a := s.doc.Authorize
	switch {
	case v.Get("response_type") != "code":
		return "response_type is not code"
	case v.Get("state") == "":
		return "there is no state"
	case a.Scoped && v.Get("scope") == "" && v.Get("user_scope") == "": // The latter is Slack's.
		return "there is no scope"
	case a.PKCE == "required" && v.Get("code_challenge") == "":
		return "there is no code_challenge, and PKCE is required"
	case a.PKCE == "refused" && v.Has("code_challenge"):
		return "there is a code_challenge, and the pages know no PKCE"
	case v.Has("code_challenge") && v.Get("code_challenge_method") != "S256":
		return "code_challenge_method is not S256"
	}
	for _, name := range slices.Sorted(maps.Keys(a.Want)) {
		if v.Get(name) != a.Want[name] {
			return fmt.Sprintf("%s is %q, and the pages say %q", name, v.Get(name), a.Want[name])
		}
	}
	return ""
}

// signed is Shopify's: all parameters but hmac, sorted, as NAME=VALUE with & between.
func (s *Server) signed(v url.Values) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(v)) {
		parts = append(parts, name+"="+v.Get(name))
	}
	mac := hmac.New(sha256.New, []byte(s.ClientSecret))
	mac.Write([]byte(strings.Join(parts, "&")))
	return hex.EncodeToString(mac.Sum(nil))
}

func (s *Server) lookup(w http.ResponseWriter, r *http.Request, v url.Values, l lookup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	reason := ""
	for _, name := range slices.Sorted(maps.Keys(l.Want)) {
		if want := s.put(l.Want[name], s.live.first); v.Get(name) != want {
			reason = fmt.Sprintf("%s is %q, and the pages say %q", name, v.Get(name), want)
		}
	}
	given := v.Get(l.Token)
	if l.Token == "" {
		given = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	}
	if given != s.live.first {
		reason = "the token is not the one that the token endpoint gave"
	}
	if reason != "" {
		s.complaints = append(s.complaints, "lookup: "+reason)
		writeJSON(w, http.StatusUnauthorized, map[string]any{"error": "invalid_token"})
		return
	}
	if l.Issues {
		s.issued++
		s.live.access = fmt.Sprintf("access-%d", s.issued)
		if s.doc.Refresh != nil && s.doc.Refresh.Sends == "access_token" {
			s.live.first = s.live.access
		}
	}
	writeJSON(w, http.StatusOK, s.fill(l.Answer, s.live.access))
}

func (s *Server) api(w http.ResponseWriter, r *http.Request, v url.Values) {
	s.mu.Lock()
	defer s.mu.Unlock()
	reason := ""
	if name, value, ok := strings.Cut(s.doc.API.Header, ": "); ok && r.Header.Get(name) != s.put(value, s.live.access) {
		reason = fmt.Sprintf("the header %s is not as %q", name, s.doc.API.Header)
	}
	if q := s.doc.API.Query; q != "" && v.Get(q) != s.live.access {
		reason = fmt.Sprintf("the parameter %s is not the token", q)
	}
	for name, value := range s.doc.API.Want {
		if r.Header.Get(name) != value {
			reason = fmt.Sprintf("the header %s is not %q", name, value)
		}
	}
	if reason != "" {
		s.complaints = append(s.complaints, "api: "+reason)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if s.doc.API.Answer != nil {
		writeJSON(w, http.StatusOK, s.doc.API.Answer)
		return
	}
	w.WriteHeader(http.StatusOK)
}

func writeJSON(w http.ResponseWriter, status int, document any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(document)
}
