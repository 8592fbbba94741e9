package tidebook

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Contact is somebody in an address book.
type Contact struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email"`
	Note  string `json:"note,omitempty"`
}

// authorized lets those in who have an access token that is good.
func (s *Server) authorized(next func(w http.ResponseWriter, r *http.Request, a *account)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		s.mu.Lock()
		defer s.mu.Unlock()
		g, known := s.access[token]
		if !known || g.ended || token != g.access || s.c.Now().After(g.ends) {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			tell(w, http.StatusUnauthorized, map[string]string{"message": "The access token is not good, or not any more."})
			return
		}
		next(w, r, g.account)
	}
}

func (s *Server) me(w http.ResponseWriter, _ *http.Request, a *account) {
	tell(w, http.StatusOK, map[string]any{"email": a.Email, "contacts": len(a.Contacts)})
}

// addContact adds somebody. A request that comes again, by its key, adds nobody.
func (s *Server) addContact(w http.ResponseWriter, r *http.Request, a *account) {
	const most = 64 << 10
	var c Contact
	if err := json.NewDecoder(io.LimitReader(r.Body, most)).Decode(&c); err != nil || c.Name == "" || !strings.Contains(c.Email, "@") {
		tell(w, http.StatusUnprocessableEntity, map[string]string{"message": "A contact needs a name and an email address."})
		return
	}
	key := r.Header.Get("Idempotency-Key")
	if before, known := a.byKey[key]; known && key != "" {
		tell(w, http.StatusOK, before)
		return
	}
	c.ID = fmt.Sprintf("c%d", len(a.Contacts)+1)
	a.Contacts = append(a.Contacts, c)
	a.byKey[key] = c
	tell(w, http.StatusCreated, c)
}
