// Package connectpage is the pages of connect sessions: what a user sees who connects an
// account. They are forms and links, rendered here, that work without JavaScript; with
// it they tell the host app's page what happens, and look by themselves whether what they
// wait for has come.
//
// # Rules
//
//   - Nothing is fetched from anybody else, and nobody is told where the user was: no
//     referrer, and no address has a secret in it but the link, which is exchanged for a
//     cookie at once.
//   - Every form has a token of its session and browser. A GET changes nothing but whose
//     browser a link is for, and, once, by an address that was made for that, sends it on.
//   - A page is in a frame of the session's origins only, and what is in a frame sends
//     nobody to a provider: that opens a window.
//   - A form's answer that leads to a provider is a page, not a redirect: browsers hold
//     each redirect of a form to its page's form-action, and providers redirect on, to
//     hosts that nobody knows beforehand.
package connectpage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/connect"
	"github.com/cofferdam-run/cofferdam/host/fault"
)

//go:embed static/*
var static embed.FS

const (
	// bodyMost is what forms may have: a key and a certificate of 8 KiB each, escaped.
	bodyMost = 64 << 10
	// cookieLife is longer than a session.
	cookieLife = 2 * time.Hour
	// yearOf is for files whose address changes with what is in them.
	yearOf = "public, max-age=31536000, immutable"
)

// Sessions are what the pages are of: a *connect.Sessions.
type Sessions interface {
	OpenLink(ctx context.Context, secret string, b connect.Browser) (connect.Shown, error)
	Linked(ctx context.Context, secret string) (connect.Session, error)
	Show(ctx context.Context, id string, b connect.Browser) (connect.Shown, error)
	Do(ctx context.Context, id string, b connect.Browser, token string, step connect.Step) (connect.Shown, error)
	Pass(ctx context.Context, pass string, b connect.Browser) (connect.Shown, error)
	Callback(ctx context.Context, b connect.Browser, provider string, values url.Values) (string, error)
}

// Config configures Pages.
type Config struct {
	Sessions Sessions
	// PublicURL is where browsers reach what the pages are served by: with a path, it is
	// below that, and so is each address in a page. It has no slash at its end.
	PublicURL string
	Logger    *slog.Logger
}

// Pages serve connect sessions.
type Pages struct {
	c Config
	// base is the public URL's path, and secure says that browsers come over TLS.
	base   string
	secure bool
	pages  *template.Template
	files  map[string]file
}

// file is one that browsers keep.
type file struct {
	kind string
	body []byte
	// version is in the address of the pages' own.
	version string
}

// New returns Pages.
func New(c Config) *Pages {
	p := &Pages{c: c, files: map[string]file{}, secure: strings.HasPrefix(c.PublicURL, "https://")}
	if u, err := url.Parse(c.PublicURL); err == nil { // It was checked.
		p.base = u.EscapedPath()
	}
	for name, kind := range map[string]string{"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8", "v1.js": "text/javascript; charset=utf-8"} {
		body, err := static.ReadFile("static/" + name)
		if err != nil {
			panic(err) // It is embedded.
		}
		sum := sha256.Sum256(body)
		p.files[name] = file{kind: kind, body: body, version: hex.EncodeToString(sum[:6])}
	}
	p.pages = template.Must(template.New("").Funcs(template.FuncMap{
		"version": func(name string) string { return p.files[name].version },
		// What was checked to be a picture.
		"logo":  func(uri string) template.URL { return template.URL(uri) }, //nolint:gosec // See above.
		"place": placeOf,
		"at":    p.at,
	}).ParseFS(static, "static/*.html"))
	return p
}

// File serves a script or stylesheet: page.css and page.js of the pages, and v1.js, with
// which host apps open them.
func (p *Pages) File(w http.ResponseWriter, r *http.Request, name string) {
	f, there := p.files[name]
	if !there {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", "public, max-age=3600")
	if r.URL.Query().Get("v") == f.version {
		h.Set("Cache-Control", yearOf)
	}
	if name == "v1.js" {
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.body))
}

// isID tells a session's id from a link's secret.
func isID(visit string) bool { return strings.HasPrefix(visit, connect.Prefix) }

// Open serves a link, which becomes a cookie and the session's address, and that address.
func (p *Pages) Open(w http.ResponseWriter, r *http.Request, visit string) {
	if !isID(visit) {
		shown, err := p.c.Sessions.OpenLink(r.Context(), visit, p.browser(r))
		if err != nil {
			p.refuse(w, r, err)
			return
		}
		p.remember(w, r, shown.Cookie)
		see(w, r, p.visit(shown.ID))
		return
	}
	shown, err := p.c.Sessions.Show(r.Context(), visit, p.browser(r))
	if err != nil {
		p.refuse(w, r, err)
		return
	}
	p.remember(w, r, shown.Cookie)
	p.render(w, r, http.StatusOK, pageOf(shown, framed(r)))
}

