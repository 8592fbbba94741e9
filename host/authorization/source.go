package authorization

import (
	"context"

	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
)

// Source resolves what an authorization was made with: who it is registered as, and
// where.
type Source interface {
	// Registration is the registration of an app, the tenant's or else the operator's,
	// with a provider's variables filled in.
	Registration(ctx context.Context, tenant, app string, variables map[string]string) (Registered, error)
}

// Registered is an app at its provider, resolved.
type Registered struct {
	oauth.Registration

	// App is its id.
	App string
	// Provider says how the API takes a token and at which hosts, what becomes of
	// refresh tokens, and which Lookups there are.
	Provider provider.Resolved
}

// Lookup makes those of a provider's Lookups that are made after each refresh. It
// returns the token and the variables as they are then.
type Lookup func(ctx context.Context, r Registered, token oauth.Token, variables map[string]string) (oauth.Token, map[string]string, error)
