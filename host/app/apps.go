package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
	"github.com/cofferdam-run/cofferdam/host/vault"
)

// Config configures Apps.
type Config struct {
	Store Store
	Vault *vault.Vault
	// Client asks issuers for their metadata, and makes lookups.
	Client *oauth.Client
	// Providers are those that apps may be registered with.
	Providers provider.Set
	// PublicURL is where users' browsers reach the host, without a slash at its end.
	PublicURL string
	// Described finds a provider's descriptor in the manifest of a plugin that the tenant
	// sees, or the operator. Defaults to finding none.
	Described func(ctx context.Context, tenant, plugin, provider string) (Described, error)
	Now       func() time.Time
}

// Apps are OAuth clients. They are safe for concurrent use.
type Apps struct{ c Config }

// New returns Apps.
func New(c Config) *Apps {
	if c.Described == nil {
		c.Described = func(_ context.Context, _, plugin, _ string) (Described, error) {
			return Described{}, fault.NotFound("plugin", plugin).At("/plugin")
		}
	}
	c.PublicURL = strings.TrimSuffix(c.PublicURL, "/")
	return &Apps{c: c}
}

// Providers are those that apps may be registered with.
func (s *Apps) Providers(context.Context) provider.Set { return s.c.Providers }

// RedirectURI is where a provider that the host has sends users back: an address of its own
// for each (https://www.rfc-editor.org/rfc/rfc9700#section-4.4.2).
// It is empty if the host does not know where it is.
func (s *Apps) RedirectURI(provider string) string {
	if s.c.PublicURL == "" {
		return ""
	}
	return s.c.PublicURL + "/oauth/callback/" + provider
}

// Shown is an app with what follows from it.
type Shown struct {
	App

	// RedirectURI is to be registered with the provider.
	RedirectURI string `json:"redirect_uri,omitempty"`
	// SecretGoesTo are the hosts of the provider's endpoints and of its lookups, where the
	// client proves itself and tokens come from, and TokensGoTo those of its API. What a
	// user enters is in braces.
	SecretGoesTo []string `json:"secret_goes_to,omitempty"`
	TokensGoTo   []string `json:"tokens_go_to,omitempty"`
}

// Seen is s as a tenant sees it, see App.Seen.
func (s Shown) Seen() Shown {
	if s.Tenant == Operator {
		return Shown{App: s.App.Seen()}
	}
	return s
}

// Show is what people are shown of an app. Of one whose provider cannot be read any more,
// with which nothing can be done, it shows the app alone.
func (s *Apps) Show(a App) Shown {
	shown := Shown{App: a}
	if p, err := s.providerOf(a); err == nil {
		shown.RedirectURI = s.redirectURI(a)
		shown.SecretGoesTo, shown.TokensGoTo = p.Places(a.Variables)
	}
	return shown
}

// Create seals a secret and keeps the app, of a tenant or of the Operator. A spec that is
// wrong is an InvalidInput fault that names all that is wrong with it.
func (s *Apps) Create(ctx context.Context, tenant string, spec Spec) (App, error) {
	p, from, err := s.described(ctx, tenant, spec)
	if err != nil {
		// With what else is wrong, as far as that can be told without the provider.
		return App{}, invalid(append(problemsOf(err), nameProblems(spec)...), err)
	}
	now := s.c.Now()
	a := App{
		ID: ident.New(ident.App, now), Tenant: tenant, Name: spec.Name, Title: spec.Title,
		Provider: p.Name, Descriptor: from.descriptor, Plugin: from.plugin, Callback: from.callback,
		ClientID: spec.ClientID, Scopes: slices.Clone(spec.Scopes), Variables: maps.Clone(spec.Variables), Grant: spec.Grant,
		Shared: tenant == Operator, Version: 1, CreatedAt: now, UpdatedAt: now,
	}
	if a.Grant == "" {
		a.Grant = p.Grant[0]
	}
	if a.Scopes == nil {
		a.Scopes = append([]string{}, p.Scopes.Default...)
	}
	if err := check(&a, spec.Secret, p); err != nil {
		return App{}, err
	}
	sealed, err := s.seal(ctx, a, spec.Secret)
	if err != nil {
		return App{}, err
	}
	if err := s.c.Store.InsertApp(ctx, a, sealed); err != nil {
		return App{}, fmt.Errorf("store app %s: %w", a.Name, err)
	}
	return a, nil
}

// Get finds an app by id or name: the tenant's own, or else the operator's.
func (s *Apps) Get(ctx context.Context, tenant, idOrName string) (App, error) {
	a, err := s.c.Store.App(ctx, tenant, idOrName)
	if isNotFound(err) && tenant != Operator {
		// The error is the tenant's: that there is an operator's is nobody's business.
		if shared, other := s.c.Store.App(ctx, Operator, idOrName); !isNotFound(other) {
			a, err = shared, other
		}
	}
	if err != nil {
		return App{}, fmt.Errorf("find app: %w", err)
	}
	return a, nil
}

// List lists the apps that a tenant may connect with: its own, and the operator's.
func (s *Apps) List(ctx context.Context, tenant string) ([]App, error) {
	all, err := s.c.Store.Apps(ctx, tenant)
	if err == nil && tenant != Operator {
		var shared []App
		shared, err = s.c.Store.Apps(ctx, Operator)
		all = append(all, shared...)
	}
	if err != nil {
		return nil, fmt.Errorf("list apps: %w", err)
	}
	return all, nil
}

