// Package sealing seals what is private of a tenant on its way into rows, and opens it
// on its way out: bodies, outputs, traces, journals, state and cursors. Names, times,
// states, keys and tags stay as they are: databases look for them.
package sealing

import (
	"context"
	"errors"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/vault"
)

// CodeSealed is the code of what does not open.
const CodeSealed = "payload_sealed"

// Sealing is how a store seals. The zero value leaves all as it is.
type Sealing struct{ vault *vault.Vault }

// With has everything sealed with the keys of v from then on. It is for the wiring,
// before the store has another user.
func (s *Sealing) With(v *vault.Vault) { s.vault = v }

// Field is where a payload belongs: to a row of a tenant's with a key of one part or
// more, of which only the last may hold a slash.
func Field(tenant, table, name string, version int64, key ...string) vault.Field {
	return vault.Field{Tenant: tenant, Table: table, Record: strings.Join(key, "/"), Name: name, Version: version}
}

// Keys are a tenant's, to be used at once.
func (s *Sealing) Keys(ctx context.Context, tenant string) (vault.Payloads, error) {
	if s.vault == nil || tenant == "" {
		return vault.Payloads{}, nil
	}
	return s.vault.Payloads(ctx, tenant)
}

// Seal seals one payload.
func (s *Sealing) Seal(ctx context.Context, f vault.Field, plaintext []byte) ([]byte, error) {
	if len(plaintext) == 0 {
		return plaintext, nil
	}
	k, err := s.Keys(ctx, f.Tenant)
	if err != nil {
		return nil, err
	}
	return k.Seal(f, plaintext)
}

// Open opens a payload in its place. It must not be called with rows of the database
// in hand: keys may have to be read.
func (s *Sealing) Open(ctx context.Context, f vault.Field, payload *[]byte) error {
	if s.vault == nil || f.Tenant == "" || len(*payload) == 0 {
		return nil
	}
	opened, err := s.vault.OpenPayload(ctx, f, *payload)
	if errors.Is(err, vault.ErrSealed) {
		f := fault.New(fault.Platform, CodeSealed, "the %s of %s %s does not open", f.Name, f.Table, f.Record).
			WithHint("its tenant's key was destroyed, or the row was changed by something else than Cofferdam")
		f.Err = err
		return f
	}
	*payload = opened
	return err
}

// Retried calls do, and once more if what it found was sealed under keys that were not
// in memory.
func (s *Sealing) Retried(ctx context.Context, tenant string, do func() error) error {
	err := do()
	if !errors.Is(err, vault.ErrNewKey) {
		return err
	}
	if err := s.vault.Refresh(ctx, tenant); err != nil {
		return err
	}
	return do()
}
