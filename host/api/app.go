package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/app"
	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/token"
)

// exampleApp is an app as most providers want it.
const exampleApp = `{"name":"github","provider":"github","client_id":"Iv1.example","secret":{"client_secret":"example"},"scopes":["repo"]}`

// appRoutes are those of tenants' apps, and the same of the operator's.
func appRoutes() []route {
	all := tenantAppRoutes()
	for _, own := range slices.Clone(all) {
		rt := own
		rt.Path, rt.Reach = strings.Replace(own.Path, "/tenants/{tenant}", "", 1), operated
		rt.Summary = strings.NewReplacer("a tenant's own", "the operator's, for all tenants", "that a tenant may connect with", "that all tenants may connect with").Replace(own.Summary)
		switch own.ID {
		case "listApps":
			rt.ID, rt.bind, rt.Description = "listOperatorApps", handle((*server).listOperatorApps), "Without their secrets, which nothing returns."
		case "createApp":
			rt.ID, rt.bind = "createOperatorApp", handle((*server).createOperatorApp)
		case "getApp":
			rt.ID, rt.bind, rt.Summary = "getOperatorApp", handle((*server).getOperatorApp), "Show an OAuth app of the operator's"
		case "updateApp":
			rt.ID, rt.bind = "updateOperatorApp", handle((*server).updateOperatorApp)
		case "deleteApp":
			rt.ID, rt.bind = "deleteOperatorApp", handle((*server).deleteOperatorApp)
		}
		all = append(all, rt)
	}
	return all
}

const (
	changesApp = "What is left out stays as it is. Whoever changes the client id or the variables gives the secret again: they say where it goes."
	deletesApp = "Its secret is forgotten. Refused while there are connections that were made with it: they could not be refreshed, nor revoked."
)

func tenantAppRoutes() []route {
	const all, one = "/v1/tenants/{tenant}/oauth-apps", "/v1/tenants/{tenant}/oauth-apps/{app}"
	return []route{
		{
			Method: http.MethodGet, Path: all, Reach: owned, Scope: token.Read, ID: "listApps", Tag: "oauth-apps",
			Summary: "List the OAuth apps that a tenant may connect with", Description: "Its own, and the operator's: of these their names, titles, providers and scopes.",
			bind: handle((*server).listApps),
		},
		{
			Method: http.MethodPost, Path: all, Reach: owned, Scope: token.Admin, ID: "createApp", Tag: "oauth-apps",
			Summary: "Add an OAuth app of a tenant's own", Status: http.StatusCreated, Secret: true,
			Description: "An app is a client that is registered with a provider, for the redirect URI that getProvider says. Its secret is sealed before it is stored, and goes to that provider's endpoints only: secret_goes_to has their hosts, which are whoever's who wrote the descriptor. A tenant's own comes before one of the operator's of the same name. All that is wrong is named at once.",
			Example:     exampleApp, bind: handle((*server).createApp),
		},
		{
			Method: http.MethodGet, Path: one, Reach: owned, Scope: token.Read, ID: "getApp", Tag: "oauth-apps",
			Summary: "Show an OAuth app", Description: "Without its secret.", bind: handle((*server).getApp),
		},
		{
			Method: http.MethodPatch, Path: one, Reach: owned, Scope: token.Admin, ID: "updateApp", Tag: "oauth-apps",
			Summary: "Change an OAuth app of a tenant's own", Description: changesApp, Secret: true, Example: `{"title":"GitHub"}`, bind: handle((*server).updateApp),
		},
		{
			Method: http.MethodDelete, Path: one, Reach: owned, Scope: token.Admin, ID: "deleteApp", Tag: "oauth-apps",
			Summary: "Delete an OAuth app of a tenant's own", Description: deletesApp, Status: http.StatusNoContent, Refuses: []int{http.StatusConflict}, bind: handle((*server).deleteApp),
		},
	}
}

type appSecretBody struct {
	ClientSecret string `json:"client_secret,omitempty" writeOnly:"true" doc:"The client secret that the provider has given."`
	PrivateKey   string `json:"private_key,omitempty" writeOnly:"true" doc:"A private key, in PEM: what the client signs with, or its certificate's."`
	KeyID        string `json:"key_id,omitempty" writeOnly:"true" doc:"What the provider knows the key as."`
	Certificate  string `json:"certificate,omitempty" writeOnly:"true" doc:"The client's certificate with its chain, in PEM."`
}

type appBody struct {
	Name       string            `json:"name" doc:"Unique among the tenant's apps, or the operator's." example:"github"`
	Title      string            `json:"title,omitempty" doc:"What users read."`
	Provider   string            `json:"provider,omitempty" doc:"The provider that it is registered with; see listProviders. Not needed with a descriptor, or with a plugin that describes one." example:"github"`
	Descriptor json.RawMessage   `json:"descriptor,omitempty" doc:"The descriptor of a provider that the host does not have. The app keeps a copy."`
	Plugin     string            `json:"plugin,omitempty" doc:"A plugin whose manifest describes the provider: name, publisher/name, name@version, or an id. The app keeps a copy of the descriptor, whatever later versions say, and connects accounts for this plugin alone." example:"acme-crm"`
	ClientID   string            `json:"client_id" doc:"The client's id at the provider." example:"Iv1.example"`
	Secret     appSecretBody     `json:"secret,omitzero" doc:"How the client proves who it is, in the properties that the provider wants."`
	Scopes     []string          `json:"scopes,omitempty" doc:"What is asked for of all who connect. Defaults to the provider's."`
	Variables  map[string]string `json:"variables,omitempty" doc:"Values of the provider's variables that are the same for all who connect."`
	Grant      string            `json:"grant,omitempty" doc:"How tokens are got: one of the provider's grant types. Defaults to the first of them."`
}

