package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/fault"
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
			Description: "The credential is sealed before it is stored, and added to a request only when that is dialled. It goes to the hosts that are named here and to no other. " +
				"With the type oauth2 and an app that needs no user (client_credentials or jwt_bearer), its token is asked for first: without one there is no connection. " +
				"Users connect theirs in connect sessions.",
			Example: `{"name":"github","type":"bearer","hosts":["api.github.com"],"credential":{"token":"ghp_example"}}`,
			bind:    handle((*server).createConnection),
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
			Method: http.MethodPut, Path: one + "/fields", Reach: owned, Scope: token.Admin, ID: "setConnectionFields", Tag: "connections",
			Summary: "Set a connection's fields", Description: "The body is a JSON object: what plugins that are granted the connection may know of the account. It must have what they ask for. Calls that begin from now on are told it.",
			Example: `{"account_id":"a-1"}`, bind: handle((*server).setConnectionFields),
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
	Key      string `json:"key,omitempty" writeOnly:"true" doc:"An API key, or the shared secret of an HMAC."`

	KeyEncoding     string `json:"key_encoding,omitempty" writeOnly:"true" doc:"What the shared secret is written in: base64, hex, or itself."`
	PrivateKey      string `json:"private_key,omitempty" writeOnly:"true" doc:"A private key, in PEM."`
	KeyID           string `json:"key_id,omitempty" writeOnly:"true" doc:"What the key is called in tokens that it signs."`
	Certificate     string `json:"certificate,omitempty" writeOnly:"true" doc:"A client's certificate with its chain, in PEM."`
	AccessKeyID     string `json:"access_key_id,omitempty" writeOnly:"true" doc:"An AWS access key's id."`
	SecretAccessKey string `json:"secret_access_key,omitempty" writeOnly:"true" doc:"Its secret."`
	SessionToken    string `json:"session_token,omitempty" writeOnly:"true" doc:"The token of an AWS credential that was lent."`
	Region          string `json:"region,omitempty" writeOnly:"true" doc:"The AWS region that is signed for."`
	Service         string `json:"service,omitempty" writeOnly:"true" doc:"The AWS service that is signed for."`
}

func (s *server) listConnections(ctx context.Context, _ *param.InTenant) (*answer[page[connection.Connection]], error) {
	return listed(s.h.Connections.List(ctx, tenantOf(ctx)))
}

type createConnectionInput struct {
	param.InTenant
	Body struct {
		Name       string          `json:"name" doc:"Unique among the tenant's connections. Plugins are granted it under the names that they use." example:"github"`
		Type       string          `json:"type" enum:"bearer,basic,api_key,hmac,private_key,aws_sigv4,client_certificate,oauth2" doc:"How the credential is presented."`
		Hosts      []string        `json:"hosts,omitempty" nullable:"false" doc:"The only hosts that it is sent to, each with an optional port. Of an oauth2 some of its provider's, and all of them if they are left out; all others need them."`
		Header     string          `json:"header,omitempty" doc:"The header that an API key goes in, or the HMAC of a request's body."`
		Query      string          `json:"query,omitempty" doc:"The query parameter that an API key goes in, instead of a header."`
		Fields     json.RawMessage `json:"fields,omitempty" doc:"What plugins that are granted it may know of the account: a JSON object with nothing secret in it."`
		Credential credentialBody  `json:"credential,omitzero" doc:"The secret part, in the properties that the type has. All but an oauth2 need it."`

		App       string            `json:"app,omitempty" doc:"The OAuth app of an oauth2, by id or name, that gets tokens for itself."`
		Grant     string            `json:"grant,omitempty" doc:"How it gets them, client_credentials or jwt_bearer. Defaults to the app's."`
		Variables map[string]string `json:"variables,omitempty" doc:"Values of the provider's variables that the app does not say."`
	}
}

func (s *server) createConnection(ctx context.Context, in *createConnectionInput) (*answer[connection.Connection], error) {
	if in.Body.Type == string(connection.OAuth2) {
		if in.Body.Credential != (credentialBody{}) {
			return nil, fault.New(fault.InvalidInput, "invalid_connection", "an oauth2 has no credential of its own: its app has one").At("/credential")
		}
		return answered(s.h.Connections.CreateMachine(ctx, tenantOf(ctx), connection.Machine{
			Name: in.Body.Name, App: in.Body.App, Grant: in.Body.Grant, Variables: in.Body.Variables, Hosts: in.Body.Hosts, Fields: in.Body.Fields,
		}))
	}
	if in.Body.App != "" || in.Body.Grant != "" || len(in.Body.Variables) > 0 {
		return nil, fault.New(fault.InvalidInput, "invalid_connection", "app, grant and variables are of the type oauth2").At("/type")
	}
	return answered(s.h.Connections.Create(ctx, tenantOf(ctx), connection.Spec{
		Name: in.Body.Name, Type: connection.Type(in.Body.Type), Hosts: in.Body.Hosts,
		Header: in.Body.Header, Query: in.Body.Query, Fields: in.Body.Fields, Credential: connection.Credential(in.Body.Credential),
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

type setFieldsInput struct {
	param.OneConnection
	Body json.RawMessage
}

func (s *server) setConnectionFields(ctx context.Context, in *setFieldsInput) (*answer[connection.Connection], error) {
	return answered(s.h.Connections.SetFields(ctx, tenantOf(ctx), in.Connection, in.Body))
}

func (s *server) deleteConnection(ctx context.Context, in *param.OneConnection) (*nothing, error) {
	c, err := s.h.Connections.Get(ctx, tenantOf(ctx), in.Connection)
	if err != nil {
		return nil, err
	}
	return nil, s.h.Connections.Delete(ctx, tenantOf(ctx), c.ID)
}
