package provider_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
)

const described = `{"name":"acme-own","title":"Acme","docs":["https://acme.example/oauth"],
	"authorization_endpoint":"https://{shop}.acme.example/authorize?x=y","token_endpoint":"https://{host}/token","hosts":["api.acme.example","{host}"],
	"variables":{"shop":{"title":"Shop","example":"north"},"host":{"title":"Host","example":"id.acme.example","kind":"host","anywhere":true},"account":{"title":"Account","example":"a","from":"lookup"}},
	"lookups":[{"url":"https://who.acme.example/me","variables":{"account":"/id"}}]}`

func TestPlacesAreShownToWhoGivesASecret(t *testing.T) {
	t.Parallel()
	p, err := provider.Parse("acme", []byte(described))
	if err != nil {
		t.Fatal(err)
	}
	secret, tokens := p.Places(map[string]string{"host": "id.customer.example"})
	if diff := cmp.Diff([][]string{{"id.customer.example", "who.acme.example", "{shop}.acme.example"}, {"api.acme.example", "id.customer.example"}}, [][]string{secret, tokens}); diff != "" {
		t.Error(diff)
	}
	if secret, _ := p.Places(nil); secret[0] != "who.acme.example" || secret[1] != "{host}" {
		t.Errorf("got %v", secret)
	}
}

func TestDescriptorsOfPluginsAreChecked(t *testing.T) {
	t.Parallel()
	set, err := provider.Set{}.Add("folder: acme.json", []byte(strings.Replace(described, "acme-own", "theirs", 1)))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		set        provider.Set
		descriptor string
		where      []string
	}{
		"one of its own":           {set, described, nil},
		"a name that is built in":  {provider.Set{}, strings.Replace(described, "acme-own", "github", 1), []string{"/name"}},
		"a name of the operator's": {set, strings.Replace(described, "acme-own", "theirs", 1), []string{"/name"}},
		"all that is wrong":        {set, `{"name":"acme-own","title":"Acme","docs":["https://acme.example"],"token_endpoint":"http://acme.example/token","authorization_endpoint":"https://acme.example/a"}`, []string{"/token_endpoint", "/hosts"}},
		"no document":              {set, `{`, []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.where, wheres(tt.set.Check(json.RawMessage(tt.descriptor)))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Check knows what is built in by its file's name.
func TestEachFileHasItsProvidersName(t *testing.T) {
	t.Parallel()
	set, err := provider.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range set.All() {
		raw, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"/name"}, wheres((provider.Set{}).Check(raw))); diff != "" {
			t.Errorf("%s: %s", p.Name, diff)
		}
	}
}

func wheres(all []manifest.Problem) (where []string) {
	for _, p := range all {
		where = append(where, p.Where)
	}
	return where
}
