package connection_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/vaulttest"
)

const tenant = "ten_a"

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
	fitting     func(id string, fields json.RawMessage) error // Who judges fields, if it is set.
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{store: &store{rows: map[string]row{}}, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	b.connections = connection.New(connection.Config{
		Store: b.store, Vault: vaulttest.New(t), Now: func() time.Time { return b.now },
		Fitting: func(_ context.Context, _, id string, fields json.RawMessage) error {
			if b.fitting == nil {
				return nil
			}
			return b.fitting(id, fields)
		},
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

func TestFieldsAreChangedAndTheCredentialStays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	spec := connection.Spec{
		Name: "github", Type: connection.Bearer, Hosts: []string{"api.github.com"},
		Fields: json.RawMessage(`{"login":"octo"}`), Credential: connection.Credential{Token: "t0ken"},
	}
	c, err := b.connections.Create(t.Context(), tenant, spec)
	if err != nil || string(c.Fields) != `{"login":"octo"}` {
		t.Fatalf("got %s, %v", c.Fields, err)
	}
	for _, fields := range []json.RawMessage{json.RawMessage(`{"login":"cat"}`), nil} {
		got, err := b.connections.SetFields(t.Context(), tenant, "github", fields)
		if err != nil || !bytes.Equal(got.Fields, fields) {
			t.Fatalf("got %s, %v, want %s", got.Fields, err, fields)
		}
	}
	if got, err := b.connections.Get(t.Context(), tenant, c.ID); err != nil || got.Version != 3 {
		t.Errorf("got version %d, %v, want 3", got.Version, err)
	}
	r := request(t, "https://api.github.com/")
	if _, err := b.connections.For(tenant, map[string]string{"github": c.ID}).Apply(t.Context(), "github", r); err != nil || r.Header.Get("Authorization") != "Bearer t0ken" {
		t.Errorf("the credential is %q by now, %v", r.Header.Get("Authorization"), err)
	}
}

func TestFieldsThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, fields := range map[string]string{
		"a list": `["s3cret"]`, "null": `null`, "no JSON": `{s3cret`, "not UTF-8": "{\"a\":\"\xff\"}", "too many": `{"a":"` + strings.Repeat("x", 17_000) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			c := b.create(t, bearer())
			_, err := b.connections.SetFields(t.Context(), tenant, c.ID, json.RawMessage(fields))
			f := fault.From(err)
			if f == nil || f.Code != "invalid_connection" || f.Where != "/fields" || strings.Contains(f.Message, "s3cret") {
				t.Errorf("got %v, want to be told what is wrong, and nothing repeated", err)
			}
			spec := bearer()
			spec.Name, spec.Fields = "other", json.RawMessage(fields)
			if _, err := b.connections.Create(t.Context(), tenant, spec); err == nil {
				t.Error("it was taken when the connection was made")
			}
		})
	}
	b := setup(t)
	c := b.create(t, bearer())
	if _, err := b.connections.SetFields(t.Context(), "ten_b", c.ID, nil); fault.From(err).Code != fault.CodeNotFound {
		t.Errorf("another tenant's: got %v", err)
	}
}

func TestFieldsWithWhichAPluginCouldNotWorkAreRefused(t *testing.T) {
	t.Parallel()
	refused := errors.New("it asks for other fields")
	b := setup(t)
	c, err := b.connections.Create(t.Context(), tenant, connection.Spec{
		Name: "github", Type: connection.Bearer, Hosts: []string{"api.github.com"}, Credential: connection.Credential{Token: "t0ken"},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.fitting = func(id string, _ json.RawMessage) error {
		if id != c.ID {
			t.Errorf("asked about %s", id)
		}
		return refused
	}
	if _, err := b.connections.SetFields(t.Context(), tenant, "github", json.RawMessage(`{}`)); !errors.Is(err, refused) {
		t.Errorf("got %v, want %v", err, refused)
	}
	if got, err := b.connections.Get(t.Context(), tenant, c.ID); err != nil || got.Version != 1 {
		t.Errorf("got version %d, %v, want nothing changed", got.Version, err)
	}
}
