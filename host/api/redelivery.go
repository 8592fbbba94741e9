package api

import (
	"context"
	"net/http"
	"time"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/redeliver"
	"github.com/cofferdam-run/cofferdam/host/token"
)

func redeliveryRoutes() []route {
	const all, one = "/v1/tenants/{tenant}/redeliveries", "/v1/tenants/{tenant}/redeliveries/{redelivery}"
	line := func(method, path, id, summary, description string) route {
		return route{
			Method: method, Path: path, ID: id, Summary: summary, Description: description,
			Reach: owned, Scope: token.Admin, Tag: "events",
		}
	}
	start := line(http.MethodPost, all, "startRedelivery", "Send stored events again",
		"Each gets a new execution, in the lane that live work does not wait for, as if it had just arrived: effects that it had before are had again. "+
			"Events whose latest execution has succeeded are skipped unless it is forced, and those of which one is queued, running or waiting are always. "+
			"What arrives from now on is left alone. It goes on after a crash of the server where it was, and makes one execution of each event. "+
			"With `dry_run` nothing is done: the answer, 200, counts what would be, as far as a few seconds allow.")
	start.Status, start.Also = http.StatusCreated, map[int]string{http.StatusOK: "It was a dry run."}
	start.Example = `{"installation":"hello-go","since":"2026-11-20T00:00:00Z","filter":"headers[\"x-github-event\"] == \"issues\" && body.action == \"opened\"","pace":50}`
	start.bind = handle((*server).startRedelivery)

	list := line(http.MethodGet, all, "listRedeliveries", "List redeliveries", "The newest first.")
	list.Scope, list.bind = token.Read, handle((*server).listRedeliveries)

	get := line(http.MethodGet, one, "getRedelivery", "Show a redelivery", "How far it has come.")
	get.Scope, get.bind = token.Read, handle((*server).getRedelivery)

	outcomes := line(http.MethodGet, one+"/outcomes", "listRedeliveryOutcomes", "List what a redelivery has made",
		"The executions that it made of events, and how they stand now. Those that it has skipped are counted in its progress.")
	outcomes.Scope, outcomes.bind = token.Read, handle((*server).listRedeliveryOutcomes)

	pause := line(http.MethodPost, one+"/pause", "pauseRedelivery", "Pause a redelivery", "It stops within about a second.")
	pause.bind = handle((*server).pauseRedelivery)

	resume := line(http.MethodPost, one+"/resume", "resumeRedelivery", "Resume a redelivery", "One that was paused, or has failed, goes on where it was.")
	resume.bind = handle((*server).resumeRedelivery)

	cancel := line(http.MethodPost, one+"/cancel", "cancelRedelivery", "Cancel a redelivery", "The executions that it has made go on.")
	cancel.bind = handle((*server).cancelRedelivery)

	return []route{start, list, get, outcomes, pause, resume, cancel}
}

type startRedeliveryInput struct {
	param.InTenant
	Body struct {
		Endpoint     string    `json:"endpoint,omitempty" doc:"Only those that were delivered to an endpoint, by its id."`
		Installation string    `json:"installation,omitempty" doc:"Only those of an installation, by id or name."`
		Event        string    `json:"event,omitempty" doc:"Only this one, by its id. Endpoint, installation or event has to be said."`
		Kind         string    `json:"kind,omitempty" enum:"webhook,action,poll,test,record" doc:"Only those of a kind."`
		Since        time.Time `json:"since,omitzero" doc:"Only those that arrived then or later."`
		Until        time.Time `json:"until,omitzero" doc:"Only those that arrived before that. Defaults to now."`
		Filter       string    `json:"filter,omitempty" maxLength:"4096" doc:"Only those for which this CEL expression (https://cel.dev) is true. It sees headers (by lower-case names), body (what its JSON says, or a string), name, kind and received_at. Where it fails, as for a member that is not there, the event is not meant, and counted as undecided."`
		Pace         int       `json:"pace,omitempty" minimum:"1" maximum:"10000" doc:"How many in a second. Defaults to 50."`
		Force        bool      `json:"force,omitempty" doc:"Whether those are meant, too, that have succeeded."`
		DryRun       bool      `json:"dry_run,omitempty" doc:"Whether to do nothing, and count what would be done."`
	}
}

