package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
	"github.com/cofferdam-run/cofferdam/host/connect"
	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/token"
)

func connectSessionRoutes() []route {
	const all, one = "/v1/tenants/{tenant}/connect-sessions", "/v1/tenants/{tenant}/connect-sessions/{session}"
	line := func(method, path, id, summary, description string) route {
		return route{
			Method: method, Path: path, ID: id, Summary: summary, Description: description,
			Reach: owned, Scope: token.Admin, Tag: "connect",
		}
	}
	create := line(http.MethodPost, all, "createConnectSession", "Let a user connect an account",
		"The answer has a link, `url`, which is not to be had again: send the user there, open it in a window or a frame with `/connect/v1.js`, or do the steps yourself. "+
			"It works for half an hour, and in the browser that opens it first. "+
			"With `installation` or `plugin` the user connects what that asks for; with `connection` one that is there is connected again, and keeps its id and name.")
	create.Status, create.Secret, create.Example = http.StatusCreated, true,
		`{"installation":"hello-go","return_url":"https://app.example.com/integrations","origins":["https://app.example.com"],"brand":{"name":"Acme","color":"#1f5fd6"}}`
	create.Refuses, create.bind = []int{http.StatusNotFound, http.StatusConflict, http.StatusBadGateway}, handle((*server).createConnectSession)

	list := line(http.MethodGet, all, "listConnectSessions", "List connect sessions", "The oldest first. Those that ended or expired are there for a day.")
	list.Scope, list.bind = token.Read, handle((*server).listConnectSessions)

	get := line(http.MethodGet, one, "getConnectSession", "Show a connect session",
		"`state` says how far it is, and `next` what is to be done: ask until `state` is `done`, `cancelled` or `expired`. `failed` can be tried again.")
	get.Scope, get.Refuses, get.bind = token.Read, []int{http.StatusBadGateway}, handle((*server).getConnectSession)

	step := line(http.MethodPost, one+"/steps", "stepConnectSession", "Do a step of a connect session",
		"For host apps with pages of their own: do what `next` says. `choose` and `select` take a `choice`, `fields` the `values` that `next.schema` describes. "+
			"The answer to `consent` has `next.authorization_url`: send the user's browser there, in a window and not in a frame; from the provider it comes to a page of ours, which ends at `return_url`. "+
			"`retry` goes back to where a failed session can be tried again.")
	step.Secret, step.Example = true, `{"step":"fields","values":{"credential":{"token":"ghp_example"}}}`
	step.Refuses, step.bind = []int{http.StatusConflict, http.StatusBadGateway}, handle((*server).stepConnectSession)

	cancel := line(http.MethodPost, one+"/cancel", "cancelConnectSession", "Cancel a connect session", "Its link does nothing any more. What was connected stays.")
	cancel.Refuses, cancel.bind = []int{http.StatusConflict}, handle((*server).cancelConnectSession)
	return []route{create, list, get, step, cancel}
}

type createConnectSessionInput struct {
	param.InTenant

	Body struct {
		Installation   string    `json:"installation,omitempty" doc:"The installation that the account is for, by id or name."`
		Plugin         string    `json:"plugin,omitempty" doc:"Instead of an installation, a plugin that is not installed yet."`
		Slot           string    `json:"slot,omitempty" doc:"The plugin's name for the account, if it asks for several. Defaults to letting the user choose."`
		App            string    `json:"app,omitempty" doc:"The app that asks for the consent, by id or name. Defaults to letting the user choose from those of the provider."`
		Connection     string    `json:"connection,omitempty" doc:"The connection that is connected again, by id or name."`
		AnotherAccount bool      `json:"another_account,omitempty" doc:"Let the connection be for another account from now on. Otherwise one is refused, if the provider tells which account it is."`
		Name           string    `json:"name,omitempty" doc:"What the new connection is called. Defaults to the plugin's name for it, or the provider's, with a number if that is taken."`
		ReturnURL      string    `json:"return_url,omitempty" doc:"Where the user goes at the end, with connect_session and status in the query. It is at one of the origins, if there are any."`
		Origins        []string  `json:"origins,omitempty" nullable:"false" doc:"Who may show the pages in a frame, and is told what happens in them, such as https://app.example.com."`
		Brand          brandBody `json:"brand,omitzero" doc:"How the pages look."`
	}
}

