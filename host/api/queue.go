package api

import (
	"context"
	"net/http"
	"time"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/token"
)

func queueRoutes() []route {
	const counts = "Looking costs the same however long the backlogs are: of each lane and reason, 10000 are counted at most."
	return []route{
		{
			Method: http.MethodGet, Path: "/v1/queue", Reach: operated, Scope: token.Read, ID: "listQueue", Tag: "queue",
			Summary: "Show what tenants have queued", Description: "How much each has queued, running and waiting, and since when its oldest could have run, by id; " +
				"those that have nothing are left out. " + counts,
			bind: handle((*server).listQueue),
		},
		{
			Method: http.MethodGet, Path: "/v1/tenants/{tenant}/queue", Reach: owned, Scope: token.Read, ID: "showQueue", Tag: "queue",
			Summary: "Show what a tenant has queued", Description: "How much each of its installations has queued, running and waiting, and since when its oldest could have run, by id. " + counts,
			bind: handle((*server).showQueue),
		},
	}
}

// depths is a page of the queue.
type depths struct {
	page[execution.Depth]
	At time.Time `json:"at" doc:"When this was, by the database's clock: what ages are measured by."`
}

func (s *server) listQueue(ctx context.Context, in *param.Page) (*answer[depths], error) {
	return s.depths(ctx, *in, ident.Tenant, s.h.Executions.TenantDepths, func(d execution.Depth) string { return d.Tenant })
}

type showQueueInput struct {
	param.InTenant
	param.Page
}

func (s *server) showQueue(ctx context.Context, in *showQueueInput) (*answer[depths], error) {
	return s.depths(ctx, in.Page, ident.Installation, func(ctx context.Context, after string, limit int) ([]execution.Depth, error) {
		return s.h.Executions.InstallationDepths(ctx, tenantOf(ctx), after, limit)
	}, func(d execution.Depth) string { return d.Installation })
}

func (s *server) depths(
	ctx context.Context, in param.Page, prefix string, read func(context.Context, string, int) ([]execution.Depth, error), id func(execution.Depth) string,
) (*answer[depths], error) {
	at, err := s.h.Store.Now(ctx)
	if err != nil {
		return nil, err
	}
	p, err := paged(in, prefix, func(after string, limit int) ([]execution.Depth, error) { return read(ctx, after, limit) }, id)
	if err != nil {
		return nil, err
	}
	return &answer[depths]{Body: depths{page: p.Body, At: at}}, nil
}
