package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/app"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/registry"
)

// cofferdam is the embedded one, with its database.
type cofferdam struct {
	*host.Host

	db store.Store
}

// registration is what a vendor gives to whoever registers an app with it, and what
// there is to know of the vendor itself.
type registration struct {
	ClientID, ClientSecret string
	Descriptor             json.RawMessage
}

// openCofferdam wires a Cofferdam whose data is in a folder, and whose connect pages
// browsers reach at url.
func openCofferdam(ctx context.Context, folder, url string, r registration) (*cofferdam, error) {
	// The embedded database; postgres.Open is the other.
	db, err := sqlite.Open(ctx, filepath.Join(folder, "cofferdam.db"), sqlite.Options{})
	if err != nil {
		return nil, err
	}
	if _, _, err := db.Migrate(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	// The key that seals what customers entrust. In production it is not beside the
	// database: see package vault for the other keepers.
	path := filepath.Join(folder, "key.json")
	key, err := keyfile.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		key, err = keyfile.Create(path)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	// Tidebook is a provider of ours, beside those that come with Cofferdam.
	providers, err := provider.Load()
	if err == nil {
		providers, err = providers.Add("host-app: tidebook", r.Descriptor)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	h, err := host.New(ctx, host.Config{
		Store: db, Keeper: key, Providers: providers, PublicURL: url, Logger: logger(),
		// The vendor is on this machine, which plugins reach nowhere but in development.
		Egress: egress.Config{AllowAddrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &cofferdam{Host: h, db: db}, nil
}

// logger says what operators should know. Each request and each notice is an INFO.
func logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func (c *cofferdam) close(ctx context.Context) {
	_ = errors.Join(c.Close(ctx), c.db.Close()) // The process ends: nobody could do anything about it.
}

// setUp makes what an operator makes once, and finds what an earlier start has made.
func (c *cofferdam) setUp(ctx context.Context, wasm []byte, r registration, vendorURL string) ([]*customer, error) {
	publisher, err := c.Plugins.PublisherOf(ctx, registry.Viewer{Operator: true})
	if err != nil {
		return nil, err
	}
	_, err = c.Plugins.Publish(ctx, publisher.ID, registry.Upload{Wasm: bytes.NewReader(wasm)})
	if err != nil && !isConflict(err) {
		return nil, fmt.Errorf("publish the connector: %w", err)
	}
	// Our app at the vendor, for all tenants. A tenant may bring one of its own.
	_, err = c.Apps.Create(ctx, app.Operator, app.Spec{
		Name: "tidebook", Title: "Tidebook", Provider: "tidebook", ClientID: r.ClientID, Secret: oauth.Secret{ClientSecret: r.ClientSecret},
	})
	if err != nil && !isConflict(err) {
		return nil, fmt.Errorf("register the app: %w", err)
	}
	customers := fictional()
	for _, one := range customers {
		if err := c.enroll(ctx, one, vendorURL); err != nil {
			return nil, fmt.Errorf("set up %s: %w", one.Name, err)
		}
	}
	return customers, nil
}

// enroll makes a tenant of a customer, and enables the plugin for it. Here that is done
// for all; an app with many plugins has its customers choose.
func (c *cofferdam) enroll(ctx context.Context, one *customer, vendorURL string) error {
	t, err := c.Tenants.Create(ctx, one.Key, one.Name, tenant.Limits{})
	if isConflict(err) {
		t, err = c.Tenants.Get(ctx, one.Key)
	}
	if err != nil {
		return err
	}
	one.Tenant = t.ID
	config, err := json.Marshal(map[string]string{"api_url": vendorURL})
	if err != nil {
		return err
	}
	_, err = c.Installations.Create(ctx, t.ID, installation.Spec{Plugin: "tidebook", Config: config})
	if err != nil && !isConflict(err) {
		return err
	}
	return nil
}

func isConflict(err error) bool {
	f, ok := errors.AsType[*fault.Error](err)
	return ok && f.Class == fault.Conflict
}

// buildPlugin compiles the connector as its author does. A real app is given the file, by
// its author or a release.
func buildPlugin(ctx context.Context, source string) ([]byte, error) {
	folder, err := os.MkdirTemp("", "host-app-plugin-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	out := filepath.Join(folder, "tidebook.wasm")
	compiler := exec.CommandContext(ctx, "go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-trimpath", "-o", out, ".") //nolint:gosec // A folder of one's own.
	compiler.Dir = source
	compiler.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if said, err := compiler.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the connector in %s: %w\n%s\n  hint: start it in the folder of the repository, or say -plugin", source, err, said)
	}
	return os.ReadFile(out) //nolint:gosec // As above.
}
