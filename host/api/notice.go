package api

import (
	"context"
	"net/http"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/notice"
	"github.com/cofferdam-run/cofferdam/host/token"
)

func noticeRoutes() []route {
	const what = "The newest first. There is one of each thing that happened: that a connection broke, or works again."
	return []route{
		{
			Method: http.MethodGet, Path: "/v1/tenants/{tenant}/notices", Reach: owned, Scope: token.Read, ID: "listTenantNotices", Tag: "connections",
			Summary: "List what a tenant was told", Description: what, bind: handle((*server).listTenantNotices),
		},
		{
			Method: http.MethodGet, Path: "/v1/notices", Reach: operated, Scope: token.Read, ID: "listNotices", Tag: "connections",
			Summary: "List what tenants were told", Description: what, bind: handle((*server).listNotices),
		},
	}
}

type listTenantNoticesInput struct {
	param.InTenant
	param.Page
}

func (s *server) listTenantNotices(ctx context.Context, in *listTenantNoticesInput) (*answer[page[notice.Notice]], error) {
	return s.notices(ctx, tenantOf(ctx), in.Page)
}

type listNoticesInput struct{ param.Page }

func (s *server) listNotices(ctx context.Context, in *listNoticesInput) (*answer[page[notice.Notice]], error) {
	return s.notices(ctx, "", in.Page)
}

func (s *server) notices(ctx context.Context, tenant string, in param.Page) (*answer[page[notice.Notice]], error) {
	return paged(in, ident.Notice, func(before string, limit int) ([]notice.Notice, error) {
		return s.h.Notices.List(ctx, tenant, before, limit)
	}, func(n notice.Notice) string { return n.ID })
}
