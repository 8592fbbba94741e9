package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/destination"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/token"
)

const (
	tenantDestinations = "/v1/tenants/{tenant}/destinations"
	oneDestination     = tenantDestinations + "/{destination}"
)

// destinationRoutes are those of tenants' destinations, and the same of the operator's.
func destinationRoutes() []route {
	all := slices.Concat(tenantDestinationRoutes(), tenantDeliveryRoutes())
	binds := operatorDestinationBinds()
	for _, own := range slices.Clone(all) {
		rt := own
		rt.Path, rt.Reach = strings.Replace(own.Path, "/tenants/{tenant}", "", 1), operated
		rt.ID, rt.bind = operatorID(own.ID), binds[own.ID]
		rt.Summary = strings.NewReplacer("a tenant's", "the operator's", "of a tenant", "of the operator").Replace(own.Summary)
		all = append(all, rt)
	}
	return all
}

// operatorID is the id of an operation on what is the operator's: listDestinations is
// listOperatorDestinations.
func operatorID(id string) string {
	for _, noun := range []string{"Destination", "Deliver"} {
		if at := strings.Index(id, noun); at >= 0 {
			return id[:at] + "Operator" + id[at:]
		}
	}
	return id
}

func tenantDestinationRoutes() []route {
	line := func(method, path, id, summary, description string, bind func(*server, route)) route {
		return route{
			Method: method, Path: path, ID: id, Summary: summary, Description: description, bind: bind,
			Reach: owned, Scope: token.Admin, Tag: "destinations",
		}
	}
	list := line(http.MethodGet, tenantDestinations, "listDestinations", "List a tenant's destinations", "The newest first, without their signing secrets.", handle((*server).listDestinations))
	list.Scope = token.Read
	create := line(http.MethodPost, tenantDestinations, "createDestination", "Have messages sent to a URL of a tenant's",
		"Records that connectors emit and notices are sent there, signed as Standard Webhooks with the `secret`, which is shown this once. "+
			"What happens from now on is sent. A message that is not taken (2xx within 15 s) is sent ten times within 75 hours and 35 minutes.", handle((*server).createDestination))
	create.Status, create.Secret = http.StatusCreated, true
	create.Example = `{"name":"app","url":"https://app.example.com/hooks","kinds":["record.*","execution.dead"]}`
	get := line(http.MethodGet, oneDestination, "getDestination", "Show a tenant's destination", "Without its signing secret.", handle((*server).getDestination))
	get.Scope = token.Read
	update := line(http.MethodPatch, oneDestination, "updateDestination", "Change a tenant's destination",
		"What is left out stays. What is to be sent to a disabled one waits; once it is enabled it is sent.", handle((*server).updateDestination))
	update.Example = `{"disabled":false}`
	rotate := line(http.MethodPost, oneDestination+"/rotate", "rotateDestination", "Replace the signing secret of a tenant's destination",
		"The new secret is shown this once. For `keep_seconds` more each message is signed with both.", handle((*server).rotateDestination))
	rotate.Secret, rotate.Example = true, `{"keep_seconds":86400}`
	test := line(http.MethodPost, oneDestination+"/test", "testDestination", "Send a test to a tenant's destination",
		"A message of the type `test` is sent at once, and not again, also to one that is disabled. What came of it is in `attempts`.", handle((*server).testDestination))
	remove := line(http.MethodDelete, oneDestination, "deleteDestination", "Delete a tenant's destination", "What waits for it is not sent any more.", handle((*server).deleteDestination))
	remove.Status = http.StatusNoContent
	return []route{list, create, get, update, rotate, test, remove}
}

// operatorDestinationBinds are the handlers of what is the operator's, by the ids of those
// of tenants.
func operatorDestinationBinds() map[string]func(*server, route) {
	return map[string]func(*server, route){
		"listDestinations":  handle((*server).listOperatorDestinations),
		"createDestination": handle((*server).createOperatorDestination),
		"getDestination":    handle((*server).getOperatorDestination),
		"updateDestination": handle((*server).updateOperatorDestination),
		"rotateDestination": handle((*server).rotateOperatorDestination),
		"testDestination":   handle((*server).testOperatorDestination),
		"deleteDestination": handle((*server).deleteOperatorDestination),
		"listDeliveries":    handle((*server).listOperatorDeliveries),
		"getDelivery":       handle((*server).getOperatorDelivery),
		"retryDelivery":     handle((*server).retryOperatorDelivery),
	}
}

// newDestination is a destination as it is shown once.
type newDestination struct {
	destination.Destination
	Secret string `json:"secret" doc:"The signing secret. It is not shown again."`
}

func destinationOnce(d destination.Destination, secret string, err error) (*answer[newDestination], error) {
	return answered(newDestination{d, secret}, err)
}

type destinationBody struct {
	Name    string   `json:"name,omitempty" doc:"Unique among the tenant's, or the operator's. Defaults to the URL's host." example:"app"`
	URL     string   `json:"url" doc:"Where messages are sent by POST." example:"https://app.example.com/hooks"`
	Kinds   []string `json:"kinds" doc:"What is sent: types of messages such as record.order or execution.dead, all of a noun such as record.*, or * for everything." example:"[\"record.*\"]"`
	Secret  string   `json:"secret,omitempty" writeOnly:"true" doc:"The signing secret, whsec_ and base64. Defaults to a new one."`
	Ordered bool     `json:"ordered,omitempty" doc:"Whether one message is sent after the other: one that is not taken holds up those behind it."`
}

