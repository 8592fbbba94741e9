package api_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/oauth/oauthtest"
)

func TestBehaviours(t *testing.T) {
	t.Parallel()
	c, _ := setupOAuth(t, "authorization_code")
	c.asking(t, oauthSlot, `{"ok":true}`)
	oauthtest.Run(t, oauthtest.Connect, map[string]func(t *testing.T){
		"RFC 9700: no open redirect": func(t *testing.T) {
			t.Helper()
			_, b := c.asked(t, map[string]any{"return_url": "https://app.example/done"})
			for _, query := range []string{"?return_url=https://evil.example", "?redirect_uri=https://evil.example", "?next=//evil.example", "?connect_session=x"} {
				b.open(t, b.url.Scheme+"://"+b.url.Host+b.url.Path+query).wants(t, 200, "Connect Northwind")
				if strings.Contains(b.html, "evil.example") {
					t.Errorf("%s is on the page", query)
				}
			}
			b.open(t, c.url+"/oauth/callback/northwind?state=x&return_url=https://evil.example")
			if b.status < 400 || b.header.Get("Location") != "" {
				t.Errorf("got %d to %q", b.status, b.header.Get("Location"))
			}
			b.open(t, c.url+"/connect/%2F%2Fevil.example")
			if b.status != 404 || b.header.Get("Location") != "" {
				t.Errorf("got %d to %q", b.status, b.header.Get("Location"))
			}
		},
		"RFC 9700: no referrer and no third party's content on the callback": func(t *testing.T) {
			t.Helper()
			_, b := c.asked(t, nil)
			back := b.visits(t, b.leaves(t))
			b.open(t, back)
			for _, hop := range b.hops {
				if got := hop.Header.Get("Referrer-Policy"); got != "no-referrer" {
					t.Errorf("%s has the referrer policy %q", hop.Request.URL.Path, got)
				}
				if csp := hop.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "http") || strings.Contains(csp, "unsafe") {
					t.Errorf("%s has the policy %q", hop.Request.URL.Path, csp)
				}
				if hop.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("%s is kept by caches", hop.Request.URL.Path)
				}
			}
			if b.url.RawQuery != "" || !strings.HasPrefix(b.url.Path, "/connect/cse_") {
				t.Errorf("the browser stays at %s, with what the callback had", b.url.Path)
			}
			for _, place := range regexp.MustCompile(`(?:src|href|action)="([^"]*)"`).FindAllStringSubmatch(b.html, -1) {
				if !strings.HasPrefix(place[1], "/") && !strings.HasPrefix(place[1], "data:") && !strings.HasPrefix(place[1], "#") {
					t.Errorf("the page has %s", place[0])
				}
			}
		},
		"RFC 9700: redirects are 303": func(t *testing.T) {
			t.Helper()
			_, b := c.asked(t, nil)
			codes := []int{b.hops[0].StatusCode}
			back := b.visits(t, b.leaves(t))
			b.open(t, back)
			codes = append(codes, b.hops[0].StatusCode)
			id, _ := c.session(t, map[string]any{"installation": "crm"})
			next := c.do(t, 200, "stepConnectSession", map[string]any{"tenant": c.tenant, "session": id}, map[string]any{"step": "consent"})["next"].(map[string]any)
			other := newBrowser(t).open(t, next["authorization_url"].(string))
			codes = append(codes, other.hops[0].StatusCode)
			_, third := c.asked(t, nil)
			third.post(t, "step", "cancel")
			codes = append(codes, third.hops[0].StatusCode)
			for i, code := range codes {
				if code != http.StatusSeeOther {
					t.Errorf("redirect %d is a %d", i, code)
				}
			}
		},
		"RFC 9700: no frame around the consent": func(t *testing.T) {
			t.Helper()
			_, b := c.asked(t, nil)
			if csp := b.header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") || b.header.Get("X-Frame-Options") != "DENY" {
				t.Errorf("a page of no origin has the policy %q", csp)
			}
			id, link := c.session(t, map[string]any{"installation": "crm", "origins": []string{"https://app.example", "https://b.example"}})
			framed := newBrowser(t)
			framed.headers.Set("Sec-Fetch-Dest", "iframe")
			framed.open(t, link).wants(t, 200, "Connect Northwind", `target="_blank"`)
			if csp := framed.header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors https://app.example https://b.example;") {
				t.Errorf("the policy is %q", csp)
			}
			// A frame that insists is led nowhere; a window that it opens has no cookie of
			// the frame's, shows the form's token, and is the one that the provider sends back.
			token := hidden.FindStringSubmatch(framed.html)[1]
			form := url.Values{"token": {token}, "step": {"consent"}}
			framed.form(t, framed.url.String(), form).wants(t, 200, "Connect Northwind")
			window := newBrowser(t)
			window.form(t, framed.url.String(), form).wants(t, 200, "Taking you to Northwind")
			back := window.visits(t, html.UnescapeString(refresh.FindStringSubmatch(window.html)[1]))
			window.open(t, back).settled(t).wants(t, 200, "Northwind is connected")
			framed.open(t, framed.url.String()).wants(t, 200, "Northwind is connected")
			if got := c.get(t, id)["state"]; got != "done" {
				t.Errorf("the session is %v", got)
			}
		},
	})
}
