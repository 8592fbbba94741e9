package app_test

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider/providertest"
)

// aside are members without which a life goes as well, and why.
func aside() map[string]string {
	const words, elsewhere, later, same = "it is for people", "no life with a user in a browser asks there", "it plans what is months away",
		"the provider takes what is done without it, too"
	return map[string]string{
		"notes": words, "grant_types_supported": "it says what an app may be made for",
		"issuer": "a callback without iss is taken", "userinfo_endpoint": elsewhere, "device_authorization_endpoint": elsewhere, "revocation_endpoint": elsewhere,
		"refresh.idle_days": later, "refresh.life_days": later, "refresh.max_live": later, "refresh.grace_seconds": later, "token_response.refresh_expires_in": later,
		"pkce": same, "token_endpoint_auth_method": same, "token_response.expires_unit": "the answer has no lifetime, whose unit it would be",
	}
}

// TestEachMemberOfADescriptorIsPlayed leaves out of each descriptor one member after the
// other: it is refused, or fails against an emulation, or what it says is on the list
// here. A row of that without which all fail is no longer needed.
func TestEachMemberOfADescriptorIsPlayed(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	general, needed := aside(), map[string]bool{}
	t.Cleanup(func() { // After all subtests, which run beside each other.
		for member := range general {
			if !needed[member] {
				t.Errorf("%s is aside, and the emulations miss it", member)
			}
		}
	})
	for _, name := range providertest.Names(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for member, data := range lessened(t, name) {
				p, err := provider.Parse(name+".json", data)
				if err != nil || missed(t, p, name) {
					continue
				}
				mu.Lock()
				needed[member] = true
				mu.Unlock()
				if general[member] == "" {
					t.Errorf("the emulations do not miss %s", member)
				}
			}
		})
	}
}

// missed says whether one of a provider's emulations fails with a descriptor.
func missed(t *testing.T, p provider.Provider, name string) bool {
	t.Helper()
	return slices.ContainsFunc(providertest.Lives(t, name), func(live string) bool {
		return newLife(t, p, providertest.Serve(t, live)).live(t.Context()) != nil
	})
}

// lessened are the descriptors that have one member less, by that.
func lessened(t *testing.T, name string) map[string][]byte {
	t.Helper()
	data, err := os.ReadFile("../oauth/provider/data/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var whole map[string]any
	if err := json.Unmarshal(data, &whole); err != nil {
		t.Fatal(err)
	}
	written := func(v any) []byte {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	all := map[string][]byte{}
	for member, value := range whole {
		less := maps.Clone(whole)
		parts, _ := value.(map[string]any)
		for part, value := range parts {
			rest := maps.Clone(parts)
			delete(rest, part)
			less[member] = rest
			all[member+"."+part] = written(less)
			inner, _ := value.(map[string]any)
			if member == "variables" {
				continue // What is in those is for the form, and for package provider's tests.
			}
			for name := range inner {
				rest[part] = maps.Clone(inner)
				delete(rest[part].(map[string]any), name)
				all[member+"."+part+"."+name] = written(less)
			}
		}
		if len(parts) == 0 {
			delete(less, member)
			all[member] = written(less)
		}
	}
	return all
}
