package api_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// places are the addresses of a page.
var places = regexp.MustCompile(`(?:src|href|action|data-at)="([^"#]*)"`)

// staysBelow checks that a page names nothing of ours that is not below a prefix.
func (b *browser) staysBelow(t *testing.T, prefix string) *browser {
	t.Helper()
	found := places.FindAllStringSubmatch(b.html, -1)
	if len(found) == 0 {
		t.Errorf("%s names no address: %s", b.url.Path, b.html)
	}
	for _, place := range found {
		if strings.HasPrefix(place[1], "/") && !strings.HasPrefix(place[1], prefix+"/") {
			t.Errorf("%s has %s, which is not below %s", b.url.Path, place[0], prefix)
		}
	}
	return b
}

func TestConnectPagesBelowAPrefix(t *testing.T) {
	t.Parallel()
	const prefix = "/deep/cofferdam-1"
	c, p := setupOAuthBelow(t, prefix, "authorization_code")
	c.app(t, p, "southwind", "Southwind", "authorization_code")
	c.asking(t, `[{"name":"northwind","title":"Northwind","type":"oauth2","provider":"northwind","scopes":["contacts.read"]},`+strings.TrimPrefix(tokenSlot, "["), `{"ok":true}`)
	id, link := c.session(t, map[string]any{"installation": "crm"})
	if !strings.HasPrefix(link, c.url+"/connect/") {
		t.Fatalf("the link is %s, want it below %s", link, c.url)
	}
	b := newBrowser(t).open(t, link)
	b.wants(t, 200, "What do you want to connect?").staysBelow(t, prefix)
	if b.url.Path != prefix+"/connect/"+id {
		t.Errorf("the link leads to %s", b.url)
	}
	start := b.html
	if cookie := b.hops[0].Cookies()[0]; cookie.Path != prefix+"/" {
		t.Errorf("the cookie is for %q, want %s/: the host's other pages are not told", cookie.Path, prefix)
	}
	for _, place := range places.FindAllStringSubmatch(b.html, -1) {
		if file, err := url.Parse(place[1]); err == nil && strings.HasPrefix(file.Path, prefix+"/connect/page.") {
			at := newBrowser(t).open(t, b.url.ResolveReference(file).String())
			if at.status != http.StatusOK || !strings.Contains(at.header.Get("Cache-Control"), "immutable") {
				t.Errorf("%s: %d, kept %q", file, at.status, at.header.Get("Cache-Control"))
			}
		}
	}
	if script := newBrowser(t).open(t, c.url+"/connect/v1.js"); script.status != http.StatusOK || strings.Contains(script.html, `"/connect`) {
		t.Errorf("v1.js: %d %s", script.status, script.html)
	}

	b.post(t, "step", "choose", "choice", "crm").wants(t, 200, "Connect Example CRM").staysBelow(t, prefix)
	b.post(t, "step", "fields", "credential.token", "x", "fields.account_id", "wrong").wants(t, 422, "Connect Example CRM").staysBelow(t, prefix)
	choice := regexp.MustCompile(`northwind/app_[0-9a-zA-Z]+`).FindString(start)
	b.post(t, "step", "choose", "choice", choice).wants(t, 200, "Connect Northwind").staysBelow(t, prefix)
	back := b.visits(t, b.leaves(t))
	if asked := p.last().Get("redirect_uri"); !strings.HasPrefix(asked, c.url+"/oauth/callback/northwind.") {
		t.Errorf("the provider is asked to send back to %s", asked)
	}
	if !strings.HasPrefix(back, c.url+"/oauth/callback/northwind.") {
		t.Fatalf("the provider sends back to %s", back)
	}
	b.open(t, back).settled(t).wants(t, 200, "Northwind is connected").staysBelow(t, prefix)
	if b.url.Path != prefix+"/connect/"+id {
		t.Errorf("the callback leads to %s", b.url)
	}
	status := newBrowser(t).open(t, link+"/status")
	if status.status != http.StatusOK || !strings.Contains(status.html, `"done"`) {
		t.Errorf("the session's status is %d %s", status.status, status.html)
	}
	b.open(t, c.url+"/connect/"+strings.Repeat("A", 43)).wants(t, 404, callbackPage).staysBelow(t, prefix)
}

func TestAnAuthorizationURLAndAFormBelowAPrefix(t *testing.T) {
	t.Parallel()
	const prefix = "/cofferdam"
	c, _ := setupOAuthBelow(t, prefix, "authorization_code")
	c.asking(t, oauthSlot, `{"ok":true}`)
	id, _ := c.session(t, map[string]any{"installation": "crm"})
	next := c.do(t, 200, "stepConnectSession", map[string]any{"tenant": c.tenant, "session": id}, map[string]any{"step": "consent"})["next"].(map[string]any)
	to := next["authorization_url"].(string)
	if !strings.HasPrefix(to, c.url+"/connect/go/"+id+".") {
		t.Fatalf("the address is %s", to)
	}
	b := newBrowser(t)
	back, err := url.Parse(b.visits(t, b.open(t, to).hops[0].Header.Get("Location")))
	if err != nil {
		t.Fatal(err)
	}
	// From another site the form comes without the cookie, and is sent once more: from here.
	at, _, _ := strings.Cut(back.String(), "?")
	stranger := newBrowser(t).form(t, at, back.Query())
	stranger.wants(t, 200, "One moment", `action="`+back.Path+`?again=1"`).staysBelow(t, prefix)
	b.form(t, at+"?again=1", back.Query()).settled(t).wants(t, 200, "Northwind is connected")
	if b.url.Path != prefix+"/connect/"+id {
		t.Errorf("the callback leads to %s", b.url)
	}
}
