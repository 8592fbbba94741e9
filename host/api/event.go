package api

import (
	"context"
	"encoding/base64"
	"net/http"
	"unicode/utf8"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/token"
)

func eventRoutes() []route {
	const all = "/v1/tenants/{tenant}/events"
	return []route{
		{
			Method: http.MethodGet, Path: all, Reach: owned, Scope: token.Read, ID: "listEvents", Tag: "events",
			Summary: "List events", Description: "The newest first, without their bodies.", bind: handle((*server).listEvents),
		},
		{
			Method: http.MethodGet, Path: all + "/{event}", Reach: owned, Scope: token.Read, ID: "getEvent", Tag: "events",
			Summary: "Show an event", Description: "With its body.", bind: handle((*server).getEvent),
		},
	}
}

// eventView is an event with its body.
type eventView struct {
	event.Event
	Body     string `json:"body" doc:"What arrived, in the encoding."`
	Encoding string `json:"encoding" enum:"utf8,base64" doc:"utf8 if the body is valid UTF-8, base64 otherwise."`
}

type listEventsInput struct {
	param.InTenant
	param.Page
	Installation string `query:"installation" doc:"Only those of an installation, by id or name."`
	Kind         string `query:"kind" enum:"webhook,action,poll,test,record,schedule" doc:"Only those of a kind."`
	Name         string `query:"name" doc:"Only those of a webhook, action, poll or record."`
	Endpoint     string `query:"endpoint" doc:"Only deliveries to an endpoint, by id."`
}

func (s *server) listEvents(ctx context.Context, in *listEventsInput) (*answer[page[event.Event]], error) {
	before, err := in.After(ident.Event)
	if err != nil {
		return nil, err
	}
	installation, err := s.installationID(ctx, in.Installation)
	if err != nil {
		return nil, err
	}
	all, err := s.h.Store.Events(ctx, tenantOf(ctx), event.Filter{
		Installation: installation, Kind: event.Kind(in.Kind), Name: in.Name, Endpoint: in.Endpoint,
		Before: before, Limit: in.Limit + 1, WithoutBodies: true,
	})
	if err != nil {
		return nil, err
	}
	return pageOf(all, in.Limit, func(e event.Event) string { return e.ID }), nil
}

type oneEvent struct {
	param.InTenant
	Event string `path:"event" doc:"The event's id."`
}

func (s *server) getEvent(ctx context.Context, in *oneEvent) (*answer[eventView], error) {
	e, err := s.h.Store.Event(ctx, tenantOf(ctx), in.Event)
	v := eventView{Event: e, Body: string(e.Body), Encoding: "utf8"}
	if !utf8.Valid(e.Body) {
		v.Body, v.Encoding = base64.StdEncoding.EncodeToString(e.Body), "base64"
	}
	return answered(v, err)
}
