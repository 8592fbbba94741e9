package endpoint

import (
	"context"
	"crypto/subtle"
	"encoding/json"
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
	// Webhook finds a webhook of an installation, or returns a fault if there is none.
	Webhook func(ctx context.Context, tenant, installation, webhook string) (Webhook, error)
	// Scheme finds how deliveries are signed: the scheme of a name, or what a descriptor
	// says if there is one.
	Scheme func(name string, descriptor json.RawMessage) (Scheme, error)
	Now    func() time.Time
}

// Webhook is where deliveries go, and how they are signed unless an endpoint has a
// descriptor of its own.
type Webhook struct {
	// Installation is its id.
	Installation string
	Scheme       string
	Descriptor   json.RawMessage
}

// Scheme is how deliveries are signed.
type Scheme interface {
	// SchemeName names it.
	SchemeName() string
	// NewSecret makes a signing secret, or none if the vendor's first request brings it or
	// there is none. CheckSecret refuses one that cannot be used.
	NewSecret() (string, error)
	CheckSecret(secret string) error
	// Adopts says that the vendor's first request brings the secret.
	Adopts() bool
	// Tell checks parameters, and takes apart what is secret of them.
	Tell(given map[string]string) (public, secret map[string]string, err error)
	// Weakness says why it is not to be used unless that is wanted, or nothing.
	Weakness() string
}

// Endpoints are where vendors deliver. They are safe for concurrent use.
type Endpoints struct {
	c    Config
	open *cache
}

// New returns Endpoints.
func New(c Config) *Endpoints { return &Endpoints{c: c, open: newCache(maxOpen, openFor)} }

// Trim forgets the secrets of endpoints that no delivery came to for a while. It is to
// be called now and then.
func (s *Endpoints) Trim() { s.open.trim(s.c.Now()) }

// Spec asks for an endpoint.
type Spec struct {
	// Installation is an id or a name.
	Installation string `json:"installation"`
	Webhook      string `json:"webhook"`
	// Secret is the vendor's, or empty to have one made.
	Secret string `json:"secret,omitempty"`
	// Descriptor says how deliveries are signed, if it is not as the plugin says.
	Descriptor json.RawMessage `json:"descriptor,omitempty"`
	// Parameters are what the scheme must be told.
	Parameters map[string]string `json:"parameters,omitempty"`
	// AllowWeak says that a scheme is wanted though it is weak.
	AllowWeak bool `json:"allow_weak,omitempty"`
	// OrderBy is what deliveries are in order by. Defaults to no order.
	OrderBy string `json:"order_by,omitempty"`
}

// Create adds an endpoint, and returns its signing secret, which is shown this once.
func (s *Endpoints) Create(ctx context.Context, tenant string, spec Spec) (Endpoint, string, error) {
	if err := checkOrder(spec.OrderBy); err != nil {
		return Endpoint{}, "", err
	}
	hook, err := s.c.Webhook(ctx, tenant, spec.Installation, spec.Webhook)
	if err != nil {
		return Endpoint{}, "", fmt.Errorf("find webhook %q: %w", spec.Webhook, err)
	}
	if len(spec.Descriptor) > 0 {
		hook.Scheme, hook.Descriptor = "", spec.Descriptor
	}
	scheme, err := s.c.Scheme(hook.Scheme, hook.Descriptor)
	if err != nil {
		return Endpoint{}, "", fmt.Errorf("find the signature scheme: %w", err)
	}
	if why := scheme.Weakness(); why != "" && !spec.AllowWeak {
		return Endpoint{}, "", fault.New(fault.InvalidInput, "weak_scheme", "the scheme %s is weak: %s", scheme.SchemeName(), why).
			At("/allow_weak").WithHint("Have the vendor sign in a newer way, or say that you want it with allow_weak.")
	}
	now := s.c.Now()
	o := Opened{Endpoint: Endpoint{
		ID: ident.New(ident.Endpoint, now), Tenant: tenant, Installation: hook.Installation,
		Webhook: spec.Webhook, Scheme: scheme.SchemeName(), Descriptor: hook.Descriptor, OrderBy: spec.OrderBy, Version: 1, CreatedAt: now,
	}}
	if o.Parameters, o.Secret, err = scheme.Tell(spec.Parameters); err != nil {
		return Endpoint{}, "", fmt.Errorf("check the parameters: %w", err)
	}
	secret, err := s.secret(scheme, spec.Secret)
	if err != nil {
		return Endpoint{}, "", err
	}
	o.sealed = o.rotated(secret, now, now)
	o.AdoptUntil = adoptUntil(scheme, secret, now)
	sealed, err := s.seal(ctx, o)
	if err != nil {
		return Endpoint{}, "", err
	}
	if err := s.c.Store.InsertEndpoint(ctx, o.Endpoint, sealed); err != nil {
		return Endpoint{}, "", fmt.Errorf("store endpoint: %w", err)
	}
	return o.Endpoint, secret, nil
}

