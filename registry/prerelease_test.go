package registry_test

import (
	"testing"

	"github.com/cofferdam-run/cofferdam/registry"
)

func TestBuildsOfOneVersionArePrereleases(t *testing.T) {
	t.Parallel()
	for own, want := range map[string]string{
		"1.2.0":            "1.2.0-dev.7",
		"1.2.0-beta":       "1.2.0-beta.dev.7",
		"1.2.0+linux":      "1.2.0-dev.7+linux",
		"1.2.0-rc.1+linux": "1.2.0-rc.1.dev.7+linux",
	} {
		t.Run(own, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil)
			wasm := typed(`{"name":"orders","version":"` + own + `"}`)
			u := upload(wasm)
			u.Prerelease = "dev.7"
			got, err := b.Publish(t.Context(), "operator", u)
			if err != nil || got.Version != want || got.Manifest.Version != want {
				t.Fatalf("got %s with the manifest of %s, %v, want %s", got.Version, got.Manifest.Version, err, want)
			}
			found, err := b.Resolve(t.Context(), registry.Viewer{Operator: true}, "orders@"+want)
			if err != nil || found.ID != got.ID {
				t.Errorf("it is not found by its version: %v", err)
			}
		})
	}
}
