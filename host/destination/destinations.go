package destination

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/webhook"
)

const (
	// Scheme is how messages are signed:
	// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
	Scheme = "standard-webhooks"
	// most is how many destinations a tenant has.
	most = 50
	// MaxKeep bounds how long a secret that was replaced signs along.
	MaxKeep = 30 * 24 * time.Hour
)

// Config configures Destinations.
type Config struct {
	Store Store
	Vault *vault.Vault
	// Check refuses a URL that nothing may be sent to. Defaults to refusing none.
	Check func(ctx context.Context, url string) error
	// Wake is called when there may be something to send. Defaults to nobody.
	Wake func()
	Now  func() time.Time
}

// Destinations are where messages leave for. They are safe for concurrent use.
type Destinations struct{ c Config }

// New returns Destinations.
func New(c Config) *Destinations {
	if c.Check == nil {
		c.Check = func(context.Context, string) error { return nil }
	}
	if c.Wake == nil {
		c.Wake = func() {}
	}
	return &Destinations{c: c}
}

// Spec asks for a destination.
type Spec struct {
	// Name defaults to the host of the URL.
	Name  string
	URL   string
	Kinds []string
	// Secret is whsec_ and base64, or empty to have one made.
	Secret  string
	Ordered bool
}

// Create adds a destination, and returns its signing secret, which is shown this once.
func (s *Destinations) Create(ctx context.Context, tenant string, spec Spec) (Destination, string, error) {
	now := s.c.Now()
	d := Destination{
		ID: ident.New(ident.Destination, now), Tenant: tenant, Name: spec.Name, URL: spec.URL, Kinds: slices.Clone(spec.Kinds), Ordered: spec.Ordered,
		State: Active, Since: now, Version: 1, CreatedAt: now, UpdatedAt: now,
	}
	d, err := checked(d)
	if err == nil {
		err = s.c.Check(ctx, d.URL)
	}
	if err != nil {
		return Destination{}, "", err
	}
	secret, err := newSecret(spec.Secret)
	if err != nil {
		return Destination{}, "", err
	}
	sealed, err := s.seal(ctx, Opened{d, []Key{{Secret: secret}}})
	if err != nil {
		return Destination{}, "", err
	}
	if err := s.c.Store.InsertDestination(ctx, d, sealed, most); err != nil {
		return Destination{}, "", fmt.Errorf("store destination: %w", err)
	}
	return d.Seen(), secret, nil
}

// Get finds a destination by id or name.
func (s *Destinations) Get(ctx context.Context, tenant, idOrName string) (Destination, error) {
	d, _, err := s.c.Store.Destination(ctx, tenant, idOrName)
	if err != nil {
		return Destination{}, fmt.Errorf("find destination: %w", err)
	}
	return d.Seen(), nil
}

// List lists the newest first, before an id.
func (s *Destinations) List(ctx context.Context, tenant, before string, limit int) ([]Destination, error) {
	all, err := s.c.Store.Destinations(ctx, tenant, before, limit)
	if err != nil {
		return nil, fmt.Errorf("list destinations: %w", err)
	}
	for i := range all {
		all[i] = all[i].Seen()
	}
	return all, nil
}

// Change is what can be changed; what is nil stays.
type Change struct {
	Name, URL *string
	Kinds     []string
	Ordered   *bool
	Disabled  *bool
}

// Update changes a destination. One that is enabled goes on with what waits.
func (s *Destinations) Update(ctx context.Context, tenant, idOrName string, c Change) (Destination, error) {
	d, err := s.change(ctx, tenant, idOrName, func(o *Opened) error {
		now := s.c.Now()
		if c.Name != nil {
			o.Name = *c.Name
		}
		if c.Ordered != nil {
			o.Ordered = *c.Ordered
		}
		if c.Kinds != nil {
			o.Kinds = slices.Clone(c.Kinds)
		}
		if c.URL != nil {
			o.URL = *c.URL
		}
		if c.Disabled != nil && *c.Disabled != (o.State == Disabled) {
			o.State, o.Reason, o.Since = Active, "", now
			o.FailingSince, o.FailedAt, o.ThrottledUntil = time.Time{}, time.Time{}, time.Time{}
			if *c.Disabled {
				o.State, o.Reason = Disabled, Asked
			}
		}
		var err error
		o.Destination, err = checked(o.Destination)
		if err == nil && c.URL != nil {
			err = s.c.Check(ctx, o.URL)
		}
		return err
	})
	if err == nil && d.State == Active {
		s.c.Wake()
	}
	return d, err
}

