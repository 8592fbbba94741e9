package registry_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/channel"
	"github.com/cofferdam-run/cofferdam/registry/signature"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// memory is a Store, Publishers and Blobs in maps, with the visibility that
// their contracts ask for.
type memory struct {
	mu         sync.Mutex
	publishers []registry.Publisher
	plugins    []registry.Plugin
	versions   []registry.Version
	blobs      map[string][]byte
	keys       []signature.Key
	// fail is what every method returns, if it is set.
	fail error
}

func notFound(what string) error {
	return &registry.Error{Code: registry.CodeNotFound, Message: "there is no " + what}
}

func (m *memory) InsertVersion(_ context.Context, p registry.Publisher, pl registry.Plugin, v registry.Version, wasm []byte) (registry.Version, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return registry.Version{}, m.fail
	}
	i := slices.IndexFunc(m.plugins, func(o registry.Plugin) bool { return o.Publisher == p.ID && o.Name == pl.Name })
	if i < 0 {
		m.plugins, i = append(m.plugins, pl), len(m.plugins)
	}
	v.Plugin = m.plugins[i].ID
	for _, o := range m.versions {
		if o.Plugin == v.Plugin && o.Version == v.Version {
			if o.Digest != v.Digest {
				return registry.Version{}, &registry.Error{Code: registry.CodeVersionExists, Message: "exists"}
			}
			return o, nil
		}
	}
	if v.Channel == "" {
		v.Channel = channel.Of(v.Version)
	}
	m.versions = append(m.versions, v)
	m.blobs[v.Digest] = wasm
	return v, nil
}

func (m *memory) Plugins(_ context.Context, v registry.Viewer) ([]registry.Plugin, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(m.plugins), func(p registry.Plugin) bool { return !m.sees(v, p) }), m.fail
}

func (m *memory) Versions(_ context.Context, v registry.Viewer, ref string) (registry.Plugin, []registry.Version, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []registry.Plugin
	for _, p := range m.plugins {
		publisher := m.publisher(p.Publisher)
		if m.sees(v, p) && slices.Contains([]string{p.ID, p.Name, publisher.Name + "/" + p.Name, publisher.ID + "/" + p.Name}, ref) {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 0:
		return registry.Plugin{}, nil, notFound("plugin")
	case 1:
		return found[0], slices.DeleteFunc(slices.Clone(m.versions), func(v registry.Version) bool { return v.Plugin != found[0].ID }), nil
	default:
		return registry.Plugin{}, nil, &registry.Error{Code: registry.CodeAmbiguous, Message: "several"}
	}
}

func (m *memory) Version(_ context.Context, v registry.Viewer, id string) (registry.Version, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range m.versions {
		for _, p := range m.plugins {
			if o.ID == id && o.Plugin == p.ID && m.sees(v, p) {
				return o, nil
			}
		}
	}
	return registry.Version{}, notFound("version")
}

func (m *memory) Yank(_ context.Context, id, why string, at time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.versions {
		if m.versions[i].ID == id {
			m.versions[i].YankedAt, m.versions[i].YankedWhy = at, why
		}
	}
	return m.fail
}

func (m *memory) Share(_ context.Context, plugin string, tenants []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.plugins {
		if m.plugins[i].ID == plugin {
			m.plugins[i].Shared = tenants
		}
	}
	return m.fail
}

func (m *memory) SetChannel(_ context.Context, id string, c channel.Channel) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.versions {
		if m.versions[i].ID == id {
			m.versions[i].Channel = c
		}
	}
	return m.fail
}

func (m *memory) Deprecate(_ context.Context, id, why string, at time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.versions {
		if m.versions[i].ID == id {
			m.versions[i].DeprecatedAt, m.versions[i].DeprecatedWhy = at, why
		}
	}
	for i := range m.plugins {
		if m.plugins[i].ID == id {
			m.plugins[i].DeprecatedAt, m.plugins[i].DeprecatedWhy = at, why
		}
	}
	return m.fail
}

func (m *memory) PausePlugin(_ context.Context, id string, at time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.plugins {
		if m.plugins[i].ID == id {
			m.plugins[i].PausedAt = at
		}
	}
	return m.fail
}

