package main

import (
	"bytes"
	"crypto/rand"
	"embed"
	"html/template"
	"net/http"
	"sync"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/fault"
)

// desk is the app: its own sign-in and pages, and Cofferdam's connect pages among them.
type desk struct {
	h         *host.Host
	customers []*customer
	// url is the app's own, vendorURL the vendor's, for a link.
	url, vendorURL string
	pages          *template.Template
	mux            *http.ServeMux

	mu sync.Mutex
	// signedIn are the customers of who has signed in, by what their cookie holds.
	signedIn map[string]*customer
}

//go:embed pages static
var files embed.FS

func newDesk(h *host.Host, customers []*customer, url, vendorURL string) *desk {
	d := &desk{
		h: h, customers: customers, url: url, vendorURL: vendorURL, signedIn: map[string]*customer{}, mux: http.NewServeMux(),
		pages: template.Must(template.New("").Funcs(words()).ParseFS(files, "pages/*.html")),
	}
	own := http.NewServeMux()
	own.Handle("GET /{$}", http.RedirectHandler("/integrations", http.StatusSeeOther))
	own.HandleFunc("GET /sign-in", d.signInPage)
	own.HandleFunc("POST /sign-in", d.signIn)
	own.HandleFunc("POST /sign-out", d.signOut)
	own.HandleFunc("GET /integrations", d.known(d.integrations))
	own.HandleFunc("POST /integrations/connect", d.known(d.connect))
	own.HandleFunc("POST /integrations/disconnect", d.known(d.disconnect))
	own.HandleFunc("POST /integrations/run", d.known(d.run))
	own.HandleFunc("GET /executions/{id}", d.known(d.execution))
	own.Handle("GET /static/", http.FileServerFS(files))
	own.Handle("GET /favicon.ico", http.RedirectHandler("/static/logo.png", http.StatusSeeOther))
	// A form of another site's cannot act for who is signed in here.
	d.mux.Handle("/", http.NewCrossOriginProtection().Handler(guarded(own)))

	// Of Cofferdam's HTTP, browsers need the connect pages and the addresses that providers
	// send them back to. The rest, /v1 and /hooks, is mounted by whoever wants it.
	cofferdam := http.StripPrefix(below, api.Handler(h, api.Options{Logger: logger()}))
	d.mux.Handle(below+"/connect/", cofferdam)
	d.mux.Handle(below+"/oauth/", cofferdam)
	return d
}

// below is where Cofferdam is among the app's addresses, and so the end of
// host.Config.PublicURL.
const below = "/cofferdam"

// ServeHTTP implements http.Handler.
func (d *desk) ServeHTTP(w http.ResponseWriter, r *http.Request) { d.mux.ServeHTTP(w, r) }

// guarded is what browsers are to hold the app's own pages to.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

const cookie = "harbor_desk"

// known lets those in who have signed in, and says who they are.
func (d *desk) known(next func(w http.ResponseWriter, r *http.Request, who *customer)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who := d.who(r)
		if who == nil {
			http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
			return
		}
		w.Header().Set("Cache-Control", "no-store") // What one customer has seen is not the next one's.
		next(w, r, who)
	}
}

func (d *desk) who(r *http.Request) *customer {
	c, err := r.Cookie(cookie)
	if err != nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.signedIn[c.Value]
}

func (d *desk) signInPage(w http.ResponseWriter, r *http.Request) {
	d.show(w, r, http.StatusOK, "sign-in.html", map[string]any{"Customers": d.customers})
}

// signIn asks for no password, for there is nothing behind it. A real app has its own
// sign-in, which Cofferdam knows nothing of.
func (d *desk) signIn(w http.ResponseWriter, r *http.Request) {
	for _, c := range d.customers {
		if c.Key != r.FormValue("customer") {
			continue
		}
		id := rand.Text()
		d.mu.Lock()
		d.signedIn[id] = c
		d.mu.Unlock()
		http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure is for https, and this is on one machine.
			Name: cookie, Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		})
	}
	http.Redirect(w, r, "/integrations", http.StatusSeeOther)
}

func (d *desk) signOut(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(cookie); err == nil {
		d.mu.Lock()
		delete(d.signedIn, c.Value)
		d.mu.Unlock()
	}
	http.SetCookie(w, &http.Cookie{Name: cookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode}) //nolint:gosec // As above.
	http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
}

// show writes a page.
func (d *desk) show(w http.ResponseWriter, r *http.Request, status int, name string, data map[string]any) {
	data["Who"], data["VendorURL"] = d.who(r), d.vendorURL
	var b bytes.Buffer // So that a page that fails is not half there.
	if err := d.pages.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // Who does not read on has left.
}

// refuse says what went wrong in Cofferdam's own words: a fault has a message and a hint
// that are for users. What belongs to another customer is not found, in the same words as
// what does not exist.
func (d *desk) refuse(w http.ResponseWriter, r *http.Request, err error) {
	f := fault.From(err)
	d.show(w, r, fault.Status(f), "problem.html", map[string]any{"Error": f})
}
