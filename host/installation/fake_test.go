package installation_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/channel"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
)

// memory is a Store in a slice.
type memory struct {
	all    []installation.Installation
	writes int
	reads  int // Of who follows a channel.
	fail   error
	// meanwhile is what somebody else does just before the next update.
	meanwhile func(*installation.Installation)
}

func (m *memory) InsertInstallation(_ context.Context, i installation.Installation) error {
	if slices.ContainsFunc(m.all, func(o installation.Installation) bool { return o.Tenant == i.Tenant && o.Name == i.Name }) {
		return fault.New(fault.Conflict, "name_taken", "there is an installation %q", i.Name)
	}
	m.all = append(m.all, i)
	return m.fail
}

func (m *memory) Installation(_ context.Context, tenant, idOrName string) (installation.Installation, error) {
	for _, i := range m.all {
		if i.Tenant == tenant && (i.ID == idOrName || i.Name == idOrName && i.State != installation.Removed) {
			return i, m.fail
		}
	}
	return installation.Installation{}, fault.NotFound("installation", idOrName)
}

func (m *memory) Installations(_ context.Context, tenant string) ([]installation.Installation, error) {
	return slices.DeleteFunc(slices.Clone(m.all), func(i installation.Installation) bool {
		return i.Tenant != tenant || i.State == installation.Removed
	}), m.fail
}

func (m *memory) UpdateInstallation(_ context.Context, i installation.Installation, since time.Time) error {
	m.writes++
	for n := range m.all {
		if m.all[n].ID == i.ID {
			if m.meanwhile != nil {
				m.meanwhile(&m.all[n])
			}
			if !m.all[n].UpdatedAt.Equal(since) {
				return fault.New(fault.Conflict, installation.CodeChanged, "it has been changed")
			}
			m.all[n] = i
		}
	}
	return m.fail
}

func (m *memory) Following(_ context.Context, after installation.Place, limit int) ([]installation.Installation, error) {
	m.reads++
	return m.list(after, limit, func(i installation.Installation) bool { return i.Channel != "" }), m.fail
}

func (m *memory) Running(_ context.Context, tenant, version string, after installation.Place, limit int) ([]installation.Installation, error) {
	return m.list(after, limit, func(i installation.Installation) bool {
		return i.VersionID == version && (tenant == "" || i.Tenant == tenant)
	}), m.fail
}

// list lists some of all tenants' that are not removed.
func (m *memory) list(after installation.Place, limit int, some func(installation.Installation) bool) []installation.Installation {
	var found []installation.Installation
	for _, i := range m.all {
		if i.State != installation.Removed && some(i) && (i.Tenant > after.Tenant || i.Tenant == after.Tenant && i.ID > after.ID) {
			found = append(found, i)
		}
	}
	slices.SortFunc(found, func(a, b installation.Installation) int {
		return cmp.Or(strings.Compare(a.Tenant, b.Tenant), strings.Compare(a.ID, b.ID))
	})
	return found[:min(limit, len(found))]
}

// versions answers Resolve from a list, newest first. Only the operator sees
// what is hidden.
type versions struct {
	all    []registry.Version
	hidden bool
	asked  int
}

func (f *versions) Resolve(_ context.Context, v registry.Viewer, ref string) (registry.Version, error) {
	f.asked++
	name, exact, _ := strings.Cut(ref, "@")
	for _, o := range f.all {
		newest := exact == "" || channel.Channel(exact).Gives(o.Channel)
		named := o.ID == ref || (o.Name == name || o.Plugin == name) && (exact == o.Version || exact == o.ID || newest && o.YankedAt.IsZero())
		if named && (v.Operator || !f.hidden) {
			return o, nil
		}
	}
	return registry.Version{}, &registry.Error{Code: registry.CodeNotFound, Message: fmt.Sprintf("there is no plugin %q", ref)}
}

type testBundle struct {
	*installation.Installations
	store       *memory
	versions    *versions
	connections map[string]string          // What ten_1 has, names to ids.
	fields      map[string]json.RawMessage // Of connections, by id.
	released    []string
	broken      error // What the look-up of connections returns, if it is set.
	now         time.Time
}

const tenant = "ten_1"

