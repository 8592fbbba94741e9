package installation_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
)

func TestCreate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	got := b.install(t, "issues@1.0.0", `{"team":"a"}`)
	want := installation.Installation{
		ID: got.ID, Tenant: tenant, Name: "issues", Plugin: "plg_issues", VersionID: "plv_issues1.0.0", PluginName: "issues", Version: "1.0.0",
		Config: json.RawMessage(`{"api_url":"https://api.github.com","label":"triage","team":"a"}`),
		Grants: installation.Grants{
			Egress: []manifest.Egress{
				{Host: "api.github.com", Methods: []string{"GET", "POST"}},
				{Host: "*.example.com", Methods: []string{"GET"}},
				{Host: "{config.api_url}", Methods: []string{"GET", "POST"}},
			},
			Connections: map[string]string{"github": "con_1"}, Functions: []string{"crm_lookup"},
		},
		State: installation.Active, CreatedAt: b.now, UpdatedAt: b.now,
	}
	if diff := cmp.Diff(want, got); diff != "" || !strings.HasPrefix(got.ID, "ins_") {
		t.Errorf("installation %s (-want +got):\n%s", got.ID, diff)
	}
	if found, err := b.Get(t.Context(), tenant, "issues"); err != nil || found.ID != got.ID {
		t.Errorf("got %s, %v, want it by name", found.ID, err)
	}
	if _, err := b.Get(t.Context(), "ten_2", got.ID); err == nil {
		t.Error("another tenant got it")
	}
}

func TestCreateGrantsNothingThatIsNotAskedFor(t *testing.T) {
	t.Parallel()
	got := setup(t).install(t, "echo", "")
	want := installation.Grants{Egress: []manifest.Egress{}, Connections: map[string]string{}, Functions: []string{}}
	if diff := cmp.Diff(want, got.Grants); diff != "" || string(got.Config) != "{}" {
		t.Errorf("config %s, grants (-want +got):\n%s", got.Config, diff)
	}
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		spec  installation.Spec
		code  string
		where []string
		says  string
	}{
		{"a name", installation.Spec{Plugin: "issues", Name: "My Issues"}, "name_invalid", nil, "a-z"},
		{"a name like an id", installation.Spec{Plugin: "issues", Name: "ins_issues"}, "name_invalid", nil, "must not begin with ins_, for that is how ids begin"},
		{"a plugin that is not there", installation.Spec{Plugin: "nothing"}, "not_found", nil, `"nothing"`},
		{"a yanked version", installation.Spec{Plugin: "issues@0.9.0"}, "version_yanked", nil, "it loses labels"},
		{"a config that is no object", installation.Spec{Plugin: "issues", Config: json.RawMessage(`[1]`)}, "config_invalid", []string{"/config"}, ""},
		{"a config that is not JSON", installation.Spec{Plugin: "issues", Config: json.RawMessage(`{`)}, "config_invalid", []string{"/config"}, ""},
		{"a config that is no text", installation.Spec{Plugin: "issues", Config: json.RawMessage("{\"team\":\"\xff\"}")}, "config_invalid", []string{"/config"}, "UTF-8"},
		{"a large config", installation.Spec{Plugin: "issues", Config: json.RawMessage(`{"team":"` + strings.Repeat("x", 65536) + `"}`)}, "config_invalid", []string{"/config"}, "at most 65536"},
		{
			"every fault of a config",
			installation.Spec{Plugin: "issues", Config: json.RawMessage(`{"label":"sekret-sekret","team":7,"token":"sekret"}`)},
			"config_invalid",
			[]string{"/config/label", "/config/team", "/config/token"},
			"at most 10 characters, not 13",
		},
		{"a host that is none", installation.Spec{Plugin: "issues", Config: json.RawMessage(`{"api_url":"ftp://sekret"}`)}, "config_invalid", []string{"/config/api_url"}, "must be a URL"},
		{"a credential in a URL", installation.Spec{Plugin: "issues", Config: json.RawMessage(`{"api_url":"https://u:sekret@a.test"}`)}, "config_invalid", []string{"/config/api_url"}, "belong in a connection"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			_, err := b.Create(t.Context(), tenant, tt.spec)
			got := checkFault(t, err, tt.code, tt.where...)
			if all := fmt.Sprint(got.Message, got.Problems); !strings.Contains(all, tt.says) || strings.Contains(all, "sekret") {
				t.Errorf("got %q, want %q in it and no value of the config", all, tt.says)
			}
			if len(b.store.all) != 0 {
				t.Error("something was stored")
			}
		})
	}
	t.Run("a name that is taken", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.install(t, "issues", "")
		_, err := b.Create(t.Context(), tenant, installation.Spec{Plugin: "issues"})
		checkFault(t, err, "name_taken")
	})
}