func (b appBody) spec() app.Spec {
	return app.Spec{
		Name: b.Name, Title: b.Title, Provider: b.Provider, Descriptor: b.Descriptor, Plugin: b.Plugin, ClientID: b.ClientID,
		Secret: oauth.Secret(b.Secret), Scopes: b.Scopes, Variables: b.Variables, Grant: b.Grant,
	}
}

type appChange struct {
	Name      *string            `json:"name,omitempty" doc:"Another name."`
	Title     *string            `json:"title,omitempty" doc:"Another title."`
	Scopes    *[]string          `json:"scopes,omitempty" nullable:"false" doc:"Other scopes, instead of all that there are."`
	ClientID  *string            `json:"client_id,omitempty" doc:"Another client id, with its secret."`
	Variables *map[string]string `json:"variables,omitempty" doc:"Other variables, instead of all that there are, with the secret."`
	Secret    *appSecretBody     `json:"secret,omitempty" doc:"Another secret. Requests that begin from now on use it."`
}

func (b appChange) change() app.Change {
	c := app.Change{Name: b.Name, Title: b.Title, Scopes: b.Scopes, ClientID: b.ClientID, Variables: b.Variables}
	if b.Secret != nil {
		secret := oauth.Secret(*b.Secret)
		c.Secret = &secret
	}
	return c
}

type createOperatorAppInput struct{ Body appBody }

type updateOperatorAppInput struct {
	param.OneOperatorApp
	Body appChange
}

// shownApp answers with an app and with what follows from it.
func (s *server) shownApp(a app.App, err error) (*answer[app.Shown], error) {
	if err != nil {
		return nil, err
	}
	return answered(s.h.Apps.Show(a), nil)
}

func (s *server) shownApps(all []app.App, err error) (*answer[page[app.Shown]], error) {
	shown := make([]app.Shown, len(all))
	for i, a := range all {
		shown[i] = s.h.Apps.Show(a)
	}
	return listed(shown, err)
}

func (s *server) listOperatorApps(ctx context.Context, _ *struct{}) (*answer[page[app.Shown]], error) {
	return s.shownApps(s.h.Apps.List(ctx, app.Operator))
}

func (s *server) createOperatorApp(ctx context.Context, in *createOperatorAppInput) (*answer[app.Shown], error) {
	return s.shownApp(s.h.Apps.Create(ctx, app.Operator, in.Body.spec()))
}

func (s *server) getOperatorApp(ctx context.Context, in *param.OneOperatorApp) (*answer[app.Shown], error) {
	return s.shownApp(s.h.Apps.Get(ctx, app.Operator, in.App))
}

func (s *server) updateOperatorApp(ctx context.Context, in *updateOperatorAppInput) (*answer[app.Shown], error) {
	return s.shownApp(s.h.Apps.Update(ctx, app.Operator, in.App, in.Body.change()))
}

func (s *server) deleteOperatorApp(ctx context.Context, in *param.OneOperatorApp) (*nothing, error) {
	return nil, s.h.Apps.Delete(ctx, app.Operator, in.App)
}

type createAppInput struct {
	param.InTenant
	Body appBody
}

type updateAppInput struct {
	param.OneApp
	Body appChange
}

func (s *server) listApps(ctx context.Context, _ *param.InTenant) (*answer[page[app.Shown]], error) {
	all, err := s.shownApps(s.h.Apps.List(ctx, tenantOf(ctx)))
	if err != nil {
		return nil, err
	}
	for i, a := range all.Body.Items {
		all.Body.Items[i] = a.Seen()
	}
	return all, nil
}

func (s *server) createApp(ctx context.Context, in *createAppInput) (*answer[app.Shown], error) {
	return s.shownApp(s.h.Apps.Create(ctx, tenantOf(ctx), in.Body.spec()))
}

func (s *server) getApp(ctx context.Context, in *param.OneApp) (*answer[app.Shown], error) {
	shown, err := s.shownApp(s.h.Apps.Get(ctx, tenantOf(ctx), in.App))
	if err != nil {
		return nil, err
	}
	shown.Body = shown.Body.Seen()
	return shown, nil
}

func (s *server) updateApp(ctx context.Context, in *updateAppInput) (*answer[app.Shown], error) {
	return s.shownApp(s.h.Apps.Update(ctx, tenantOf(ctx), in.App, in.Body.change()))
}

func (s *server) deleteApp(ctx context.Context, in *param.OneApp) (*nothing, error) {
	return nil, s.h.Apps.Delete(ctx, tenantOf(ctx), in.App)
}
