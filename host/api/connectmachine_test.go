package api_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/app"
	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// TestNobodyHasToAgree is of apps that get tokens for themselves: the user presses a button,
// and is sent nowhere.
func TestNobodyHasToAgree(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	for grant, secret := range map[string]oauth.Secret{
		"client_credentials": {ClientSecret: "client-secret"},
		"jwt_bearer":         {PrivateKey: private},
	} {
		t.Run(grant, func(t *testing.T) {
			t.Parallel()
			c, p := setupOAuth(t, "authorization_code")
			descriptor := json.RawMessage(fmt.Sprintf(`{"name":"machine","title":"Machine","docs":["https://acme.example/oauth"],"grant_types_supported":[%q],
				"token_endpoint":"%s/token","hosts":["%s"]}`, grant, p.srv.URL, strings.TrimPrefix(p.srv.URL, "http://")))
			if _, err := c.h.Apps.Create(t.Context(), c.tenant, app.Spec{Name: "machine", Provider: "machine", Descriptor: descriptor, ClientID: "client", Secret: secret, Grant: grant}); err != nil {
				t.Fatal(err)
			}
			c.asking(t, `[{"name":"machine","title":"Machine","type":"oauth2","provider":"machine"}]`, `{"ok":true}`)
			id, b := c.asked(t, nil)
			b.wants(t, 200, "Connect Machine")
			p.set(func(p *idp) { p.refusal = "invalid_client" })
			b.post(t, "step", "consent").wants(t, 200, "That did not work", "Machine says:", "The client is &lt;unknown&gt;.", "invalid_client", "Try again")
			p.set(func(p *idp) { p.refusal = "" })
			b.post(t, "step", "retry").wants(t, 200, "Connect Machine")
			b.post(t, "step", "consent").settled(t).wants(t, 200, "Machine is connected")
			made := c.get(t, id)["connection"]
			if got := c.do(t, 200, "getConnection", map[string]any{"tenant": c.tenant, "connection": "machine"}, nil); got["id"] != made || got["type"] != "oauth2" {
				t.Errorf("the connection is %v, and the session's %v", got, made)
			}
			next, _ := c.asked(t, map[string]any{"connection": "machine"})
			params := map[string]any{"tenant": c.tenant, "session": next}
			got := c.do(t, 200, "stepConnectSession", params, map[string]any{"step": "consent"})
			for got["state"] == "testing" {
				got = c.get(t, next)
			}
			if got["state"] != "done" || got["connection"] != made {
				t.Errorf("connected again, it is %v", got)
			}
		})
	}
}

// TestAPluginsTestFails: the page says what the vendor has said, as it was said, and what
// to do; what is tried again begins where something can be changed.
func TestAPluginsTestFails(t *testing.T) {
	t.Parallel()
	for db, change := range map[string]func(*testing.T) func(*host.Config){
		"sqlite":   func(*testing.T) func(*host.Config) { return func(*host.Config) {} },
		"postgres": onPostgres,
	} {
		t.Run(db, func(t *testing.T) {
			t.Parallel()
			c := setupConnect(t, change(t))
			c.installs(t, runtimetest.OutputsBut(map[string]string{"describe": crm(tokenSlot)}, "test", `{"code":"auth","message":"Überprüfung: <b>the key</b> was revoked by ada@acme.example"}`))
			id, b := c.asked(t, nil)
			b.post(t, "step", "fields", "credential.token", "canary-secret", "fields.account_id", "a-1").settled(t)
			b.wants(t, 200, "Example CRM refuses this", "berprüfung: &lt;b&gt;the key&lt;/b&gt; was revoked by ada@acme.example", `class="hint"`, "Try again")
			if strings.Contains(b.html, "canary-secret") || strings.Contains(b.html, "\ufffd") {
				t.Errorf("the page is %s", b.html)
			}
			failed := c.get(t, id)
			if failed["state"] != "failed" || failed["next"].(map[string]any)["step"] != "retry" || failed["error"].(map[string]any)["hint"] == nil {
				t.Errorf("the session is %v", failed)
			}
			b.post(t, "step", "retry").wants(t, 200, "Connect Example CRM", "Access token")
			b.post(t, "step", "fields", "credential.token", "another", "fields.account_id", "a-2").settled(t).wants(t, 200, "Example CRM refuses this")
			all := c.do(t, 200, "listConnections", map[string]any{"tenant": c.tenant}, nil)["items"].([]any)
			if len(all) != 1 || all[0].(map[string]any)["fields"].(map[string]any)["account_id"] != "a-2" {
				t.Errorf("there are %v, want the one with what was entered last", all)
			}
		})
	}
}

// TestAnotherChoiceStartsAnew: what was begun or made with one choice is not of the next.
func TestAnotherChoiceStartsAnew(t *testing.T) {
	t.Parallel()
	c, p := setupOAuth(t, "device_code")
	both := strings.TrimSuffix(tokenSlot, "]") + `,{"name":"northwind","title":"Northwind","type":"oauth2","provider":"northwind"}]`
	c.installs(t, runtimetest.OutputsBut(map[string]string{"describe": crm(both)}, "test", `{"code":"auth","message":"refused"}`))
	oauthChoice := func(t *testing.T, id string) string {
		t.Helper()
		for _, one := range c.get(t, id)["next"].(map[string]any)["choices"].([]any) {
			if one := one.(map[string]any)["id"].(string); strings.HasPrefix(one, "northwind/") {
				return one
			}
		}
		t.Fatal("there is no Northwind to choose")
		return ""
	}

	// A code that was to be entered for one.
	id, b := c.asked(t, nil)
	northwind := oauthChoice(t, id)
	b.post(t, "step", "choose", "choice", northwind).wants(t, 200, "Connect Northwind")
	b.post(t, "step", "consent").wants(t, 200, "Enter this code")
	b.post(t, "step", "choose", "choice", northwind).wants(t, 200, "Connect Northwind")

	// A connection that was made of the other, and does not work.
	b.post(t, "step", "choose", "choice", "crm")
	b.post(t, "step", "fields", "credential.token", "x", "fields.account_id", "a-1").settled(t).wants(t, 200, "Example CRM refuses this")
	b.post(t, "step", "choose", "choice", northwind).wants(t, 200, "Connect Northwind")
	if all := c.do(t, 200, "listConnections", map[string]any{"tenant": c.tenant}, nil)["items"].([]any); len(all) != 0 {
		t.Errorf("there is %v still", all)
	}
	p.set(func(p *idp) { p.agreed = true })
	params := map[string]any{"tenant": c.tenant, "session": id}
	c.do(t, 200, "stepConnectSession", params, map[string]any{"step": "consent"})
	if next := c.get(t, id)["next"].(map[string]any); next["device"] == nil {
		t.Errorf("next is %v", next)
	}
}