// Post takes a form.
func (p *Pages) Post(w http.ResponseWriter, r *http.Request, visit string) {
	form, err := readForm(w, r)
	if err != nil {
		p.refuse(w, r, err)
		return
	}
	step, b := connect.Step{Step: form.Get("step"), Choice: form.Get("choice")}, p.browser(r)
	if step.Step == "fields" {
		now, err := p.c.Sessions.Show(r.Context(), visit, b)
		if err != nil {
			p.refuse(w, r, err)
			return
		}
		if step.Values, err = entered(now, form); err != nil {
			p.refuse(w, r, err)
			return
		}
	}
	shown, err := p.c.Sessions.Do(r.Context(), visit, b, form.Get("token"), step)
	if shown.ID == "" {
		p.refuse(w, r, err)
		return
	}
	p.remember(w, r, shown.Cookie)
	f, isFault := errors.AsType[*fault.Error](err)
	switch {
	case isFault && len(f.Problems) > 0 && shown.Next != nil && shown.Next.Step == "fields":
		page := pageOf(shown, framed(r))
		page.mark(f, form)
		p.render(w, r, http.StatusUnprocessableEntity, page)
	case err != nil && !isOfSession(err):
		p.refuse(w, r, err)
	case shown.GoTo != "" && !framed(r):
		p.render(w, r, http.StatusOK, leaving(shown))
	default:
		see(w, r, p.visit(shown.ID))
	}
}

// isOfSession says that an error is one that the session's page tells: a form that came
// too late, or twice.
func isOfSession(err error) bool {
	f := fault.From(err)
	return f.Class == fault.Conflict && f.Code != "name_taken"
}

// statusView is what scripts are told.
type statusView struct {
	Session    string        `json:"session"`
	State      connect.State `json:"state"`
	Version    int64         `json:"version"`
	Connection string        `json:"connection,omitempty"`
}

// Status tells scripts how far a session is: its own page's, by the cookie, and the host
// app's, which have the link and are of one of the session's origins.
func (p *Pages) Status(w http.ResponseWriter, r *http.Request, visit string) {
	var session connect.Session
	var err error
	if isID(visit) {
		var shown connect.Shown
		shown, err = p.c.Sessions.Show(r.Context(), visit, p.browser(r))
		session = shown.Session
	} else {
		session, err = p.c.Sessions.Linked(r.Context(), visit)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Vary", "Origin, Cookie")
	if err != nil {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, "{}\n")
		return
	}
	if origin := r.Header.Get("Origin"); slices.Contains(session.Origins, origin) {
		w.Header().Set("Access-Control-Allow-Origin", origin)
	}
	b, err := json.Marshal(statusView{session.ID, session.State, session.Version, session.Connection})
	if err != nil {
		panic(err) // Of texts and a number.
	}
	_, _ = w.Write(append(b, '\n'))
}

// Go sends a browser to the provider, by an address that is good once.
func (p *Pages) Go(w http.ResponseWriter, r *http.Request, pass string) {
	if framed(r) {
		p.refuse(w, r, fault.New(fault.Denied, "consent_in_a_frame", "the provider's page is not shown in a frame").
			WithHint("Open this address in a window of its own."))
		return
	}
	shown, err := p.c.Sessions.Pass(r.Context(), pass, p.browser(r))
	if err != nil {
		p.refuse(w, r, err)
		return
	}
	p.remember(w, r, shown.Cookie)
	to := shown.GoTo
	if to == "" {
		to = p.visit(shown.ID)
	}
	see(w, r, to)
}

// Callback takes what a provider sends a browser back with.
func (p *Pages) Callback(w http.ResponseWriter, r *http.Request, provider string) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		err = fault.New(fault.InvalidInput, fault.CodeMalformed, "the address that the provider has sent you back with cannot be read").Because(err)
	}
	if r.Method == http.MethodPost {
		again := values.Has("again")
		if values, err = readForm(w, r); err == nil && !again && p.browser(r).Cookie == "" {
			// Browsers keep the cookie back from forms of others' pages; of this one's they do not.
			p.render(w, r, http.StatusOK, sentAgain(provider, values))
			return
		}
	}
	if err != nil {
		p.refuse(w, r, err)
		return
	}
	id, err := p.c.Sessions.Callback(r.Context(), p.browser(r), provider, values)
	if err != nil && (id == "" || !isOfSession(err)) {
		p.refuse(w, r, err)
		return
	}
	see(w, r, p.visit(id))
}

