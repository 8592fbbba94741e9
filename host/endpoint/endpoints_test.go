package endpoint_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/vaulttest"
)

const tenant = "ten_a"

type row struct {
	endpoint.Endpoint
	sealed []byte
}

// store keeps endpoints in memory, by the contract of endpoint.Store.
type store struct {
	mu   sync.Mutex
	rows map[string]row
	// looks counts look-ups for deliveries.
	looks int
	// looked, if it is not nil, is called after a look-up's read.
	looked func()
}

func (s *store) InsertEndpoint(_ context.Context, e endpoint.Endpoint, sealed []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows[e.ID] = row{e, bytes.Clone(sealed)}
	return nil
}

func (s *store) Endpoint(_ context.Context, tenant, id string) (endpoint.Endpoint, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.rows[id]; ok && r.Tenant == tenant {
		return r.Endpoint, nil
	}
	return endpoint.Endpoint{}, fault.NotFound("endpoint", id)
}

func (s *store) Delivery(_ context.Context, id string) (endpoint.Endpoint, []byte, error) {
	s.mu.Lock()
	r, ok := s.rows[id]
	s.looks++
	looked := s.looked
	s.mu.Unlock()
	if looked != nil {
		looked()
	}
	if !ok {
		return endpoint.Endpoint{}, nil, fault.NotFound("endpoint", id)
	}
	return r.Endpoint, r.sealed, nil
}

func (s *store) Endpoints(_ context.Context, tenant string) ([]endpoint.Endpoint, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []endpoint.Endpoint
	for _, r := range s.rows {
		if r.Tenant == tenant {
			all = append(all, r.Endpoint)
		}
	}
	return all, nil
}

func (s *store) UpdateEndpoint(_ context.Context, e endpoint.Endpoint, sealed []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rows[e.ID].Version != e.Version-1 {
		return fault.New(fault.Conflict, "endpoint_changed", "it has changed meanwhile")
	}
	s.rows[e.ID] = row{e, bytes.Clone(sealed)}
	return nil
}

func (s *store) DeleteEndpoint(_ context.Context, tenant, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rows[id].Tenant != tenant {
		return fault.NotFound("endpoint", id)
	}
	delete(s.rows, id)
	return nil
}

var errWeak = errors.New("the secret is too weak")

// scheme is one whose descriptor has the words adopts, weak and other.
type scheme struct {
	name, descriptor string
	made             *int
}

func (s scheme) SchemeName() string {
	if s.descriptor != "" {
		return "own"
	}
	return s.name
}

func (s scheme) Adopts() bool { return strings.Contains(s.descriptor, "adopts") }

func (s scheme) Weakness() string {
	if strings.Contains(s.descriptor, "weak") {
		return "anybody can sign"
	}
	return ""
}

func (s scheme) NewSecret() (string, error) {
	if s.Adopts() {
		return "", nil
	}
	*s.made++
	return fmt.Sprintf("%s-made-%d", s.SchemeName(), *s.made), nil
}

func (s scheme) CheckSecret(secret string) error {
	if secret == "weak" {
		return errWeak
	}
	return nil
}

func (s scheme) Tell(given map[string]string) (public, secret map[string]string, err error) {
	for name, value := range given {
		switch name {
		case "url":
			public = map[string]string{name: value}
		case "token":
			secret = map[string]string{name: value}
		default:
			return nil, nil, fault.New(fault.InvalidInput, "invalid_parameters", "there is no %s", name)
		}
	}
	return public, secret, nil
}