func (b destinationBody) spec() destination.Spec {
	return destination.Spec{Name: b.Name, URL: b.URL, Kinds: b.Kinds, Secret: b.Secret, Ordered: b.Ordered}
}

type destinationChange struct {
	Name     *string  `json:"name,omitempty" doc:"Another name."`
	URL      *string  `json:"url,omitempty" doc:"Another URL, also for what waits."`
	Kinds    []string `json:"kinds,omitempty" doc:"Other kinds, instead of all that there are, of what happens from now on."`
	Ordered  *bool    `json:"ordered,omitempty" doc:"Whether one message is sent after the other."`
	Disabled *bool    `json:"disabled,omitempty" doc:"Whether nothing is sent."`
}

func (b destinationChange) change() destination.Change {
	return destination.Change{Name: b.Name, URL: b.URL, Kinds: b.Kinds, Ordered: b.Ordered, Disabled: b.Disabled}
}

type destinationSecret struct {
	Secret string `json:"secret,omitempty" writeOnly:"true" doc:"The new signing secret. Defaults to a new one."`
	Keep   int    `json:"keep_seconds,omitempty" minimum:"0" maximum:"2592000" doc:"For how long the old secret signs along, 30 days at most. Defaults to 0."`
}

func (s *server) destinations(ctx context.Context, owner string, in param.Page) (*answer[page[destination.Destination]], error) {
	return paged(in, ident.Destination, func(before string, limit int) ([]destination.Destination, error) {
		return s.h.Destinations.List(ctx, owner, before, limit)
	}, func(d destination.Destination) string { return d.ID })
}

type listDestinationsInput struct {
	param.InTenant
	param.Page
}

func (s *server) listDestinations(ctx context.Context, in *listDestinationsInput) (*answer[page[destination.Destination]], error) {
	return s.destinations(ctx, tenantOf(ctx), in.Page)
}

type listOperatorDestinationsInput struct{ param.Page }

func (s *server) listOperatorDestinations(ctx context.Context, in *listOperatorDestinationsInput) (*answer[page[destination.Destination]], error) {
	return s.destinations(ctx, destination.Operator, in.Page)
}

type createDestinationInput struct {
	param.InTenant
	Body destinationBody
}

func (s *server) createDestination(ctx context.Context, in *createDestinationInput) (*answer[newDestination], error) {
	return destinationOnce(s.h.Destinations.Create(ctx, tenantOf(ctx), in.Body.spec()))
}

type createOperatorDestinationInput struct{ Body destinationBody }

func (s *server) createOperatorDestination(ctx context.Context, in *createOperatorDestinationInput) (*answer[newDestination], error) {
	return destinationOnce(s.h.Destinations.Create(ctx, destination.Operator, in.Body.spec()))
}

func (s *server) getDestination(ctx context.Context, in *param.OneDestination) (*answer[destination.Destination], error) {
	return answered(s.h.Destinations.Get(ctx, tenantOf(ctx), in.Destination))
}

func (s *server) getOperatorDestination(ctx context.Context, in *param.OneOperatorDestination) (*answer[destination.Destination], error) {
	return answered(s.h.Destinations.Get(ctx, destination.Operator, in.Destination))
}

type updateDestinationInput struct {
	param.OneDestination
	Body destinationChange
}

func (s *server) updateDestination(ctx context.Context, in *updateDestinationInput) (*answer[destination.Destination], error) {
	return answered(s.h.Destinations.Update(ctx, tenantOf(ctx), in.Destination, in.Body.change()))
}

type updateOperatorDestinationInput struct {
	param.OneOperatorDestination
	Body destinationChange
}

func (s *server) updateOperatorDestination(ctx context.Context, in *updateOperatorDestinationInput) (*answer[destination.Destination], error) {
	return answered(s.h.Destinations.Update(ctx, destination.Operator, in.Destination, in.Body.change()))
}

type rotateDestinationInput struct {
	param.OneDestination
	Body destinationSecret
}

func (s *server) rotateDestination(ctx context.Context, in *rotateDestinationInput) (*answer[newDestination], error) {
	return s.rotatedDestination(ctx, tenantOf(ctx), in.Destination, in.Body)
}

type rotateOperatorDestinationInput struct {
	param.OneOperatorDestination
	Body destinationSecret
}

func (s *server) rotateOperatorDestination(ctx context.Context, in *rotateOperatorDestinationInput) (*answer[newDestination], error) {
	return s.rotatedDestination(ctx, destination.Operator, in.Destination, in.Body)
}

func (s *server) rotatedDestination(ctx context.Context, owner, idOrName string, b destinationSecret) (*answer[newDestination], error) {
	return destinationOnce(s.h.Destinations.Rotate(ctx, owner, idOrName, b.Secret, time.Duration(b.Keep)*time.Second))
}

func (s *server) deleteDestination(ctx context.Context, in *param.OneDestination) (*nothing, error) {
	return nil, s.h.Destinations.Delete(ctx, tenantOf(ctx), in.Destination)
}

func (s *server) deleteOperatorDestination(ctx context.Context, in *param.OneOperatorDestination) (*nothing, error) {
	return nil, s.h.Destinations.Delete(ctx, destination.Operator, in.Destination)
}
