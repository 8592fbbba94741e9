package api

import (
	"context"
	"net/http"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/token"
)

func tenantRoutes() []route {
	const one = "/v1/tenants/{tenant}"
	return []route{
		{
			Method: http.MethodGet, Path: "/v1/tenants", Reach: operated, Scope: token.Read, ID: "listTenants", Tag: "tenants",
			Summary: "List tenants", Description: "The oldest first.", bind: handle((*server).listTenants),
		},
		{
			Method: http.MethodPost, Path: "/v1/tenants", Reach: operated, Scope: token.Admin, ID: "createTenant", Tag: "tenants",
			Summary: "Add a tenant", Description: "Its name is how the host app calls it, and can stand for its id everywhere.",
			Status: http.StatusCreated, Example: `{"name":"acme","title":"Acme Ltd"}`, bind: handle((*server).createTenant),
		},
		{
			Method: http.MethodGet, Path: one, Reach: owned, Scope: token.Read, ID: "getTenant", Tag: "tenants",
			Summary: "Show a tenant", Description: "A tenant's own token may say `me`.", bind: handle((*server).getTenant),
		},
		{
			Method: http.MethodPatch, Path: one, Reach: operated, Scope: token.Admin, ID: "limitTenant", Tag: "tenants",
			Summary: "Change a tenant's limits", Description: "Limits that are left out stay as they are.",
			Example: `{"limits":{"running":32}}`, bind: handle((*server).limitTenant),
		},
		{
			Method: http.MethodPost, Path: one + "/pause", Reach: operated, Scope: token.Admin, ID: "pauseTenant", Tag: "tenants",
			Summary: "Pause a tenant", Description: "Events are accepted and kept, and nothing runs until it is resumed.",
			bind: handle((*server).pauseTenant),
		},
		{
			Method: http.MethodPost, Path: one + "/resume", Reach: operated, Scope: token.Admin, ID: "resumeTenant", Tag: "tenants",
			Summary: "Resume a tenant", Description: "What has gathered is run.", bind: handle((*server).resumeTenant),
		},
	}
}

type limitsBody struct {
	Running *int `json:"running,omitempty" minimum:"1" doc:"How many of its executions run at once, in the cluster. Defaults to 16."`
	Weight  *int `json:"weight,omitempty" minimum:"1" doc:"Its share of the workers against other tenants'. Defaults to 1."`
}

// over returns l with what the body changes.
func (b *limitsBody) over(l tenant.Limits) tenant.Limits {
	if b == nil {
		return l
	}
	if b.Running != nil {
		l.Running = *b.Running
	}
	if b.Weight != nil {
		l.Weight = *b.Weight
	}
	return l
}

func (s *server) listTenants(ctx context.Context, in *param.Page) (*answer[page[tenant.Tenant]], error) {
	after, err := in.After(ident.Tenant)
	if err != nil {
		return nil, err
	}
	all, err := s.h.Tenants.List(ctx, after, in.Limit+1)
	if err != nil {
		return nil, err
	}
	return pageOf(all, in.Limit, func(t tenant.Tenant) string { return t.ID }), nil
}

type createTenantInput struct {
	Body struct {
		Name   string      `json:"name" doc:"Unique: a letter or digit, then up to 62 letters, digits and hyphens, all lower case." example:"acme"`
		Title  string      `json:"title,omitempty" doc:"What people call it."`
		Limits *limitsBody `json:"limits,omitempty" doc:"What it may use at once."`
	}
}

func (s *server) createTenant(ctx context.Context, in *createTenantInput) (*answer[tenant.Tenant], error) {
	return answered(s.h.Tenants.Create(ctx, in.Body.Name, in.Body.Title, in.Body.Limits.over(tenant.Limits{})))
}

func (s *server) getTenant(ctx context.Context, _ *param.InTenant) (*answer[tenant.Tenant], error) {
	return answered(s.h.Tenants.Get(ctx, tenantOf(ctx)))
}

type limitTenantInput struct {
	param.InTenant
	Body struct {
		Limits limitsBody `json:"limits" doc:"The limits to change."`
	}
}

func (s *server) limitTenant(ctx context.Context, in *limitTenantInput) (*answer[tenant.Tenant], error) {
	t, err := s.h.Tenants.Get(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	return answered(s.h.Tenants.Limit(ctx, t.ID, in.Body.Limits.over(t.Limits)))
}

func (s *server) pauseTenant(ctx context.Context, in *param.InTenant) (*answer[tenant.Tenant], error) {
	return answered(s.h.Tenants.Pause(ctx, in.Tenant))
}

func (s *server) resumeTenant(ctx context.Context, in *param.InTenant) (*answer[tenant.Tenant], error) {
	return answered(s.h.Tenants.Resume(ctx, in.Tenant))
}
