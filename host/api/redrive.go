package api

import (
	"context"
	"net/http"
	"time"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/redrive"
	"github.com/cofferdam-run/cofferdam/host/token"
)

func redriveRoutes() []route {
	const all, one = "/v1/tenants/{tenant}/redrives", "/v1/tenants/{tenant}/redrives/{redrive}"
	line := func(method, path, id, summary, description string) route {
		return route{
			Method: method, Path: path, ID: id, Summary: summary, Description: description,
			Reach: owned, Scope: token.Admin, Tag: "executions",
		}
	}
	start := line(http.MethodPost, all, "startRedrive", "Give many dead executions another chance",
		"All that are dead now and that the filter selects, one after the other, at a rate. Those that are not dead any more when it is their turn are skipped; "+
			"those that may not run in the mode are refused, as one alone would be. It goes on after a crash of the server where it was. "+
			"With `dry_run` nothing is done: the answer, 200, says how many it would be.")
	start.Status, start.Also = http.StatusCreated, map[int]string{http.StatusOK: "It was a dry run."}
	start.Example, start.bind = `{"filter":{"fingerprint":"9f2c64d1b3a80e57"},"mode":"resume","rate":10}`, handle((*server).startRedrive)

	list := line(http.MethodGet, all, "listRedrives", "List redrives", "The newest first.")
	list.Scope, list.bind = token.Read, handle((*server).listRedrives)

	get := line(http.MethodGet, one, "getRedrive", "Show a redrive", "How far it has come.")
	get.Scope, get.bind = token.Read, handle((*server).getRedrive)

	pause := line(http.MethodPost, one+"/pause", "pauseRedrive", "Pause a redrive", "It stops within about a second.")
	pause.bind = handle((*server).pauseRedrive)

	resume := line(http.MethodPost, one+"/resume", "resumeRedrive", "Resume a redrive", "One that was paused, or has failed, goes on where it was.")
	resume.bind = handle((*server).resumeRedrive)

	cancel := line(http.MethodPost, one+"/cancel", "cancelRedrive", "Cancel a redrive", "What it has redriven goes on.")
	cancel.bind = handle((*server).cancelRedrive)

	return []route{start, list, get, pause, resume, cancel}
}

// deadFilter is redrive.Filter as it is asked for.
type deadFilter struct {
	Installation string    `json:"installation,omitempty" doc:"Only those of an installation, by id or name."`
	Fingerprint  string    `json:"fingerprint,omitempty" doc:"Only those of a group of dead letters."`
	Class        string    `json:"class,omitempty" enum:"auth,rate_limited,upstream,contract_changed,network,invalid_input,plugin_bug,limit_exceeded,conflict,denied,ambiguous_effect,platform" doc:"Only those whose problem it is."`
	Code         string    `json:"code,omitempty" doc:"Only those that went wrong so."`
	Kind         string    `json:"kind,omitempty" enum:"webhook,action,poll,test,record" doc:"Only those of a kind."`
	Name         string    `json:"name,omitempty" doc:"Only those of a webhook, action or poll."`
	Tag          string    `json:"tag,omitempty" doc:"Only those that a plugin tagged so, as name=value."`
	Since        time.Time `json:"since,omitzero" doc:"Only those that died then or later."`
	Until        time.Time `json:"until,omitzero" doc:"Only those that died before that. Defaults to now."`
}

// deadFilter resolves what is named in a filter.
func (s *server) deadFilter(ctx context.Context, in *deadFilter) (redrive.Filter, error) {
	if in == nil {
		return redrive.Filter{}, nil
	}
	f := redrive.Filter{
		Fingerprint: in.Fingerprint, Class: fault.Class(in.Class), Code: in.Code,
		Kind: event.Kind(in.Kind), Name: in.Name, Since: in.Since, Until: in.Until,
	}
	tag, err := tagOf(in.Tag)
	if err != nil {
		return f, fault.From(err).At("/filter/tag")
	}
	f.Tag = tag
	f.Installation, err = s.installationID(ctx, in.Installation)
	return f, err
}

type startRedriveInput struct {
	param.InTenant
	Body struct {
		Filter *deadFilter `json:"filter,omitempty" doc:"Which of the dead executions. They narrow it together."`
		All    bool        `json:"all,omitempty" doc:"Says that all are meant, where there is no filter."`
		Mode   string      `json:"mode,omitempty" enum:"resume,restart,force" doc:"How they run: see redriveExecution. Defaults to resume."`
		Rate   int         `json:"rate,omitempty" minimum:"1" maximum:"1000" doc:"How many in a second. Defaults to 10."`
		DryRun bool        `json:"dry_run,omitempty" doc:"Whether to do nothing, and say what would be done."`
	}
}

// startedRedrive is what became of a wish to redrive many.
type startedRedrive struct {
	Redrive *redrive.Redrive `json:"redrive,omitempty" doc:"What was started; left out for a dry run."`
	Plan    *redrive.Plan    `json:"plan,omitempty" doc:"What would be done; only for a dry run."`
}

type startRedriveOutput struct {
	Status int
	Body   startedRedrive
}

func (s *server) startRedrive(ctx context.Context, in *startRedriveInput) (*startRedriveOutput, error) {
	filter, err := s.deadFilter(ctx, in.Body.Filter)
	if err != nil {
		return nil, err
	}
	spec := redrive.Spec{Filter: filter, All: in.Body.All, Mode: execution.Mode(in.Body.Mode), Rate: in.Body.Rate}
	if in.Body.DryRun {
		plan, err := s.h.Redrives.Plan(ctx, tenantOf(ctx), spec)
		if err != nil {
			return nil, err
		}
		return &startRedriveOutput{Status: http.StatusOK, Body: startedRedrive{Plan: &plan}}, nil
	}
	r, err := s.h.Redrives.Start(ctx, tenantOf(ctx), spec)
	if err != nil {
		return nil, err
	}
	return &startRedriveOutput{Status: http.StatusCreated, Body: startedRedrive{Redrive: &r}}, nil
}

type listRedrivesInput struct {
	param.InTenant
	param.Page
}

func (s *server) listRedrives(ctx context.Context, in *listRedrivesInput) (*answer[page[redrive.Redrive]], error) {
	return paged(in.Page, ident.Job, func(before string, limit int) ([]redrive.Redrive, error) {
		return s.h.Redrives.List(ctx, tenantOf(ctx), before, limit)
	}, func(r redrive.Redrive) string { return r.ID })
}

func (s *server) getRedrive(ctx context.Context, in *param.OneRedrive) (*answer[redrive.Redrive], error) {
	return answered(s.h.Redrives.Get(ctx, tenantOf(ctx), in.Redrive))
}

func (s *server) pauseRedrive(ctx context.Context, in *param.OneRedrive) (*answer[redrive.Redrive], error) {
	return answered(s.h.Redrives.Pause(ctx, tenantOf(ctx), in.Redrive))
}

func (s *server) resumeRedrive(ctx context.Context, in *param.OneRedrive) (*answer[redrive.Redrive], error) {
	return answered(s.h.Redrives.Resume(ctx, tenantOf(ctx), in.Redrive))
}

func (s *server) cancelRedrive(ctx context.Context, in *param.OneRedrive) (*answer[redrive.Redrive], error) {
	return answered(s.h.Redrives.Cancel(ctx, tenantOf(ctx), in.Redrive))
}