// adoptFor is how long a new endpoint waits for the secret that a handshake brings: whoever
// knows its address could bring another.
const adoptFor = time.Hour

func adoptUntil(scheme Scheme, secret string, now time.Time) time.Time {
	if scheme.Adopts() && secret == "" {
		return now.Add(adoptFor)
	}
	return time.Time{}
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

// MaxKeep bounds how long a secret that was replaced may count.
const MaxKeep = 30 * 24 * time.Hour

// Rotate replaces the signing secret; an empty one has one made. Deliveries that are signed
// with the one before are taken for as long as keep says, and refused from then on; in other
// processes what changes is seen within seconds.
func (s *Endpoints) Rotate(ctx context.Context, tenant, id, secret string, keep time.Duration) (Endpoint, string, error) {
	if keep < 0 || keep > MaxKeep {
		return Endpoint{}, "", fault.New(fault.InvalidInput, "invalid_keep", "the old secret may count for 0 to %d seconds more, not %d", int(MaxKeep/time.Second), int(keep/time.Second)).
			At("/keep_seconds")
	}
	err := s.change(ctx, tenant, id, func(o *Opened) error {
		scheme, err := s.c.Scheme(o.Scheme, o.Descriptor)
		if err != nil {
			return fmt.Errorf("find the signature scheme: %w", err)
		}
		if secret, err = s.secret(scheme, secret); err != nil {
			return err
		}
		now := s.c.Now()
		o.sealed = o.rotated(secret, now.Add(keep), now)
		o.AdoptUntil = adoptUntil(scheme, secret, now)
		return nil
	})
	if err != nil {
		return Endpoint{}, "", err
	}
	e, err := s.Get(ctx, tenant, id)
	return e, secret, err
}

// Adopt takes the secret that a vendor's handshake brought, if the endpoint waits for one. It
// does nothing if it has that already.
func (s *Endpoints) Adopt(ctx context.Context, tenant, id, secret string) error {
	o, err := s.load(ctx, id)
	if err != nil {
		return err
	}
	now := s.c.Now()
	if current := o.Secrets(now); len(current) > 0 && subtle.ConstantTimeCompare([]byte(current[0]), []byte(secret)) == 1 {
		return nil
	}
	if o.settled() || !now.Before(o.AdoptUntil) {
		return fault.New(fault.Denied, "handshake_not_expected", "the endpoint does not wait for a secret").
			WithHint("Rotate its secret without giving one: it waits for the vendor's handshake for an hour then.")
	}
	return s.change(ctx, tenant, id, func(o *Opened) error {
		o.Keys = append([]Key{{Secret: secret}}, o.Keys...) // Those before keep their ends.
		return nil
	})
}

// Adopted is the secret that a vendor's handshake brought, while it is new: some vendors ask
// for it.
func (s *Endpoints) Adopted(ctx context.Context, tenant, id string) (Endpoint, string, error) {
	if _, err := s.Get(ctx, tenant, id); err != nil {
		return Endpoint{}, "", err
	}
	o, err := s.load(ctx, id)
	if err != nil {
		return Endpoint{}, "", err
	}
	if !o.settled() || !s.c.Now().Before(o.AdoptUntil) {
		return Endpoint{}, "", fault.New(fault.Conflict, "no_handshake", "no vendor's handshake has brought a secret within the last hour").
			WithHint("Have the vendor deliver to the endpoint; if an hour is over, rotate the secret without giving one.")
	}
	return o.Endpoint, o.Keys[0].Secret, nil
}

// Change is what can be changed of an endpoint; what is nil stays.
type Change struct {
	// Disabled stops or allows deliveries.
	Disabled *bool
	// Parameters replace those that there are.
	Parameters map[string]string
	// OrderBy replaces what deliveries are in order by; those that were accepted keep
	// their places.
	OrderBy *string
}

// Update changes an endpoint.
func (s *Endpoints) Update(ctx context.Context, tenant, id string, c Change) (Endpoint, error) {
	e, err := s.Get(ctx, tenant, id)
	if err != nil || c.Parameters == nil && (c.Disabled == nil || *c.Disabled == e.Disabled) && (c.OrderBy == nil || *c.OrderBy == e.OrderBy) {
		return e, err
	}
	if c.OrderBy != nil {
		if err := checkOrder(*c.OrderBy); err != nil {
			return Endpoint{}, err
		}
	}
	err = s.change(ctx, tenant, id, func(o *Opened) error {
		if c.Disabled != nil {
			o.Disabled = *c.Disabled
		}
		if c.OrderBy != nil {
			o.OrderBy = *c.OrderBy
		}
		if c.Parameters == nil {
			return nil
		}
		scheme, err := s.c.Scheme(o.Scheme, o.Descriptor)
		if err != nil {
			return fmt.Errorf("find the signature scheme: %w", err)
		}
		o.Parameters, o.Secret, err = scheme.Tell(c.Parameters)
		return err //nolint:wrapcheck // It is a fault with words for users.
	})
	if err != nil {
		return Endpoint{}, err
	}
	return s.Get(ctx, tenant, id)
}

// Disable stops or allows deliveries.
func (s *Endpoints) Disable(ctx context.Context, tenant, id string, disabled bool) (Endpoint, error) {
	return s.Update(ctx, tenant, id, Change{Disabled: &disabled})
}

// Delete forgets an endpoint; deliveries to it are 404 from then on.
func (s *Endpoints) Delete(ctx context.Context, tenant, id string) error {
	defer s.open.drop(id) // Also after an error, which may have come after the commit.
	if err := s.c.Store.DeleteEndpoint(ctx, tenant, id); err != nil {
		return fmt.Errorf("delete endpoint: %w", err)
	}
	return nil
}

// Open finds an endpoint for a delivery, with what that is verified by. It is cached for a
// few seconds, for it stands before every delivery.
func (s *Endpoints) Open(ctx context.Context, id string) (Opened, error) {
	if !isID(id) { // Whoever probes for endpoints is not worth a query.
		return Opened{}, fault.NotFound("endpoint", shorten(id))
	}
	now := s.c.Now()
	held, epoch := s.open.get(id, now)
	if held != nil {
		return held.Opened, nil
	}
	o, err := s.load(ctx, id)
	if err != nil {
		return Opened{}, err
	}
	s.open.put(o, now, epoch)
	return o, nil
}

// change writes an endpoint as its next version. It is not read from the cache: the version
// that is read is the one that is replaced.
func (s *Endpoints) change(ctx context.Context, tenant, id string, f func(*Opened) error) error {
	if _, err := s.Get(ctx, tenant, id); err != nil {
		return err
	}
	o, err := s.load(ctx, id)
	if err != nil {
		return err
	}
	if err := f(&o); err != nil {
		return err
	}
	return s.update(ctx, o)
}

// secret checks a secret that was given, or makes one.
func (s *Endpoints) secret(scheme Scheme, given string) (string, error) {
	if given == "" {
		made, err := scheme.NewSecret()
		if err != nil {
			return "", fmt.Errorf("make a signing secret: %w", err)
		}
		return made, nil
	}
	if err := scheme.CheckSecret(given); err != nil {
		return "", fmt.Errorf("check the signing secret: %w", err)
	}
	return given, nil
}

// update writes o as its next version. The secrets are sealed anew with every version,
// because they are bound to it: old ones that are put back open no more.
func (s *Endpoints) update(ctx context.Context, o Opened) error {
	o.Version++
	sealed, err := s.seal(ctx, o)
	if err != nil {
		return err
	}
	defer s.open.drop(o.ID) // Also after an error, which may have come after the commit.
	if err := s.c.Store.UpdateEndpoint(ctx, o.Endpoint, sealed); err != nil {
		return fmt.Errorf("update endpoint: %w", err)
	}
	return nil
}

func (s *Endpoints) load(ctx context.Context, id string) (Opened, error) {
	e, sealed, err := s.c.Store.Delivery(ctx, id)
	if err != nil {
		return Opened{}, fmt.Errorf("find endpoint: %w", err)
	}
	plain, err := s.c.Vault.Open(vault.Using(ctx, vault.Use{Purpose: "signature"}), fieldOf(e), sealed)
	if err != nil {
		return Opened{}, fmt.Errorf("open the signing secrets of endpoint %s: %w", id, err)
	}
	defer clear(plain)
	secrets, err := unmarshal(plain)
	return Opened{e, secrets}, err
}

func (s *Endpoints) seal(ctx context.Context, o Opened) ([]byte, error) {
	plain, err := o.marshal()
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	sealed, err := s.c.Vault.Seal(ctx, fieldOf(o.Endpoint), plain)
	if err != nil {
		return nil, fmt.Errorf("seal the signing secrets: %w", err)
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
