package connector_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

// account is what a connector wants to know of one.
type account struct {
	ID     string `json:"id"`
	Region string `json:"region" default:"eu"`
}

func TestManifestSaysWhatTheConnectorIs(t *testing.T) {
	t.Parallel()
	c := greeter()
	c.Title, c.Description = "Greeter", "Says hello."
	c.Config = struct {
		URL string `json:"url" format:"uri"`
	}{}
	c.Actions[0].Title, c.Actions[0].Idempotent = "Greet", true
	c.Connections = []connector.Connection{{Name: "crm", Title: "CRM", Type: connector.APIKey, Header: "X-Api-Key", Hosts: []string{"{config.url}"}, Fields: account{}}}
	c.Egress = []connector.Egress{{Host: "{config.url}", Methods: []string{"GET"}}}
	c.Idempotency = []connector.Idempotency{{Host: "{config.url}", Header: "Idempotency-Key", TTL: 24 * time.Hour}}
	c.NotDone = []connector.NotDone{{Host: "{config.url}", Status: []int{409}}}
	c.Confirm = func(*connector.Context, connector.Doubt) (connector.Confirmation, error) {
		return connector.Unsure(), nil
	}
	c.Functions = []string{"clock_of_the_tower"}
	c.Limits = connector.Limits{MemoryMiB: 64, Timeout: 30 * time.Second, Fuel: 5_000_000_000}
	got, err := c.Call(&script{}, "describe", nil)
	if err != nil {
		t.Fatal(err)
	}
	const draft = `"$schema":"https://json-schema.org/draft/2020-12/schema"`
	want := `{"name":"greeter","version":"1.2.3","title":"Greeter","description":"Says hello.",
		"config":{` + draft + `,"type":"object","properties":{"url":{"type":"string","format":"uri"}},"required":["url"],"additionalProperties":false},
		"actions":[{"name":"greet","title":"Greet",
			"input":{` + draft + `,"type":"object","properties":{"name":{"type":"string"},"times":{"type":"integer","default":1}},"required":["name"],"additionalProperties":false},
			"output":{` + draft + `,"type":"object","properties":{"greeting":{"type":"string"}},"required":["greeting"]},
			"idempotent":true}],
		"webhooks":[{"name":"ping","scheme":"github"}],
		"polls":[{"name":"since","every":"1m"}],
		"connections":[{"name":"crm","title":"CRM","type":"api_key","header":"X-Api-Key","hosts":["{config.url}"],
			"fields":{` + draft + `,"type":"object","properties":{"id":{"type":"string"},"region":{"type":"string","default":"eu"}},"required":["id"],"additionalProperties":false}}],
		"egress":[{"host":"{config.url}","methods":["GET"]}],
		"idempotency":[{"host":"{config.url}","header":"Idempotency-Key","ttl":"24h"}],
		"not_done":[{"host":"{config.url}","status":[409]}],
		"functions":["clock_of_the_tower"],
		"limits":{"memory_mib":64,"timeout_ms":30000,"fuel":5000000000},"confirm":true}`
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(want)); err != nil {
		t.Fatal(err)
	}
	if string(got) != compact.String() {
		t.Errorf("got  %s\nwant %s", got, compact.String())
	}
}