func setup(t *testing.T) *testBundle {
	t.Helper()
	b := &testBundle{
		store: &memory{}, versions: &versions{all: catalog()},
		connections: map[string]string{"github": "con_1", "con_1": "con_1"},
		now:         time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	b.Installations = installation.New(installation.Config{
		Store: b.store, Registry: b.versions,
		Across: b.store,
		Connection: func(_ context.Context, t, idOrName string) (installation.Account, error) {
			if b.broken != nil {
				return installation.Account{}, b.broken
			}
			if id, ok := b.connections[idOrName]; ok && t == tenant {
				return installation.Account{ID: id, Fields: b.fields[id]}, nil
			}
			return installation.Account{}, fmt.Errorf("look: %w", fault.NotFound("connection", idOrName))
		},
		Release: func(ctx context.Context, t, id string) error {
			i, err := b.store.Installation(ctx, t, id)
			if err != nil || i.State == installation.Paused {
				return fmt.Errorf("released while %s: %w", i.State, err)
			}
			b.released = append(b.released, id)
			return nil
		},
		Now: func() time.Time { return b.now },
	})
	return b
}

// catalog is the plugin issues in three versions, and two others.
func catalog() []registry.Version {
	config := func(properties string) json.RawMessage {
		return json.RawMessage(`{"type":"object","additionalProperties":false,"properties":{` + properties + `}}`)
	}
	const first = `"label":{"type":"string","default":"triage","maxLength":10},"api_url":{"type":"string","default":"https://api.github.com"},"team":{"type":"string"}`
	m := manifest.Manifest{
		Name: "issues", Version: "1.0.0", Level: 1, Test: true, Config: config(first),
		Actions:  []manifest.Action{{Name: "label", Input: json.RawMessage(`{"type":"object","required":["repo"],"properties":{"repo":{"type":"string"},"n":{"type":"integer"}}}`)}, {Name: "sync"}},
		Webhooks: []manifest.Webhook{{Name: "issues", Scheme: "github"}}, Polls: []manifest.Poll{{Name: "issues"}},
		Connections: []manifest.Connection{{Name: "github", Type: "bearer"}, {Name: "slack", Type: "bearer"}},
		Egress: []manifest.Egress{
			{Host: "api.github.com", Methods: []string{"GET", "POST"}},
			{Host: "*.example.com", Methods: []string{"GET"}},
			{Host: "{config.api_url}", Methods: []string{"GET", "POST"}},
		},
		Functions: []string{"crm_lookup"}, Limits: manifest.Limits{MemoryMiB: 64, TimeoutMS: 10_000, Fuel: 5_000_000_000},
	}
	second, third := m, m
	second.Version, second.Config = "1.1.0", config(first+`,"depth":{"type":"integer","default":3}`)
	third.Version, third.Config = "2.0.0", json.RawMessage(`{"type":"object","required":["project"]}`)
	version := func(m manifest.Manifest) registry.Version {
		return registry.Version{ID: "plv_" + m.Name + m.Version, Plugin: "plg_" + m.Name, Name: m.Name, Version: m.Version, Manifest: m}
	}
	yanked := version(m)
	yanked.ID, yanked.Version = "plv_issues0.9.0", "0.9.0"
	yanked.YankedAt, yanked.YankedWhy = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), "it loses labels"
	return []registry.Version{
		version(second), version(m), version(third), yanked,
		version(manifest.Manifest{Name: "echo", Version: "1.0.0", Actions: []manifest.Action{{Name: "run"}}}),
	}
}

// install creates an installation of a plugin.
func (b *testBundle) install(t *testing.T, plugin, config string) installation.Installation {
	t.Helper()
	i, err := b.Create(t.Context(), tenant, installation.Spec{Plugin: plugin, Config: json.RawMessage(config)})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// checkFault wants a code and the places of all problems.
func checkFault(t *testing.T, err error, code string, where ...string) *fault.Error {
	t.Helper()
	var got *fault.Error
	if !errors.As(err, &got) {
		t.Fatalf("got %v, want a fault %s", err, code)
	}
	if got.Code != code {
		t.Errorf("got %s (%v), want %s", got.Code, err, code)
	}
	var places []string
	for _, p := range got.Problems {
		places = append(places, p.Where)
	}
	if diff := gocmp.Diff(where, places); diff != "" {
		t.Errorf("problems (-want +got):\n%s\n%v", diff, got.Problems)
	}
	return got
}
