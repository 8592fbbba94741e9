package api

import (
	"context"
	"net/http"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/token"
)

func flightRoutes() []route {
	const drained = "The longest first, 100 at most. With `wait` it answers when nothing is left, or after that time with what still runs: " +
		"what was paused before is drained when `items` is empty."
	return []route{
		{
			Method: http.MethodGet, Path: "/v1/in-flight", Reach: operated, Scope: token.Read, ID: "listInFlight", Tag: "queue",
			Summary: "List what runs now", Description: drained, Waits: true, bind: handle((*server).listInFlight),
		},
		{
			Method: http.MethodGet, Path: "/v1/tenants/{tenant}/in-flight", Reach: owned, Scope: token.Read, ID: "showInFlight", Tag: "queue",
			Summary: "List what runs now of a tenant", Description: drained, Waits: true, bind: handle((*server).showInFlight),
		},
	}
}

type listInFlightInput struct {
	param.Drain
	Plugin string `query:"plugin" doc:"Only that of a plugin, by id, name or publisher/name."`
}

func (s *server) listInFlight(ctx context.Context, in *listInFlightInput) (*answer[page[execution.Flight]], error) {
	var f execution.Flights
	if in.Plugin != "" {
		p, _, err := s.h.Plugins.Plugin(ctx, callerOf(ctx).viewer(), in.Plugin)
		if err != nil {
			return nil, err
		}
		f.Plugin = p.ID
	}
	return s.drained(ctx, in.Drain, f)
}

type showInFlightInput struct {
	param.InTenant
	param.Drain
	Installation string `query:"installation" doc:"Only that of an installation, by id or name."`
}

func (s *server) showInFlight(ctx context.Context, in *showInFlightInput) (*answer[page[execution.Flight]], error) {
	installation, err := s.installationID(ctx, in.Installation)
	if err != nil {
		return nil, err
	}
	return s.drained(ctx, in.Drain, execution.Flights{Tenant: tenantOf(ctx), Installation: installation})
}

func (s *server) drained(ctx context.Context, d param.Drain, f execution.Flights) (*answer[page[execution.Flight]], error) {
	patience, err := d.Patience(s.o.CallTimeout)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return listed(s.h.Executions.Drained(limited, f))
}
