package host

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/vault"
)

// secretsMost bounds the tenants whose secrets are remembered.
const secretsMost = 4096

// seeds derives the seeds of executions' random streams: HKDF (RFC 5869) of a
// secret of the tenant's and the execution's id, so that every run of an
// execution sees the same stream and nobody outside can guess it.
//
// The secret is the tenant's keyset as it was wrapped first, which never leaves the
// database. It stays what it was when the keyset is wrapped anew or gets other keys:
// an execution that waits goes on with the stream that it began with.
type seeds struct {
	store vault.Store
	vault *vault.Vault

	mu      sync.Mutex
	secrets map[string][]byte
}

// of returns the seed of an execution.
func (s *seeds) of(ctx context.Context, tenant, execution string) (seed [32]byte, err error) {
	secret, err := s.secret(ctx, tenant)
	if err != nil {
		return seed, err
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "cofferdam/seed/"+execution, len(seed))
	if err != nil {
		return seed, fmt.Errorf("derive key: %w", err)
	}
	return [32]byte(key), nil
}

func (s *seeds) secret(ctx context.Context, tenant string) ([]byte, error) {
	s.mu.Lock()
	secret := s.secrets[tenant]
	s.mu.Unlock()
	if secret != nil {
		return secret, nil
	}
	key, err := s.store.Key(ctx, tenant)
	if e, ok := errors.AsType[*fault.Error](err); ok && e.Code == fault.CodeNotFound {
		// A tenant's first Seal makes its key.
		if _, err = s.vault.Seal(ctx, vault.Field{Tenant: tenant, Table: "tenants", Record: tenant, Name: "seed"}, nil); err == nil {
			key, err = s.store.Key(ctx, tenant)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("find the tenant's key: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.secrets) >= secretsMost {
		clear(s.secrets)
	}
	s.secrets[tenant] = key.Seed
	return key.Seed, nil
}

// forget drops what is held of a tenant.
func (s *seeds) forget(tenant string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.secrets, tenant)
}