type brandBody struct {
	Name  string `json:"name,omitempty" doc:"The product's name."`
	Logo  string `json:"logo,omitempty" doc:"A data: URI of a PNG, JPEG or WebP of at most 64 KiB."`
	Color string `json:"color,omitempty" doc:"The colour of buttons and links, as #rrggbb. One that cannot be read is adjusted, and the answer says so."`
	Theme string `json:"theme,omitempty" enum:"auto,light,dark" doc:"Defaults to auto: what the user has set."`
}

// newConnectSession is a session with its link.
type newConnectSession struct {
	connect.Session

	URL string `json:"url" doc:"Where to send the user. It is not to be had again."`
}

// connects is what the host has of connect sessions.
func (s *server) connects() (*connect.Sessions, error) {
	if s.h.Connects == nil {
		return nil, fault.New(fault.Conflict, "public_url_missing", "nobody told this server where browsers reach it").
			WithHint("Start it with --public-url https://..., or set host.Config.PublicURL.")
	}
	return s.h.Connects, nil
}

func (s *server) createConnectSession(ctx context.Context, in *createConnectSessionInput) (*answer[newConnectSession], error) {
	sessions, err := s.connects()
	if err != nil {
		return nil, err
	}
	b := in.Body
	session, link, err := sessions.Create(ctx, tenantOf(ctx), connect.Spec{
		Installation: b.Installation, Plugin: b.Plugin, Slot: b.Slot, App: b.App, Connection: b.Connection, AnotherAccount: b.AnotherAccount,
		Name: b.Name, ReturnURL: b.ReturnURL, Origins: b.Origins,
		Brand: connect.Brand{Name: b.Brand.Name, Logo: b.Brand.Logo, Color: b.Brand.Color, Theme: b.Brand.Theme},
	})
	return answered(newConnectSession{Session: session, URL: link}, err)
}

type listConnectSessionsInput struct {
	param.InTenant
	param.Page
}

func (s *server) listConnectSessions(ctx context.Context, in *listConnectSessionsInput) (*answer[page[connect.Session]], error) {
	sessions, err := s.connects()
	if err != nil {
		return nil, err
	}
	return paged(in.Page, connect.Prefix, func(after string, limit int) ([]connect.Session, error) {
		return sessions.List(ctx, tenantOf(ctx), after, limit)
	}, func(session connect.Session) string { return session.ID })
}

func (s *server) getConnectSession(ctx context.Context, in *param.OneConnectSession) (*answer[connect.Session], error) {
	sessions, err := s.connects()
	if err != nil {
		return nil, err
	}
	return answered(sessions.Get(ctx, tenantOf(ctx), in.Session))
}

type stepConnectSessionInput struct {
	param.OneConnectSession

	Body struct {
		Step   string     `json:"step" enum:"choose,fields,consent,select,retry" doc:"What next.step says."`
		Choice string     `json:"choice,omitempty" doc:"The id of one of next.choices."`
		Values valuesBody `json:"values,omitzero" doc:"What the user has entered, as next.schema describes it."`
	}
}

type valuesBody struct {
	Credential credentialBody    `json:"credential,omitzero" doc:"The parts of a credential."`
	Variables  map[string]string `json:"variables,omitempty" doc:"The provider's variables."`
	Fields     json.RawMessage   `json:"fields,omitempty" doc:"What the plugin wants to know of the account: a JSON object."`
}

func (s *server) stepConnectSession(ctx context.Context, in *stepConnectSessionInput) (*answer[connect.Session], error) {
	sessions, err := s.connects()
	if err != nil {
		return nil, err
	}
	return answered(sessions.Step(ctx, tenantOf(ctx), in.Session, connect.Step{
		Step: in.Body.Step, Choice: in.Body.Choice,
		Values: connect.Values{
			Credential: connection.Credential(in.Body.Values.Credential), Variables: in.Body.Values.Variables, Fields: in.Body.Values.Fields,
		},
	}))
}

func (s *server) cancelConnectSession(ctx context.Context, in *param.OneConnectSession) (*answer[connect.Session], error) {
	sessions, err := s.connects()
	if err != nil {
		return nil, err
	}
	return answered(sessions.Cancel(ctx, tenantOf(ctx), in.Session))
}
