package api

import (
	"context"
	"net/http"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/token"
)

func connectionRoutes() []route {
	const all, one = "/v1/tenants/{tenant}/connections", "/v1/tenants/{tenant}/connections/{connection}"
	return []route{
		{
			Method: http.MethodGet, Path: all, Reach: owned, Scope: token.Read, ID: "listConnections", Tag: "connections",
			Summary: "List connections", Description: "Without their credentials, which nothing returns.",
			bind: handle((*server).listConnections),
		},
		{
			Method: http.MethodPost, Path: all, Reach: owned, Scope: token.Admin, ID: "createConnection", Tag: "connections",
			Summary: "Connect an account", Status: http.StatusCreated, Secret: true,
			Description: "The credential is sealed before it is stored, and added to a request only when that is dialled. It goes to the hosts that are named here and to no other.",
			Example:     `{"name":"github","type":"bearer","hosts":["api.github.com"],"credential":{"token":"ghp_example"}}`,
			bind:        handle((*server).createConnection),
		},
		{
			Method: http.MethodGet, Path: one, Reach: owned, Scope: token.Read, ID: "getConnection", Tag: "connections",
			Summary: "Show a connection", Description: "Without its credential.", bind: handle((*server).getConnection),
		},
		{
			Method: http.MethodPut, Path: one + "/credential", Reach: owned, Scope: token.Admin, ID: "replaceCredential", Tag: "connections",
			Summary: "Replace a connection's credential", Description: "Calls that begin from now on use the new one.",
			Example: `{"token":"ghp_another"}`, bind: handle((*server).replaceCredential),
		},
		{
			Method: http.MethodDelete, Path: one, Reach: owned, Scope: token.Admin, ID: "deleteConnection", Tag: "connections",
			Summary: "Delete a connection", Description: "Its credential is forgotten. Installations that were granted it can no longer use it.",
			Status: http.StatusNoContent, Refuses: []int{http.StatusConflict}, bind: handle((*server).deleteConnection),
		},
	}
}

type credentialBody struct {
	Token    string `json:"token,omitempty" writeOnly:"true" doc:"A bearer token."`
	Username string `json:"username,omitempty" writeOnly:"true" doc:"The user name of basic authentication."`
	Password string `json:"password,omitempty" writeOnly:"true" doc:"The password of basic authentication."`
	Key      string `json:"key,omitempty" writeOnly:"true" doc:"An API key."`
}

func (s *server) listConnections(ctx context.Context, _ *param.InTenant) (*answer[page[connection.Connection]], error) {
	return listed(s.h.Connections.List(ctx, tenantOf(ctx)))
}

type createConnectionInput struct {
	param.InTenant
	Body struct {
		Name       string         `json:"name" doc:"Unique among the tenant's connections. Plugins are granted it under the names that they use." example:"github"`
		Type       string         `json:"type" enum:"bearer,basic,api_key" doc:"How the credential is presented."`
		Hosts      []string       `json:"hosts" nullable:"false" doc:"The only hosts that it is sent to, each with an optional port."`
		Header     string         `json:"header,omitempty" doc:"The header that an API key goes in."`
		Query      string         `json:"query,omitempty" doc:"The query parameter that an API key goes in, instead of a header."`
		Credential credentialBody `json:"credential" doc:"The secret part, in the properties that the type has."`
	}
}

func (s *server) createConnection(ctx context.Context, in *createConnectionInput) (*answer[connection.Connection], error) {
	return answered(s.h.Connections.Create(ctx, tenantOf(ctx), connection.Spec{
		Name: in.Body.Name, Type: connection.Type(in.Body.Type), Hosts: in.Body.Hosts,
		Header: in.Body.Header, Query: in.Body.Query, Credential: connection.Credential(in.Body.Credential),
	}))
}

func (s *server) getConnection(ctx context.Context, in *param.OneConnection) (*answer[connection.Connection], error) {
	return answered(s.h.Connections.Get(ctx, tenantOf(ctx), in.Connection))
}

type replaceCredentialInput struct {
	param.OneConnection
	Body credentialBody
}

func (s *server) replaceCredential(ctx context.Context, in *replaceCredentialInput) (*answer[connection.Connection], error) {
	c, err := s.h.Connections.Get(ctx, tenantOf(ctx), in.Connection)
	if err != nil {
		return nil, err
	}
	return answered(s.h.Connections.Replace(ctx, tenantOf(ctx), c.ID, connection.Credential(in.Body)))
}

func (s *server) deleteConnection(ctx context.Context, in *param.OneConnection) (*nothing, error) {
	c, err := s.h.Connections.Get(ctx, tenantOf(ctx), in.Connection)
	if err != nil {
		return nil, err
	}
	return nil, s.h.Connections.Delete(ctx, tenantOf(ctx), c.ID)
}
