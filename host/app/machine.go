package app

import (
	"context"
	"maps"
	"slices"

	"github.com/cofferdam-run/cofferdam/host/authorization"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/oauth"
)

const codeGrant = "grant_not_for_machines"

// Obtain gets a token that an app asks for itself, without a user, and what its provider
// tells of the account. An empty grant is the app's own. Nothing is kept of it: what comes
// lacks only its connection to be put into authorization.Authorizations.
//
// One whose grant needs a user is refused; so is an account that leaves a choice which the
// variables do not make.
func (s *Apps) Obtain(ctx context.Context, tenant, idOrName, grant string, variables map[string]string) (authorization.Registered, authorization.Obtained, error) {
	none := func(err error) (authorization.Registered, authorization.Obtained, error) {
		return authorization.Registered{}, authorization.Obtained{}, err
	}
	a, err := s.Get(ctx, tenant, idOrName)
	if isNotFound(err) {
		return none(fault.From(err).At("/app").WithHint("List the apps: GET /v1/tenants/%s/oauth-apps.", tenant))
	}
	if err != nil {
		return none(err)
	}
	if err := machines(a, grant); err != nil {
		return none(err)
	}
	r, err := s.Registration(ctx, tenant, a.ID, variables)
	if err != nil {
		return none(err)
	}
	token, err := s.ask(ctx, a, r.Registration)
	if err != nil {
		return none(err)
	}
	v, err := s.lookAlone(ctx, tenant, a.ID, Visit{Token: token, Variables: maps.Clone(variables)})
	if err != nil {
		return none(err)
	}
	if r, err = s.Registration(ctx, tenant, a.ID, v.Variables); err != nil {
		return none(err)
	}
	return r, authorization.Obtained{
		Tenant: tenant, App: a.ID, Provider: a.Provider, Token: v.Token, Variables: r.Provider.Values, Grant: a.Grant,
	}, nil
}

// machines refuses a grant that needs a user, or that is not the app's.
func machines(a App, grant string) error {
	if grant == "" {
		grant = a.Grant
	}
	switch {
	case grant != authorization.ClientCredentials && grant != authorization.JWTBearer:
		return fault.New(fault.InvalidInput, codeGrant, "the grant is %.64q, which needs a user to agree: without one there are %s and %s",
			grant, authorization.ClientCredentials, authorization.JWTBearer).At("/grant").
			WithHint(`Open a connect session, and send the user to its url: POST /v1/tenants/{tenant}/connect-sessions {"app":%q}.`, a.Name)
	case grant != a.Grant:
		return fault.New(fault.InvalidInput, codeGrant, "the grant is %.64q, and the app %s gets tokens by %s", grant, a.Name, a.Grant).At("/grant").
			WithHint("Leave the grant out, or create an app that is registered for it.")
	default:
		return nil
	}
}

// ask asks for a machine's token.
func (s *Apps) ask(ctx context.Context, a App, r oauth.Registration) (oauth.Token, error) {
	if a.Grant == authorization.JWTBearer {
		return s.c.Client.JWTBearer(ctx, r, oauth.Assertion{})
	}
	return s.c.Client.ClientCredentials(ctx, r)
}

// lookAlone is Look where nobody is there to choose: what the variables say is chosen.
func (s *Apps) lookAlone(ctx context.Context, tenant, app string, v Visit) (Visit, error) {
	said := v.Variables
	v, err := s.Look(ctx, tenant, app, v)
	for err == nil && len(v.Choices) > 0 {
		i := slices.IndexFunc(v.Choices, func(c oauth.Choice) bool { return maps.Equal(c.Learned, subset(said, c.Learned)) })
		if i < 0 {
			return Visit{}, fault.New(fault.InvalidInput, "choice_needed", "the account leaves a choice of %d", len(v.Choices)).At("/variables").
				WithHint("Say with variables which one is meant, or choose in a connect session.")
		}
		if v, err = v.Choose(i); err == nil {
			v, err = s.Look(ctx, tenant, app, v)
		}
	}
	return v, err
}