func TestConfigure(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.install(t, "issues@1.0.0", "")
	b.now = b.now.Add(time.Hour)
	got, err := b.Configure(t.Context(), tenant, i.ID, json.RawMessage(`{"label":"bug"}`))
	if want := `{"api_url":"https://api.github.com","label":"bug"}`; err != nil || string(got.Config) != want || !got.UpdatedAt.Equal(b.now) {
		t.Errorf("got %s at %s, %v, want %s", got.Config, got.UpdatedAt, err, want)
	}
	_, err = b.Configure(t.Context(), tenant, i.ID, json.RawMessage(`{"label":1}`))
	checkFault(t, err, "config_invalid", "/config/label")
	if kept, err := b.Get(t.Context(), tenant, i.ID); err != nil || string(kept.Config) != string(got.Config) {
		t.Errorf("got %s, %v, want it unchanged", kept.Config, err)
	}
	_, err = b.Configure(t.Context(), "ten_2", i.ID, nil)
	checkFault(t, err, fault.CodeNotFound)
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.install(t, "issues", "")
	if got, err := b.Pause(t.Context(), tenant, i.ID); err != nil || got.State != installation.Paused || len(b.released) != 0 {
		t.Fatalf("got %s, %v, released %v", got.State, err, b.released)
	}
	if got, err := b.Resume(t.Context(), tenant, "issues"); err != nil || got.State != installation.Active || len(b.released) != 1 || b.released[0] != i.ID {
		t.Fatalf("got %s, %v, released %v", got.State, err, b.released)
	}
}

func TestResumeClearsAnError(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.install(t, "issues", "")
	b.store.all[0].State, b.store.all[0].Reason = installation.Broken, "the credential was refused"
	if got, err := b.Resume(t.Context(), tenant, i.ID); err != nil || got.State != installation.Active || got.Reason != "" {
		t.Errorf("got %s %q, %v", got.State, got.Reason, err)
	}
}

func TestUpgradeAndRollback(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.install(t, "issues@1.0.0", `{"team":"a"}`)
	check := func(got installation.Installation, err error, version, previous, config string) {
		t.Helper()
		if err != nil || got.Version != version || got.VersionID != "plv_issues"+version || got.Previous != previous || string(got.Config) != config {
			t.Fatalf("got %s before %q with %s, %v, want %s before %q with %s", got.Version, got.Previous, got.Config, err, version, previous, config)
		}
		if diff := cmp.Diff(i.Grants, got.Grants); diff != "" {
			t.Fatalf("grants changed:\n%s", diff)
		}
	}
	_, err := b.Rollback(t.Context(), tenant, i.ID)
	checkFault(t, err, "no_previous_version")

	const old = `{"api_url":"https://api.github.com","label":"triage","team":"a"}`
	const grown = `{"api_url":"https://api.github.com","depth":3,"label":"triage","team":"a"}`
	got, err := b.Upgrade(t.Context(), tenant, i.ID, installation.Move{})
	check(got, err, "1.1.0", "plv_issues1.0.0", grown)
	got, err = b.Upgrade(t.Context(), tenant, i.ID, installation.Move{Version: "1.1.0"}) // It has it already.
	check(got, err, "1.1.0", "plv_issues1.0.0", grown)
	// The old schema knows no depth, which was only a default of the new one.
	got, err = b.Rollback(t.Context(), tenant, i.ID)
	check(got, err, "1.0.0", "plv_issues1.1.0", old)
	got, err = b.Rollback(t.Context(), tenant, i.ID)
	check(got, err, "1.1.0", "plv_issues1.0.0", grown)
	got, err = b.Upgrade(t.Context(), tenant, i.ID, installation.Move{Version: "plv_issues1.0.0"})
	check(got, err, "1.0.0", "plv_issues1.1.0", old)
}

func TestUpgradeRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, version, code string
		where               []string
	}{
		{"a version that is not there", "9.9.9", "not_found", nil},
		{"a yanked version", "0.9.0", "version_yanked", nil},
		{"a version that the config does not fit", "2.0.0", "config_invalid", []string{"/config/project"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			i := b.install(t, "issues@1.0.0", "")
			_, err := b.Upgrade(t.Context(), tenant, i.ID, installation.Move{Version: tt.version})
			checkFault(t, err, tt.code, tt.where...)
			if kept, err := b.Get(t.Context(), tenant, i.ID); err != nil || kept.Version != "1.0.0" || kept.Previous != "" {
				t.Errorf("got %s, %v, want it unchanged", kept.Version, err)
			}
		})
	}
}

