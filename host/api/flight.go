package api

import (
	"context"
	"net/http"
	"time"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
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

// drainage is how long to wait for what runs.
type drainage struct {
	Wait string `query:"wait" maxLength:"20" doc:"How long to wait until nothing runs, such as 10s; at most as long as a call waits. Defaults to not at all." example:"10s"`
}

func (d drainage) patience(longest time.Duration) (time.Duration, error) {
	if d.Wait == "" {
		return 0, nil
	}
	wait, err := time.ParseDuration(d.Wait)
	if err != nil || wait < 0 || wait > longest {
		return 0, fault.New(fault.InvalidInput, "wait_invalid", "%q is no time from 0s to %s", d.Wait, longest).
			At("wait").WithHint("write it like 10s, and ask again for longer")
	}
	return wait, nil
}

type listInFlightInput struct {
	drainage
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
	return s.drained(ctx, in.drainage, f)
}

type showInFlightInput struct {
	param.InTenant
	drainage
	Installation string `query:"installation" doc:"Only that of an installation, by id or name."`
}

func (s *server) showInFlight(ctx context.Context, in *showInFlightInput) (*answer[page[execution.Flight]], error) {
	installation, err := s.installationID(ctx, in.Installation)
	if err != nil {
		return nil, err
	}
	return s.drained(ctx, in.drainage, execution.Flights{Tenant: tenantOf(ctx), Installation: installation})
}

func (s *server) drained(ctx context.Context, d drainage, f execution.Flights) (*answer[page[execution.Flight]], error) {
	patience, err := d.patience(s.o.CallTimeout)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return listed(s.h.Executions.Drained(limited, f))
}
