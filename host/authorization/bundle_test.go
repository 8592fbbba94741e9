package authorization_test

import (
	"context"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cofferdam-run/cofferdam/host/app"
	"github.com/cofferdam-run/cofferdam/host/authorization"
	"github.com/cofferdam-run/cofferdam/host/authorization/authorizationtest"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/postgres"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
)

// clock stands still unless it is told otherwise. Who waits on it waits for nothing: the
// clock moves on for him.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// After moves the clock on.
func (c *clock) After(d time.Duration) <-chan time.Time {
	c.advance(d)
	passed := make(chan time.Time, 1)
	passed <- c.Now()
	return passed
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (c *clock) set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

// testBundle is a server, a database with a tenant, and authorizations in it.
type testBundle struct {
	*authorization.Authorizations

	store    store.Store
	vault    *vault.Vault
	server   *authorizationtest.Server
	clock    *clock
	tenant   string
	told     *told
	registry *prometheus.Registry
	logs     *strings.Builder
}

// told are who was told what.
type told struct {
	mu                     sync.Mutex
	broken, mended, ending []authorization.Authorization
	// fail is returned, once each.
	fail []error
}

func (t *told) note(list *[]authorization.Authorization) func(context.Context, authorization.Authorization) error {
	return func(_ context.Context, a authorization.Authorization) error {
		t.mu.Lock()
		defer t.mu.Unlock()
		*list = append(*list, a)
		if len(t.fail) == 0 {
			return nil
		}
		err := t.fail[0]
		t.fail = t.fail[1:]
		return err
	}
}

func (t *told) counts() (broken, mended int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.broken), len(t.mended)
}

// databases runs a test on each database.
func databases(t *testing.T, test func(t *testing.T, open func(now func() time.Time) store.Store)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, func(now func() time.Time) store.Store {
			s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "data", "cofferdam.db"), sqlite.Options{Now: now})
			return migrated(t, s, err)
		})
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, func(now func() time.Time) store.Store {
			s, err := postgres.Open(t.Context(), postgrestest.DSN(t), postgres.Options{Now: now})
			return migrated(t, s, err)
		})
	})
}

func migrated(t *testing.T, s store.Store, err error) store.Store {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// setup is a bundle on SQLite.
func setup(t *testing.T, rules authorizationtest.Rules, change ...func(*authorization.Config)) *testBundle {
	t.Helper()
	c := newClock()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "data", "cofferdam.db"), sqlite.Options{Now: c.Now})
	return over(t, migrated(t, s, err), c, rules, change...)
}

// over is a bundle on a store.
func over(t *testing.T, s store.Store, c *clock, rules authorizationtest.Rules, change ...func(*authorization.Config)) *testBundle {
	t.Helper()
	k, err := keyfile.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	b := &testBundle{
		store: s, vault: vault.Configured(vault.Config{Store: s, Keeper: k, Now: c.Now, Logger: slog.New(slog.DiscardHandler)}),
		server: authorizationtest.Serve(t.Cleanup, c.Now, rules), clock: c, tenant: ident.New(ident.Tenant, c.Now()), told: &told{},
	}
	if err := s.InsertTenant(t.Context(), tenant.Tenant{ID: b.tenant, Name: "acme", Limits: tenant.Limits{Running: 1, Weight: 1}, State: tenant.Active, CreatedAt: c.Now()}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{authorizationtest.App, "app_other"} {
		if err := s.InsertApp(t.Context(), app.App{ID: id, Tenant: app.Operator, Name: id, Version: 1}, []byte("sealed")); err != nil {
			t.Fatal(err)
		}
	}
	b.Authorizations = b.another(t, change...)
	return b
}

// another are authorizations of another process.
func (b *testBundle) another(t *testing.T, change ...func(*authorization.Config)) *authorization.Authorizations {
	t.Helper()
	b.registry, b.logs = prometheus.NewRegistry(), &strings.Builder{}
	client, err := oauth.New(oauth.Config{Transport: http.DefaultTransport, Now: b.clock.Now, Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	c := authorization.Config{
		Store: b.store, Source: authorizationtest.Source{Registered: b.server.Registered()}, Client: client, Vault: b.vault,
		Broken: b.told.note(&b.told.broken), Mended: b.told.note(&b.told.mended),
		Ending: b.told.note(&b.told.ending), Owner: ident.New(ident.Worker, b.clock.Now()),
		Registerer: b.registry, Logger: slog.New(slog.NewTextHandler(b.logs, nil)), Now: b.clock.Now, After: b.clock.After,
	}
	for _, f := range change {
		f(&c)
	}
	a, err := authorization.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// connect is a consent, kept as a connection's.
func (b *testBundle) connect(t *testing.T, connection string) oauth.Token {
	t.Helper()
	token := b.server.Connect()
	if _, err := b.Put(t.Context(), authorization.Obtained{
		Tenant: b.tenant, Connection: connection, App: authorizationtest.App, Provider: "test", Token: token,
	}); err != nil {
		t.Fatal(err)
	}
	return token
}

// put keeps a consent as con_1's.
func (b *testBundle) put(t *testing.T, token oauth.Token) {
	t.Helper()
	o := authorization.Obtained{Tenant: b.tenant, Connection: "con_1", App: authorizationtest.App, Provider: "test", Token: token}
	if _, err := b.Put(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

// token is what a caller gets, which has to work.
func (b *testBundle) token(t *testing.T, connection string) authorization.Access {
	t.Helper()
	got, err := b.Token(t.Context(), b.tenant, connection)
	if err != nil {
		t.Fatal(err)
	}
	if !b.server.Good(got.Token) {
		t.Errorf("the API does not take %s", got.Token)
	}
	return got
}

// metric sums a counter's values with these labels.
func (b *testBundle) metric(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	all, err := b.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	total := 0.0
	for _, family := range all {
		if family.GetName() != name {
			continue
		}
	metrics:
		for _, m := range family.GetMetric() {
			for i := 0; i < len(labels); i += 2 {
				found := false
				for _, l := range m.GetLabel() {
					found = found || l.GetName() == labels[i] && l.GetValue() == labels[i+1]
				}
				if !found {
					continue metrics
				}
			}
			total += m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return total
}
