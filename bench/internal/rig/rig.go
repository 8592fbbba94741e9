// Package rig is a host on a database of its own, which runs executions that are
// measured: two of them in turns, where one has what is measured and the other has not.
package rig

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime/pprof"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/database"
	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/registry"
)

// Config is what a Rig has.
type Config struct {
	// Name tells it from the other one: in errors, and as the label "side" in profiles.
	Name string
	// Unjournaled and Unsealed have executions run without a journal, and payloads
	// stored as they are.
	Unjournaled, Unsealed bool
	// Cache is a folder for compiled code.
	Cache string
	// Plugins are published, and those of Installed installed at each tenant as version
	// 1.0.0, told where the Vendor is.
	Plugins   [][]byte
	Installed []string
	Vendor    string
	Tenants   int
	// KeyFresh is the host's.
	KeyFresh time.Duration
}

// Rig is a database whose executions are run.
type Rig struct {
	Store store.Store
	// Look sees the same database.
	Look *sql.DB
	// Tenants are the ids of all.
	Tenants []string
	c       Config
}

// New makes a database with the plugins installed at each tenant.
func New(ctx context.Context, d *database.Database, c Config) (r *Rig, err error) {
	r = &Rig{c: c}
	address, err := d.Create(ctx)
	if err != nil {
		return nil, err
	}
	// The store's own goroutines count as the rig's in a profile.
	pprof.Do(ctx, r.label(), func(ctx context.Context) { r.Store, err = d.Store(ctx, address) })
	if err != nil {
		return nil, err
	}
	if c.Unsealed {
		r.Store = unsealed{r.Store}
	}
	if r.Look, err = d.Plain(address, "mode=ro&_pragma=busy_timeout(10000)"); err != nil {
		return nil, errors.Join(err, r.Store.Close())
	}
	if err := r.fill(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Close closes the database.
func (r *Rig) Close() error { return errors.Join(r.Look.Close(), r.Store.Close()) }

// Host returns a host on the rig's store, or on one that is db and around it, which
// runs so many executions at once.
func (r *Rig) Host(ctx context.Context, db store.Store, slots int) (*host.Host, error) {
	keeper, err := Keeper()
	if err != nil {
		return nil, err
	}
	return host.New(ctx, host.Config{
		Store: db, Keeper: keeper, Slots: slots, CacheDir: r.c.Cache, Unjournaled: r.c.Unjournaled, KeyFresh: r.c.KeyFresh,
		Egress: egress.Config{AllowAddrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Logger: slog.New(slog.DiscardHandler),
	})
}

// Keeper is that of all rigs.
func Keeper() (vault.Keeper, error) { return keyfile.FromKey([32]byte{1}) }

// unsealed is a store that leaves payloads as they are.
type unsealed struct{ store.Store }

// SealWith implements store.Lifecycle.
func (unsealed) SealWith(*vault.Vault) {}

func (r *Rig) label() pprof.LabelSet { return pprof.Labels("side", r.c.Name) }

// fill migrates, publishes and installs.
func (r *Rig) fill(ctx context.Context) error {
	if _, _, err := r.Store.Migrate(ctx); err != nil {
		return err
	}
	h, err := r.Host(ctx, r.Store, 1)
	if err != nil {
		return err
	}
	return errors.Join(r.install(ctx, h), h.Close(ctx))
}

func (r *Rig) install(ctx context.Context, h *host.Host) error {
	operator, err := h.Plugins.PublisherOf(ctx, registry.Viewer{Operator: true})
	if err != nil {
		return err
	}
	for _, wasm := range r.c.Plugins {
		if _, err := h.Plugins.Publish(ctx, operator.ID, registry.Upload{Wasm: bytes.NewReader(wasm)}); err != nil {
			return err
		}
	}
	config := fmt.Appendf(nil, `{"url":%q}`, r.c.Vendor)
	for i := range r.c.Tenants {
		t, err := h.Tenants.Create(ctx, fmt.Sprintf("t%d", i), "", tenant.Limits{})
		if err != nil {
			return err
		}
		r.Tenants = append(r.Tenants, t.ID)
		for _, plugin := range r.c.Installed {
			if _, err := h.Installations.Create(ctx, t.ID, installation.Spec{Plugin: plugin + "@1.0.0", Config: config}); err != nil {
				return fmt.Errorf("install %s: %w", plugin, err)
			}
		}
	}
	return nil
}
