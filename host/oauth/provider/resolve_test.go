package provider_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/document"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
)

func Example() {
	set, err := provider.Load()
	if err != nil {
		fmt.Println(err)
		return
	}
	shopify, err := set.Provider("shopify")
	if err != nil {
		fmt.Println(err)
		return
	}
	at, err := shopify.Resolve(map[string]string{"shop": "north-wind"})
	fmt.Println(at.TokenEndpoint, err)

	_, err = shopify.Resolve(map[string]string{"shop": "evil.com/"})
	fmt.Println(err)
	// Output:
	// https://north-wind.myshopify.com/admin/oauth/access_token <nil>
	// provider_variables_invalid: shopify: /shop is "evil.com/", which has a character that no label has: write one label of a DNS name (letters, digits and hyphens, at most 63), such as "north-wind"
}

func TestAServerOnThisMachineMayBeDescribed(t *testing.T) {
	t.Parallel()
	p, err := provider.Parse("local.json", []byte(`{
		"name": "local", "title": "Local", "docs": ["https://acme.example/oauth"],
		"authorization_endpoint": "http://127.0.0.1:9000/{space}/authorize", "token_endpoint": "http://[::1]:9000/token",
		"hosts": ["127.0.0.1:9000", "localhost"],
		"variables": {"space": {"title": "Space", "example": "north", "kind": "path"}}
	}`))
	if err != nil {
		t.Fatal(err)
	}
	at, err := p.Resolve(map[string]string{"space": "a b"})
	if err == nil {
		t.Errorf("a space in a path: got %q, want an error", at.AuthorizationEndpoint)
	}
	at, err = p.Resolve(map[string]string{"space": "@evil.example"})
	if err != nil || at.AuthorizationEndpoint != "http://127.0.0.1:9000/@evil.example/authorize" || at.TokenEndpoint != "http://[::1]:9000/token" {
		t.Errorf("got %q, %q, %v", at.AuthorizationEndpoint, at.TokenEndpoint, err)
	}
	if diff := cmp.Diff([]string{"127.0.0.1:9000", "localhost"}, at.Hosts); diff != "" {
		t.Error(diff)
	}
}

func TestWhatWaitsForAVariableIsEmpty(t *testing.T) {
	t.Parallel()
	zoho := named(t, "zoho")
	values := map[string]string{}
	at, err := zoho.Resolve(values)
	if err != nil {
		t.Fatal(err)
	}
	if at.AuthorizationEndpoint != "https://accounts.zoho.com/oauth/v2/auth" || at.TokenEndpoint != "" || len(at.Hosts) != 0 {
		t.Errorf("before the callback: got %q, %q, %q", at.AuthorizationEndpoint, at.TokenEndpoint, at.Hosts)
	}
	if diff := cmp.Diff([]string{"accounts_server", "api_domain"}, at.Waiting); diff != "" {
		t.Error(diff)
	}
	callback := url.Values{"code": {"1"}, "accounts-server": {"https://accounts.zoho.eu"}, "location": {"eu"}}
	maps.Copy(values, zoho.Captured(callback, map[string]any{"api_domain": "https://www.zohoapis.eu"}))
	at, err = zoho.Resolve(values)
	if err != nil || at.TokenEndpoint != "https://accounts.zoho.eu/oauth/v2/token" || at.RefreshEndpoint != at.TokenEndpoint || len(at.Waiting) != 0 {
		t.Errorf("after the callback: got %q, %q, %v", at.TokenEndpoint, at.RefreshEndpoint, err)
	}
	if diff := cmp.Diff([]string{"www.zohoapis.eu"}, at.Hosts); diff != "" {
		t.Error(diff)
	}
}

func TestACallbackCannotNameAnotherServer(t *testing.T) {
	t.Parallel()
	zoho := named(t, "zoho")
	got := zoho.Captured(url.Values{"accounts-server": {"https://accounts.zoho.evil.com"}}, nil)
	if _, err := zoho.Resolve(got); err == nil || !strings.Contains(err.Error(), "/accounts_server is") {
		t.Errorf("got %v", err)
	}
}

func TestResolveNamesEveryVariableThatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := named(t, "keycloak").Resolve(map[string]string{"realm": "..", "shop": "a"})
	var f *fault.Error
	if !errors.As(err, &f) {
		t.Fatalf("got %v", err)
	}
	var places []string
	for _, p := range f.Problems {
		places = append(places, p.Where)
	}
	if diff := cmp.Diff([]string{"/shop", "/host", "/realm"}, places); diff != "" {
		t.Errorf("%s\n%v", diff, f.Problems)
	}
	if got, want := f.Problems[0].Message, "is not a variable of keycloak: it has host or realm"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestResolveChangesNoProvider(t *testing.T) {
	t.Parallel()
	for _, p := range load(t).All() {
		before, _ := json.Marshal(p)
		values := map[string]string{}
		for name, v := range p.Variables {
			values[name] = v.Example
		}
		at, err := p.Resolve(values)
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
			continue
		}
		for i := range at.Lookups {
			at.Lookups[i].URL = "changed"
		}
		if after, _ := json.Marshal(p); string(after) != string(before) {
			t.Errorf("%s: got %s, want %s", p.Name, after, before)
		}
		if text, _ := json.Marshal(at.Parameters); len(at.Waiting) > 0 || strings.ContainsAny(at.TokenEndpoint+strings.Join(at.Hosts, "")+at.Issuer, "{}") {
			t.Errorf("%s has templates left: %v %v %s", p.Name, at.Waiting, at.Hosts, text)
		}
	}
}

func TestWhatIsOfTheRequestStaysInALookup(t *testing.T) {
	t.Parallel()
	at, err := named(t, "bullhorn").Resolve(map[string]string{"data_center": "west"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"version": "*", "access_token": "{access_token}"}, at.Lookups[0].Parameters); diff != "" {
		t.Error(diff)
	}
}

func TestAtFollowsAPointer(t *testing.T) {
	t.Parallel()
	var answer any
	if err := json.Unmarshal([]byte(`{"a":{"b/c":[{"d":1.5e3},{"~":true}]},"n":null,"":{"":2}}`), &answer); err != nil {
		t.Fatal(err)
	}
	for place, want := range map[string]string{
		"/a/b~1c/0/d": "1500", "/a/b~1c/1/~0": "true", "/n": "", "//": "2",
		"/a/x": "none", "/a/b~1c/2": "none", "/a/b~1c/-1": "none", "/a/b~1c/00": "none", "/a/b~1c/0/d/e": "none", "/x": "none",
	} {
		found, ok := document.At(answer, place)
		got := document.Text(found)
		if !ok {
			got = "none"
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", place, got, want)
		}
	}
}
