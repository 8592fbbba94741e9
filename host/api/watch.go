package api

import (
	"context"
	"net/http"
	"time"

	"github.com/cofferdam-run/cofferdam/host/alert"
	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/token"
)

func watchRoutes() []route {
	const all, one = "/v1/tenants/{tenant}/watches", "/v1/tenants/{tenant}/watches/{object}"
	return []route{
		{
			Method: http.MethodGet, Path: all, Reach: owned, Scope: token.Read, ID: "listWatches", Tag: "destinations",
			Summary: "List what is watched of a tenant's", Description: "Endpoints and schedules that are not to be silent, its queue, and the digest.", bind: handle((*server).listWatches),
		},
		{
			Method: http.MethodPut, Path: one, Reach: owned, Scope: token.Admin, ID: "putWatch", Tag: "destinations",
			Summary: "Have something of a tenant's watched",
			Description: "There is a notice when nothing is heard of an endpoint or a schedule for so long, and another when it is heard again; when the first of what is queued (`queue`) is due for longer, and when it is not any more. " +
				"`digest` is no watch: it has a notice made of each hour (3600) or day (86400) in which something went wrong.",
			Example: `{"within_seconds":86400}`, bind: handle((*server).putWatch),
		},
		{
			Method: http.MethodDelete, Path: one, Reach: owned, Scope: token.Admin, ID: "deleteWatch", Tag: "destinations",
			Summary: "Have something of a tenant's watched no more", Description: "What was told stays.", Status: http.StatusNoContent, bind: handle((*server).deleteWatch),
		},
	}
}

func (s *server) listWatches(ctx context.Context, _ *param.InTenant) (*answer[page[alert.Watch]], error) {
	return listed(s.h.Alerts.List(ctx, tenantOf(ctx)))
}

type putWatchInput struct {
	param.OneWatch
	Body struct {
		WithinS int64 `json:"within_seconds" minimum:"60" maximum:"7776000" doc:"For how long it may be silent or late, or of how long a digest is." example:"86400"`
	}
}

func (s *server) putWatch(ctx context.Context, in *putWatchInput) (*answer[alert.Watch], error) {
	return answered(s.h.Alerts.Put(ctx, tenantOf(ctx), in.Object, time.Duration(in.Body.WithinS)*time.Second))
}

func (s *server) deleteWatch(ctx context.Context, in *param.OneWatch) (*nothing, error) {
	return nil, s.h.Alerts.Delete(ctx, tenantOf(ctx), in.Object)
}
