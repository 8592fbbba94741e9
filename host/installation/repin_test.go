package installation_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/installation"
)

func TestRepinIsCreateAgainWithWhatItHas(t *testing.T) {
	t.Parallel()
	b := setup(t)
	before := b.install(t, "issues@1.0.0", `{"team":"a"}`)
	// The configuration of neither fits the other, and the new one asks for other things.
	config := json.RawMessage(`{"project":"p"}`)
	got, err := b.Repin(t.Context(), tenant, before.ID, installation.Spec{Plugin: "issues@2.0.0", Config: config})
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := b.Create(t.Context(), tenant, installation.Spec{Plugin: "issues@2.0.0", Name: "fresh", Config: config})
	if err != nil {
		t.Fatal(err)
	}
	want := before
	want.VersionID, want.Version, want.Previous = fresh.VersionID, fresh.Version, before.VersionID
	want.Config, want.Grants, want.UpdatedAt = fresh.Config, fresh.Grants, got.UpdatedAt
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	again, err := b.Repin(t.Context(), tenant, "issues", installation.Spec{Plugin: "issues@2.0.0", Config: config})
	if err != nil || again.Previous != before.VersionID {
		t.Errorf("the same version again: previous is %q, %v, want %q", again.Previous, err, before.VersionID)
	}
}

func TestRepinRefusesAndChangesNothing(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		spec  installation.Spec
		code  string
		where []string
	}{
		"another plugin":              {installation.Spec{Plugin: "echo"}, "other_plugin", nil},
		"a plugin that is not there":  {installation.Spec{Plugin: "nothing"}, "not_found", nil},
		"a config that does not fit":  {installation.Spec{Plugin: "issues@2.0.0"}, "config_invalid", []string{"/config/project"}},
		"grants that are not offered": {installation.Spec{Plugin: "issues@1.1.0", Grants: &installation.Grants{Functions: []string{"x"}}}, "grant_exceeds_manifest", []string{"/grants/functions/0"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			before := b.install(t, "issues@1.0.0", "")
			_, err := b.Repin(t.Context(), tenant, before.ID, tt.spec)
			checkFault(t, err, tt.code, tt.where...)
			if kept, err := b.Get(t.Context(), tenant, before.ID); err != nil || !cmp.Equal(kept, before) {
				t.Errorf("got %+v, %v, want it unchanged", kept, errors.Unwrap(err))
			}
		})
	}
}
