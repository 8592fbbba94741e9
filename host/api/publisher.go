package api

import (
	"context"
	"net/http"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/token"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/signature"
)

func publisherRoutes() []route {
	return []route{
		{
			Method: http.MethodGet, Path: "/v1/publishers", Reach: operated, Scope: token.Read, ID: "listPublishers", Tag: "publishers",
			Summary: "List publishers", Description: "A tenant's is made by its first upload.", bind: handle((*server).listPublishers),
		},
		{
			Method: http.MethodPost, Path: "/v1/publishers", Reach: operated, Scope: token.Admin, ID: "createPublisher", Tag: "publishers",
			Summary: "Add a vendor", Description: "A vendor is a publisher that is neither the operator nor a tenant.",
			Status: http.StatusCreated, Example: `{"name":"octo"}`, bind: handle((*server).createPublisher),
		},
		{
			Method: http.MethodGet, Path: "/v1/publishers/{publisher}/keys", Reach: viewed, Scope: token.Read, ID: "listPublisherKeys", Tag: "publishers",
			Summary: "List a publisher's keys", Description: "The public keys that its plugins are signed with, and those that were revoked. A tenant sees its own.",
			bind: handle((*server).listPublisherKeys),
		},
		{
			Method: http.MethodPost, Path: "/v1/publishers/{publisher}/keys", Reach: viewed, Scope: token.Admin, ID: "addPublisherKey", Tag: "publishers",
			Summary: "Add a publisher's key", Description: "What is signed with it is accepted from now on. A tenant adds its own.",
			Status: http.StatusCreated, Example: `{"title":"CI","public_key":"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n"}`,
			bind: handle((*server).addPublisherKey),
		},
		{
			Method: http.MethodDelete, Path: "/v1/publishers/{publisher}/keys/{key}", Reach: viewed, Scope: token.Admin, ID: "revokePublisherKey", Tag: "publishers",
			Summary: "Revoke a publisher's key", Description: "Nothing is accepted any more that it signs. What it has signed stays published, and says that the key was revoked.",
			Status: http.StatusNoContent, bind: handle((*server).revokePublisherKey),
		},
	}
}

func (s *server) listPublisherKeys(ctx context.Context, in *param.OnePublisher) (*answer[page[signature.Key]], error) {
	return listed(s.h.Plugins.Keys(ctx, callerOf(ctx).viewer(), in.Name()))
}

type addKeyInput struct {
	param.OnePublisher
	Body struct {
		Title     string `json:"title,omitempty" maxLength:"200" doc:"Whose or where it is." example:"CI"`
		PublicKey string `json:"public_key" maxLength:"4096" doc:"An Ed25519 public key as PEM, as cofferdam plugin keygen writes it."`
	}
}

func (s *server) addPublisherKey(ctx context.Context, in *addKeyInput) (*answer[signature.Key], error) {
	return answered(s.h.Plugins.AddKey(ctx, callerOf(ctx).viewer(), in.Name(), in.Body.PublicKey, in.Body.Title))
}

type revokeKeyInput struct {
	param.OnePublisher
	Key string `path:"key" doc:"The key's id."`
}

func (s *server) revokePublisherKey(ctx context.Context, in *revokeKeyInput) (*nothing, error) {
	return nil, s.h.Plugins.RevokeKey(ctx, callerOf(ctx).viewer(), in.Name(), in.Key)
}

func (s *server) listPublishers(ctx context.Context, _ *struct{}) (*answer[page[registry.Publisher]], error) {
	return listed(s.h.Store.Publishers(ctx))
}

type createPublisherInput struct {
	Body struct {
		Name string `json:"name" doc:"Unique: a letter or digit, then up to 62 letters, digits and hyphens, all lower case." example:"octo"`
	}
}

func (s *server) createPublisher(ctx context.Context, in *createPublisherInput) (*answer[registry.Publisher], error) {
	return answered(s.h.Plugins.AddPublisher(ctx, in.Body.Name, registry.Vendor, ""))
}
