package api

import (
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"

	"github.com/cofferdam-run/cofferdam/host/api/internal/connectpage"
)

// connectPageRoutes are what browsers of users see. Who they are, a link or a cookie says.
func connectPageRoutes() []route {
	line := func(method, path, id, summary, description string, show func(p *connectpage.Pages, w http.ResponseWriter, r *http.Request)) route {
		return route{
			Method: method, Path: path, ID: id, Summary: summary, Description: description, Reach: open, Tag: "connect",
			Refuses: []int{http.StatusForbidden, http.StatusNotFound, http.StatusConflict},
			shape:   shapePage,
			bind:    plain(func(s *server, w http.ResponseWriter, r *http.Request) { s.showPage(w, r, show) }),
		}
	}
	file := func(name, what string) route {
		rt := line(http.MethodGet, "/connect/"+name, "connectFile"+strings.ToUpper(name[:1])+strings.NewReplacer(".", "", "1", "").Replace(name[1:]), what, what+".",
			func(p *connectpage.Pages, w http.ResponseWriter, r *http.Request) { p.File(w, r, name) })
		rt.Refuses = []int{http.StatusNotFound}
		return rt
	}
	type pages = connectpage.Pages
	status := line(http.MethodGet, "/connect/{visit}/status", "connectStatus", "Ask how far a connect session is",
		"For scripts: of a session's own page, or of a page of one of its origins, which has the link.",
		func(p *pages, w http.ResponseWriter, r *http.Request) { p.Status(w, r, chi.URLParam(r, "visit")) })
	return []route{
		file("v1.js", "The script with which host apps open connect sessions"),
		file("page.js", "The script of the pages of connect sessions"),
		file("page.css", "The stylesheet of the pages of connect sessions"),
		line(http.MethodGet, "/connect/{visit}", "openConnectPage", "Open a connect session",
			"By the link's secret, which becomes a cookie, or by the session's id, with that cookie.",
			func(p *pages, w http.ResponseWriter, r *http.Request) { p.Open(w, r, chi.URLParam(r, "visit")) }),
		line(http.MethodPost, "/connect/{visit}", "postConnectPage", "Do a step of a connect session in a browser",
			"A form of the session's page, with its token.",
			func(p *pages, w http.ResponseWriter, r *http.Request) { p.Post(w, r, chi.URLParam(r, "visit")) }),
		status,
		line(http.MethodGet, "/connect/go/{pass}", "goToConsent", "Go to the provider",
			"The `authorization_url` of a connect session whose steps the host app does: it is good once.",
			func(p *pages, w http.ResponseWriter, r *http.Request) { p.Go(w, r, chi.URLParam(r, "pass")) }),
		line(http.MethodGet, "/oauth/callback/{provider}", "oauthCallback", "Come back from a provider",
			"The redirect URI of apps. What comes is believed in the browser that was sent there, once, and within ten minutes.",
			func(p *pages, w http.ResponseWriter, r *http.Request) { p.Callback(w, r, chi.URLParam(r, "provider")) }),
		line(http.MethodPost, "/oauth/callback/{provider}", "oauthCallbackForm", "Come back from a provider by a form",
			"The same for providers that send a form (`response_mode=form_post`).",
			func(p *pages, w http.ResponseWriter, r *http.Request) { p.Callback(w, r, chi.URLParam(r, "provider")) }),
	}
}

func (s *server) showPage(w http.ResponseWriter, r *http.Request, show func(p *connectpage.Pages, w http.ResponseWriter, r *http.Request)) {
	if _, err := s.connects(); err != nil {
		s.fail(w, r, err)
		return
	}
	show(s.pages, w, r)
}

// shapePage declares what the router knows: the path, and that answers are pages.
func shapePage(op *huma.Operation) {
	for _, name := range []string{"visit", "pass", "provider"} {
		if strings.Contains(op.Path, "{"+name+"}") {
			text := map[string]string{
				"visit": "A link's secret, or a session's id.", "pass": "What the address ends in, as it was given.", "provider": "The provider's name.",
			}[name]
			op.Parameters = append(op.Parameters, &huma.Param{Name: name, In: "path", Required: true, Description: text, Schema: &huma.Schema{Type: huma.TypeString}})
		}
	}
	kind := "text/html"
	switch {
	case strings.HasSuffix(op.Path, ".js"):
		kind = "text/javascript"
	case strings.HasSuffix(op.Path, ".css"):
		kind = "text/css"
	case strings.HasSuffix(op.Path, "/status"):
		kind = "application/json"
	}
	content := map[string]*huma.MediaType{kind: {Schema: &huma.Schema{}}}
	op.Responses["200"] = &huma.Response{Content: content}
	if kind == "text/html" {
		op.Responses["303"] = &huma.Response{Description: "Go on there.", Content: content}
	}
	if op.Method == http.MethodPost {
		op.RequestBody = &huma.RequestBody{
			Description: "A form of at most 64 KiB.", Required: true,
			Content: map[string]*huma.MediaType{"application/x-www-form-urlencoded": {Schema: &huma.Schema{Type: huma.TypeObject}}},
		}
	}
}
