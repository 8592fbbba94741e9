package api_test

import (
	"maps"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/app"
	"github.com/cofferdam-run/cofferdam/host/oauth"
)

// TestAnotherLoginIsNoticed is of providers that tell of an account no more than who logs in.
func TestAnotherLoginIsNoticed(t *testing.T) {
	t.Parallel()
	c, p := setupOAuth(t, "authorization_code")
	apps := map[string]string{}
	for _, name := range []string{"first", "second"} {
		a, err := c.h.Apps.Create(t.Context(), c.tenant, app.Spec{
			Name: name, Provider: "open", Descriptor: p.openID("open"), ClientID: name, Secret: oauth.Secret{ClientSecret: "client-secret"}, Scopes: []string{"openid"},
		})
		if err != nil {
			t.Fatal(err)
		}
		apps[name] = a.ID
	}
	const ada, ben = "ada@acme.example", "ben@acme.example"
	for name, test := range map[string]struct { //nolint:paralleltest // The provider has one user at a time.
		was, is string
		// wasInfo and isInfo say that no ID token tells it, but the UserInfo endpoint.
		wasInfo, isInfo bool
		change          map[string]any
		refused         bool
	}{
		"the same, by the ID token":               {was: ada, is: ada},
		"another, by the ID token":                {was: ada, is: ben, refused: true},
		"another, by the UserInfo endpoint":       {was: ada, is: ben, wasInfo: true, isInfo: true, refused: true},
		"the same, by the one and then the other": {was: ada, is: ada, isInfo: true},
		"another, by the one and then the other":  {was: ada, is: ben, wasInfo: true, refused: true},
		"another that is allowed":                 {was: ada, is: ben, change: map[string]any{"another_account": true}},
		"who was not told before":                 {is: ben},
		"who is not told now":                     {was: ada},
		"another to another app":                  {was: ada, is: ben, change: map[string]any{"app": "second"}},
	} {
		t.Run(name, func(t *testing.T) {
			p.set(func(p *idp) { p.who, p.info = test.was, test.wasInfo })
			id, b := c.asked(t, map[string]any{"installation": nil, "app": "first"})
			b.open(t, b.visits(t, openLeaves(t, b))).wants(t, 200, "Open is connected")
			connection := c.get(t, id)["connection"]
			p.set(func(p *idp) { p.who, p.info = test.is, test.isInfo })
			change := map[string]any{"installation": nil, "connection": connection}
			maps.Copy(change, test.change)
			if change["app"] == "second" {
				change["app"] = apps["second"]
			}
			id, b = c.asked(t, change)
			b.open(t, b.visits(t, openLeaves(t, b)))
			if !test.refused {
				b.wants(t, 200, "Open is connected")
				return
			}
			b.wants(t, 200, "This is another account", "you have logged in as", ben, ada, "Log in at the provider with the account that was connected before", "Try again")
			if got := c.get(t, id); got["state"] != "failed" || got["error"].(map[string]any)["code"] != "another_account" {
				t.Errorf("the session is %v", got)
			}
			p.set(func(p *idp) { p.who, p.info = test.was, test.wasInfo })
			b.post(t, "step", "retry")
			b.open(t, b.visits(t, openLeaves(t, b))).wants(t, 200, "Open is connected")
		})
	}
}

// TestTheSiteIsTheAccount is of a provider that tells which site a consent is for: another
// login of the same one is the same account. Where the connection's own fields do not have
// it, what its tokens came with does.
func TestTheSiteIsTheAccount(t *testing.T) {
	t.Parallel()
	c, p := setupOAuth(t, "authorization_code")
	c.asking(t, `[{"name":"northwind","title":"Northwind","type":"oauth2","provider":"northwind","fields":{"type":"object","properties":{},"additionalProperties":false}}]`, `{"ok":true}`)
	p.set(func(p *idp) { p.who = "ada@acme.example" })
	_, b := c.asked(t, nil)
	b.agrees(t).wants(t, 200, "Northwind is connected")
	made := c.do(t, 200, "getConnection", map[string]any{"tenant": c.tenant, "connection": "northwind"}, nil)
	if fields, _ := made["fields"].(map[string]any); fields["site"] != nil {
		t.Fatalf("the connection has %v", made)
	}
	p.set(func(p *idp) { p.who = "ben@acme.example" })
	_, b = c.asked(t, map[string]any{"connection": "northwind"})
	b.agrees(t).wants(t, 200, "Northwind is connected")
	p.set(func(p *idp) { p.items = `[{"id":"site-2","name":"South"}]` })
	_, b = c.asked(t, map[string]any{"connection": "northwind"})
	b.agrees(t).wants(t, 200, "This is another account", "site-2", "site-1")
}

// openLeaves is leaves for the provider Open.
func openLeaves(t *testing.T, b *browser) string {
	t.Helper()
	b.post(t, "step", "consent").wants(t, 200, "Taking you to Open")
	return onward(t, b)
}
