package api

import (
	"context"
	"net/http"

	"github.com/cofferdam-run/cofferdam/host/token"
	"github.com/cofferdam-run/cofferdam/registry"
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
	}
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
