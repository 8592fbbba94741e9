package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
	"github.com/cofferdam-run/cofferdam/host/token"
)

func providerRoutes() []route {
	return []route{
		{
			Method: http.MethodGet, Path: "/v1/providers", Reach: viewed, Scope: token.Read, ID: "listProviders", Tag: "oauth-apps",
			Summary: "List OAuth providers", Description: "Those that apps may be registered with, by name. A plugin's manifest may have others, and an app its own.",
			bind: handle((*server).listProviders),
		},
		{
			Method: http.MethodGet, Path: "/v1/providers/{provider}", Reach: viewed, Scope: token.Read, ID: "getProvider", Tag: "oauth-apps",
			Summary: "Show an OAuth provider", Description: "What it asks for, in what it differs from the standards, and the vendor's pages that this is from.",
			bind: handle((*server).getProvider),
		},
	}
}

// providerView is a provider as whoever registers an app with it, or connects, needs it.
type providerView struct {
	Name        string          `json:"name" doc:"What apps call it."`
	Title       string          `json:"title" doc:"What people call it."`
	Grants      []string        `json:"grants" nullable:"false" doc:"How tokens are got."`
	Docs        []string        `json:"docs" nullable:"false" doc:"The vendor's pages that this is from."`
	Quirks      []string        `json:"quirks" nullable:"false" doc:"In what it differs from the standards' defaults, and what else is to be known."`
	Scopes      []string        `json:"default_scopes" nullable:"false" doc:"What is asked for if an app names none."`
	NeedsScope  bool            `json:"needs_scope" doc:"Whether it refuses a request without a scope."`
	Hosts       []string        `json:"hosts" nullable:"false" doc:"Where its tokens are sent. Names in braces are variables."`
	Auth        string          `json:"token_endpoint_auth_method" doc:"How a client proves who it is."`
	Form        json.RawMessage `json:"form" doc:"What is entered by whoever connects an account: a JSON Schema, for a form."`
	AppForm     json.RawMessage `json:"app_form" doc:"What is entered by whoever registers an app: a JSON Schema, for a form. An app may have values of the other form, too."`
	RedirectURI string          `json:"redirect_uri,omitempty" doc:"What is to be registered with it as the redirect URI of apps. Empty if the host does not know its own address."`
}

func (s *server) viewOf(p provider.Provider) providerView {
	some := func(texts []string) []string { return append([]string{}, texts...) }
	return providerView{
		Name: p.Name, Title: p.Title, Grants: some(p.Grant), Docs: some(p.Docs), Quirks: some(p.Quirks()), Scopes: some(p.Scopes.Default),
		NeedsScope: p.Scopes.Required, Hosts: some(p.Hosts), Auth: p.TokenAuth, Form: p.Form("account", nil), AppForm: p.Form("app", nil),
		RedirectURI: s.h.Apps.RedirectURI(p.Name),
	}
}

func (s *server) listProviders(ctx context.Context, _ *struct{}) (*answer[page[providerView]], error) {
	all := s.h.Apps.Providers(ctx).All()
	views := make([]providerView, len(all))
	for i, p := range all {
		views[i] = s.viewOf(p)
	}
	return listed(views, nil)
}

type oneProvider struct {
	Provider string `path:"provider" doc:"The provider's name." example:"github"`
}

func (s *server) getProvider(ctx context.Context, in *oneProvider) (*answer[providerView], error) {
	p, err := s.h.Apps.Providers(ctx).Provider(in.Provider)
	if f, ok := errors.AsType[*fault.Error](err); ok {
		missing := fault.NotFound("provider", in.Provider) // With the name that is almost so.
		return nil, missing.WithHint("%s", f.Hint)
	}
	return answered(s.viewOf(p), err)
}