func TestUpgradeKeepsToThePlugin(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.install(t, "issues@1.0.0", "")
	// A registry that takes a version's id for what it is, whatever stands before it.
	b.versions.all = append(b.versions.all, registry.Version{ID: "plv_x", Plugin: "plg_issues", Name: "issues", Version: "3.0.0"})
	b.store.all[0].Plugin = "plg_other"
	b.versions.all[len(b.versions.all)-1].Name = "plg_other"
	_, err := b.Upgrade(t.Context(), tenant, i.ID, installation.Move{Version: "3.0.0"})
	checkFault(t, err, "other_plugin")
}

func TestInstalledVersionsOutliveTheirSharing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.install(t, "issues@1.0.0", "")
	b.versions.hidden = true
	if _, err := b.Configure(t.Context(), tenant, i.ID, nil); err != nil {
		t.Errorf("configure: %v", err)
	}
	_, err := b.Upgrade(t.Context(), tenant, i.ID, installation.Move{Version: "1.1.0"})
	checkFault(t, err, "not_found")
}

func TestUninstall(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.install(t, "issues", "")
	for range 2 { // Again is no fault, and writes nothing.
		if err := b.Uninstall(t.Context(), tenant, i.ID); err != nil || b.store.writes != 1 {
			t.Fatalf("got %v after %d writes", err, b.store.writes)
		}
	}
	if len(b.released) != 1 {
		t.Errorf("what had waited was released %d times, want once, to be cancelled", len(b.released))
	}
	if all, err := b.List(t.Context(), tenant); err != nil || len(all) != 0 {
		t.Errorf("got %v, %v, want none listed", all, err)
	}
	_, paused := b.Pause(t.Context(), tenant, i.ID)
	checkFault(t, paused, "installation_removed")
	_, resumed := b.Resume(t.Context(), tenant, i.ID)
	checkFault(t, resumed, "installation_removed")
	checkFault(t, b.Uninstall(t.Context(), tenant, "nothing"), fault.CodeNotFound)
}

func TestInstallationsPassOnTheStoresErrors(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.install(t, "issues", "")
	b.store.fail = errors.New("disk full")
	_, listed := b.List(t.Context(), tenant)
	_, resumed := b.Resume(t.Context(), tenant, i.ID)
	_, created := b.Create(t.Context(), tenant, installation.Spec{Plugin: "issues", Name: "other"})
	for name, err := range map[string]error{"list": listed, "resume": resumed, "create": created, "uninstall": b.Uninstall(t.Context(), tenant, i.ID)} {
		if !errors.Is(err, b.store.fail) {
			t.Errorf("%s: got %v, want %v", name, err, b.store.fail)
		}
	}
}

func TestChangesAtOnceLoseNothing(t *testing.T) {
	t.Parallel()
	// revoke is somebody else's change, made n times.
	revoke := func(n int) func(*installation.Installation) {
		return func(i *installation.Installation) {
			if n--; n < 0 {
				return
			}
			i.Grants.Egress, i.UpdatedAt = nil, i.UpdatedAt.Add(time.Second)
		}
	}
	t.Run("what was revoked stays revoked", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		i := b.install(t, "echo", "")
		b.store.meanwhile = revoke(1)
		got, err := b.Pause(t.Context(), tenant, i.ID)
		if err != nil || got.State != installation.Paused || got.Grants.Egress != nil {
			t.Errorf("got %s with %v, %v, want it paused with nothing granted", got.State, got.Grants.Egress, err)
		}
	})
	t.Run("what was removed stays removed", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		i := b.install(t, "echo", "")
		b.store.meanwhile = func(i *installation.Installation) {
			i.State, i.UpdatedAt = installation.Removed, i.UpdatedAt.Add(time.Second)
		}
		_, err := b.Pause(t.Context(), tenant, i.ID)
		if f := fault.From(err); f == nil || f.Code != "installation_removed" {
			t.Errorf("got %v, want that it was removed", err)
		}
		if err := b.Uninstall(t.Context(), tenant, i.ID); err != nil {
			t.Errorf("uninstall again: %v", err)
		}
	})
	t.Run("those who never come through are told", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		i := b.install(t, "echo", "")
		b.store.meanwhile = revoke(100)
		_, err := b.Pause(t.Context(), tenant, i.ID)
		if f := fault.From(err); f == nil || f.Code != installation.CodeChanged {
			t.Errorf("got %v, want a conflict", err)
		}
	})
}
