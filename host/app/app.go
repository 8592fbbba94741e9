// Package app keeps OAuth clients.
//
// Provider = an authorization server and its quirks, as data. App = an OAuth client
// registered with a provider (client_id, secret), the operator's (for all tenants) or a
// tenant's own. Authorization = what a user agreed to: the tokens of one connection, kept
// and refreshed.
//
//	apps := app.New(app.Config{Store: db, Vault: vault, Client: client, Providers: set, PublicURL: "https://acme.example"})
//	a, err := apps.Create(ctx, app.Operator, app.Spec{Name: "github", Provider: "github", ClientID: id, Secret: secret})
//	r, err := apps.Registration(ctx, tenant, a.ID, variables) // for package oauth
//	done, err := apps.Look(ctx, tenant, a.ID, app.Visit{Token: token, Variables: variables})
//
// # Whose they are
//
// The operator's apps are sealed under a tenant that exists for nothing else. No list
// shows it, no token reaches it, and it cannot be deleted. A name is looked for among the
// tenant's own apps first, and then among the operator's.
//
// # Where a secret goes
//
// A client's secret goes to the endpoints that its app was made with, and to no others:
//
//   - The descriptor of a provider that does not come with the program is copied into the
//     app. Whoever changes its file, or uploads another version of a plugin, moves nothing.
//   - Whoever makes an app, or looks at one, is shown the hosts that its secret and its
//     tokens go to (Apps.Show): they may be a stranger's, who wrote the descriptor.
//   - What a plugin's descriptor says is for that plugin: its name may be another's too.
//   - No two authorization servers have one redirect URI, whoever describes them, and by
//     whatever name: none can have what another gave.
//   - A variable that may name any host is the app's, and not a user's to enter.
//   - Whoever changes an app's client id or variables gives the secret again: who may
//     change it, but did not know the secret, cannot have it sent elsewhere.
package app

import (
	"context"
	"encoding/json"
	"time"

	"github.com/cofferdam-run/cofferdam/host/oauth"
)

// Operator is the tenant under which the operator's apps are kept and sealed.
const Operator = "ten_00000000000000000000000000"

// App is an OAuth client that is registered with a provider, without its secret.
type App struct {
	ID string `json:"id"`
	// Tenant is whose it is, or Operator.
	Tenant string `json:"tenant,omitempty"`
	// Name is unique among the tenant's apps.
	Name string `json:"name"`
	// Title is what users read.
	Title    string `json:"title,omitempty"`
	Provider string `json:"provider"`
	// Descriptor is the provider's, if that does not come with the program, and Plugin
	// where it is from, if a plugin's manifest has it.
	Descriptor json.RawMessage `json:"descriptor,omitempty"`
	Plugin     *Origin         `json:"plugin,omitempty"`
	// Callback is the last part of its redirect URI.
	Callback string `json:"-"`
	ClientID string `json:"client_id,omitempty"`
	// Scopes are asked for of all who connect.
	Scopes []string `json:"scopes"`
	// Variables are the provider's that are the same for all who connect.
	Variables map[string]string `json:"variables,omitempty"`
	// Grant is how tokens are got, one of the provider's.
	Grant string `json:"grant"`
	// Shared says that it is the operator's, for all tenants.
	Shared bool `json:"shared,omitempty"`
	// Version counts the app's changes, from 1.
	Version   int64     `json:"version"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Origin is the version of a plugin that a descriptor is copied from.
type Origin struct {
	// ID is the plugin's: an app connects accounts for no other one.
	ID      string `json:"id"`
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Described is a descriptor in a plugin's manifest.
type Described struct {
	Descriptor json.RawMessage
	Origin     Origin
}

// Seen is a as a tenant sees it: of the operator's apps what it needs to connect with one.
func (a App) Seen() App {
	if a.Tenant == Operator {
		a.Tenant, a.ClientID, a.Descriptor, a.Plugin, a.Variables = "", "", nil, nil, nil
	}
	return a
}

// Spec asks for an app. Logged, it leaves its secret out.
type Spec struct {
	// Name is what tenants call it: [a-zA-Z][a-zA-Z0-9_.-]{0,62}, not beginning as ids do.
	Name  string `json:"name"`
	Title string `json:"title,omitempty"`
	// Provider is one that the host knows, or that of Descriptor.
	Provider string `json:"provider"`
	// Descriptor is one of the caller's own, as package provider reads it.
	Descriptor json.RawMessage `json:"descriptor,omitempty"`
	// Plugin has Provider in its manifest, which is copied from there: one that the tenant
	// sees, by its name or that of a version, as package registry reads them.
	Plugin   string       `json:"plugin,omitempty"`
	ClientID string       `json:"client_id"`
	Secret   oauth.Secret `json:"secret"`
	// Scopes default to the provider's.
	Scopes    []string          `json:"scopes,omitempty"`
	Variables map[string]string `json:"variables,omitempty"`
	// Grant defaults to the provider's first.
	Grant string `json:"grant,omitempty"`
}

// Change changes what is not nil.
type Change struct {
	Name, Title *string
	Scopes      *[]string
	// ClientID and Variables want the Secret with them.
	ClientID  *string
	Variables *map[string]string
	Secret    *oauth.Secret
}

// Store keeps apps and their sealed secrets. Another tenant's app is fault.NotFound.
type Store interface {
	// InsertApp returns a Conflict fault if the name is taken.
	InsertApp(ctx context.Context, a App, sealed []byte) error
	// App finds by id or name.
	App(ctx context.Context, tenant, idOrName string) (App, error)
	Apps(ctx context.Context, tenant string) ([]App, error)
	// SealedApp returns the app by id with its sealed secret.
	SealedApp(ctx context.Context, tenant, id string) (App, []byte, error)
	// UpdateApp replaces it where its version is a.Version-1, or returns a Conflict fault.
	UpdateApp(ctx context.Context, a App, sealed []byte) error
	// DeleteApp returns a Conflict fault with the code app_in_use while there are
	// authorizations that were made with it.
	DeleteApp(ctx context.Context, tenant, id string) error
}
