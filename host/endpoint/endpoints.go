package endpoint

import (
	"context"
	"fmt"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/vault"
)

const (
	// maxOpen bounds the endpoints that are held open: 4096 of about 0.5 KiB each.
	maxOpen = 4096
	// openFor is how long another process's rotation or deletion goes unnoticed.
	openFor = 5 * time.Second
)

// Config configures Endpoints.
type Config struct {
	Store Store
	Vault *vault.Vault
	// Webhook returns the installation's id and the scheme of a webhook of it, or
	// a fault if there is none.
	Webhook func(ctx context.Context, tenant, installation, webhook string) (id, scheme string, err error)
	// NewSecret makes a signing secret in the form that a scheme wants; CheckSecret
	// refuses one that it cannot use.
	NewSecret   func(scheme string) (string, error)
	CheckSecret func(scheme, secret string) error
	Now         func() time.Time
}

// Endpoints are where vendors deliver. They are safe for concurrent use.
type Endpoints struct {
	c    Config
	open *cache
}

// New returns Endpoints.
func New(c Config) *Endpoints { return &Endpoints{c: c, open: newCache(maxOpen, openFor)} }

// Spec asks for an endpoint.
type Spec struct {
	// Installation is an id or a name.
	Installation string `json:"installation"`
	Webhook      string `json:"webhook"`
	// Secret is the vendor's, or empty to have one made.
	Secret string `json:"secret,omitempty"`
}

// Create adds an endpoint, and returns its signing secret, which is shown this once.
func (s *Endpoints) Create(ctx context.Context, tenant string, spec Spec) (Endpoint, string, error) {
	installation, scheme, err := s.c.Webhook(ctx, tenant, spec.Installation, spec.Webhook)
	if err != nil {
		return Endpoint{}, "", fmt.Errorf("find webhook %q: %w", spec.Webhook, err)
	}
	secret, err := s.secret(scheme, spec.Secret)
	if err != nil {
		return Endpoint{}, "", err
	}
	now := s.c.Now()
	e := Endpoint{
		ID: ident.New(ident.Endpoint, now), Tenant: tenant, Installation: installation,
		Webhook: spec.Webhook, Scheme: scheme, Version: 1, CreatedAt: now,
	}
	sealed, err := s.seal(ctx, e, secret)
	if err != nil {
		return Endpoint{}, "", err
	}
	if err := s.c.Store.InsertEndpoint(ctx, e, sealed); err != nil {
		return Endpoint{}, "", fmt.Errorf("store endpoint: %w", err)
	}
	return e, secret, nil
}

// Get finds an endpoint by id.
func (s *Endpoints) Get(ctx context.Context, tenant, id string) (Endpoint, error) {
	e, err := s.c.Store.Endpoint(ctx, tenant, id)
	if err != nil {
		return Endpoint{}, fmt.Errorf("find endpoint: %w", err)
	}
	return e, nil
}

// List lists a tenant's endpoints.
func (s *Endpoints) List(ctx context.Context, tenant string) ([]Endpoint, error) {
	all, err := s.c.Store.Endpoints(ctx, tenant)
	if err != nil {
		return nil, fmt.Errorf("list endpoints: %w", err)
	}
	return all, nil
}

// Rotate replaces the signing secret; an empty one has one made. Deliveries that
// are signed with the one before are refused from then on, within seconds in
// other processes.
func (s *Endpoints) Rotate(ctx context.Context, tenant, id, secret string) (Endpoint, string, error) {
	e, err := s.Get(ctx, tenant, id)
	if err != nil {
		return Endpoint{}, "", err
	}
	if secret, err = s.secret(e.Scheme, secret); err != nil {
		return Endpoint{}, "", err
	}
	if e, err = s.update(ctx, e, secret); err != nil {
		return Endpoint{}, "", err
	}
	return e, secret, nil
}

