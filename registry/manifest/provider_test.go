package manifest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/registry/manifest"
)

func TestProvidersOfAPluginsOwn(t *testing.T) {
	t.Parallel()
	m, err := manifest.Parse([]byte(`{"name":"a","version":"1.0.0","providers":[
		{"name":"acme","title":"Acme","docs":["https://acme.example/oauth"],"hosts":["api.acme.example","{shop}.acme.example"],
		 "issuer":"https://id.acme.example","authorization_endpoint":"https://acme.example/authorize?x=1","token_endpoint":"https://{shop}.acme.example/token",
		 "revocation_endpoint":"{instance}/revoke","lookups":[{"url":"https://who.acme.example:8443/me"}]},
		{"name":"acme-test"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []manifest.Provider{{
		Name: "acme", Title: "Acme", Docs: []string{"https://acme.example/oauth"}, Hosts: []string{"api.acme.example", "{shop}.acme.example"},
		Places: []string{"acme.example", "id.acme.example", "who.acme.example:8443", "{instance}", "{shop}.acme.example"},
	}, {Name: "acme-test"}}
	if diff := cmp.Diff(want, m.ProvidersOf()); diff != "" {
		t.Error(diff)
	}
	if raw, ok := m.Descriptor("acme-test"); !ok || string(raw) != `{"name":"acme-test"}` {
		t.Errorf("got %s, %t", raw, ok)
	}
	if _, ok := m.Descriptor("acne"); ok {
		t.Error("there is one that nobody has written")
	}
}

func TestProvidersThatCannotBe(t *testing.T) {
	t.Parallel()
	named := func(n int) (all []string) {
		for i := range n {
			all = append(all, fmt.Sprintf(`{"name":"p%d"}`, i))
		}
		return all
	}
	for name, tt := range map[string]struct {
		providers      []string
		where, message string
	}{
		"one too many":     {named(17), "/providers", "there are 17: at most 16 are allowed"},
		"not an object":    {[]string{`"github"`}, "/providers/0", "must be a provider's descriptor, which is an object"},
		"null":             {[]string{`null`}, "/providers/0", "must be a provider's descriptor, which is an object"},
		"no name":          {[]string{`{"title":"x"}`}, "/providers/0/name", `"" must be the name of a provider`},
		"a name in a list": {[]string{`{"name":["x"]}`}, "/providers/0/name", `"" must be the name of a provider`},
		"a name of none":   {[]string{`{"name":"Acme"}`}, "/providers/0/name", `"Acme" must be the name of a provider`},
		"one name twice":   {append(named(2), `{"name":"p0"}`), "/providers/2/name", `"p0" is taken`},
		"one too large":    {[]string{`{"name":"a","notes":["` + strings.Repeat("x", 64<<10) + `"]}`}, "/providers/0", "at most 65536 are allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := manifest.Parse([]byte(`{"name":"a","version":"1.0.0","providers":[` + strings.Join(tt.providers, ",") + `]}`))
			problems, ok := errors.AsType[manifest.Errors](err)
			if !ok || len(problems) != 1 || problems[0].Where != tt.where || !strings.Contains(problems[0].Message, tt.message) {
				t.Errorf("got %v, want %s at %s", err, tt.message, tt.where)
			}
		})
	}
	if _, err := manifest.Parse([]byte(`{"name":"a","version":"1.0.0","providers":[` + strings.Join(named(16), ",") + `]}`)); err != nil {
		t.Errorf("16 are refused: %v", err)
	}
	// What Parse has not seen shows nothing, and does not panic.
	if got := (manifest.Manifest{Providers: []json.RawMessage{[]byte("{"), nil, []byte(`{"name":7}`)}}).ProvidersOf(); len(got) != 0 {
		t.Errorf("got %+v", got)
	}
}