func (m *memory) InsertPublisherKey(_ context.Context, k signature.Key) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys = append(m.keys, k)
	return m.fail
}

func (m *memory) PublisherKeys(_ context.Context, publisher string) ([]signature.Key, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(m.keys), func(k signature.Key) bool { return k.Publisher != publisher }), m.fail
}

func (m *memory) RevokePublisherKey(_ context.Context, publisher, key string, at time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.keys {
		if m.keys[i].Publisher == publisher && m.keys[i].ID == key {
			m.keys[i].RevokedAt = at
			return m.fail
		}
	}
	return notFound("key")
}

func (m *memory) InsertPublisher(_ context.Context, p registry.Publisher) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.publishers = append(m.publishers, p)
	return m.fail
}

func (m *memory) Publishers(context.Context) ([]registry.Publisher, error) { return m.publishers, nil }

func (m *memory) Publisher(_ context.Context, idOrName string) (registry.Publisher, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.publishers {
		if p.ID == idOrName || p.Name == idOrName {
			return p, m.fail
		}
	}
	return registry.Publisher{}, notFound("publisher")
}

func (m *memory) Blob(_ context.Context, digest string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.blobs[digest] == nil {
		return nil, notFound("module")
	}
	return m.blobs[digest], nil
}

func (m *memory) publisher(id string) registry.Publisher {
	i := slices.IndexFunc(m.publishers, func(p registry.Publisher) bool { return p.ID == id })
	return m.publishers[i]
}

func (m *memory) sees(v registry.Viewer, p registry.Plugin) bool {
	return v.Operator || m.publisher(p.Publisher).Tenant == v.Tenant ||
		slices.Contains(p.Shared, v.Tenant) || slices.Contains(p.Shared, "*")
}

// testBundle is a registry over memory with a real sandbox.
type testBundle struct {
	*registry.Registry
	store *memory
}

var operator = registry.Viewer{Operator: true}

func setup(t *testing.T, change func(*registry.Config)) *testBundle {
	t.Helper()
	functions := []string{"http", "crm_lookup"}
	rt, err := runtime.New(t.Context(), runtime.Config{Functions: functions})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rt.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	store := &memory{blobs: map[string][]byte{}}
	n := 0
	c := registry.Config{
		Store: store, Publishers: store, Blobs: store, Runtime: rt,
		Functions: []string{"crm_lookup"}, Schemes: []string{"github", "standard-webhooks"},
		NewID: func(prefix string) string { n++; return fmt.Sprintf("%s%03d", prefix, n) },
		Now:   func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) },
	}
	if change != nil {
		change(&c)
	}
	b := &testBundle{registry.New(c), store}
	for _, p := range []registry.Publisher{
		{Name: "operator", Kind: registry.Operator},
		{Name: "acme", Kind: registry.Vendor},
		{Name: "ten-1", Kind: registry.TenantOwned, Tenant: "ten_1"},
	} {
		if _, err := b.AddPublisher(t.Context(), p.Name, p.Kind, p.Tenant); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// add puts versions into the store as if they had been published.
func (b *testBundle) add(t *testing.T, publisher, name string, shared []string, versions ...string) {
	t.Helper()
	p, err := b.store.Publisher(t.Context(), publisher)
	if err != nil {
		t.Fatal(err)
	}
	for i, version := range versions {
		version, yanked := strings.CutSuffix(version, " yanked")
		id := cmp.Or(publisher, "x") + "." + name + "." + version
		v := registry.Version{
			ID: "plv_" + id, Name: name, Version: version, Digest: "sha256:" + id,
			CreatedAt: time.Date(2026, 1, 1, i, 0, 0, 0, time.UTC),
		}
		if yanked {
			v.YankedAt, v.YankedWhy = v.CreatedAt.Add(time.Minute), "it leaks"
		}
		pl := registry.Plugin{ID: "plg_" + publisher + "." + name, Publisher: p.ID, Name: name, Shared: shared}
		if _, err := b.store.InsertVersion(t.Context(), p, pl, v, []byte(id)); err != nil {
			t.Fatal(err)
		}
	}
}
