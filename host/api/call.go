package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/telemetry"
	"github.com/cofferdam-run/cofferdam/host/token"
)

func callRoutes() []route {
	const one = "/v1/tenants/{tenant}/installations/{installation}"
	const waits = " The answer is 200 once the execution is done, whether it succeeded or not: look at `state`. " +
		"It is 202 when the wait is over before that, or with `mode=async` or `Prefer: respond-async` at once; the execution goes on."
	line := func(path, id, summary, description string) route {
		return route{
			Method: http.MethodPost, Path: one + path, ID: id, Summary: summary, Description: description + waits,
			Reach: owned, Scope: token.Admin, Tag: "calls", Refuses: []int{http.StatusTooManyRequests}, Waits: true,
			Also: map[int]string{http.StatusAccepted: "The execution is not done yet."},
		}
	}
	action := line("/actions/{action}", "callAction", "Call an action", "The body is the action's input.")
	action.Description = "The body is the action's input: JSON, or, for a level-0 plugin, any bytes as application/octet-stream." + waits
	action.Example, action.shape, action.bind = `{"repository":"acme/site"}`, shapeInput, bindAction
	poll := line("/polls/{poll}", "callPoll", "Poll now", "Fetches what is new since the last time.")
	poll.bind = handle((*server).callPoll)
	test := line("/test", "testInstallation", "Test an installation", "Asks the plugin whether its configuration and connections work.")
	test.bind = handle((*server).testInstallation)
	return []route{action, poll, test}
}

// callView is what became of a call.
type callView struct {
	Execution string          `json:"execution" doc:"The execution's id."`
	Event     string          `json:"event" doc:"The id of the event that it was stored as."`
	State     execution.State `json:"state" enum:"queued,running,waiting,succeeded,dead,cancelled" doc:"succeeded, dead and cancelled are done."`
	Output    json.RawMessage `json:"output,omitempty" doc:"What the plugin answered, if it succeeded."`
	Error     *fault.Error    `json:"error,omitempty" doc:"What went wrong, if it did not."`
}

type callOutput struct {
	Status int
	Body   callView
}

// call starts an execution and waits for it.
func (s *server) call(ctx context.Context, start execution.Start, w param.Wait) (*callOutput, error) {
	patience, err := w.Patience(s.o.CallTimeout)
	if err != nil {
		return nil, err
	}
	start.Lane = event.Interactive
	if patience == 0 {
		start.Lane = event.Live
	}
	// Only the waiting ends when the client goes: see idempotent.
	started, err := s.h.Executions.Start(context.WithoutCancel(ctx), tenantOf(ctx), start)
	if err != nil {
		return nil, err
	}
	telemetry.Caused(ctx, started.Execution)
	out := &callOutput{Status: http.StatusAccepted, Body: callView{
		Execution: started.Execution, Event: started.Event, State: execution.Queued,
	}}
	if patience == 0 {
		return out, nil
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	x, err := s.h.Executions.Wait(limited, tenantOf(ctx), started.Execution)
	if err != nil && limited.Err() == nil && !errors.Is(err, context.DeadlineExceeded) {
		// It is stored and will run: an error here must not look as if it were not.
		s.report(ctx, err)
		return out, nil
	}
	if x.ID != "" {
		out.Body.State, out.Body.Output, out.Body.Error = x.State, x.Output, x.Error
	}
	if x.State.Done() {
		out.Status = http.StatusOK
	}
	return out, nil
}

// callActionInput is a call. Its body is raw, for of JSON huma makes something else.
type callActionInput struct {
	param.OneInstallation
	Action string `path:"action" doc:"The action's name."`
	param.Wait
	ContentType string `header:"Content-Type" hidden:"true"`
	RawBody     []byte
}

// shapeInput declares JSON beside the raw body.
func shapeInput(op *huma.Operation) {
	op.RequestBody = &huma.RequestBody{Content: map[string]*huma.MediaType{"application/json": {}}}
}

// bindAction gives the JSON its schema only once the route is registered: huma would
// have every body fit it, bytes too.
func bindAction(s *server, rt route) {
	handle((*server).callAction)(s, rt)
	s.huma.OpenAPI().Paths[rt.Path].Post.RequestBody.Content["application/json"].Schema = &huma.Schema{}
}

func (s *server) callAction(ctx context.Context, in *callActionInput) (*callOutput, error) {
	switch kind, _, _ := strings.Cut(in.ContentType, ";"); {
	case kind == "application/octet-stream":
	case kind != "" && kind != "application/json":
		return nil, newProblem(http.StatusUnsupportedMediaType, fault.InvalidInput, "content_type_unsupported", "the body must be application/json, or application/octet-stream for a level-0 plugin")
	case !json.Valid(in.RawBody):
		return nil, newProblem(http.StatusBadRequest, fault.InvalidInput, fault.CodeMalformed, "the body is not JSON")
	}
	return s.call(ctx, execution.Start{
		Installation: in.Installation, Kind: event.Action, Name: in.Action,
		Input: bytes.Clone(in.RawBody), // huma uses the buffer again.
	}, in.Wait)
}

type callPollInput struct {
	param.OneInstallation
	Poll string `path:"poll" doc:"The poll's name."`
	param.Wait
}

func (s *server) callPoll(ctx context.Context, in *callPollInput) (*callOutput, error) {
	return s.call(ctx, execution.Start{Installation: in.Installation, Kind: event.Poll, Name: in.Poll}, in.Wait)
}

type testInput struct {
	param.OneInstallation
	param.Wait
}

func (s *server) testInstallation(ctx context.Context, in *testInput) (*callOutput, error) {
	return s.call(ctx, execution.Start{Installation: in.Installation, Kind: event.Test, Name: "test"}, in.Wait)
}
