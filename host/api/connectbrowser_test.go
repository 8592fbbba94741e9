package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/cofferdam-run/cofferdam/test/browser/browsertest"
)

// TestConnectPagesInABrowser plays connect sessions in Chromium: see test/browser/connect.mjs.
func TestConnectPagesInABrowser(t *testing.T) {
	t.Parallel()
	c, p := setupOAuthBelow(t, "/cofferdam", "authorization_code")
	c.app(t, p, "televised", "Televised", "device_code")
	p.set(func(p *idp) { p.items = `[{"id":"site-1","name":"North"},{"id":"site-2","name":"South"}]` })
	c.asking(t, `[{"name":"northwind","title":"Northwind","type":"oauth2","provider":"northwind","scopes":["contacts.read"],"description":"Contacts and deals of your team."},
		{"name":"example","title":"Example CRM","type":"bearer","description":"An access token, which you find under Settings, API.","hosts":["api.example.com"],
		 "fields":{"type":"object","properties":{"account_id":{"type":"string","title":"Account","description":"It is in the address of your account's page.","pattern":"^a-[0-9]+$","examples":["a-1024"]},"region":{"enum":["eu","us"],"title":"Region"}},"required":["account_id"]}}]`, `{"ok":true}`)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprintf(w, hostPage, c.url)
	}))
	t.Cleanup(page.Close)
	body := map[string]any{
		"installation": "crm", "origins": []string{page.URL}, "return_url": page.URL + "/done",
		"brand": map[string]any{"name": "Lumen", "color": "#5b3df5", "logo": ring},
	}
	links := map[string]string{}
	open := func(name string, change map[string]any) {
		asked := map[string]any{}
		for _, m := range []map[string]any{body, change} {
			for k, v := range m {
				if asked[k] = v; v == nil {
					delete(asked, k)
				}
			}
		}
		_, links[name] = c.session(t, asked)
	}
	for _, name := range []string{"1280-light", "1280-dark", "390-light", "390-dark"} {
		open(name, nil)
		open(name+"-consent", map[string]any{"slot": "northwind"})
		open(name+"-device", map[string]any{"installation": nil, "app": "televised"})
	}
	for _, name := range []string{"keyboard", "scriptless", "popup", "iframe", "one", "other"} {
		open(name, nil)
	}
	arg, err := json.Marshal(map[string]any{"links": links, "app": page.URL})
	if err != nil {
		t.Fatal(err)
	}
	browsertest.Play(t, "connect.mjs", string(arg))
}

// hostPage is a host app's page.
const hostPage = `<!doctype html><html lang="en"><title>Lumen</title><script src="%s/connect/v1.js"></script>
<main><h1>Integrations</h1><button>Connect</button><p id="result"></p><p id="events"></p><div id="place"></div></main><script>
document.querySelector("button").onclick = async () => {
	const result = await CofferdamConnect.open(Promise.resolve(window.link), {
		mode: new URLSearchParams(location.search).get("mode"), container: document.getElementById("place"),
		onEvent: (e) => { document.getElementById("events").textContent += " " + e.type; },
	});
	document.getElementById("result").textContent = result.status + " " + result.connection;
};
</script></html>`

// ring is a logo of 64 by 64 pixels.
const ring = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAMAAACdt4HsAAAACVBMVEX///9bPfWgj/rIGgktAAAA2klEQVR42u2X6wrCUAyDd/L+Dy0oDOeaLjFFBO3v5ds5Wy/ptn1zYI83xWsPF3IQP0Fk+SIhIbhcQ7TyOyJ4/fUhFH1H0PScIMrph4ADQKYvCZa+uISpPxFs/SsB5KaPuAZgtdVXM9ADjt+5rO9Of/5NBQIcoCUKB0BLVfADiMUCdgC12xCAXu8MIDc8mDdgj8LomvgDfgXgJ1KcyuPFFJez31DiljbfVO22Hg+WfLTFwzUf77HByC1ObrJim5cbzdzq5mY7t/v5wjGw8uRL18DaN7B4Tqy+n4sbTOEJwdpLOhIAAAAASUVORK5CYII="
