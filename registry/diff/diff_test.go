package diff_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/registry/diff"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
)

func Example() {
	before := manifest.Manifest{Version: "1.0.0", Egress: []manifest.Egress{{Host: "api.example.com", Methods: []string{"GET"}}}}
	after := manifest.Manifest{Version: "2.0.0", Egress: []manifest.Egress{
		{Host: "api.example.com", Methods: []string{"GET", "POST"}},
		{Host: "files.example.com", Methods: []string{"GET"}},
	}, Actions: []manifest.Action{{Name: "upload"}}}
	fmt.Print(diff.Between(before, after))
	// Output:
	// from 1.0.0 to 2.0.0:
	//   needs consent  ~ egress api.example.com: may send POST there
	//   needs consent  + egress files.example.com: may send GET there
	//                  + action upload: is new
}

// egress is one wish for requests.
func egress(host string, methods ...string) manifest.Egress {
	return manifest.Egress{Host: host, Methods: methods}
}

// got is a change in short: what it needs, its verb, part and name.
func short(changes []diff.Change) []string {
	all := []string{}
	for _, c := range changes {
		line := strings.TrimSpace(fmt.Sprintf("%s %s %s %s", c.Verb, c.Part, c.Name, strings.Join(c.Methods, ",")))
		if c.Needs != "" {
			line = string(c.Needs) + ": " + line
		}
		all = append(all, line)
	}
	return all
}

