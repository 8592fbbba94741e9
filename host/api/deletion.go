package api

import (
	"context"
	"net/http"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/token"
)

func deletionRoutes() []route {
	const one = "/v1/tenants/{tenant}"
	const report = "What was erased, which key was destroyed and when, and what remains where. It stays when the tenant is gone."
	return []route{
		{
			Method: http.MethodDelete, Path: one, Reach: operated, Scope: token.Admin, ID: "deleteTenant", Tag: "tenants",
			Summary: "Delete a tenant", Description: "It is paused now, and deleted when the grace is over; until then it can be restored. " +
				"Then its key and its tokens go first, so that nothing that it had sealed can be opened again, in any process of the server's within 30 seconds. " +
				"All else that it owns but what it has used is taken away in the background: until then its state is `deleting`, and then it is not found, and its name is free. " +
				"With a grace of `0s` the key is gone when this answers. Deleting it again changes nothing but the grace, which counts from the first time.",
			Status: http.StatusAccepted, Refuses: []int{http.StatusConflict}, bind: handle((*server).deleteTenant),
		},
		{
			Method: http.MethodPost, Path: one + "/restore", Reach: operated, Scope: token.Admin, ID: "restoreTenant", Tag: "tenants",
			Summary: "Call the deletion of a tenant off", Description: "Before it is due. The tenant is active again, or paused if it was that before. One that is not to be deleted stays as it is.",
			bind: handle((*server).restoreTenant),
		},
		{
			Method: http.MethodGet, Path: one + "/deletion", Reach: operated, Scope: token.Read, ID: "getDeletion", Tag: "tenants",
			Summary: "Show the deletion of a tenant", Description: "By the tenant's id, or by the name that it has or had. " + report,
			bind: handle((*server).getDeletion),
		},
		{
			Method: http.MethodGet, Path: "/v1/deletions", Reach: operated, Scope: token.Read, ID: "listDeletions", Tag: "tenants",
			Summary: "List the deletions of tenants", Description: "The oldest tenant's first. " + report, bind: handle((*server).listDeletions),
		},
	}
}

type deleteTenantInput struct {
	param.InTenant
	param.Grace
}

func (s *server) deleteTenant(ctx context.Context, in *deleteTenantInput) (*answer[tenant.Deletion], error) {
	grace, err := in.Duration()
	if err != nil {
		return nil, err
	}
	return answered(s.h.Tenants.Delete(ctx, in.Tenant, grace))
}

func (s *server) restoreTenant(ctx context.Context, in *param.InTenant) (*answer[tenant.Tenant], error) {
	return answered(s.h.Tenants.Restore(ctx, in.Tenant))
}

func (s *server) getDeletion(ctx context.Context, in *param.InTenant) (*answer[tenant.Deletion], error) {
	return answered(s.h.Tenants.Deletion(ctx, in.Tenant))
}

func (s *server) listDeletions(ctx context.Context, in *param.Page) (*answer[page[tenant.Deletion]], error) {
	return paged(*in, ident.Tenant, func(after string, limit int) ([]tenant.Deletion, error) {
		return s.h.Tenants.Deletions(ctx, after, limit)
	}, func(d tenant.Deletion) string { return d.Tenant })
}
