package api_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// selfDescribed is a plugin that describes its provider itself, and whose action asks the
// vendor's API with an account there.
func selfDescribed(p *idp, name, version, endpoints string) []byte {
	descriptor := strings.ReplaceAll(string(p.descriptor("northwind", "Northwind")), p.srv.URL+"/token", endpoints+"/token")
	return runtimetest.Insisting(fmt.Sprintf(`{"name":%q,"version":%q,"actions":[{"name":"sites"}],"providers":[%s],"connections":%s,
		"egress":[{"host":%q,"methods":["GET"]}]}`, name, version, descriptor, oauthSlot, strings.TrimPrefix(p.srv.URL, "http://")),
		fmt.Sprintf(`{"method":"GET","url":"%s/sites","connection":"northwind"}`, p.srv.URL),
		`{"code":"auth","message":"the vendor does not take the token"}`)
}

// From a plugin that describes its provider to an execution that uses an account there,
// through the API alone.
func TestAPluginBringsItsProvider(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); pluginBringsItsProvider(t) })
	t.Run("postgres", func(t *testing.T) { t.Parallel(); pluginBringsItsProvider(t, onPostgres(t)) })
}

func pluginBringsItsProvider(t *testing.T, change ...func(*host.Config)) {
	t.Helper()
	p := newIDP(t)
	c := setupConnect(t, append(change, near)...)
	in := map[string]any{"tenant": c.tenant}
	publish := func(name, version, endpoints string) {
		t.Helper()
		if a := c.publish(t, c.operator, selfDescribed(p, name, version, endpoints), nil); a.status != 201 {
			t.Fatalf("publish: %d %s", a.status, a.body)
		}
	}
	publish("crm", "1.0.0", p.srv.URL)
	body := map[string]any{
		"name": "northwind", "plugin": "crm", "provider": "northwind", "client_id": "client", "secret": map[string]any{"client_secret": "client-secret"},
		"scopes": []string{"contacts.read", "deals.write"}, "grant": "authorization_code",
	}
	made := c.do(t, 201, "createApp", in, body)
	self := strings.TrimPrefix(p.srv.URL, "http://")
	if from := made["plugin"].(map[string]any); from["name"] != "crm" || from["version"] != "1.0.0" || fmt.Sprint(made["secret_goes_to"], made["tokens_go_to"]) != fmt.Sprintf("[%s] [%[1]s]", self) {
		t.Errorf("got %v", made)
	}
	c.do(t, 201, "createInstallation", in, map[string]any{"plugin": "crm"})

	// A later version, and another plugin, say that the same provider is elsewhere.
	publish("crm", "1.1.0", "https://id.evil.example")
	publish("impostor", "1.0.0", "https://id.evil.example")
	body["name"], body["plugin"] = "evil", "impostor"
	evil := c.do(t, 201, "createApp", in, body)
	if fmt.Sprint(evil["secret_goes_to"]) != fmt.Sprintf("[%s id.evil.example]", self) || evil["redirect_uri"] == made["redirect_uri"] {
		t.Errorf("got %v", evil)
	}
	if got := c.do(t, 409, "createConnectSession", in, map[string]any{"installation": "crm", "app": "evil"}); got["code"] != "nothing_to_connect" {
		t.Errorf("the impostor's app connects accounts for the plugin: %v", got)
	}

	id, _ := c.session(t, map[string]any{"installation": "crm", "return_url": "https://app.example/done"})
	one := map[string]any{"tenant": c.tenant, "session": id}
	next := c.do(t, 200, "stepConnectSession", one, map[string]any{"step": "consent"})["next"].(map[string]any)
	b := newBrowser(t)
	back := b.visits(t, b.open(t, next["authorization_url"].(string)).hops[0].Header.Get("Location"))
	b.open(t, back).settled(t)
	if got := c.get(t, id); got["state"] != "done" {
		t.Fatalf("the session is %v", got)
	}
	ran := c.do(t, 200, "callAction", map[string]any{"tenant": c.tenant, "installation": "crm", "action": "sites"}, map[string]any{})
	if ran["state"] != "succeeded" || !strings.Contains(fmt.Sprint(ran["output"]), "200") || p.bearer() != "Bearer token-1" {
		t.Errorf("the execution is %v, and carried %q", ran, p.bearer())
	}
}