func TestWhatAVersionAsksForBeyondAnother(t *testing.T) {
	t.Parallel()
	type m = manifest.Manifest
	bearer := manifest.Connection{Name: "shop", Type: "bearer", Hosts: []string{"api.example.com"}}
	key := manifest.Connection{Name: "shop", Type: "api_key", Header: "X-Key", Hosts: []string{"api.example.com"}}
	wider := manifest.Connection{Name: "shop", Type: "bearer", Hosts: []string{"api.example.com", "pay.example.com"}}
	app := manifest.Connection{Name: "app", Type: "private_key", Hosts: []string{"api.example.com"}}
	signs := app
	signs.Sign = []string{"RS256"}
	writes, elsewhere := bearer, bearer
	writes.Slots = manifest.Slots{Headers: []string{"X-Token"}, JSON: []string{"/a", "/b"}}
	elsewhere.Slots = manifest.Slots{Headers: []string{"X-Token"}, Query: []string{"X-Token"}, JSON: []string{"/b"}}
	for name, tt := range map[string]struct {
		before, after m
		want          []string
	}{
		"a slot more":                 {m{Connections: []manifest.Connection{bearer}}, m{Connections: []manifest.Connection{writes}}, []string{"consent: changed connection shop"}},
		"a slot of another kind":      {m{Connections: []manifest.Connection{writes}}, m{Connections: []manifest.Connection{elsewhere}}, []string{"consent: changed connection shop"}},
		"a slot less":                 {m{Connections: []manifest.Connection{writes}}, m{Connections: []manifest.Connection{bearer}}, []string{}},
		"a signature more":            {m{Connections: []manifest.Connection{app}}, m{Connections: []manifest.Connection{signs}}, []string{"consent: changed connection app"}},
		"a signature less":            {m{Connections: []manifest.Connection{signs}}, m{Connections: []manifest.Connection{app}}, []string{}},
		"a webhook that it verifies":  {m{Webhooks: []manifest.Webhook{{Name: "w", Scheme: "github"}}}, m{Webhooks: []manifest.Webhook{{Name: "w", Verify: true}}}, []string{"care: changed webhook w"}},
		"nothing changes":             {m{Egress: []manifest.Egress{egress("a.example", "GET")}}, m{Egress: []manifest.Egress{egress("a.example", "GET")}}, []string{}},
		"a host more":                 {m{}, m{Egress: []manifest.Egress{egress("a.example", "GET")}}, []string{"consent: added egress a.example GET"}},
		"a method more":               {m{Egress: []manifest.Egress{egress("a.example", "GET")}}, m{Egress: []manifest.Egress{egress("a.example", "POST", "GET")}}, []string{"consent: changed egress a.example POST"}},
		"another port":                {m{Egress: []manifest.Egress{egress("a.example", "GET")}}, m{Egress: []manifest.Egress{egress("a.example:8443", "GET")}}, []string{"consent: added egress a.example:8443 GET", "removed egress a.example"}},
		"a wildcard for a host":       {m{Egress: []manifest.Egress{egress("a.example.com", "GET")}}, m{Egress: []manifest.Egress{egress("*.example.com", "GET")}}, []string{"consent: added egress *.example.com GET"}},
		"a host that a wildcard had":  {m{Egress: []manifest.Egress{egress("*.example.com", "GET")}}, m{Egress: []manifest.Egress{egress("a.example.com", "GET")}}, []string{"removed egress *.example.com"}},
		"one wish becomes two":        {m{Egress: []manifest.Egress{egress("a.example", "GET", "POST")}}, m{Egress: []manifest.Egress{egress("a.example", "GET"), egress("a.example", "POST")}}, []string{}},
		"a host of the configuration": {m{}, m{Egress: []manifest.Egress{egress("{config.url}", "GET")}}, []string{"consent: added egress {config.url} GET"}},
		"a connection more":           {m{}, m{Connections: []manifest.Connection{bearer}}, []string{"consent: added connection shop"}},
		"a connection less":           {m{Connections: []manifest.Connection{bearer}}, m{}, []string{"removed connection shop"}},
		"a credential otherwise":      {m{Connections: []manifest.Connection{bearer}}, m{Connections: []manifest.Connection{key}}, []string{"consent: changed connection shop"}},
		"a credential further":        {m{Connections: []manifest.Connection{bearer}}, m{Connections: []manifest.Connection{wider}}, []string{"consent: changed connection shop"}},
		"a credential less far":       {m{Connections: []manifest.Connection{wider}}, m{Connections: []manifest.Connection{bearer}}, []string{}},
		"functions":                   {m{Functions: []string{"old", "same"}}, m{Functions: []string{"same", "new"}}, []string{"consent: added function new", "removed function old"}},
		"higher limits": {
			m{Limits: manifest.Limits{MemoryMiB: 64, TimeoutMS: 100, Fuel: 7}},
			m{Limits: manifest.Limits{MemoryMiB: 65, Fuel: 7}},
			[]string{"consent: changed limit memory_mib", "consent: changed limit timeout_ms"},
		},
		"lower limits":       {m{Limits: manifest.Limits{MemoryMiB: 64}}, m{Limits: manifest.Limits{MemoryMiB: 32, Fuel: 1}}, []string{"changed limit memory_mib", "changed limit fuel"}},
		"a webhook's scheme": {m{Webhooks: []manifest.Webhook{{Name: "w", Scheme: "github"}}}, m{Webhooks: []manifest.Webhook{{Name: "w", Scheme: "standard-webhooks"}}}, []string{"care: changed webhook w"}},
		"what is gone": {
			m{Actions: []manifest.Action{{Name: "a"}}, Webhooks: []manifest.Webhook{{Name: "w"}}, Polls: []manifest.Poll{{Name: "p"}}, Test: true},
			m{},
			[]string{"care: removed action a", "care: removed webhook w", "care: removed poll p", "removed test"},
		},
		"what is new": {
			m{},
			m{Actions: []manifest.Action{{Name: "a"}}, Webhooks: []manifest.Webhook{{Name: "w"}}, Polls: []manifest.Poll{{Name: "p"}}, Confirm: true},
			[]string{"added action a", "added webhook w", "added poll p", "added confirm"},
		},
		"a poll's time and an action's promise": {
			m{Actions: []manifest.Action{{Name: "a"}}, Polls: []manifest.Poll{{Name: "p", Every: "5m"}}},
			m{Actions: []manifest.Action{{Name: "a", Idempotent: true}}, Polls: []manifest.Poll{{Name: "p", Every: "1m"}}},
			[]string{"changed action a", "changed poll p"},
		},
		"what may be sent again": {
			m{Idempotency: []manifest.Idempotency{{Host: "a.example", Header: "K", TTL: "24h"}, {Host: "b.example", Header: "K", TTL: "24h"}}, NotDone: []manifest.NotDone{{Host: "a.example", Status: []int{409}}}},
			m{Idempotency: []manifest.Idempotency{{Host: "a.example", Header: "K", TTL: "48h"}, {Host: "c.example", Header: "K", TTL: "24h"}}},
			[]string{"changed idempotency a.example", "added idempotency c.example", "removed idempotency b.example", "removed not_done a.example"},
		},
		"another kind of plugin": {m{Level: 0}, m{Level: 1}, []string{"care: changed level"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.before.Version, tt.after.Version = "1.0.0", "2.0.0"
			d := diff.Between(tt.before, tt.after)
			if delta := cmp.Diff(tt.want, short(d.Changes)); delta != "" {
				t.Errorf("(-want +got):\n%s", delta)
			}
			for _, ask := range d.Asks() {
				if ask.Text == "" || ask.Needs != diff.Consent {
					t.Errorf("a tenant is asked for %+v", ask)
				}
			}
		})
	}
}