type bundle struct {
	store     *store
	config    endpoint.Config
	endpoints *endpoint.Endpoints
	now       time.Time
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{store: &store{rows: map[string]row{}}, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	made := 0
	b.config = endpoint.Config{
		Store: b.store,
		Vault: vaulttest.New(t),
		Webhook: func(_ context.Context, tenant, installation, webhook string) (endpoint.Webhook, error) {
			if tenant != "ten_a" || installation != "hello" || webhook != "issues" {
				return endpoint.Webhook{}, fault.NotFound("webhook", webhook)
			}
			return endpoint.Webhook{Installation: "ins_1", Scheme: "github"}, nil
		},
		Scheme: func(name string, descriptor json.RawMessage) (endpoint.Scheme, error) {
			if name+string(descriptor) == "" {
				return nil, errors.New("no scheme")
			}
			return scheme{name: name, descriptor: string(descriptor), made: &made}, nil
		},
		Now: func() time.Time { return b.now },
	}
	b.endpoints = endpoint.New(b.config)
	return b
}

func (b *bundle) create(t *testing.T) endpoint.Endpoint {
	t.Helper()
	e, _, err := b.endpoints.Create(t.Context(), tenant, endpoint.Spec{Installation: "hello", Webhook: "issues", Secret: "s3cr3t"})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// wantOpen checks what a delivery meets.
func (b *bundle) wantOpen(t *testing.T, endpoints *endpoint.Endpoints, id, want string) endpoint.Endpoint {
	t.Helper()
	e, err := endpoints.Open(t.Context(), id)
	if got := e.Secrets(b.now); err != nil || len(got) == 0 || got[0] != want || e.ID != id {
		t.Errorf("open: got %q, %v, want %q", got, err, want)
	}
	return e.Endpoint
}

func wantStatus(t *testing.T, what string, err error, want int) {
	t.Helper()
	if got := fault.Status(fault.From(err)); got != want {
		t.Errorf("%s: got %d (%v), want %d", what, got, err, want)
	}
}

func TestCreateShowsTheSecretOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	got, secret, err := b.endpoints.Create(t.Context(), tenant, endpoint.Spec{Installation: "hello", Webhook: "issues"})
	if err != nil || secret != "github-made-1" {
		t.Fatalf("got %q, %v", secret, err)
	}
	want := endpoint.Endpoint{
		ID: got.ID, Tenant: tenant, Installation: "ins_1", Webhook: "issues", Scheme: "github", Version: 1, CreatedAt: b.now,
	}
	if diff := cmp.Diff(want, got); diff != "" || !strings.HasPrefix(got.ID, "end_") {
		t.Errorf("-want +got:\n%s", diff)
	}
	stored := b.store.rows[got.ID]
	shown, err := json.Marshal(stored.Endpoint)
	if err != nil || bytes.Contains(shown, []byte("made")) || bytes.Contains(stored.sealed, []byte("made")) {
		t.Errorf("the secret is in the clear (%v): %s", err, shown)
	}
	b.wantOpen(t, b.endpoints, got.ID, secret)
	if found, err := b.endpoints.Get(t.Context(), tenant, got.ID); err != nil || !cmp.Equal(found, got) {
		t.Errorf("get: %v, %v", found, err)
	}
	if all, err := b.endpoints.List(t.Context(), tenant); err != nil || len(all) != 1 {
		t.Errorf("list: %v, %v", all, err)
	}
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, _, err := b.endpoints.Create(t.Context(), tenant, endpoint.Spec{Installation: "hello", Webhook: "pulls"})
	wantStatus(t, "an unknown webhook", err, 404)
	_, _, err = b.endpoints.Create(t.Context(), "ten_b", endpoint.Spec{Installation: "hello", Webhook: "issues"})
	wantStatus(t, "another tenant's installation", err, 404)
	_, _, err = b.endpoints.Create(t.Context(), tenant, endpoint.Spec{Installation: "hello", Webhook: "issues", Secret: "weak"})
	if !errors.Is(err, errWeak) {
		t.Errorf("a weak secret: got %v", err)
	}
	if len(b.store.rows) != 0 {
		t.Error("something was stored")
	}
}

func TestOthersEndpointsAreNotFound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := b.create(t)
	_, err := b.endpoints.Get(t.Context(), "ten_b", e.ID)
	wantStatus(t, "get", err, 404)
	_, _, err = b.endpoints.Rotate(t.Context(), "ten_b", e.ID, "", 0)
	wantStatus(t, "rotate", err, 404)
	_, err = b.endpoints.Disable(t.Context(), "ten_b", e.ID, true)
	wantStatus(t, "disable", err, 404)
	wantStatus(t, "delete", b.endpoints.Delete(t.Context(), "ten_b", e.ID), 404)
	if all, err := b.endpoints.List(t.Context(), "ten_b"); err != nil || len(all) != 0 {
		t.Errorf("list: %v, %v", all, err)
	}
	if got := b.wantOpen(t, b.endpoints, e.ID, "s3cr3t"); !cmp.Equal(got, e) {
		t.Errorf("it changed to %v", got)
	}
}

func TestOpenRefusesWhatIsNoEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t)
	none := b.create(t).ID
	last := "0"
	if strings.HasSuffix(none, last) {
		last = "1"
	}
	none = none[:29] + last
	for _, id := range []string{"", "end_", none, "con_" + none[4:], none + "0", none[:29] + "'", strings.Repeat("x", 1<<16)} {
		_, err := b.endpoints.Open(t.Context(), id)
		wantStatus(t, fmt.Sprintf("%.40q", id), err, 404)
		if len(err.Error()) > 200 {
			t.Errorf("a stranger's %d bytes are in the error", len(err.Error()))
		}
	}
	if b.store.looks > 1 {
		t.Errorf("the store was asked %d times for what cannot be an id", b.store.looks-1)
	}
}

