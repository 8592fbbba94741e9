package api

import (
	"context"
	"encoding/json"
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
			Summary: "Give an execution another chance",
			Description: "One that is dead or cancelled is queued again, with its attempts counted anew, on the version that its installation has now. " +
				"`resume` replays what was recorded up to the last effect and goes on from there; it is refused with `ambiguous_effect` while nobody knows whether that one has happened: resolve it. " +
				"`restart` begins from the start, with the same idempotency keys; it is refused with `would_repeat_effects` if an effect without a key has happened, or may have. " +
				"`force` begins from the start whatever has happened.",
			Example: `{"mode":"resume"}`, bind: handle((*server).redriveExecution),
		},
		{
			Method: http.MethodPost, Path: one + "/resolve", Reach: owned, Scope: token.Admin, ID: "resolveExecution", Tag: "executions",
			Summary: "Say whether an effect has happened",
			Description: "For an execution that ended with a request that was sent and of which nobody knows whether it has happened, after a person has looked at the other side. " +
				"`send_again` has it sent again, byte for byte; `answer` has the plugin go on with what was answered. The execution is queued, on its version.",
			Example: `{"choice":"answer","answer":{"status":201,"headers":{"content-type":["application/json"]},"body":"{\"id\":1001}"}}`,
			bind:    handle((*server).resolveExecution),
		},
		{
			Method: http.MethodGet, Path: "/v1/tenants/{tenant}/dead-letters", Reach: owned, Scope: token.Read, ID: "listDeadLetters", Tag: "executions",
			Summary: "List dead letters", Description: "Executions that will not be retried, grouped by what went wrong. List executions with the `fingerprint` of a group to see them; redrive them one by one, or all at once with a redrive.",
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

func (s *server) getExecution(ctx context.Context, in *param.OneExecution) (*answer[execution.Execution], error) {
	return answered(s.h.Executions.Get(ctx, tenantOf(ctx), in.Execution))
}

func (s *server) traceExecution(ctx context.Context, in *param.OneExecution) (*answer[execution.Trace], error) {
	return answered(s.h.Executions.Trace(ctx, tenantOf(ctx), in.Execution))
}

func (s *server) cancelExecution(ctx context.Context, in *param.OneExecution) (*answer[execution.Execution], error) {
	return answered(s.h.Executions.Cancel(ctx, tenantOf(ctx), in.Execution))
}

type redriveExecutionInput struct {
	param.OneExecution
	Body *struct {
		Mode string `json:"mode,omitempty" enum:"resume,restart,force" doc:"How it runs. Defaults to resume."`
	} `required:"false"`
}

func (s *server) redriveExecution(ctx context.Context, in *redriveExecutionInput) (*answer[execution.Execution], error) {
	mode := execution.Resume
	if in.Body != nil && in.Body.Mode != "" {
		mode = execution.Mode(in.Body.Mode)
	}
	return answered(s.h.Executions.Redrive(ctx, tenantOf(ctx), in.Execution, mode))
}

type resolveExecutionInput struct {
	param.OneExecution
	Body struct {
		Choice string          `json:"choice" enum:"send_again,answer" doc:"What is to be done about the effect."`
		Answer json.RawMessage `json:"answer,omitempty" doc:"What was answered, for the choice answer: as the function gives it to the plugin. For http: status, headers, and body or body_base64."`
	}
}

func (s *server) resolveExecution(ctx context.Context, in *resolveExecutionInput) (*answer[execution.Execution], error) {
	again := in.Body.Choice == "send_again"
	if !again && in.Body.Answer == nil {
		return nil, fault.New(fault.InvalidInput, "answer_missing", "the choice is answer, and there is none").At("/answer")
	}
	return answered(s.h.Executions.Resolve(ctx, tenantOf(ctx), in.Execution, execution.Resolution{SendAgain: again, Answer: in.Body.Answer}))
}

func (s *server) listDeadLetters(ctx context.Context, _ *param.InTenant) (*answer[page[execution.DeadLetters]], error) {
	return listed(s.h.Executions.DeadLetters(ctx, tenantOf(ctx)))
}