func TestConfigurationsThatMayNotFit(t *testing.T) {
	t.Parallel()
	of := func(properties, rest string) string {
		return `{"type":"object","properties":{` + properties + `}` + rest + `}`
	}
	for name, tt := range map[string]struct {
		before, after string
		want          []string
	}{
		"the same, spelt otherwise":   {`{"type":"object","title":"a"}`, ` {"title": "a", "type": "object"}`, nil},
		"a required property":         {of(`"a":{}`, ""), of(`"a":{},"b":{}`, `,"required":["b"]`), []string{"care: added config /b"}},
		"a required one with default": {of(`"a":{}`, ""), of(`"a":{},"b":{"default":1}`, `,"required":["b"]`), []string{"added config /b"}},
		"required but not described":  {of(``, ""), of(``, `,"required":["b"]`), []string{"care: changed config /b"}},
		"an optional property":        {of(`"a":{}`, ""), of(`"a":{},"b":{}`, ""), []string{"added config /b"}},
		"required now":                {of(`"a":{}`, ""), of(`"a":{}`, `,"required":["a"]`), []string{"care: changed config /a"}},
		"gone":                        {of(`"a":{}`, ""), of(``, ""), []string{"removed config /a"}},
		"not taken any more":          {of(`"a":{}`, `,"additionalProperties":false`), of(``, `,"additionalProperties":false`), []string{"care: removed config /a"}},
		"closed":                      {of(`"a":{}`, ""), of(`"a":{}`, `,"additionalProperties":false`), []string{"care: changed config"}},
		"another type":                {of(`"a":{"type":"string"}`, ""), of(`"a":{"type":"integer"}`, ""), []string{"care: changed config /a"}},
		"a wider type":                {of(`"a":{"type":"integer"}`, ""), of(`"a":{"type":["number","null"]}`, ""), nil},
		"a type where there was none": {of(`"a":{}`, ""), of(`"a":{"type":"string"}`, ""), []string{"care: changed config /a"}},
		"fewer values":                {of(`"a":{"enum":["x","y"]}`, ""), of(`"a":{"enum":["x"]}`, ""), []string{"care: changed config /a"}},
		"more values":                 {of(`"a":{"enum":["x"]}`, ""), of(`"a":{"enum":["x","y"]}`, ""), nil},
		"a tighter bound":             {of(`"a":{"maxLength":9}`, ""), of(`"a":{"maxLength":8}`, ""), []string{"care: changed config /a"}},
		"a looser bound":              {of(`"a":{"maxLength":8,"minimum":2}`, ""), of(`"a":{"maxLength":9,"minimum":1}`, ""), nil},
		"a pattern":                   {of(`"a":{}`, ""), of(`"a":{"pattern":"^a"}`, ""), []string{"care: changed config /a"}},
		"another default":             {of(`"a":{"default":1}`, ""), of(`"a":{"default":2}`, ""), []string{"changed config /a"}},
		"words":                       {of(`"a":{"title":"A"}`, ""), of(`"a":{"title":"B","description":"b","x-order":1}`, ""), nil},
		"deeper":                      {of(`"a":`+of(`"b":{}`, ""), ""), of(`"a":`+of(`"b":{"type":"null"}`, ""), ""), []string{"care: changed config /a/b"}},
		"another way of putting it":   {of(`"a":{}`, ""), of(`"a":{}`, `,"allOf":[{"required":["a"]}]`), []string{"care: changed config"}},
		"a schema that is no object":  {of(`"a":true`, ""), of(`"a":false`, ""), []string{"care: changed config /a"}},
		"no schema at all before":     {``, of(`"a":{}`, ``), []string{"care: changed config", "added config /a"}},
		"keywords of the wrong type":  {`{"properties":7,"required":"a","enum":{}}`, `{"properties":[],"required":{},"enum":0}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := diff.Between(manifest.Manifest{Config: json.RawMessage(tt.before)}, manifest.Manifest{Config: json.RawMessage(tt.after)})
			if tt.want == nil {
				tt.want = []string{}
			}
			if delta := cmp.Diff(tt.want, short(d.Changes)); delta != "" {
				t.Errorf("(-want +got):\n%s", delta)
			}
		})
	}
}

func TestInputsAndFieldsAreComparedToo(t *testing.T) {
	t.Parallel()
	with := func(schema string) manifest.Manifest {
		return manifest.Manifest{
			Actions:     []manifest.Action{{Name: "pay", Input: json.RawMessage(schema)}},
			Connections: []manifest.Connection{{Name: "shop", Type: "bearer", Fields: json.RawMessage(schema)}},
		}
	}
	d := diff.Between(with(`{"properties":{}}`), with(`{"properties":{"account":{}},"required":["account"]}`))
	want := []string{"care: added connection shop fields /account", "care: added action pay input /account"}
	if delta := cmp.Diff(want, short(d.Changes)); delta != "" {
		t.Errorf("(-want +got):\n%s", delta)
	}
}

func TestADefaultThatNamesAHostNeedsConsent(t *testing.T) {
	t.Parallel()
	with := func(property string) manifest.Manifest {
		return manifest.Manifest{
			Config: json.RawMessage(`{"properties":{"url":` + property + `}}`),
			Egress: []manifest.Egress{egress("{config.url}", "GET")},
		}
	}
	got := diff.Between(with(`{}`), with(`{"default":"https://evil.example"}`)).Asks()
	if len(got) != 1 || got[0].Part != diff.Config || got[0].Name != "url" || !strings.Contains(got[0].Text, "evil.example") {
		t.Errorf("got %+v, want to be asked for the host", got)
	}
	if got := diff.Between(with(`{"default":"https://a.example"}`), with(`{}`)).Asks(); len(got) != 0 {
		t.Errorf("a default less: got %+v, want nothing", got)
	}
}

func TestADigestNamesWhatWasShown(t *testing.T) {
	t.Parallel()
	asks := diff.Between(manifest.Manifest{}, manifest.Manifest{Egress: []manifest.Egress{egress("a.example", "GET")}}).Asks()
	other := diff.Between(manifest.Manifest{}, manifest.Manifest{Egress: []manifest.Egress{egress("b.example", "GET")}}).Asks()
	digest := diff.Digest("plv_1", asks)
	if !strings.HasPrefix(digest, "sha256:") || digest != diff.Digest("plv_1", asks) {
		t.Errorf("got %s, want the same each time", digest)
	}
	for what, d := range map[string]string{"another version": diff.Digest("plv_2", asks), "other asks": diff.Digest("plv_1", other), "no asks": diff.Digest("plv_1", nil)} {
		if d == digest {
			t.Errorf("%s: got the same digest", what)
		}
	}
}

func TestAllThatNeedsConsentIsListed(t *testing.T) {
	t.Parallel()
	var before, after manifest.Manifest
	for i := range 256 {
		after.Egress = append(after.Egress, egress(fmt.Sprintf("h%d.example", i), "GET"))
		before.Actions = append(before.Actions, manifest.Action{Name: fmt.Sprintf("old%d", i)})
		after.Actions = append(after.Actions, manifest.Action{Name: fmt.Sprintf("new%d", i)})
		after.Polls = append(after.Polls, manifest.Poll{Name: fmt.Sprintf("new%d", i)})
	}
	d := diff.Between(before, after)
	if got := len(d.Asks()); got != 256 {
		t.Errorf("got %d asks, want 256", got)
	}
	if got := d.Changes[len(d.Changes)-1].Text; got != "and 268 more" {
		t.Errorf("got %q, want the rest counted", got)
	}
	if got := diff.Between(after, after).String(); !strings.Contains(got, "asks for nothing more") {
		t.Errorf("got %q", got)
	}
}

func FuzzSchemas(f *testing.F) {
	f.Add(`{"properties":{"a":{"type":"string"}},"required":["a"]}`, `{"properties":{"a":{"type":["null"]}},"enum":[1]}`)
	f.Add(`true`, `[]`)
	f.Fuzz(func(t *testing.T, before, after string) {
		m := func(s string) manifest.Manifest { return manifest.Manifest{Config: json.RawMessage(s)} }
		_ = diff.Between(m(before), m(after)).String()
		if got := diff.Between(m(before), m(before)).Changes; len(got) != 0 {
			t.Errorf("it differs from itself: %+v", got)
		}
	})
}

func TestSlotsAreNamedToWhoConsents(t *testing.T) {
	t.Parallel()
	before := manifest.Manifest{Connections: []manifest.Connection{{Name: "shop", Type: "bearer", Hosts: []string{"a.example"}, Slots: manifest.Slots{Form: []string{"x"}}}}}
	after := manifest.Manifest{Connections: []manifest.Connection{{Name: "shop", Type: "bearer", Hosts: []string{"a.example"}, Slots: manifest.Slots{Form: []string{"x", "y"}, JSON: []string{"/auth/key"}}}}}
	for want, pair := range map[string][2]manifest.Manifest{
		`may write its credential into the JSON field "/auth/key", the form field "y", too`: {before, after},
		`uses a bearer credential, at a.example, and may write it into the form field "x"`:  {{}, before},
	} {
		changes := diff.Between(pair[0], pair[1]).Changes
		if len(changes) != 1 || changes[0].Text != want {
			t.Errorf("got %+v, want %s", changes, want)
		}
	}
}

func TestWhatUsersAgreeToIsAskedFor(t *testing.T) {
	t.Parallel()
	account := func(provider string, hosts []string, scopes ...string) manifest.Manifest {
		return manifest.Manifest{Connections: []manifest.Connection{{Name: "acme", Type: "oauth2", Provider: provider, Scopes: scopes, Hosts: hosts}}}
	}
	a := []string{"a.example"}
	for want, pair := range map[string][2]manifest.Manifest{
		"uses an oauth2 credential of acme, at the hosts of its provider, with the scopes read": {{}, account("acme", nil, "read")},
		"wants the scopes write, too":                           {account("acme", nil, "read"), account("acme", nil, "write", "read")},
		"is oauth2 of other, not oauth2 of acme":                {account("acme", nil), account("other", nil)},
		"its credential goes to the hosts of its provider, too": {account("acme", a), account("acme", nil)},
	} {
		changes := diff.Between(pair[0], pair[1]).Changes
		if len(changes) != 1 || changes[0].Text != want || changes[0].Needs != diff.Consent {
			t.Errorf("got %+v, want %s", changes, want)
		}
	}
	for name, pair := range map[string][2]manifest.Manifest{
		"fewer scopes": {account("acme", nil, "read", "write"), account("acme", nil, "read")},
		"fewer hosts":  {account("acme", nil), account("acme", a)},
	} {
		if changes := diff.Between(pair[0], pair[1]).Changes; len(changes) != 0 {
			t.Errorf("%s: got %+v, want none", name, changes)
		}
	}
}

func TestProvidersAreShownByWhereSecretsGo(t *testing.T) {
	t.Parallel()
	m := func(all ...string) (m manifest.Manifest) {
		for _, raw := range all {
			m.Providers = append(m.Providers, json.RawMessage(raw))
		}
		return m
	}
	const acme = `{"name":"acme","token_endpoint":"https://id.acme.example/token","hosts":["api.acme.example"]}`
	for name, tt := range map[string]struct {
		before, after manifest.Manifest
		want          []diff.Change
	}{
		"new":  {m(), m(acme), []diff.Change{{Verb: diff.Added, Part: diff.Provider, Name: "acme", Text: "secrets of its apps go to id.acme.example, and tokens to api.acme.example"}}},
		"gone": {m(acme), m(), []diff.Change{{Verb: diff.Removed, Part: diff.Provider, Name: "acme", Text: "is not described any more: apps that there are go on"}}},
		"moved": {m(acme), m(strings.ReplaceAll(acme, "acme.example", "evil.example")), []diff.Change{
			{Verb: diff.Changed, Part: diff.Provider, Name: "acme", Needs: diff.Consent, Text: "secrets of new apps go to id.evil.example, too"},
			{Verb: diff.Changed, Part: diff.Provider, Name: "acme", Needs: diff.Consent, Text: "tokens of new apps go to api.evil.example, too"},
		}},
		"at the same hosts": {m(acme), m(strings.Replace(acme, "/token", "/v2/token", 1)), []diff.Change{{Verb: diff.Changed, Part: diff.Provider, Name: "acme", Text: "is described otherwise, for new apps"}}},
		"written otherwise": {m(acme), m(` { "hosts":["api.acme.example"], "token_endpoint":"https://id.acme.example/token", "name":"acme"}`), []diff.Change{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if d := cmp.Diff(tt.want, diff.Between(tt.before, tt.after).Changes); d != "" {
				t.Error(d)
			}
		})
	}
}
