package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/token"
	"github.com/cofferdam-run/cofferdam/host/webhook"
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
			Description: "Give the vendor the URL of `path` and the `secret`, which is shown this once. Deliveries are signed by the scheme that the plugin's manifest names, " +
				"or as a `descriptor` of your own says. What a scheme must be told, such as the public URL where it is signed, are `parameters`: see `GET /v1/webhook-schemes`. " +
				"With `order_by`, deliveries that have one value there run one after another, in the order in which they were accepted, and side by side with those of other values: " +
				"the next begins when the one before has succeeded, is dead or was cancelled, and not while it waits for a retry. Deliveries without the value are in no order.",
			Example: `{"installation":"hello-go","webhook":"issues"}`, bind: handle((*server).createEndpoint),
		},
		{
			Method: http.MethodGet, Path: one, Reach: owned, Scope: token.Read, ID: "getEndpoint", Tag: "endpoints",
			Summary: "Show an endpoint", Description: "Without its signing secret, and with the reasons for which deliveries were refused within the last hour, as far as the process knows that answers.", bind: handle((*server).getEndpoint),
		},
		{
			Method: http.MethodPatch, Path: one, Reach: owned, Scope: token.Admin, ID: "disableEndpoint", Tag: "endpoints",
			Summary: "Change an endpoint", Description: "Deliveries to a disabled one are answered 410 Gone. `parameters` and `limits` replace all that there are. Deliveries beyond a rate are answered 429, those for a full queue 503, before anything is stored.",
			Example: `{"disabled":true}`, bind: handle((*server).disableEndpoint),
		},
		{
			Method: http.MethodPost, Path: one + "/rotate", Reach: owned, Scope: token.Admin, ID: "rotateEndpoint", Tag: "endpoints",
			Summary: "Replace an endpoint's signing secret", Secret: true,
			Description: "The new secret is shown this once. Deliveries that are signed with the old one are taken for `keep_seconds` more, and refused after that. " +
				"Of a scheme whose secret the vendor's handshake brings, an endpoint without a new one waits for it for an hour.",
			Example: `{"keep_seconds":86400}`, bind: handle((*server).rotateEndpoint),
		},
		{
			Method: http.MethodPost, Path: one + "/handshake", Reach: owned, Scope: token.Admin, ID: "showHandshake", Tag: "endpoints",
			Summary: "Show the secret that a vendor's handshake brought", Secret: true,
			Description: "Within an hour after the endpoint was made, or its secret rotated: Notion asks for it. 409 if none has come.",
			Example:     `{}`, bind: handle((*server).showHandshake),
		},
		{
			Method: http.MethodPost, Path: "/v1/tenants/{tenant}/webhooks/verify-sample", Reach: owned, Scope: token.Admin, ID: "verifySample", Tag: "endpoints",
			Summary: "Try a sample delivery", Secret: true,
			Description: "Judges a delivery that you have, by an endpoint, or by a scheme or a descriptor and a secret, and says which step passes and which fails, and what text was signed. " +
				"Nothing is stored, and no secret and no right signature is shown.",
			Example: `{"scheme":"github","secret":"It's a Secret to Everybody","request":{"headers":{"X-GitHub-Delivery":["72d3162e"],"X-Hub-Signature-256":["sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"]},"body":"Hello, World!"}}`,
			bind:    handle((*server).verifySample),
		},
		{
			Method: http.MethodPost, Path: one + "/sample", Reach: owned, Scope: token.Admin, ID: "signSample", Tag: "endpoints",
			Summary: "Sign a sample delivery", Secret: true,
			Description: "A delivery as the endpoint's vendor would make it now, for who wants to see what comes of one. It is not delivered. " +
				"A vendor's whose private key nobody has here, and what a plugin verifies, cannot be signed.",
			Example: `{"body":"{\"action\":\"opened\"}"}`, bind: handle((*server).signSample),
		},
		{
			Method: http.MethodGet, Path: "/v1/webhook-schemes", Reach: viewed, Scope: token.Read, ID: "listWebhookSchemes", Tag: "endpoints",
			Summary: "List webhook schemes", Description: "How the providers sign that come with the program, as descriptors, with the pages that this is from.",
			bind: handle((*server).listSchemes),
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
		// Whatever it is, package descriptor says what is wrong with it.
		Descriptor json.RawMessage   `json:"descriptor,omitempty" doc:"How deliveries are signed, if it is not as the plugin says: an object as GET /v1/webhook-schemes shows."`
		Parameters map[string]string `json:"parameters,omitempty" doc:"What the scheme must be told."`
		AllowWeak  bool              `json:"allow_weak,omitempty" doc:"Whether a scheme is wanted though it is weak."`
		Limits     endpoint.Limits   `json:"limits,omitzero" doc:"What bounds its deliveries, beside the tenant's limits."`
		Respond    endpoint.Respond  `json:"respond,omitempty" enum:"execution" doc:"What a delivery is answered with: execution has the plugin say it, for vendors that show or use the answer. Defaults to that it was stored."`
		Deadline   int               `json:"deadline_ms,omitempty" minimum:"0" maximum:"30000" doc:"For how many milliseconds the execution is waited for then, before the answer is 202. Defaults to 10000."`
		OrderBy    string            `json:"order_by,omitempty" maxLength:"256" doc:"What deliveries are in order by: a JSON pointer into the body, or header:Name. Defaults to no order."`
	}
}