// Disable stops or allows deliveries.
func (s *Endpoints) Disable(ctx context.Context, tenant, id string, disabled bool) (Endpoint, error) {
	e, err := s.Get(ctx, tenant, id)
	if err != nil || e.Disabled == disabled {
		return e, err
	}
	// Not from the cache: the version that is read is the one that is replaced.
	e, secret, err := s.load(ctx, id)
	if err != nil {
		return Endpoint{}, err
	}
	e.Disabled = disabled
	return s.update(ctx, e, secret)
}

// Delete forgets an endpoint; deliveries to it are 404 from then on.
func (s *Endpoints) Delete(ctx context.Context, tenant, id string) error {
	defer s.open.drop(id) // Also after an error, which may have come after the commit.
	if err := s.c.Store.DeleteEndpoint(ctx, tenant, id); err != nil {
		return fmt.Errorf("delete endpoint: %w", err)
	}
	return nil
}

// Open finds an endpoint for a delivery, with its signing secret. It is cached
// for a few seconds, for it stands before every delivery.
func (s *Endpoints) Open(ctx context.Context, id string) (Endpoint, string, error) {
	if !isID(id) { // Whoever probes for endpoints is not worth a query.
		return Endpoint{}, "", fault.NotFound("endpoint", shorten(id))
	}
	now := s.c.Now()
	held, epoch := s.open.get(id, now)
	if held != nil {
		return held.endpoint, held.secret, nil
	}
	e, secret, err := s.load(ctx, id)
	if err != nil {
		return Endpoint{}, "", err
	}
	s.open.put(e, secret, now, epoch)
	return e, secret, nil
}

// secret checks a secret that was given, or makes one.
func (s *Endpoints) secret(scheme, given string) (string, error) {
	if given == "" {
		made, err := s.c.NewSecret(scheme)
		if err != nil {
			return "", fmt.Errorf("make a signing secret: %w", err)
		}
		return made, nil
	}
	if err := s.c.CheckSecret(scheme, given); err != nil {
		return "", fmt.Errorf("check the signing secret: %w", err)
	}
	return given, nil
}

// update writes e as its next version. The secret is sealed anew with every
// version, because it is bound to it: an old one that is put back opens no more.
func (s *Endpoints) update(ctx context.Context, e Endpoint, secret string) (Endpoint, error) {
	e.Version++
	sealed, err := s.seal(ctx, e, secret)
	if err != nil {
		return Endpoint{}, err
	}
	defer s.open.drop(e.ID) // Also after an error, which may have come after the commit.
	if err := s.c.Store.UpdateEndpoint(ctx, e, sealed); err != nil {
		return Endpoint{}, fmt.Errorf("update endpoint: %w", err)
	}
	return e, nil
}

func (s *Endpoints) load(ctx context.Context, id string) (Endpoint, string, error) {
	e, sealed, err := s.c.Store.Delivery(ctx, id)
	if err != nil {
		return Endpoint{}, "", fmt.Errorf("find endpoint: %w", err)
	}
	secret, err := s.c.Vault.Open(ctx, fieldOf(e), sealed)
	if err != nil {
		return Endpoint{}, "", fmt.Errorf("open the signing secret of endpoint %s: %w", id, err)
	}
	return e, string(secret), nil
}

func (s *Endpoints) seal(ctx context.Context, e Endpoint, secret string) ([]byte, error) {
	sealed, err := s.c.Vault.Seal(ctx, fieldOf(e), []byte(secret))
	if err != nil {
		return nil, fmt.Errorf("seal the signing secret: %w", err)
	}
	return sealed, nil
}

func fieldOf(e Endpoint) vault.Field {
	return vault.Field{Tenant: e.Tenant, Table: "endpoints", Record: e.ID, Name: "secret", Version: e.Version}
}

// isID tells what ident.New can have made: the prefix and 26 characters.
func isID(id string) bool {
	if len(id) != len(ident.Endpoint)+26 || id[:len(ident.Endpoint)] != ident.Endpoint {
		return false
	}
	for _, c := range []byte(id[len(ident.Endpoint):]) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

// shorten bounds what a stranger's path puts into an error.
func shorten(id string) string { return id[:min(len(id), len(ident.Endpoint)+26)] }
