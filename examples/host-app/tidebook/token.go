package tidebook

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"time"
)

// grant is what a user has agreed to: a family of tokens, of which the last two are good.
type grant struct {
	Since           time.Time
	account         *account
	access, refresh string
	ends            time.Time
	ended           bool
}

// token gives tokens for a code or a refresh token (RFC 6749 sections 4.1.3 and 6).
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	if !s.isApp(r) {
		w.Header().Set("WWW-Authenticate", `Basic realm="tidebook"`)
		tell(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var g *grant
	switch r.PostFormValue("grant_type") {
	case "authorization_code":
		g = s.exchanged(r.PostForm)
	case "refresh_token":
		g = s.refreshed(r.PostFormValue("refresh_token"))
	default:
		tell(w, http.StatusBadRequest, map[string]string{"error": "unsupported_grant_type"})
		return
	}
	if g == nil {
		tell(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant", "error_description": "The user's permission has ended."})
		return
	}
	s.issue(g)
	tell(w, http.StatusOK, map[string]any{
		"access_token": g.access, "refresh_token": g.refresh, "token_type": "Bearer", "expires_in": int(s.c.Life.Seconds()), "scope": "contacts",
	})
}

// isApp checks the app's credentials, which RFC 6749 section 2.3.1 has encoded before
// they go into the header.
func (s *Server) isApp(r *http.Request) bool {
	id, secret, _ := r.BasicAuth()
	id, _ = url.QueryUnescape(id)
	secret, _ = url.QueryUnescape(secret)
	return same(id, s.c.ClientID) && same(secret, s.c.ClientSecret)
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// exchanged takes a code, which is of the app that has its verifier (RFC 7636).
func (s *Server) exchanged(form url.Values) *grant {
	c, known := s.codes[form.Get("code")]
	if !known {
		return nil
	}
	if c.grant != nil {
		s.end(c.grant)
		return nil
	}
	sum := sha256.Sum256([]byte(form.Get("code_verifier")))
	if s.c.Now().After(c.ends) || form.Get("redirect_uri") != s.c.RedirectURI || !same(base64.RawURLEncoding.EncodeToString(sum[:]), c.challenge) {
		return nil
	}
	c.grant = &grant{Since: s.c.Now(), account: c.account}
	c.account.Grant = c.grant
	return c.grant
}

// refreshed takes a refresh token: the last one of its family. One that was used before
// has been stolen, from the app or by it, and nobody knows which (RFC 9700 section 4.14).
func (s *Server) refreshed(token string) *grant {
	g, known := s.refresh[token]
	if !known || g.ended {
		return nil
	}
	if token != g.refresh {
		s.end(g)
		return nil
	}
	return g
}

// issue gives a family new tokens, and ends those before.
func (s *Server) issue(g *grant) {
	g.access, g.refresh, g.ends = rand.Text(), rand.Text(), s.c.Now().Add(s.c.Life)
	s.access[g.access], s.refresh[g.refresh] = g, g
}

// revoke ends what a token is of (RFC 7009). Whether there was any, it does not say.
func (s *Server) revoke(w http.ResponseWriter, r *http.Request) {
	if !s.isApp(r) {
		tell(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range []*grant{s.access[r.PostFormValue("token")], s.refresh[r.PostFormValue("token")]} {
		if g != nil {
			s.end(g)
		}
	}
}

// end ends a family of tokens. Another that the user has agreed to since goes on.
func (s *Server) end(g *grant) {
	g.ended = true
	if g.account.Grant == g {
		g.account.Grant = nil
	}
}