func (s *server) createEndpoint(ctx context.Context, in *createEndpointInput) (*answer[newEndpoint], error) {
	return shownOnce(s.h.Endpoints.Create(ctx, tenantOf(ctx), endpoint.Spec{
		Installation: in.Body.Installation, Webhook: in.Body.Webhook, Secret: in.Body.Secret,
		Descriptor: in.Body.Descriptor, Parameters: in.Body.Parameters, AllowWeak: in.Body.AllowWeak, Limits: in.Body.Limits,
		Respond: in.Body.Respond, Deadline: in.Body.Deadline, OrderBy: in.Body.OrderBy,
	}))
}

func (s *server) getEndpoint(ctx context.Context, in *param.OneEndpoint) (*answer[endpointView], error) {
	e, err := s.h.Endpoints.Get(ctx, tenantOf(ctx), in.Endpoint)
	if err != nil {
		return nil, err
	}
	return answered(endpointView{Endpoint: e, Refused: s.h.Webhooks.Refused(e.ID)}, nil)
}

// endpointView is an endpoint with how it fares.
type endpointView struct {
	endpoint.Endpoint
	Refused []webhook.Refusal `json:"refused" nullable:"false" doc:"Why deliveries were refused within the last hour, the most recent first: what this process remembers, since it was started."`
}

type disableEndpointInput struct {
	param.OneEndpoint
	Body struct {
		Disabled   *bool             `json:"disabled,omitempty" doc:"Whether deliveries are refused. Defaults to as it is."`
		Parameters map[string]string `json:"parameters,omitempty" doc:"What the scheme must be told: all of it. Defaults to what it was told."`
		Limits     *endpoint.Limits  `json:"limits,omitempty" doc:"What bounds its deliveries: all of it. Defaults to what bounds them."`
		Respond    *endpoint.Respond `json:"respond,omitempty" enum:"execution," doc:"What a delivery is answered with: execution has the plugin say it; nothing, that it was stored. Defaults to as it is."`
		Deadline   *int              `json:"deadline_ms,omitempty" minimum:"0" maximum:"30000" doc:"For how many milliseconds the execution is waited for. Defaults to as it is."`
		OrderBy    *string           `json:"order_by,omitempty" maxLength:"256" doc:"What deliveries are in order by from now on; empty for no order. Defaults to as it is."`
	}
}

func (s *server) disableEndpoint(ctx context.Context, in *disableEndpointInput) (*answer[endpoint.Endpoint], error) {
	return answered(s.h.Endpoints.Update(ctx, tenantOf(ctx), in.Endpoint, endpoint.Change{
		Disabled: in.Body.Disabled, Parameters: in.Body.Parameters, Limits: in.Body.Limits, Respond: in.Body.Respond, Deadline: in.Body.Deadline,
		OrderBy: in.Body.OrderBy,
	}))
}

type rotateEndpointInput struct {
	param.OneEndpoint
	Body *struct {
		Secret string `json:"secret,omitempty" writeOnly:"true" doc:"The vendor's new signing secret. Defaults to a new one."`
		Keep   int    `json:"keep_seconds,omitempty" minimum:"0" maximum:"2592000" doc:"For how long the old secret counts still, 30 days at most. Defaults to 0."`
	}
}

func (s *server) rotateEndpoint(ctx context.Context, in *rotateEndpointInput) (*answer[newEndpoint], error) {
	secret, keep := "", time.Duration(0)
	if in.Body != nil {
		secret, keep = in.Body.Secret, time.Duration(in.Body.Keep)*time.Second
	}
	return shownOnce(s.h.Endpoints.Rotate(ctx, tenantOf(ctx), in.Endpoint, secret, keep))
}

type showHandshakeInput struct {
	param.OneEndpoint
	Body *struct{}
}

func (s *server) showHandshake(ctx context.Context, in *showHandshakeInput) (*answer[newEndpoint], error) {
	return shownOnce(s.h.Endpoints.Adopted(ctx, tenantOf(ctx), in.Endpoint))
}

func (s *server) deleteEndpoint(ctx context.Context, in *param.OneEndpoint) (*nothing, error) {
	return nil, s.h.Endpoints.Delete(ctx, tenantOf(ctx), in.Endpoint)
}
