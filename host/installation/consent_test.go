package installation_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/channel"
	"github.com/cofferdam-run/cofferdam/registry/diff"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
)

// offer adds a version of the plugin issues, made from 1.1.0, as the newest.
func (b *testBundle) offer(version string, change func(m *manifest.Manifest)) registry.Version {
	v := b.versions.all[0]
	for _, o := range b.versions.all {
		if o.Version == "1.1.0" {
			v = o
		}
	}
	v.Manifest.Egress = append([]manifest.Egress{}, v.Manifest.Egress...)
	v.Manifest.Connections = append([]manifest.Connection{}, v.Manifest.Connections...)
	v.Manifest.Functions = append([]string{}, v.Manifest.Functions...)
	v.ID, v.Version, v.Manifest.Version = "plv_issues"+version, version, version
	v.Channel = channel.Of(version)
	if change != nil {
		change(&v.Manifest)
	}
	b.versions.all = append([]registry.Version{v}, b.versions.all...)
	return v
}

// asksForMore is a version that asks for more of everything.
func asksForMore(m *manifest.Manifest) {
	m.Egress[0].Methods = []string{"GET", "POST", "DELETE"}
	m.Egress = append(m.Egress, manifest.Egress{Host: "files.example.net", Methods: []string{"GET"}})
	m.Functions = append(m.Functions, "ledger")
	m.Connections = append(m.Connections, manifest.Connection{Name: "drive", Type: "bearer", Hosts: []string{"files.example.net"}})
	m.Limits.MemoryMiB = 128
}

// asked is what an upgrade waits for, in short.
func asked(u *installation.Upgrade) []string {
	names := []string{}
	if u != nil {
		for _, c := range u.Asks {
			names = append(names, c.Part+" "+c.Name)
		}
	}
	return names
}

func (b *testBundle) upgrade(t *testing.T, id string, m installation.Move) installation.Installation {
	t.Helper()
	i, err := b.Upgrade(t.Context(), tenant, id, m)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestAnUpgradeThatAsksForMoreWaitsForConsent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	before := b.install(t, "issues@1.1.0", "")
	b.offer("1.2.0", asksForMore)
	b.connections["drive"] = "con_2"

	got := b.upgrade(t, before.ID, installation.Move{})
	want := []string{"egress api.github.com", "egress files.example.net", "connection drive", "function ledger", "limit memory_mib"}
	if d := cmp.Diff(want, asked(got.Upgrade)); got.Version != "1.1.0" || d != "" {
		t.Fatalf("it is on %s, and waits for (-want +got):\n%s", got.Version, d)
	}
	if d := cmp.Diff(before.Grants, got.Grants); d != "" {
		t.Errorf("something was granted before anybody had consented:\n%s", d)
	}
	if got.Upgrade.To != "1.2.0" || got.Upgrade.Digest == "" || got.Upgrade.Channel != "" || !got.Upgrade.Since.Equal(b.now) {
		t.Errorf("got %+v", got.Upgrade)
	}

	moved := b.upgrade(t, before.ID, installation.Move{Digest: got.Upgrade.Digest})
	if moved.Version != "1.2.0" || moved.Upgrade != nil || moved.Previous != before.VersionID {
		t.Fatalf("got %s before %s, waiting for %+v", moved.Version, moved.Previous, moved.Upgrade)
	}
	grants := installation.Grants{
		Egress: []manifest.Egress{
			{Host: "api.github.com", Methods: []string{"GET", "POST", "DELETE"}},
			{Host: "*.example.com", Methods: []string{"GET"}},
			{Host: "{config.api_url}", Methods: []string{"GET", "POST"}},
			{Host: "files.example.net", Methods: []string{"GET"}},
		},
		Connections: map[string]string{"github": "con_1", "drive": "con_2"},
		Functions:   []string{"crm_lookup", "ledger"},
	}
	if d := cmp.Diff(grants, moved.Grants); d != "" {
		t.Errorf("grants (-want +got):\n%s", d)
	}
	// Back, and there again: what was consented to is granted still, but for the
	// limit, which is no grant.
	if _, err := b.Rollback(t.Context(), tenant, before.ID); err != nil {
		t.Fatal(err)
	}
	if again := b.upgrade(t, before.ID, installation.Move{}); !cmp.Equal(asked(again.Upgrade), []string{"limit memory_mib"}) {
		t.Errorf("got %v, want to be asked for the limit only", asked(again.Upgrade))
	}
}

func TestWhatATenantHasNarrowedStaysNarrow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.install(t, "issues@1.1.0", "")
	narrow := installation.Grants{
		Egress:      []manifest.Egress{{Host: "api.github.com", Methods: []string{"GET"}}, {Host: "eu.example.com", Methods: []string{"GET"}}},
		Connections: map[string]string{}, Functions: []string{}, Limits: manifest.Limits{MemoryMiB: 32},
	}
	if _, err := b.Grant(t.Context(), tenant, i.ID, narrow); err != nil {
		t.Fatal(err)
	}
	b.offer("1.2.0", asksForMore)
	got := b.upgrade(t, i.ID, installation.Move{Consent: true})
	// Not POST at GitHub, nor the rest of example.com, nor what was never connected.
	want := installation.Grants{
		Egress: []manifest.Egress{
			{Host: "api.github.com", Methods: []string{"GET", "DELETE"}},
			{Host: "eu.example.com", Methods: []string{"GET"}},
			{Host: "files.example.net", Methods: []string{"GET"}},
		},
		Connections: map[string]string{}, Functions: []string{"ledger"}, Limits: manifest.Limits{MemoryMiB: 32},
	}
	if d := cmp.Diff(want, got.Grants); got.Version != "1.2.0" || d != "" {
		t.Errorf("on %s, grants (-want +got):\n%s", got.Version, d)
	}
}