// Rotate replaces the signing secret; an empty one has one made. The one before signs along
// for as long as keep says, so that whoever receives can change over without a gap.
func (s *Destinations) Rotate(ctx context.Context, tenant, idOrName, secret string, keep time.Duration) (Destination, string, error) {
	if keep < 0 || keep > MaxKeep {
		return Destination{}, "", fault.New(fault.InvalidInput, "invalid_keep", "the old secret may sign for 0 to %d seconds more, not %d", int(MaxKeep/time.Second), int(keep/time.Second)).
			At("/keep_seconds")
	}
	secret, err := newSecret(secret)
	if err != nil {
		return Destination{}, "", err
	}
	d, err := s.change(ctx, tenant, idOrName, func(o *Opened) error {
		now := s.c.Now()
		o.Keys = rotated(o.Keys, secret, now.Add(keep), now)
		return nil
	})
	if err != nil {
		return Destination{}, "", err
	}
	return d, secret, nil
}

// Delete forgets a destination, with what waits for it and what was sent.
func (s *Destinations) Delete(ctx context.Context, tenant, idOrName string) error {
	d, _, err := s.c.Store.Destination(ctx, tenant, idOrName)
	if err != nil {
		return fmt.Errorf("find destination: %w", err)
	}
	if err := s.c.Store.DeleteDestination(ctx, tenant, d.ID); err != nil {
		return fmt.Errorf("delete destination: %w", err)
	}
	return nil
}

// Open returns a destination with its secrets, for whoever sends.
func (s *Destinations) Open(ctx context.Context, tenant, idOrName string) (Opened, error) {
	d, sealed, err := s.c.Store.Destination(ctx, tenant, idOrName)
	if err != nil {
		return Opened{}, fmt.Errorf("find destination: %w", err)
	}
	plain, err := s.c.Vault.Open(vault.Using(ctx, vault.Use{Who: "host", Purpose: "outbound signature"}), fieldOf(d), sealed)
	if err != nil {
		return Opened{}, fmt.Errorf("open the signing secrets of destination %s: %w", d.ID, err)
	}
	defer clear(plain)
	keys, err := unmarshal(plain)
	return Opened{d, keys}, err
}

// change writes a destination as its next version. The secrets are sealed anew with each,
// because they are bound to it.
func (s *Destinations) change(ctx context.Context, tenant, idOrName string, f func(*Opened) error) (Destination, error) {
	o, err := s.Open(ctx, tenant, idOrName)
	if err != nil {
		return Destination{}, err
	}
	if err := f(&o); err != nil {
		return Destination{}, err
	}
	o.Version, o.UpdatedAt = o.Version+1, s.c.Now()
	sealed, err := s.seal(ctx, o)
	if err != nil {
		return Destination{}, err
	}
	if err := s.c.Store.UpdateDestination(ctx, o.Destination, sealed); err != nil {
		return Destination{}, fmt.Errorf("update destination: %w", err)
	}
	return o.Seen(), nil
}

func (s *Destinations) seal(ctx context.Context, o Opened) ([]byte, error) {
	plain, err := marshal(o.Keys)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	sealed, err := s.c.Vault.Seal(ctx, fieldOf(o.Destination), plain)
	if err != nil {
		return nil, fmt.Errorf("seal the signing secrets: %w", err)
	}
	return sealed, nil
}

func fieldOf(d Destination) vault.Field {
	return vault.Field{Tenant: d.Tenant, Table: "destinations", Record: d.ID, Name: "secret", Version: d.Version}
}

func newSecret(given string) (string, error) {
	if given == "" {
		made, err := webhook.NewSecret(Scheme)
		if err != nil {
			return "", fmt.Errorf("make a signing secret: %w", err)
		}
		return made, nil
	}
	if err := webhook.CheckSecret(Scheme, given); err != nil {
		return "", fmt.Errorf("check the signing secret: %w", err)
	}
	return given, nil
}
