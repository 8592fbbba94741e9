package provider_test

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider/providertest"
)

func load(t *testing.T) provider.Set {
	t.Helper()
	set, err := provider.Load()
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// named returns a provider of the test's own, to change.
func named(t *testing.T, name string) provider.Provider {
	t.Helper()
	data, err := os.ReadFile("data/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	p, err := provider.Parse(name+".json", data)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestEachDescriptorHasAnEmulation(t *testing.T) {
	t.Parallel()
	var names []string
	for _, p := range load(t).All() {
		names = append(names, p.Name)
	}
	if diff := cmp.Diff(providertest.Names(t), names); diff != "" {
		t.Errorf("emulated (-), described (+):\n%s", diff)
	}
	if len(names) < 60 {
		t.Errorf("there are %d providers, want at least 60", len(names))
	}
}
