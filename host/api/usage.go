package api

import (
	"context"
	"net/http"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/token"
	"github.com/cofferdam-run/cofferdam/host/usage"
)

func usageRoutes() []route {
	const sums = "Each run counts on the UTC day that it ended, whether it succeeded or not. At most 366 days can be asked for at once."
	return []route{
		{
			Method: http.MethodGet, Path: "/v1/tenants/{tenant}/usage", Reach: owned, Scope: token.Read, ID: "showUsage", Tag: "usage",
			Summary: "Show what a tenant has used", Description: "A total for each day that has one, the earliest first, or for each installation, removed ones too. " + sums,
			bind: handle((*server).showUsage),
		},
		{
			Method: http.MethodGet, Path: "/v1/usage", Reach: operated, Scope: token.Read, ID: "listUsage", Tag: "usage",
			Summary: "List what tenants have used", Description: "A total for each tenant, idle ones too, the oldest first. " + sums,
			bind: handle((*server).listUsage),
		},
	}
}

type showUsageInput struct {
	param.InTenant
	param.Days
	By           string `query:"by" enum:"day,installation" default:"day" doc:"What each total is of."`
	Installation string `query:"installation" doc:"Only that of an installation, by id or name."`
}

func (s *server) showUsage(ctx context.Context, in *showUsageInput) (*answer[page[usage.Total]], error) {
	r, err := s.h.Usage.Range(in.From, in.To)
	if err != nil {
		return nil, err
	}
	installation, err := s.installationID(ctx, in.Installation)
	if err != nil {
		return nil, err
	}
	if in.By == "installation" {
		return listed(s.h.Usage.Installations(ctx, tenantOf(ctx), installation, r))
	}
	return listed(s.h.Usage.Days(ctx, tenantOf(ctx), installation, r))
}

type listUsageInput struct {
	param.Days
	param.Page
}

func (s *server) listUsage(ctx context.Context, in *listUsageInput) (*answer[page[usage.Total]], error) {
	r, err := s.h.Usage.Range(in.From, in.To)
	if err != nil {
		return nil, err
	}
	return paged(in.Page, ident.Tenant, func(after string, limit int) ([]usage.Total, error) {
		return s.h.Usage.Tenants(ctx, r, after, limit)
	}, func(t usage.Total) string { return t.Tenant })
}