// Update changes a tenant's own app, or one of the Operator's, named by id or name.
func (s *Apps) Update(ctx context.Context, tenant, idOrName string, c Change) (App, error) {
	a, secret, err := s.own(ctx, tenant, idOrName)
	if err != nil {
		return App{}, err
	}
	p, err := s.providerOf(a)
	if err != nil {
		return App{}, err
	}
	moved := c.apply(&a)
	if moved != "" && c.Secret == nil {
		return App{}, fault.New(fault.InvalidInput, codeInvalid, "%s says where the secret goes and what it is for: give the secret with it", strings.TrimPrefix(moved, "/")).
			At("/secret").WithHint("Whoever may change an app, and does not know its secret, could have it sent elsewhere otherwise.")
	}
	if c.Secret != nil {
		secret = *c.Secret
	}
	if err := check(&a, secret, p); err != nil {
		return App{}, err
	}
	return s.save(ctx, a, secret)
}

// apply changes a, and says what of it moves the secret.
func (c Change) apply(a *App) (moved string) {
	if c.Name != nil {
		a.Name = *c.Name
	}
	if c.Title != nil {
		a.Title = *c.Title
	}
	if c.Scopes != nil {
		a.Scopes = append([]string{}, *c.Scopes...)
	}
	if c.ClientID != nil && *c.ClientID != a.ClientID {
		a.ClientID, moved = *c.ClientID, "/client_id"
	}
	if c.Variables != nil && !maps.Equal(*c.Variables, a.Variables) {
		a.Variables, moved = maps.Clone(*c.Variables), "/variables"
	}
	return moved
}

// ReplaceSecret seals another secret. Requests that begin from now on use it.
func (s *Apps) ReplaceSecret(ctx context.Context, tenant, idOrName string, secret oauth.Secret) (App, error) {
	return s.Update(ctx, tenant, idOrName, Change{Secret: &secret})
}

// Delete forgets an app and its secret. It is refused while there are authorizations that
// were made with it: they could not be refreshed, nor revoked.
func (s *Apps) Delete(ctx context.Context, tenant, idOrName string) error {
	a, err := s.c.Store.App(ctx, tenant, idOrName)
	if err != nil {
		return fmt.Errorf("find app: %w", err)
	}
	if err := s.c.Store.DeleteApp(ctx, tenant, a.ID); err != nil {
		return fmt.Errorf("delete app %s: %w", a.Name, err)
	}
	return nil
}

func (s *Apps) redirectURI(a App) string { return s.RedirectURI(cmp.Or(a.Callback, a.Provider)) }

// own finds an app that the tenant may change, with its secret.
func (s *Apps) own(ctx context.Context, tenant, idOrName string) (App, oauth.Secret, error) {
	a, err := s.c.Store.App(ctx, tenant, idOrName)
	if err != nil {
		return App{}, oauth.Secret{}, fmt.Errorf("find app: %w", err)
	}
	return s.open(vault.Using(ctx, vault.Use{Purpose: "change of an app"}), a)
}

// save writes a as its next version. The secret is sealed anew with every version, because
// it is bound to it: an old one that is put back opens no more.
func (s *Apps) save(ctx context.Context, a App, secret oauth.Secret) (App, error) {
	a.Version++
	a.UpdatedAt = s.c.Now()
	sealed, err := s.seal(ctx, a, secret)
	if err != nil {
		return App{}, err
	}
	if err := s.c.Store.UpdateApp(ctx, a, sealed); err != nil {
		return App{}, fmt.Errorf("update app %s: %w", a.Name, err)
	}
	return a, nil
}

func (s *Apps) seal(ctx context.Context, a App, secret oauth.Secret) ([]byte, error) {
	plaintext, err := json.Marshal(secret) //nolint:gosec // To be sealed, on the next line.
	if err != nil {
		return nil, fmt.Errorf("encode the secret of app %s: %w", a.Name, err)
	}
	defer clear(plaintext)
	sealed, err := s.c.Vault.Seal(ctx, fieldOf(a), plaintext)
	if err != nil {
		return nil, fmt.Errorf("seal the secret of app %s: %w", a.Name, err)
	}
	return sealed, nil
}

// open reads an app again, with its secret.
func (s *Apps) open(ctx context.Context, a App) (App, oauth.Secret, error) {
	a, sealed, err := s.c.Store.SealedApp(ctx, a.Tenant, a.ID)
	if err != nil {
		return App{}, oauth.Secret{}, fmt.Errorf("find app: %w", err)
	}
	plaintext, err := s.c.Vault.Open(ctx, fieldOf(a), sealed)
	if err != nil {
		return App{}, oauth.Secret{}, fmt.Errorf("open the secret of app %s: %w", a.ID, err)
	}
	defer clear(plaintext)
	var secret oauth.Secret
	if json.Unmarshal(plaintext, &secret) != nil {
		// Without the error, which may quote what it met.
		return App{}, oauth.Secret{}, fmt.Errorf("decode the secret of app %s: it is not one", a.ID)
	}
	return a, secret, nil
}

func fieldOf(a App) vault.Field {
	return vault.Field{Tenant: a.Tenant, Table: "oauth_apps", Record: a.ID, Name: "secret", Version: a.Version}
}

func isNotFound(err error) bool {
	f, ok := errors.AsType[*fault.Error](err)
	return ok && f.Code == fault.CodeNotFound
}