// at is the address of a path of ours, for browsers.
func (p *Pages) at(path string) string { return p.base + path }

// visit is the address of a session's page.
func (p *Pages) visit(id string) string { return p.at("/connect/" + id) }

// see redirects so that the browser asks anew, with a GET, whatever it has sent here: with
// a 307 it would send that on (RFC 9700, section 4.12).
func see(w http.ResponseWriter, r *http.Request, to string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	http.Redirect(w, r, to, http.StatusSeeOther) //nolint:gosec // A page of ours, or a provider's endpoint.
}

// readForm reads a body of at most bodyMost.
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if strings.TrimSpace(strings.ToLower(kind)) != "application/x-www-form-urlencoded" {
		return nil, fault.New(fault.InvalidInput, fault.CodeMalformed, "the body is not a form")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyMost))
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		return nil, fault.New(fault.LimitExceeded, fault.CodeBodyTooLarge, "the form has more than %d bytes, which is the limit", bodyMost)
	}
	if err != nil {
		return nil, fault.New(fault.InvalidInput, fault.CodeMalformed, "the form did not arrive whole").Because(err)
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, fault.New(fault.InvalidInput, fault.CodeMalformed, "the form cannot be read").Because(err)
	}
	return values, nil
}

// framed says whether a page is asked for to be shown in a frame.
func framed(r *http.Request) bool {
	dest := r.Header.Get("Sec-Fetch-Dest")
	return dest == "iframe" || dest == "frame" || dest == "embed" || dest == "object"
}

func (p *Pages) cookieName() string {
	if p.secure {
		return "__Host-connect"
	}
	return "connect"
}

// browser is who asks.
func (p *Pages) browser(r *http.Request) connect.Browser {
	b := connect.Browser{Framed: framed(r)}
	if c, err := r.Cookie(p.cookieName()); err == nil {
		b.Cookie = c.Value
	}
	return b
}

// remember has the browser know itself again. In a frame, it has a cookie for the page
// around it alone. Over TLS the cookie is for the whole host: that is what the prefix of
// its name demands, by which a browser takes it from this very host only
// (RFC 6265bis, section 4.1.3.2).
func (p *Pages) remember(w http.ResponseWriter, r *http.Request, cookie string) {
	if cookie == "" {
		return
	}
	c := &http.Cookie{ //nolint:gosec // Over plain http, in development, a cookie cannot be Secure.
		Name: p.cookieName(), Value: cookie, Path: "/", MaxAge: int(cookieLife.Seconds()),
		HttpOnly: true, Secure: p.secure, SameSite: http.SameSiteLaxMode,
	}
	if !p.secure {
		c.Path = p.at("/")
	}
	if framed(r) && p.secure {
		c.SameSite, c.Partitioned = http.SameSiteNoneMode, true
	}
	http.SetCookie(w, c)
}

// render writes a page.
func (p *Pages) render(w http.ResponseWriter, r *http.Request, status int, page *page) {
	var b bytes.Buffer
	if err := p.pages.ExecuteTemplate(&b, "page.html", page); err != nil {
		p.c.Logger.ErrorContext(r.Context(), "a page was not rendered", slog.String("page", page.Kind), slog.Any("error", err))
		http.Error(w, "The page cannot be shown.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", page.policy())
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	if len(page.Origins) == 0 {
		h.Set("X-Frame-Options", "DENY")
	}
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // That the browser has gone is nobody's fault.
}

// policy is the page's Content-Security-Policy. Besides the stylesheet, one style is in
// the page, which is named by its hash: the brand's colours.
func (p *page) policy() string {
	sum := sha256.Sum256([]byte(p.Style))
	ancestors := "'none'"
	if len(p.Origins) > 0 {
		ancestors = strings.Join(p.Origins, " ")
	}
	return "default-src 'none'; style-src 'self' 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; script-src 'self'; " +
		"img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors " + ancestors + "; base-uri 'none'"
}

// refuse shows why there is no session's page.
func (p *Pages) refuse(w http.ResponseWriter, r *http.Request, err error) {
	f := fault.From(err)
	status := fault.Status(f)
	if status >= http.StatusInternalServerError {
		p.c.Logger.ErrorContext(r.Context(), "a connect page failed", slog.String("code", f.Code), slog.String("cause", err.Error()))
	}
	p.render(w, r, status, refusalOf(f))
}
