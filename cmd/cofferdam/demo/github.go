// Package demo is what the demo plays with: a small server that stands in for
// the GitHub REST API, and a delivery of the shape that GitHub documents.
package demo

import (
	_ "embed" // for the delivery
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// GitHub stands in for <https://docs.github.com/en/rest/issues/labels>: it knows
// which token may write to which owner's repositories, and refuses the others as
// GitHub does.
type GitHub struct {
	mu     sync.Mutex
	owners map[string]string
	labels map[string][]string
}

// NewGitHub returns a stand-in that knows tokens: owner by token.
func NewGitHub(owners map[string]string) *GitHub {
	return &GitHub{owners: owners, labels: map[string][]string{}}
}

// Labels returns the labels of an issue, such as "acme/widgets#7".
func (g *GitHub) Labels(issue string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.labels[issue]...)
}

// ServeHTTP implements http.Handler.
func (g *GitHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	owner, known := g.owners[token]
	if !known {
		answer(w, http.StatusUnauthorized, map[string]string{"message": "Bad credentials"})
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /user", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"login": owner})
	})
	mux.HandleFunc("POST /repos/{owner}/{repo}/issues/{number}/labels", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("owner") != owner {
			// GitHub hides what a token may not see.
			answer(w, http.StatusNotFound, map[string]string{"message": "Not Found"})
			return
		}
		g.label(w, r)
	})
	mux.ServeHTTP(w, r)
}

func (g *GitHub) label(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Labels []string `json:"labels"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		answer(w, http.StatusUnprocessableEntity, map[string]string{"message": "Validation Failed"})
		return
	}
	issue := fmt.Sprintf("%s/%s#%s", r.PathValue("owner"), r.PathValue("repo"), r.PathValue("number"))
	g.mu.Lock()
	g.labels[issue] = append(g.labels[issue], body.Labels...)
	g.mu.Unlock()
	var out []map[string]string
	for _, l := range g.Labels(issue) {
		out = append(out, map[string]string{"name": l})
	}
	answer(w, http.StatusOK, out)
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // The peer may be gone; there is nobody to tell.
}

//go:embed issues.opened.json
var opened []byte

// Opened returns an issues.opened delivery of GitHub's documented shape
// (<https://docs.github.com/en/webhooks/webhook-events-and-payloads#issues>)
// for a repository of an owner.
func Opened(owner, repo string, number int) ([]byte, error) {
	var payload map[string]any
	if err := json.Unmarshal(opened, &payload); err != nil {
		return nil, fmt.Errorf("decode the delivery: %w", err)
	}
	repository, _ := payload["repository"].(map[string]any)
	issue, _ := payload["issue"].(map[string]any)
	repository["name"], repository["full_name"] = repo, owner+"/"+repo
	if o, ok := repository["owner"].(map[string]any); ok {
		o["login"] = owner
	}
	issue["number"] = number
	return json.Marshal(payload)
}