func TestASmallConnectorHasASmallManifest(t *testing.T) {
	t.Parallel()
	got, err := connector.Connector{Name: "a", Version: "0.0.1-rc.1+build.05"}.Call(&script{}, "describe", nil)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"name":"a","version":"0.0.1-rc.1+build.05","config":{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","additionalProperties":false}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDescribeSaysWhatTheHostWouldRefuse(t *testing.T) {
	t.Parallel()
	conn := func(c connector.Connection) func(*connector.Connector) {
		return func(to *connector.Connector) { to.Connections = []connector.Connection{c} }
	}
	version := func(v string) func(*connector.Connector) {
		return func(c *connector.Connector) { c.Version = v }
	}
	name := func(n string) func(*connector.Connector) {
		return func(c *connector.Connector) { c.Name = n }
	}
	tests := map[string]struct {
		edit func(*connector.Connector)
		want string
	}{
		"fields of no struct":  {conn(connector.Connection{Name: "a", Type: connector.Bearer, Hosts: []string{"a.example"}, Fields: 7}), `connection "a": the Fields is a int`},
		"a burst of nothing":   {conn(connector.Connection{Name: "a", Type: connector.Bearer, Hosts: []string{"a.example"}, Rate: connector.Rate{Burst: 3}}), `connection "a": the rate is 0 in a second`},
		"a rate of too much":   {conn(connector.Connection{Name: "a", Type: connector.Bearer, Hosts: []string{"a.example"}, Rate: connector.Rate{PerSecond: 1e6}}), "from 1 in a day"},
		"a burst below none":   {conn(connector.Connection{Name: "a", Type: connector.Bearer, Hosts: []string{"a.example"}, Rate: connector.Rate{PerSecond: 1, Burst: -1}}), "bursts of -1"},
		"no name":              {name(""), `the name ""`},
		"capitals":             {name("Greeter"), `the name "Greeter"`},
		"a hyphen first":       {name("-a"), `the name "-a"`},
		"a long name":          {name(strings.Repeat("a", 64)), "1 to 63"},
		"two numbers":          {version("1.2"), "semantic version"},
		"a padded number":      {version("1.02.3"), "semantic version"},
		"a v":                  {version("v1.2.3"), "semantic version"},
		"an empty pre-release": {version("1.2.3-"), "semantic version"},
		"a padded pre-release": {version("1.2.3-01"), "semantic version"},
		"an empty build":       {version("1.2.3+a..b"), "semantic version"},
		"a config that is no struct": {
			func(c *connector.Connector) { c.Config = map[string]string{} }, "value of a struct type",
		},
		"a config with a secret": {func(c *connector.Connector) {
			c.Config = struct {
				Token string `json:"token" format:"password"`
			}{}
		}, "secrets belong in a connection"},
		"an action without Run": {func(c *connector.Connector) { c.Actions[0].Run = connector.Handler{} }, "connector.Func"},
		"an action twice":       {func(c *connector.Connector) { c.Actions = append(c.Actions, c.Actions[0]) }, `there are two of action "greet"`},
		"an action's bad name":  {func(c *connector.Connector) { c.Actions[0].Name = "1st" }, `the action name "1st"`},
		"an action's bad input": {func(c *connector.Connector) {
			c.Actions[0].Run = connector.Func(func(*connector.Context, chan int) (int, error) { return 0, nil })
		}, `action "greet": its input: chan int`},
		"an action's bad output": {func(c *connector.Connector) {
			c.Actions[0].Run = connector.Func(func(*connector.Context, int) (func(), error) { return nil, nil })
		}, `action "greet": its output: func()`},
		"an unknown scheme":          {func(c *connector.Connector) { c.Webhooks[0].Scheme = "stripe" }, `the scheme is "stripe"`},
		"a webhook without Run":      {func(c *connector.Connector) { c.Webhooks[0].Run = nil }, `webhook "ping": it has no Run`},
		"a poll without Run":         {func(c *connector.Connector) { c.Polls[0].Run = connector.Poller{} }, "connector.PollFunc"},
		"an unknown connection type": {conn(connector.Connection{Name: "c", Type: "oauth"}), `the type is "oauth"`},
		"a key that goes nowhere":    {conn(connector.Connection{Name: "c", Type: connector.APIKey, Hosts: []string{"h"}}), "either the header or the query"},
		"a bearer with a header":     {conn(connector.Connection{Name: "c", Type: connector.Bearer, Header: "X", Hosts: []string{"h"}}), "are for the type api_key"},
		"an HMAC in a query":         {conn(connector.Connection{Name: "c", Type: connector.HMAC, Query: "q", Hosts: []string{"h"}}), "an HMAC goes into a header"},
		"a private key in a header":  {conn(connector.Connection{Name: "c", Type: connector.PrivateKey, Header: "X", Hosts: []string{"h"}}), "are for the type api_key"},
		"a bearer that signs":        {conn(connector.Connection{Name: "c", Type: connector.Bearer, Sign: []string{"HS256"}, Hosts: []string{"h"}}), `it cannot sign by "HS256"`},
		"another key's algorithm":    {conn(connector.Connection{Name: "c", Type: connector.HMAC, Sign: []string{"hmac-sha256", "RS256"}, Hosts: []string{"h"}}), `signs by ["hmac-sha1"`},
		"an OAuth2 with nobody":      {conn(connector.Connection{Name: "c", Type: connector.OAuth2}), "is what the type oauth2 has"},
		"a bearer with scopes":       {conn(connector.Connection{Name: "c", Type: connector.Bearer, Scopes: []string{"a"}, Hosts: []string{"h"}}), "is what the type oauth2 has"},
		"a connection without hosts": {conn(connector.Connection{Name: "c", Type: connector.Basic}), "it has no hosts"},
		"a key without a header": {func(c *connector.Connector) {
			c.Idempotency = []connector.Idempotency{{Host: "h", TTL: time.Hour}}
		}, `idempotency "h" needs`},
		"a key without a life": {func(c *connector.Connector) {
			c.Idempotency = []connector.Idempotency{{Host: "h", Header: "K"}}
		}, "a TTL from 5 minutes"},
		"not done that was":      {func(c *connector.Connector) { c.NotDone = []connector.NotDone{{Host: "h", Status: []int{200}}} }, `not done "h" needs`},
		"egress without methods": {func(c *connector.Connector) { c.Egress = []connector.Egress{{Host: "h"}} }, `egress "h" needs`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := greeter()
			tt.edit(&c)
			_, err := c.Call(&script{}, "describe", nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
		})
	}
}

// explosive is a type that panics when encoding/json asks it for its form.
type explosive struct{}

func (explosive) UnmarshalJSON([]byte) error { panic("boom") }

func TestAPanicInDescribeAsksTheHostForNothing(t *testing.T) {
	t.Parallel()
	host := &script{}
	c := connector.Connector{Name: "a", Version: "1.0.0", Config: struct {
		X explosive `json:"x" default:"1"`
	}{}}
	_, err := c.Call(host, "describe", nil)
	if got := failureOf(t, err); got.Code != code.PluginBug || !strings.Contains(got.Message, "panic: boom") || !strings.Contains(got.Message, "UnmarshalJSON") {
		t.Errorf("got %v", got)
	}
	if len(host.asked) > 0 {
		t.Errorf("the host was asked: %q", host.asked)
	}
}

func TestConnectionsThatSignAreInTheManifest(t *testing.T) {
	t.Parallel()
	c := greeter()
	c.Connections = []connector.Connection{
		{Name: "shared", Type: connector.HMAC, Header: "X-Signature", Hosts: []string{"a.example"}, Sign: []string{"hmac-sha256", "HS512"}},
		{Name: "app", Type: connector.PrivateKey, Hosts: []string{"a.example"}, Sign: []string{"RS256", "EdDSA"}},
		{Name: "aws", Type: connector.AWS, Hosts: []string{"a.example"}, Sign: []string{"aws-sigv4"}},
		{Name: "cert", Type: connector.Certificate, Hosts: []string{"a.example"}},
	}
	got, err := c.Call(&script{}, "describe", nil)
	if want := `"hosts":["a.example"],"sign":["hmac-sha256","HS512"]}`; err != nil || !strings.Contains(string(got), want) {
		t.Errorf("got %s, %v, want %s in it", got, err, want)
	}
}

func TestRatesAreInTheManifest(t *testing.T) {
	t.Parallel()
	for want, rate := range map[string]connector.Rate{
		`"hosts":["a.example"],"rate":{"per_second":9.5,"burst":20}}`: {PerSecond: 9.5, Burst: 20},
		`"hosts":["a.example"],"rate":{"per_second":10}}`:             {PerSecond: 10},
		`"hosts":["a.example"]}`:                                      {},
	} {
		c := greeter()
		c.Connections = []connector.Connection{{Name: "a", Type: connector.Bearer, Hosts: []string{"a.example"}, Rate: rate}}
		if got, err := c.Call(&script{}, "describe", nil); err != nil || !strings.Contains(string(got), want) {
			t.Errorf("got %s, %v, want %s in it", got, err, want)
		}
	}
}

func TestDescribeSaysAllAtOnce(t *testing.T) {
	t.Parallel()
	_, err := connector.Connector{Name: "!", Version: "?"}.Call(&script{}, "describe", nil)
	got := failureOf(t, err).Message
	if !strings.Contains(got, `"!"`) || !strings.Contains(got, `"?"`) {
		t.Errorf("got %q", got)
	}
}

func TestPollIntervalsAreShort(t *testing.T) {
	t.Parallel()
	for every, want := range map[time.Duration]string{
		0: `[{"name":"since"}]`, 90 * time.Second: `"1m30s"`, 5 * time.Minute: `"5m"`, 24 * time.Hour: `"24h"`, 15 * time.Second: `"15s"`,
	} {
		c := greeter()
		c.Polls[0].Every = every
		got, err := c.Call(&script{}, "describe", nil)
		if err != nil || !strings.Contains(string(got), want) {
			t.Errorf("%v: got %s, %v, want %s in it", every, got, err, want)
		}
	}
}

func TestAnOAuth2NamesItsProvider(t *testing.T) {
	t.Parallel()
	c := connector.Connector{Name: "a", Version: "1.0.0", Connections: []connector.Connection{{Name: "crm", Type: connector.OAuth2, Provider: "acme", Scopes: []string{"read"}}}}
	got, err := c.Call(nil, "describe", nil)
	if err != nil || !bytes.Contains(got, []byte(`"connections":[{"name":"crm","type":"oauth2","provider":"acme","scopes":["read"]}]`)) {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestProvidersOfItsOwnAreInTheManifest(t *testing.T) {
	t.Parallel()
	c := connector.Connector{Name: "a", Version: "1.0.0", Providers: []json.RawMessage{json.RawMessage(`{"name":"acme"}`)}}
	got, err := c.Call(nil, "describe", nil)
	if err != nil || !bytes.Contains(got, []byte(`"providers":[{"name":"acme"}]`)) {
		t.Errorf("got %s, %v", got, err)
	}
	for _, bad := range []string{`{`, `[]`, `{}`, `{"name":"acme"}`} {
		c.Providers = []json.RawMessage{json.RawMessage(`{"name":"acme"}`), json.RawMessage(bad)}
		if _, err := c.Call(nil, "describe", nil); err == nil || !strings.Contains(err.Error(), "provider 1 ") {
			t.Errorf("%s: got %v", bad, err)
		}
	}
}
