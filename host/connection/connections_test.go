package connection_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
)

const tenant = "ten_a"

// keys keeps tenants' wrapped keys in memory.
type keys struct{ kept sync.Map }

func (s *keys) Key(_ context.Context, tenant string) (vault.Key, error) {
	if k, ok := s.kept.Load(tenant); ok {
		return k.(vault.Key), nil
	}
	return vault.Key{}, fault.NotFound("key", tenant)
}

func (s *keys) InsertKey(_ context.Context, k vault.Key) (vault.Key, error) {
	first, _ := s.kept.LoadOrStore(k.Tenant, k)
	return first.(vault.Key), nil
}

func (*keys) AnyKey(context.Context) (vault.Key, error) {
	return vault.Key{}, fault.NotFound("key", "any")
}

type row struct {
	connection.Connection
	sealed []byte
}

// store keeps connections in memory, by the contract of connection.Store.
type store struct{ rows map[string]row }

func (s *store) InsertConnection(ctx context.Context, c connection.Connection, sealed []byte) error {
	if _, err := s.Connection(ctx, c.Tenant, c.Name); err == nil {
		return fault.New(fault.Conflict, "connection_exists", "there is a connection %q", c.Name)
	}
	s.rows[c.ID] = row{c, bytes.Clone(sealed)}
	return nil
}

func (s *store) Connection(_ context.Context, tenant, idOrName string) (connection.Connection, error) {
	for _, r := range s.rows {
		if r.Tenant == tenant && (r.ID == idOrName || r.Name == idOrName) {
			return r.Connection, nil
		}
	}
	return connection.Connection{}, fault.NotFound("connection", idOrName)
}

func (s *store) Sealed(_ context.Context, tenant, id string) (connection.Connection, []byte, error) {
	if r, ok := s.rows[id]; ok && r.Tenant == tenant {
		return r.Connection, r.sealed, nil
	}
	return connection.Connection{}, nil, fault.NotFound("connection", id)
}

func (s *store) Connections(_ context.Context, tenant string) ([]connection.Connection, error) {
	var all []connection.Connection
	for _, id := range slices.Sorted(maps.Keys(s.rows)) {
		if s.rows[id].Tenant == tenant {
			all = append(all, s.rows[id].Connection)
		}
	}
	return all, nil
}

func (s *store) UpdateConnection(_ context.Context, c connection.Connection, sealed []byte) error {
	if s.rows[c.ID].Version != c.Version-1 {
		return fault.New(fault.Conflict, "connection_changed", "it has changed meanwhile")
	}
	s.rows[c.ID] = row{c, bytes.Clone(sealed)}
	return nil
}

func (s *store) DeleteConnection(_ context.Context, tenant, id string) error {
	if s.rows[id].Tenant != tenant {
		return fault.NotFound("connection", id)
	}
	delete(s.rows, id)
	return nil
}

type bundle struct {
	store       *store
	connections *connection.Connections
	now         time.Time
}

func setup(t *testing.T) *bundle {
	t.Helper()
	keeper, err := keyfile.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{store: &store{rows: map[string]row{}}, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	b.connections = connection.New(connection.Config{
		Store: b.store, Vault: vault.New(&keys{}, keeper), Now: func() time.Time { return b.now },
	})
	return b
}

func (b *bundle) create(t *testing.T, spec connection.Spec) connection.Connection {
	t.Helper()
	c, err := b.connections.Create(t.Context(), tenant, spec)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func bearer() connection.Spec {
	return connection.Spec{
		Name: "github", Type: connection.Bearer, Hosts: []string{"API.github.com"},
		Credential: connection.Credential{Token: "ghp_hunter2"},
	}
}

func TestCreateKeepsTheCredentialSealed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	got := b.create(t, bearer())
	want := connection.Connection{
		ID: got.ID, Tenant: tenant, Name: "github", Type: connection.Bearer, Hosts: []string{"api.github.com"},
		Version: 1, CreatedAt: b.now, UpdatedAt: b.now,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !strings.HasPrefix(got.ID, "con_") {
		t.Errorf("got id %q", got.ID)
	}
	stored := b.store.rows[got.ID]
	shown, err := json.Marshal(stored.Connection)
	if err != nil || bytes.Contains(shown, []byte("hunter2")) || bytes.Contains(stored.sealed, []byte("hunter2")) {
		t.Errorf("the credential is in the clear (%v): %s", err, shown)
	}
	for _, key := range []string{got.ID, "github"} {
		if found, err := b.connections.Get(t.Context(), tenant, key); err != nil || found.ID != got.ID {
			t.Errorf("get %s: %v, %v", key, found, err)
		}
	}
	all, err := b.connections.List(t.Context(), tenant)
	if err != nil || len(all) != 1 {
		t.Errorf("list: %v, %v", all, err)
	}
}

func TestCreateRefusesATakenName(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, bearer())
	_, err := b.connections.Create(t.Context(), tenant, bearer())
	if got := fault.From(err); got == nil || got.Class != fault.Conflict {
		t.Errorf("got %v, want a conflict", err)
	}
	if _, err := b.connections.Create(t.Context(), "ten_b", bearer()); err != nil {
		t.Errorf("another tenant's name: %v", err)
	}
}

func TestOthersConnectionsAreNotFound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.create(t, bearer())
	_, getErr := b.connections.Get(t.Context(), "ten_b", c.ID)
	_, replaceErr := b.connections.Replace(t.Context(), "ten_b", c.ID, connection.Credential{Token: "x"})
	deleteErr := b.connections.Delete(t.Context(), "ten_b", c.ID)
	for name, err := range map[string]error{"get": getErr, "replace": replaceErr, "delete": deleteErr} {
		if got := fault.From(err); got == nil || fault.Status(got) != 404 {
			t.Errorf("%s: got %v, want not found", name, err)
		}
	}
	if all, err := b.connections.List(t.Context(), "ten_b"); err != nil || len(all) != 0 {
		t.Errorf("list: %v, %v", all, err)
	}
	if _, ok := b.store.rows[c.ID]; !ok {
		t.Error("it was deleted")
	}
}

func TestReplaceCountsVersions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.create(t, bearer())
	old := b.store.rows[c.ID].sealed
	b.now = b.now.Add(time.Hour)
	got, err := b.connections.Replace(t.Context(), tenant, "github", connection.Credential{Token: "new"})
	if err != nil || got.Version != 2 || !got.UpdatedAt.Equal(b.now) || got.CreatedAt.Equal(b.now) {
		t.Errorf("got %+v, %v", got, err)
	}
	// An old ciphertext that is put back, as from a stale replica, opens no more.
	b.store.rows[c.ID] = row{got, old}
	r := request(t, "https://api.github.com/")
	if _, err := b.connections.For(tenant, map[string]string{"github": c.ID}).Apply(t.Context(), "github", r); !errors.Is(err, vault.ErrSealed) {
		t.Errorf("got %v, want ErrSealed", err)
	}
	if _, err := b.connections.Replace(t.Context(), tenant, c.ID, connection.Credential{Password: "p"}); fault.Status(fault.From(err)) != 422 {
		t.Errorf("a credential of another type: got %v", err)
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.create(t, bearer())
	if err := b.connections.Delete(t.Context(), tenant, "github"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.connections.Get(t.Context(), tenant, c.ID); fault.Status(fault.From(err)) != 404 {
		t.Errorf("got %v, want not found", err)
	}
}
