package api

import (
	"context"
	"net/http"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/token"
)

func endpointRoutes() []route {
	const all, one = "/v1/tenants/{tenant}/endpoints", "/v1/tenants/{tenant}/endpoints/{endpoint}"
	return []route{
		{
			Method: http.MethodGet, Path: all, Reach: owned, Scope: token.Read, ID: "listEndpoints", Tag: "endpoints",
			Summary: "List endpoints", Description: "Without their signing secrets.", bind: handle((*server).listEndpoints),
		},
		{
			Method: http.MethodPost, Path: all, Reach: owned, Scope: token.Admin, ID: "createEndpoint", Tag: "endpoints",
			Summary: "Add an endpoint", Status: http.StatusCreated, Secret: true,
			Description: "Give the vendor the URL of `path` and the `secret`, which is shown this once.",
			Example:     `{"installation":"hello-go","webhook":"issues"}`, bind: handle((*server).createEndpoint),
		},
		{
			Method: http.MethodGet, Path: one, Reach: owned, Scope: token.Read, ID: "getEndpoint", Tag: "endpoints",
			Summary: "Show an endpoint", Description: "Without its signing secret.", bind: handle((*server).getEndpoint),
		},
		{
			Method: http.MethodPatch, Path: one, Reach: owned, Scope: token.Admin, ID: "disableEndpoint", Tag: "endpoints",
			Summary: "Disable or enable an endpoint", Description: "Deliveries to a disabled one are answered 410 Gone.",
			Example: `{"disabled":true}`, bind: handle((*server).disableEndpoint),
		},
		{
			Method: http.MethodPost, Path: one + "/rotate", Reach: owned, Scope: token.Admin, ID: "rotateEndpoint", Tag: "endpoints",
			Summary: "Replace an endpoint's signing secret", Secret: true,
			Description: "The new secret is shown this once. Deliveries that are signed with the old one are refused from now on.",
			Example:     `{}`, bind: handle((*server).rotateEndpoint),
		},
		{
			Method: http.MethodDelete, Path: one, Reach: owned, Scope: token.Admin, ID: "deleteEndpoint", Tag: "endpoints",
			Summary: "Delete an endpoint", Description: "Deliveries to it are answered 404 from now on.",
			Status: http.StatusNoContent, bind: handle((*server).deleteEndpoint),
		},
	}
}

// secretProperty is what answers call the secret that they show once; see
// withoutSecret.
const secretProperty = "secret"

// newEndpoint is an endpoint as it is shown once.
type newEndpoint struct {
	endpoint.Endpoint
	Path   string `json:"path" doc:"The path of the URL that the vendor delivers to." example:"/hooks/end_01J9ZP4X0E8V3T6B2M5N7Q1R0S"`
	Secret string `json:"secret" doc:"The signing secret. It is not shown again."`
}

func shownOnce(e endpoint.Endpoint, secret string, err error) (*answer[newEndpoint], error) {
	return answered(newEndpoint{Endpoint: e, Path: "/hooks/" + e.ID, Secret: secret}, err)
}

func (s *server) listEndpoints(ctx context.Context, _ *param.InTenant) (*answer[page[endpoint.Endpoint]], error) {
	return listed(s.h.Endpoints.List(ctx, tenantOf(ctx)))
}

type createEndpointInput struct {
	param.InTenant
	Body struct {
		Installation string `json:"installation" doc:"The installation's id or name." example:"hello-go"`
		Webhook      string `json:"webhook" doc:"Which of the plugin's webhooks deliveries go to." example:"issues"`
		Secret       string `json:"secret,omitempty" writeOnly:"true" doc:"The vendor's signing secret, if the vendor chooses it. Defaults to a new one."`
	}
}

func (s *server) createEndpoint(ctx context.Context, in *createEndpointInput) (*answer[newEndpoint], error) {
	return shownOnce(s.h.Endpoints.Create(ctx, tenantOf(ctx), endpoint.Spec(in.Body)))
}

func (s *server) getEndpoint(ctx context.Context, in *param.OneEndpoint) (*answer[endpoint.Endpoint], error) {
	return answered(s.h.Endpoints.Get(ctx, tenantOf(ctx), in.Endpoint))
}

type disableEndpointInput struct {
	param.OneEndpoint
	Body struct {
		Disabled bool `json:"disabled" doc:"Whether deliveries are refused."`
	}
}

func (s *server) disableEndpoint(ctx context.Context, in *disableEndpointInput) (*answer[endpoint.Endpoint], error) {
	return answered(s.h.Endpoints.Disable(ctx, tenantOf(ctx), in.Endpoint, in.Body.Disabled))
}

type rotateEndpointInput struct {
	param.OneEndpoint
	Body *struct {
		Secret string `json:"secret,omitempty" writeOnly:"true" doc:"The vendor's new signing secret. Defaults to a new one."`
	}
}

func (s *server) rotateEndpoint(ctx context.Context, in *rotateEndpointInput) (*answer[newEndpoint], error) {
	secret := ""
	if in.Body != nil {
		secret = in.Body.Secret
	}
	return shownOnce(s.h.Endpoints.Rotate(ctx, tenantOf(ctx), in.Endpoint, secret))
}

func (s *server) deleteEndpoint(ctx context.Context, in *param.OneEndpoint) (*nothing, error) {
	return nil, s.h.Endpoints.Delete(ctx, tenantOf(ctx), in.Endpoint)
}
