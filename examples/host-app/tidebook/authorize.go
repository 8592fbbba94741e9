package tidebook

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"time"
)

// request is a consent that an app asks for: parameters that were found right.
type request struct {
	state, challenge string
	ends             time.Time
}

// code is what an app gets for a consent, and exchanges for tokens.
type code struct {
	account   *account
	challenge string
	ends      time.Time
	// grant is what came of it: a code that comes a second time ends that.
	grant *grant
}

const (
	// deliberation is how long a user may look at the page.
	deliberation = 10 * time.Minute
	codeLife     = time.Minute
)

// authorize shows who asks for what (RFC 6749 section 4.1.1). Whoever is not known is
// told so on a page: an address that is not registered must not be sent to.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("client_id") != s.c.ClientID || q.Get("redirect_uri") != s.c.RedirectURI {
		s.show(w, http.StatusBadRequest, "problem.html", "No app is registered with this client id and this address to come back to.")
		return
	}
	switch {
	case q.Get("response_type") != "code":
		s.back(w, r, q.Get("state"), url.Values{"error": {"unsupported_response_type"}})
		return
	case q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == "":
		s.back(w, r, q.Get("state"), url.Values{"error": {"invalid_request"}, "error_description": {"PKCE with S256 is required"}})
		return
	}
	id := rand.Text()
	s.mu.Lock()
	s.requests[id] = request{state: q.Get("state"), challenge: q.Get("code_challenge"), ends: s.c.Now().Add(deliberation)}
	s.mu.Unlock()
	s.show(w, http.StatusOK, "consent.html", map[string]any{"App": s.c.App, "Request": id, "Accounts": s.accounts})
}

// answer takes what the user has decided. The request's id is what shows that the form
// is of the page above: it is good once.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	asked, known := s.requests[r.FormValue("request")]
	delete(s.requests, r.FormValue("request"))
	who := s.account(r.FormValue("account"))
	s.mu.Unlock()
	switch {
	case !known || s.c.Now().After(asked.ends):
		s.show(w, http.StatusBadRequest, "problem.html", "This page has been answered already, or was open for too long. Begin again in the app.")
	case r.FormValue("decision") != "allow" || who == nil:
		s.back(w, r, asked.state, url.Values{"error": {"access_denied"}, "error_description": {"The user has refused."}})
	default:
		secret := rand.Text()
		s.mu.Lock()
		s.codes[secret] = &code{account: who, challenge: asked.challenge, ends: s.c.Now().Add(codeLife)}
		s.mu.Unlock()
		s.back(w, r, asked.state, url.Values{"code": {secret}})
	}
}

// back sends the browser to the app. It is a 303: what was posted here is not the app's.
func (s *Server) back(w http.ResponseWriter, r *http.Request, state string, values url.Values) {
	values.Set("state", state)
	http.Redirect(w, r, s.c.RedirectURI+"?"+values.Encode(), http.StatusSeeOther)
}

func (s *Server) account(email string) *account {
	for _, a := range s.accounts {
		if a.Email == email {
			return a
		}
	}
	return nil
}
