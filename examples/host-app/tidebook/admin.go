package tidebook

import "net/http"

// admin shows the users, the apps that they have let in, and their address books.
func (s *Server) admin(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.show(w, http.StatusOK, "admin.html", map[string]any{"App": s.c.App, "Accounts": s.accounts})
}

// takeAway ends what a user has agreed to, as a user would who has second thoughts. The
// app is not told: it finds out when it next comes.
func (s *Server) takeAway(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if a := s.account(r.FormValue("account")); a != nil && a.Grant != nil {
		s.end(a.Grant)
	}
	s.mu.Unlock()
	http.Redirect(w, r, "/admin", http.StatusSeeOther)
}