// startedRedelivery is what became of a wish to redeliver.
type startedRedelivery struct {
	Redelivery *redeliver.Redelivery `json:"redelivery,omitempty" doc:"What was started; left out for a dry run."`
	Plan       *redeliver.Plan       `json:"plan,omitempty" doc:"What would be done; only for a dry run."`
}

type startRedeliveryOutput struct {
	Status int
	Body   startedRedelivery
}

func (s *server) startRedelivery(ctx context.Context, in *startRedeliveryInput) (*startRedeliveryOutput, error) {
	b := in.Body
	installation, err := s.installationID(ctx, b.Installation)
	if err != nil {
		return nil, err
	}
	spec := redeliver.Spec{
		Endpoint: b.Endpoint, Installation: installation, Event: b.Event, Kind: event.Kind(b.Kind),
		Since: b.Since, Until: b.Until, Filter: b.Filter, Pace: b.Pace, Force: b.Force,
	}
	if err := s.redeliverable(ctx, spec); err != nil {
		return nil, err
	}
	if b.DryRun {
		plan, err := s.h.Redeliveries.Plan(ctx, tenantOf(ctx), spec)
		if err != nil {
			return nil, err
		}
		return &startRedeliveryOutput{Status: http.StatusOK, Body: startedRedelivery{Plan: &plan}}, nil
	}
	r, err := s.h.Redeliveries.Start(ctx, tenantOf(ctx), spec)
	if err != nil {
		return nil, err
	}
	return &startRedeliveryOutput{Status: http.StatusCreated, Body: startedRedelivery{Redelivery: &r}}, nil
}

// redeliverable refuses an event that is not there: of one that is named by hand,
// nothing to do would be a strange answer. What an endpoint has received stays when it is
// deleted.
func (s *server) redeliverable(ctx context.Context, spec redeliver.Spec) error {
	if spec.Event == "" {
		return nil
	}
	_, err := s.h.Store.Event(ctx, tenantOf(ctx), spec.Event)
	return err
}

type listRedeliveriesInput struct {
	param.InTenant
	param.Page
}

func (s *server) listRedeliveries(ctx context.Context, in *listRedeliveriesInput) (*answer[page[redeliver.Redelivery]], error) {
	return paged(in.Page, ident.Job, func(before string, limit int) ([]redeliver.Redelivery, error) {
		return s.h.Redeliveries.List(ctx, tenantOf(ctx), before, limit)
	}, func(r redeliver.Redelivery) string { return r.ID })
}

func (s *server) getRedelivery(ctx context.Context, in *param.OneRedelivery) (*answer[redeliver.Redelivery], error) {
	return answered(s.h.Redeliveries.Get(ctx, tenantOf(ctx), in.Redelivery))
}

type listRedeliveryOutcomesInput struct {
	param.OneRedelivery
	param.Page
	State string `query:"state" enum:"queued,running,waiting,succeeded,dead,cancelled" doc:"Only those in a state."`
}

func (s *server) listRedeliveryOutcomes(ctx context.Context, in *listRedeliveryOutcomesInput) (*answer[page[redeliver.Outcome]], error) {
	return paged(in.Page, ident.Execution, func(after string, limit int) ([]redeliver.Outcome, error) {
		f := redeliver.OutcomeFilter{State: execution.State(in.State), After: after, Limit: limit}
		return s.h.Redeliveries.Outcomes(ctx, tenantOf(ctx), in.Redelivery, f)
	}, func(o redeliver.Outcome) string { return o.Execution })
}

func (s *server) pauseRedelivery(ctx context.Context, in *param.OneRedelivery) (*answer[redeliver.Redelivery], error) {
	return answered(s.h.Redeliveries.Pause(ctx, tenantOf(ctx), in.Redelivery))
}

func (s *server) resumeRedelivery(ctx context.Context, in *param.OneRedelivery) (*answer[redeliver.Redelivery], error) {
	return answered(s.h.Redeliveries.Resume(ctx, tenantOf(ctx), in.Redelivery))
}

func (s *server) cancelRedelivery(ctx context.Context, in *param.OneRedelivery) (*answer[redeliver.Redelivery], error) {
	return answered(s.h.Redeliveries.Cancel(ctx, tenantOf(ctx), in.Redelivery))
}
