package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/token"
	"github.com/cofferdam-run/cofferdam/hostfns/emit"
)

func executionRoutes() []route {
	const all, one = "/v1/tenants/{tenant}/executions", "/v1/tenants/{tenant}/executions/{execution}"
	return []route{
		{
			Method: http.MethodGet, Path: all, Reach: owned, Scope: token.Read, ID: "listExecutions", Tag: "executions",
			Summary: "List executions", Description: "The newest first. Filters narrow it together.", bind: handle((*server).listExecutions),
		},
		{
			Method: http.MethodGet, Path: all + "/tail", Reach: owned, Scope: token.Read, ID: "tailExecutions", Tag: "executions",
			Summary: "Follow executions live",
			Description: "Server-sent events, until the client goes. `event: execution` carries an execution each time that it changes; " +
				"once it is done, `event: log` follows for each line that its runs logged. A comment comes now and then while nothing happens.",
			shape: shapeTail, bind: handle((*server).tailExecutions),
		},
		{
			Method: http.MethodGet, Path: one, Reach: owned, Scope: token.Read, ID: "getExecution", Tag: "executions",
			Summary: "Show an execution", Description: "Its state, and its output or error.", bind: handle((*server).getExecution),
		},
		{
			Method: http.MethodGet, Path: one + "/trace", Reach: owned, Scope: token.Read, ID: "traceExecution", Tag: "executions",
			Summary:     "Show an execution's trace",
			Description: "All that is known of it: its event, its attempts with every host call and log line, and what it emitted.",
			bind:        handle((*server).traceExecution),
		},
		{
			Method: http.MethodPost, Path: one + "/cancel", Reach: owned, Scope: token.Admin, ID: "cancelExecution", Tag: "executions",
			Summary: "Cancel an execution", Description: "One that runs is asked to end, and is cancelled a moment later.",
			bind: handle((*server).cancelExecution),
		},
		{
			Method: http.MethodPost, Path: one + "/redrive", Reach: owned, Scope: token.Admin, ID: "redriveExecution", Tag: "executions",
			Summary: "Give an execution another chance", Description: "One that is dead or cancelled is queued again, with its attempts counted anew.",
			bind: handle((*server).redriveExecution),
		},
		{
			Method: http.MethodGet, Path: "/v1/tenants/{tenant}/dead-letters", Reach: owned, Scope: token.Read, ID: "listDeadLetters", Tag: "executions",
			Summary: "List dead letters", Description: "Executions that will not be retried, grouped by what went wrong. List executions with the `fingerprint` of a group to see them, and redrive them one by one.",
			bind: handle((*server).listDeadLetters),
		},
	}
}

type listExecutionsInput struct {
	param.InTenant
	param.Page
	Installation string `query:"installation" doc:"Only those of an installation, by id or name."`
	State        string `query:"state" enum:"queued,running,waiting,succeeded,dead,cancelled" doc:"Only those in a state."`
	Kind         string `query:"kind" enum:"webhook,action,poll,test,record" doc:"Only those of a kind."`
	Name         string `query:"name" doc:"Only those of a webhook, action or poll."`
	Event        string `query:"event" doc:"Only the one that an event caused, by the event's id."`
	Tag          string `query:"tag" doc:"Only those that a plugin tagged so, as name=value." example:"order=1001"`
	Fingerprint  string `query:"fingerprint" doc:"Only those of a group of dead letters."`
}

func (s *server) listExecutions(ctx context.Context, in *listExecutionsInput) (*answer[page[execution.Execution]], error) {
	before, err := in.After(ident.Execution)
	if err != nil {
		return nil, err
	}
	tag, err := tagOf(in.Tag)
	if err != nil {
		return nil, err
	}
	installation, err := s.installationID(ctx, in.Installation)
	if err != nil {
		return nil, err
	}
	all, err := s.h.Executions.List(ctx, tenantOf(ctx), execution.Filter{
		Installation: installation, State: execution.State(in.State), Kind: event.Kind(in.Kind),
		Name: in.Name, Event: in.Event, Fingerprint: in.Fingerprint, Tag: tag,
		Before: before, Limit: in.Limit + 1,
	})
	if err != nil {
		return nil, err
	}
	return pageOf(all, in.Limit, func(x execution.Execution) string { return x.ID }), nil
}

// tagOf parses name=value.
func tagOf(s string) (emit.Tag, error) {
	if s == "" {
		return emit.Tag{}, nil
	}
	name, value, ok := strings.Cut(s, "=")
	if !ok || name == "" || value == "" {
		return emit.Tag{}, fault.New(fault.InvalidInput, "tag_invalid", "a tag is written name=value").
			At("tag").WithHint("for example tag=order=1001")
	}
	return emit.Tag{Name: name, Value: value}, nil
}

// installationID returns the id of an installation that a filter names. An id is
// taken as it is: another tenant's matches nothing.
func (s *server) installationID(ctx context.Context, idOrName string) (string, error) {
	if idOrName == "" || strings.HasPrefix(idOrName, ident.Installation) {
		return idOrName, nil
	}
	i, err := s.h.Installations.Get(ctx, tenantOf(ctx), idOrName)
	return i.ID, err
}

type oneExecution struct {
	param.InTenant
	Execution string `path:"execution" doc:"The execution's id."`
}

func (s *server) getExecution(ctx context.Context, in *oneExecution) (*answer[execution.Execution], error) {
	return answered(s.h.Executions.Get(ctx, tenantOf(ctx), in.Execution))
}

func (s *server) traceExecution(ctx context.Context, in *oneExecution) (*answer[execution.Trace], error) {
	return answered(s.h.Executions.Trace(ctx, tenantOf(ctx), in.Execution))
}

func (s *server) cancelExecution(ctx context.Context, in *oneExecution) (*answer[execution.Execution], error) {
	return answered(s.h.Executions.Cancel(ctx, tenantOf(ctx), in.Execution))
}

func (s *server) redriveExecution(ctx context.Context, in *oneExecution) (*answer[execution.Execution], error) {
	return answered(s.h.Executions.Redrive(ctx, tenantOf(ctx), in.Execution, execution.Resume))
}

func (s *server) listDeadLetters(ctx context.Context, _ *param.InTenant) (*answer[page[execution.DeadLetters]], error) {
	return listed(s.h.Executions.DeadLetters(ctx, tenantOf(ctx)))
}
