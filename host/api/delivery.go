package api

import (
	"context"
	"net/http"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/destination"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/outbound"
	"github.com/cofferdam-run/cofferdam/host/token"
)

func tenantDeliveryRoutes() []route {
	const all, one = oneDestination + "/deliveries", oneDestination + "/deliveries/{delivery}"
	return []route{
		{
			Method: http.MethodGet, Path: all, Reach: owned, Scope: token.Read, ID: "listDeliveries", Tag: "destinations",
			Summary: "List what was sent to a tenant's destination", Description: "And what is to be sent, the newest first, each with its attempts.", bind: handle((*server).listDeliveries),
		},
		{
			Method: http.MethodGet, Path: one, Reach: owned, Scope: token.Read, ID: "getDelivery", Tag: "destinations",
			Summary: "Show what was sent to a tenant's destination", Description: "With its attempts: the status and the first KiB of each answer.", bind: handle((*server).getDelivery),
		},
		{
			Method: http.MethodPost, Path: one + "/retry", Reach: owned, Scope: token.Admin, ID: "retryDelivery", Tag: "destinations",
			Summary: "Send a message to a tenant's destination again", Description: "One that has failed or waits is sent now, and has all its tries before it. 409 if it was taken.",
			bind: handle((*server).retryDelivery),
		},
	}
}

func (s *server) testDestination(ctx context.Context, in *param.OneDestination) (*answer[outbound.Delivery], error) {
	return answered(s.h.Outbound.Test(ctx, tenantOf(ctx), in.Destination))
}

func (s *server) testOperatorDestination(ctx context.Context, in *param.OneOperatorDestination) (*answer[outbound.Delivery], error) {
	return answered(s.h.Outbound.Test(ctx, destination.Operator, in.Destination))
}

func (s *server) deliveries(ctx context.Context, owner, idOrName string, f param.DeliveryFilter) (*answer[page[outbound.Delivery]], error) {
	return paged(f.Page, ident.Delivery, func(before string, limit int) ([]outbound.Delivery, error) {
		return s.h.Outbound.List(ctx, owner, idOrName, outbound.Filter{State: outbound.State(f.State), Type: f.Type, Before: before, Limit: limit})
	}, func(d outbound.Delivery) string { return d.ID })
}

type listDeliveriesInput struct {
	param.OneDestination
	param.DeliveryFilter
}

func (s *server) listDeliveries(ctx context.Context, in *listDeliveriesInput) (*answer[page[outbound.Delivery]], error) {
	return s.deliveries(ctx, tenantOf(ctx), in.Destination, in.DeliveryFilter)
}

type listOperatorDeliveriesInput struct {
	param.OneOperatorDestination
	param.DeliveryFilter
}

func (s *server) listOperatorDeliveries(ctx context.Context, in *listOperatorDeliveriesInput) (*answer[page[outbound.Delivery]], error) {
	return s.deliveries(ctx, destination.Operator, in.Destination, in.DeliveryFilter)
}

type oneDeliveryInput struct {
	param.InTenant
	param.OneDelivery
}

func (s *server) getDelivery(ctx context.Context, in *oneDeliveryInput) (*answer[outbound.Delivery], error) {
	return answered(s.h.Outbound.Get(ctx, tenantOf(ctx), in.Destination, in.Delivery))
}

func (s *server) getOperatorDelivery(ctx context.Context, in *param.OneDelivery) (*answer[outbound.Delivery], error) {
	return answered(s.h.Outbound.Get(ctx, destination.Operator, in.Destination, in.Delivery))
}

func (s *server) retryDelivery(ctx context.Context, in *oneDeliveryInput) (*answer[outbound.Delivery], error) {
	return answered(s.h.Outbound.Retry(ctx, tenantOf(ctx), in.Destination, in.Delivery))
}

func (s *server) retryOperatorDelivery(ctx context.Context, in *param.OneDelivery) (*answer[outbound.Delivery], error) {
	return answered(s.h.Outbound.Retry(ctx, destination.Operator, in.Destination, in.Delivery))
}