func TestConsentIsToWhatWasShown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.install(t, "issues@1.1.0", "")
	b.offer("1.2.0", asksForMore)
	shown := b.upgrade(t, i.ID, installation.Move{}).Upgrade
	b.offer("1.3.0", func(m *manifest.Manifest) {
		asksForMore(m)
		m.Functions = append(m.Functions, "vault")
	})
	for name, m := range map[string]installation.Move{
		"of another version": {Version: "1.3.0", Digest: shown.Digest},
		"made up":            {Digest: "sha256:0"},
	} {
		_, err := b.Upgrade(t.Context(), tenant, i.ID, m)
		f := checkFault(t, err, "consent_outdated")
		if f.Hint == "" {
			t.Errorf("%s: there is no hint", name)
		}
	}
	// Without a version it is what was shown, whatever is the newest by now.
	if got := b.upgrade(t, i.ID, installation.Move{Digest: shown.Digest}); got.Version != "1.2.0" {
		t.Errorf("got %s, want what was consented to", got.Version)
	}
	// A grant that is taken away meanwhile is asked for again.
	last := b.upgrade(t, i.ID, installation.Move{Version: "1.3.0"}).Upgrade
	if d := cmp.Diff([]string{"function vault"}, asked(last)); d != "" {
		t.Fatalf("(-want +got):\n%s", d)
	}
}

func TestADefaultHostNeedsConsentWhereTheTenantHasSaidNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	withDefault := func(m *manifest.Manifest) {
		m.Egress = append(m.Egress, manifest.Egress{Host: "{config.mirror}", Methods: []string{"GET"}})
		m.Config = json.RawMessage(`{"type":"object","properties":{"mirror":{"type":"string"}}}`)
	}
	b.offer("1.2.0", withDefault)
	i := b.install(t, "issues@1.2.0", "")
	b.offer("1.3.0", func(m *manifest.Manifest) {
		withDefault(m)
		m.Config = json.RawMessage(`{"type":"object","properties":{"mirror":{"type":"string","default":"https://evil.example"}}}`)
	})
	if got := b.upgrade(t, i.ID, installation.Move{}); !cmp.Equal(asked(got.Upgrade), []string{"config mirror"}) {
		t.Errorf("got %v on %s, want to be asked for the host", asked(got.Upgrade), got.Version)
	}
	if _, err := b.Configure(t.Context(), tenant, i.ID, json.RawMessage(`{"mirror":"https://own.example"}`)); err != nil {
		t.Fatal(err)
	}
	if got := b.upgrade(t, i.ID, installation.Move{}); got.Version != "1.3.0" {
		t.Errorf("got %v on %s, want it moved: the default is not used", asked(got.Upgrade), got.Version)
	}
}

func TestAnUpgradeCanBringItsConfiguration(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.install(t, "issues@1.0.0", "")
	got := b.upgrade(t, i.ID, installation.Move{Version: "2.0.0", Config: json.RawMessage(`{"project":"p"}`)})
	if got.Version != "2.0.0" || string(got.Config) != `{"project":"p"}` {
		t.Errorf("got %s with %s", got.Version, got.Config)
	}
	got = b.upgrade(t, i.ID, installation.Move{Version: "2.0.0", Config: json.RawMessage(`{"project":"q"}`)})
	if string(got.Config) != `{"project":"q"}` {
		t.Errorf("on the same version: got %s", got.Config)
	}
	_, err := b.Upgrade(t.Context(), tenant, i.ID, installation.Move{Version: "2.0.0", Config: json.RawMessage(`{}`)})
	checkFault(t, err, "config_invalid", "/config/project")
}

func TestAsksOfWhatIsNotGrantedConcernNobody(t *testing.T) {
	t.Parallel()
	b := setup(t)
	delete(b.connections, "github")
	i := b.install(t, "issues@1.1.0", "")
	b.offer("1.2.0", func(m *manifest.Manifest) {
		m.Connections[0].Type, m.Connections[0].Header = "api_key", "X-Key"
	})
	if got := b.upgrade(t, i.ID, installation.Move{}); got.Version != "1.2.0" {
		t.Errorf("got %v on %s, want it moved: the connection is not granted", asked(got.Upgrade), got.Version)
	}
	b.connections["github"] = "con_1"
	second, err := b.Create(t.Context(), tenant, installation.Spec{Plugin: "issues@1.1.0", Name: "second"})
	if err != nil {
		t.Fatal(err)
	}
	got := b.upgrade(t, second.ID, installation.Move{})
	if d := cmp.Diff([]string{"connection github"}, asked(got.Upgrade)); d != "" || got.Upgrade.Asks[0].Verb != diff.Changed {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got := b.upgrade(t, second.ID, installation.Move{Consent: true}); got.Version != "1.2.0" {
		t.Errorf("got %s, want it moved", got.Version)
	}
}
