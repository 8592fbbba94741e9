package api

import (
	"context"
	"net/http"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/health"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/token"
)

func healthRoutes() []route {
	const what = " A connection is broken if its user has to agree anew, or if executions wait for it because the other side refused its credential: they go on by themselves once it works again. " +
		"Of other credentials than those that users agreed to, nothing more is known. `breaker` and `paused_at` say whether requests are sent with it at all."
	return []route{
		{
			Method: http.MethodGet, Path: "/v1/tenants/{tenant}/connections/{connection}/health", Reach: owned, Scope: token.Read, ID: "getConnectionHealth", Tag: "connections",
			Summary: "Show how a connection is", Description: "Whether it works, why not, since when, and what waits for it." + what, bind: handle((*server).getHealth),
		},
		{
			Method: http.MethodGet, Path: "/v1/tenants/{tenant}/connection-health", Reach: owned, Scope: token.Read, ID: "listTenantConnectionHealth", Tag: "connections",
			Summary: "List how a tenant's connections are", Description: "All of them, the oldest first." + what, bind: handle((*server).listTenantHealth),
		},
		{
			Method: http.MethodGet, Path: "/v1/connection-health", Reach: operated, Scope: token.Read, ID: "listConnectionHealth", Tag: "connections",
			Summary: "List the broken connections of all tenants", Description: "The oldest first." + what, bind: handle((*server).listBroken),
		},
	}
}

func (s *server) getHealth(ctx context.Context, in *param.OneConnection) (*answer[health.Health], error) {
	return answered(s.h.Healths.Get(ctx, tenantOf(ctx), in.Connection))
}

func (s *server) listTenantHealth(ctx context.Context, _ *param.InTenant) (*answer[page[health.Health]], error) {
	return listed(s.h.Healths.List(ctx, tenantOf(ctx)))
}

type listBrokenInput struct {
	param.Page
	State string `query:"state" enum:"broken" default:"broken" doc:"How they are: only broken ones are looked for."`
}

func (s *server) listBroken(ctx context.Context, in *listBrokenInput) (*answer[page[health.Health]], error) {
	return paged(in.Page, ident.Connection, func(after string, limit int) ([]health.Health, error) {
		return s.h.Healths.Broken(ctx, after, limit)
	}, func(h health.Health) string { return h.Connection })
}