func TestOpenIsCachedForAWhile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := b.create(t)
	other := endpoint.New(b.config) // Another process.
	for range 3 {
		b.wantOpen(t, b.endpoints, e.ID, "s3cr3t")
	}
	if b.store.looks != 1 {
		t.Errorf("the store was asked %d times, want once", b.store.looks)
	}
	if _, _, err := other.Rotate(t.Context(), tenant, e.ID, "new", 0); err != nil {
		t.Fatal(err)
	}
	b.now = b.now.Add(5*time.Second - 1)
	b.wantOpen(t, b.endpoints, e.ID, "s3cr3t")
	b.now = b.now.Add(1)
	b.wantOpen(t, b.endpoints, e.ID, "new")
}

func TestChangesAreSeenAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := b.create(t)
	b.wantOpen(t, b.endpoints, e.ID, "s3cr3t")

	e, secret, err := b.endpoints.Rotate(t.Context(), tenant, e.ID, "", 0)
	if err != nil || secret != "github-made-1" || e.Version != 2 {
		t.Fatalf("rotate: got %v, %q, %v", e, secret, err)
	}
	b.wantOpen(t, b.endpoints, e.ID, secret)

	if _, _, err = b.endpoints.Rotate(t.Context(), tenant, e.ID, "weak", 0); !errors.Is(err, errWeak) {
		t.Errorf("rotate to a weak secret: got %v", err)
	}
	for i, disabled := range []bool{true, true, false} {
		if _, err = b.endpoints.Disable(t.Context(), tenant, e.ID, disabled); err != nil {
			t.Fatal(err)
		}
		if got := b.wantOpen(t, b.endpoints, e.ID, secret); got.Disabled != disabled {
			t.Errorf("disable %d: got %t, want %t", i, got.Disabled, disabled)
		}
	}
	if err = b.endpoints.Delete(t.Context(), tenant, e.ID); err != nil {
		t.Fatal(err)
	}
	_, err = b.endpoints.Open(t.Context(), e.ID)
	wantStatus(t, "deleted", err, 404)
}

func TestOpenThatOvertakesARotationIsNotCached(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := b.create(t)
	// The rotation happens between the look-up's read and its end.
	b.store.looked = func() {
		b.store.mu.Lock()
		b.store.looked = nil
		b.store.mu.Unlock()
		if _, _, err := b.endpoints.Rotate(t.Context(), tenant, e.ID, "new", 0); err != nil {
			t.Error(err)
		}
	}
	b.wantOpen(t, b.endpoints, e.ID, "s3cr3t")
	b.wantOpen(t, b.endpoints, e.ID, "new")
}

func TestAnOldSecretCannotBePutBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := b.create(t)
	old := b.store.rows[e.ID].sealed
	e, _, err := b.endpoints.Rotate(t.Context(), tenant, e.ID, "new", 0)
	if err != nil {
		t.Fatal(err)
	}
	b.store.rows[e.ID] = row{e, old}
	if _, err := b.endpoints.Open(t.Context(), e.ID); !errors.Is(err, vault.ErrSealed) {
		t.Errorf("got %v, want ErrSealed", err)
	}
}

func TestConcurrentChangesConflict(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := b.create(t)
	b.store.looked = func() { // Another process rotates between read and write.
		b.store.mu.Lock()
		b.store.looked = nil
		b.store.mu.Unlock()
		if _, _, err := endpoint.New(b.config).Rotate(t.Context(), tenant, e.ID, "new", 0); err != nil {
			t.Error(err)
		}
	}
	_, err := b.endpoints.Disable(t.Context(), tenant, e.ID, true)
	wantStatus(t, "disable", err, 409)
	b.wantOpen(t, b.endpoints, e.ID, "new")
}

func TestEndpointsAreSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := b.create(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				if _, err := b.endpoints.Open(t.Context(), e.ID); err != nil {
					t.Error(err)
				}
			}
		})
	}
	last := ""
	for i := range 20 {
		last = fmt.Sprintf("secret %d", i)
		if _, _, err := b.endpoints.Rotate(t.Context(), tenant, e.ID, last, 0); err != nil {
			t.Error(err)
		}
		b.wantOpen(t, b.endpoints, e.ID, last)
	}
	wg.Wait()
	b.wantOpen(t, b.endpoints, e.ID, last)
}
