package connect

import (
	"context"

	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
)

// Apps are the clients that are registered with providers.
type Apps interface {
	// App finds one of a tenant's, or one that is for all, by id or name.
	App(ctx context.Context, tenant, idOrName string) (App, error)
	// AppsOf are those that a tenant may use with a provider.
	AppsOf(ctx context.Context, tenant, provider string) ([]App, error)
	// Registration is an app at its provider, with the variables that are known.
	Registration(ctx context.Context, tenant, app string, variables map[string]string) (Registered, error)
	// Look asks the provider what a connection needs to know of a new token's account,
	// until all is known or there are Choices.
	Look(ctx context.Context, tenant, app string, l Look) (Look, error)
}

// App is a client that is registered with a provider.
type App struct {
	ID, Name, Title string
	Provider        provider.Provider
	// Plugin is the id of the one whose descriptor of the provider it is: the app is for
	// no other. It is empty for a provider that no plugin describes.
	Plugin string
	// Scopes are what it asks for, and Grant how it gets tokens.
	Scopes []string
	Grant  string
	// Inputs are those of the provider's variables that each user enters.
	Inputs map[string]provider.Variable
}

// Registered is an app at its provider.
type Registered struct {
	oauth.Registration

	Provider provider.Resolved
}

// Look is how far an account is known. As JSON it is whole, to be sealed: it has the
// token.
type Look struct {
	Token     oauth.Token       `json:"token"`
	Variables map[string]string `json:"variables,omitempty"`
	// Looked counts what the provider was asked.
	Looked int `json:"looked,omitempty"`
	// Choices are of what comes next: the user selects one, and Variables and Looked go on.
	Choices []Item `json:"choices,omitempty"`
}

// Item is one of several that a consent is for.
type Item struct {
	Label     string            `json:"label"`
	Variables map[string]string `json:"variables,omitempty"`
}
