package api

import (
	"context"
	"net/http"
	"time"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/shadow"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/token"
)

func shadowRoutes() []route {
	const all, one = "/v1/shadow-runs", "/v1/shadow-runs/{run}"
	line := func(method, path, id, summary, description string) route {
		return route{
			Method: method, Path: path, ID: id, Summary: summary, Description: description,
			Reach: operated, Scope: token.Admin, Tag: "plugins",
		}
	}
	start := line(http.MethodPost, all, "startShadowRun", "Try a version against what another one has done",
		"Replays recorded executions of one version on another, with the network off, and reports what would have become of them. "+
			"Nothing is sent, and the executions stay as they are. The report grows while it runs: ask for it again. It goes on after a crash of the server where it was.")
	start.Status, start.Refuses = http.StatusCreated, []int{http.StatusNotFound}
	start.Example, start.bind = `{"plugin":"hello-go","version":"0.2.0","against":"0.1.0","last":"7d"}`, handle((*server).startShadowRun)

	list := line(http.MethodGet, all, "listShadowRuns", "List shadow runs", "The newest first: those of all tenants, or those of one. Their reports have no groups.")
	list.Refuses, list.bind = []int{http.StatusNotFound}, handle((*server).listShadowRuns)

	get := line(http.MethodGet, one, "getShadowRun", "Show a shadow run", "How far it has come, and its report. Samples show what customers' executions said, if the run is of one tenant; those of a run of all tenants only name executions.")
	get.bind = handle((*server).getShadowRun)

	cancel := line(http.MethodPost, one+"/cancel", "cancelShadowRun", "Cancel a shadow run", "Its report stays as it is.")
	cancel.bind = handle((*server).cancelShadowRun)

	return []route{start, list, get, cancel}
}

type startShadowRunInput struct {
	Body struct {
		Plugin  string    `json:"plugin" maxLength:"200" doc:"The plugin's name, or publisher/name."`
		Version string    `json:"version" maxLength:"100" doc:"The version to try: any that is published."`
		Against string    `json:"against" maxLength:"100" doc:"The version whose executions are replayed."`
		Last    string    `json:"last,omitempty" maxLength:"20" doc:"How far back to look, such as 7d or 12h, instead of since. Defaults to 7d." example:"7d"`
		Since   time.Time `json:"since,omitzero" doc:"Only executions that ended then or later."`
		Until   time.Time `json:"until,omitzero" doc:"Only executions that ended before that. Defaults to now."`
		Tenant  string    `json:"tenant,omitempty" doc:"Only executions of a tenant, by id or name. Defaults to all."`
		Limit   int       `json:"limit,omitempty" minimum:"1" maximum:"10000000" doc:"How many to replay at most, the newest first, of each tenant a like part. Defaults to all."`
	}
}

func (s *server) startShadowRun(ctx context.Context, in *startShadowRunInput) (*answer[shadow.Run], error) {
	spec := shadow.Spec{
		Plugin: in.Body.Plugin, Version: in.Body.Version, Against: in.Body.Against,
		Since: in.Body.Since, Until: in.Body.Until, Limit: in.Body.Limit,
	}
	if in.Body.Last != "" {
		last, err := param.Period(in.Body.Last)
		switch {
		case err != nil:
			return nil, fault.From(err).At("/last")
		case !spec.Since.IsZero():
			return nil, fault.New(fault.InvalidInput, "period_twice", "last and since both say where to begin").
				At("/last").WithHint("leave one of them out")
		}
		until := spec.Until
		if until.IsZero() {
			until = s.o.Now()
		}
		spec.Since = until.Add(-last)
	}
	if in.Body.Tenant != "" {
		found, err := s.h.Tenants.Get(ctx, in.Body.Tenant)
		if err != nil {
			return nil, err
		}
		if found.State == tenant.Deleting {
			return nil, tenant.BeingDeleted(found)
		}
		spec.Tenant = found.ID
	}
	return answered(s.h.Shadows.Start(ctx, spec))
}

// shadowed returns the id of the tenant whose runs are meant, or none.
func (s *server) shadowed(ctx context.Context, in param.OfTenant) (string, error) {
	if in.Tenant == "" {
		return "", nil
	}
	found, err := s.h.Tenants.Get(ctx, in.Tenant)
	return found.ID, err
}

type listShadowRunsInput struct {
	param.OfTenant
	param.Page
}

func (s *server) listShadowRuns(ctx context.Context, in *listShadowRunsInput) (*answer[page[shadow.Run]], error) {
	before, err := in.After(ident.Job)
	if err != nil {
		return nil, err
	}
	owner, err := s.shadowed(ctx, in.OfTenant)
	if err != nil {
		return nil, err
	}
	all, err := s.h.Shadows.List(ctx, owner, before, in.Limit+1)
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i].Report.Groups = []shadow.Group{} // They are long.
	}
	return pageOf(all, in.Limit, func(r shadow.Run) string { return r.ID }), nil
}

func (s *server) getShadowRun(ctx context.Context, in *param.OneShadowRun) (*answer[shadow.Run], error) {
	owner, err := s.shadowed(ctx, in.OfTenant)
	if err != nil {
		return nil, err
	}
	return answered(s.h.Shadows.Get(ctx, owner, in.Run))
}

func (s *server) cancelShadowRun(ctx context.Context, in *param.OneShadowRun) (*answer[shadow.Run], error) {
	owner, err := s.shadowed(ctx, in.OfTenant)
	if err != nil {
		return nil, err
	}
	return answered(s.h.Shadows.Cancel(ctx, owner, in.Run))
}
