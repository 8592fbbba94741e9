package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/database"
	"github.com/cofferdam-run/cofferdam/bench/internal/rig"
	"github.com/cofferdam-run/cofferdam/bench/internal/stopwatch"
	"github.com/cofferdam-run/cofferdam/bench/internal/vendor"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/vault"
)

const (
	// large is how much is sealed at once besides 1 KiB.
	large = 64 << 10
	// batch is about how long a turn takes of what takes microseconds.
	batch = 20 * time.Millisecond
)

// quiet is an Auditor: what the audit of an opening takes is not the vault's.
type quiet struct{}

// Opened implements vault.Auditor.
func (quiet) Opened(context.Context, vault.Opening) error { return nil }

// vaulted is a vault on an empty database.
type vaulted struct {
	store store.Store
	vault *vault.Vault
}

// newVaulted has tenants with keys of their own.
func newVaulted(ctx context.Context, d *database.Database, tenants ...string) (v vaulted, err error) {
	address, err := d.Create(ctx)
	if err != nil {
		return v, err
	}
	if v.store, err = d.Store(ctx, address); err != nil {
		return v, err
	}
	if _, _, err := v.store.Migrate(ctx); err != nil {
		return v, errors.Join(err, v.store.Close())
	}
	keeper, err := rig.Keeper()
	if err != nil {
		return v, errors.Join(err, v.store.Close())
	}
	v.vault = vaultOn(v.store, keeper)
	for _, id := range tenants {
		if err := v.enroll(ctx, id); err != nil {
			return v, errors.Join(err, v.store.Close())
		}
	}
	return v, nil
}

func vaultOn(s store.Store, keeper vault.Keeper, others ...vault.Keeper) *vault.Vault {
	return vault.Configured(vault.Config{Store: s, Keeper: keeper, Others: others, Auditor: quiet{}})
}

// enroll makes a tenant, and its key.
func (v vaulted) enroll(ctx context.Context, id string) error {
	if err := v.store.InsertTenant(ctx, tenant.Tenant{ID: id, Name: id, State: tenant.Active, CreatedAt: time.Now()}); err != nil {
		return err
	}
	_, err := v.vault.Payloads(ctx, id)
	return err
}

// field is where what is sealed belongs.
func field(tenant string) vault.Field {
	return vault.Field{Tenant: tenant, Table: "events", Record: "evt_01k9vxkcz4e7b9e8m9d7fq2h3a", Name: "body", Version: 1}
}

// sealer seals and opens something in one way.
type sealer struct {
	seal func(plaintext []byte) ([]byte, error)
	open func(sealed []byte) ([]byte, error)
}

// asCredential has the openings told, asPayload has not.
func (v vaulted) asCredential(ctx context.Context, f vault.Field) sealer {
	return sealer{
		seal: func(b []byte) ([]byte, error) { return v.vault.Seal(ctx, f, b) },
		open: func(b []byte) ([]byte, error) { return v.vault.Open(ctx, f, b) },
	}
}

func (v vaulted) asPayload(ctx context.Context, f vault.Field) sealer {
	return sealer{
		seal: func(b []byte) ([]byte, error) {
			k, err := v.vault.Payloads(ctx, f.Tenant)
			if err != nil {
				return nil, err
			}
			return k.Seal(f, b)
		},
		open: func(b []byte) ([]byte, error) { return v.vault.OpenPayload(ctx, f, b) },
	}
}

// standard is the peer, which a program would use that has one key: the standard
// library's AES-256-GCM with random nonces, bound to as much as a field is.
func standard(bound []byte) (sealer, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // It never fails.
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, err
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return sealer{}, err
	}
	return sealer{
		seal: func(b []byte) ([]byte, error) { return gcm.Seal(nil, nil, b, bound), nil },
		open: func(b []byte) ([]byte, error) { return gcm.Open(nil, nil, b, bound) },
	}, nil
}

// works returns what seals so many bytes again and again, and what opens them.
func (s sealer) works(n int) (seal, open func() error, err error) {
	plaintext := []byte(vendor.Payload())
	for len(plaintext) < n {
		plaintext = append(plaintext, plaintext...)
	}
	plaintext = plaintext[:n]
	sealed, err := s.seal(plaintext)
	if err != nil {
		return nil, nil, err
	}
	if opened, err := s.open(sealed); err != nil || string(opened) != string(plaintext) {
		return nil, nil, fmt.Errorf("%d bytes open as %d others: %w", n, len(opened), err)
	}
	return func() error { _, err := s.seal(plaintext); return err }, func() error { _, err := s.open(sealed); return err }, nil
}

// seal measures what it takes to seal and to open, with the tenant's key in memory.
func (s *suite) seal(ctx context.Context, d *database.Database) (err error) {
	const one = "ten_one"
	v, err := newVaulted(ctx, d, one)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.store.Close()) }()
	f := field(one)
	peers, err := standard([]byte(f.Tenant + f.Table + f.Record + f.Name))
	if err != nil {
		return err
	}
	var seals, opens []func() error
	for _, how := range []sealer{v.asCredential(ctx, f), v.asPayload(ctx, f), peers} {
		for _, n := range []int{1 << 10, large} {
			seal, open, err := how.works(n)
			if err != nil {
				return err
			}
			seals, opens = append(seals, seal), append(opens, open)
		}
	}
	sealing, err := stopwatch.Interleaved(s.rounds, batch, seals...)
	if err != nil {
		return err
	}
	opening, err := stopwatch.Interleaved(s.rounds, batch, opens...)
	if err != nil {
		return err
	}
	s.perKB("seal_us", sealing)
	s.perKB("open_us", opening)
	s.print("opens_per_s", 1/stopwatch.Middle(opening[0], stopwatch.ByWall), "1/s", peer("stdlib", 1/stopwatch.Middle(opening[4], stopwatch.ByWall)))
	return nil
}

// perKB prints what a KiB takes.
func (s *suite) perKB(name string, all [][]stopwatch.Cost) {
	us := func(i int) float64 { return 1e6 * stopwatch.Middle(all[i], stopwatch.ByWall) }
	const kb = large >> 10
	s.print(name, us(0), "us", peer("cpu", 1e6*stopwatch.Middle(all[0], stopwatch.ByCPU)), peer("payload", us(2)), peer("stdlib", us(4)),
		peer("of_64", us(1)/kb), peer("payload_of_64", us(3)/kb), peer("stdlib_of_64", us(5)/kb))
}

// cold measures how often 1 KiB is opened whose tenant's key has to be read from the
// database, and unwrapped. What the key alone takes is beside it.
func (s *suite) cold(ctx context.Context, d *database.Database) (err error) {
	const one = "ten_one"
	v, err := newVaulted(ctx, d, one)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.store.Close()) }()
	_, open, err := v.asCredential(ctx, field(one)).works(1 << 10)
	if err != nil {
		return err
	}
	all, err := stopwatch.Interleaved(s.rounds, batch,
		func() error { v.vault.Forget(one); return open() },
		func() error { _, err := v.store.Key(ctx, one); return err },
		open)
	if err != nil {
		return err
	}
	took := func(i int) float64 { return stopwatch.Middle(all[i], stopwatch.ByWall) }
	s.print("opens_per_s_cold_"+d.Name, 1/took(0), "1/s", peer("warm", 1/took(2)), peer("us", 1e6*took(0)), peer("read_us", 1e6*took(1)))
	return nil
}
