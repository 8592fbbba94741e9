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
			Summary: "Change a tenant's limits, and how long it keeps things", Description: "What is left out stays as it is. `running` is how many of its executions run at once, in the cluster; what is redelivered or redriven in numbers leaves a quarter of that, rounded up, to live work, but for a single one.",
			Example: `{"limits":{"running":32},"retention":{"days":7}}`, bind: handle((*server).limitTenant),
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
	Rate    *int `json:"rate,omitempty" minimum:"0" doc:"How many webhooks a second are taken for it, in the cluster; the others are answered 429. 0, the default, is no cap."`
	Burst   *int `json:"burst,omitempty" minimum:"0" doc:"How many may come at once though the rate is lower. 0, the default, is ten seconds' worth."`
	Queued  *int `json:"queued,omitempty" minimum:"0" doc:"How many of its executions may be due or parked before webhooks are answered 503. 0, the default, is 1,000,000."`
}

// limits are what the body says; what it leaves out is zero.
func (b *limitsBody) limits() tenant.Limits {
	var l tenant.Limits
	if b == nil {
		return l
	}
	for _, f := range []struct{ from, to *int }{{b.Running, &l.Running}, {b.Weight, &l.Weight}, {b.Rate, &l.Rate}, {b.Burst, &l.Burst}, {b.Queued, &l.Queued}} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	return l
}

type retentionBody struct {
	Days  *int   `json:"days,omitempty" minimum:"0" doc:"How long after its end an execution is kept, with all that hangs off it. 0 is the host's default."`
	Bytes *int64 `json:"bytes,omitempty" minimum:"0" doc:"How many bytes of what has finished are kept; what finished first goes first. 0 is the host's default."`
}

func (s *server) listTenants(ctx context.Context, in *param.Page) (*answer[page[tenant.Tenant]], error) {
	return paged(*in, ident.Tenant, func(after string, limit int) ([]tenant.Tenant, error) {
		return s.h.Tenants.List(ctx, after, limit)
	}, func(t tenant.Tenant) string { return t.ID })
}

type createTenantInput struct {
	Body struct {
		Name   string      `json:"name" doc:"Unique: a letter or digit, then up to 62 letters, digits and hyphens, all lower case." example:"acme"`
		Title  string      `json:"title,omitempty" doc:"What people call it."`
		Limits *limitsBody `json:"limits,omitempty" doc:"What it may use at once."`
	}
}

func (s *server) createTenant(ctx context.Context, in *createTenantInput) (*answer[tenant.Tenant], error) {
	return answered(s.h.Tenants.Create(ctx, in.Body.Name, in.Body.Title, in.Body.Limits.limits()))
}

func (s *server) getTenant(ctx context.Context, _ *param.InTenant) (*answer[tenant.Tenant], error) {
	return answered(s.h.Tenants.Get(ctx, tenantOf(ctx)))
}

type limitTenantInput struct {
	param.InTenant
	Body struct {
		Limits    *limitsBody    `json:"limits,omitempty" doc:"The limits to change."`
		Retention *retentionBody `json:"retention,omitempty" doc:"How long what has finished is kept."`
	}
}

func (s *server) limitTenant(ctx context.Context, in *limitTenantInput) (*answer[tenant.Tenant], error) {
	var c tenant.Change
	if in.Body.Limits != nil {
		l := in.Body.Limits.limits()
		c.Limits = &l
		c.Rate, c.Burst, c.Queued = in.Body.Limits.Rate, in.Body.Limits.Burst, in.Body.Limits.Queued
	}
	if in.Body.Retention != nil {
		c.Days, c.Bytes = in.Body.Retention.Days, in.Body.Retention.Bytes
	}
	return answered(s.h.Tenants.Update(ctx, in.Tenant, c))
}

func (s *server) pauseTenant(ctx context.Context, in *param.InTenant) (*answer[tenant.Tenant], error) {
	return answered(s.h.Tenants.Pause(ctx, in.Tenant))
}

func (s *server) resumeTenant(ctx context.Context, in *param.InTenant) (*answer[tenant.Tenant], error) {
	return answered(s.h.Tenants.Resume(ctx, in.Tenant))
}
