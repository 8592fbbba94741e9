package worker

import (
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// knows says whether this program can run executions of a kind.
func knows(k event.Kind) bool {
	switch k {
	case event.Action, event.Webhook, event.Poll, event.Test:
		return true
	default:
		return false
	}
}

// plain says that the plugin is not a typed connector: its actions are its
// exports, bytes in and bytes out.
func (j job) plain() bool { return j.version.Manifest.Level == 0 && j.execution.Kind == event.Action }

// export is what is called.
func (j job) export() string {
	if j.plain() {
		return j.execution.Name
	}
	return string(j.execution.Kind)
}

// input is the input of an export: see sdk/ABI.md, "Exports".
type input struct {
	Execution   string          `json:"execution"`
	Attempt     int             `json:"attempt"`
	Action      string          `json:"action,omitempty"`
	Input       json.RawMessage `json:"input,omitempty"`
	Webhook     string          `json:"webhook,omitempty"`
	Request     *request        `json:"request,omitempty"`
	Poll        string          `json:"poll,omitempty"`
	Cursor      json.RawMessage `json:"cursor,omitempty"`
	ScheduledAt time.Time       `json:"scheduled_at,omitzero"`
	Checkpoint  json.RawMessage `json:"checkpoint,omitempty"`
	Config      json.RawMessage `json:"config"`
	Connections journal.Granted `json:"connections"`
}

// request is a delivery, as the guest sees it.
type request struct {
	ID         string              `json:"id"`
	ReceivedAt time.Time           `json:"received_at"`
	Method     string              `json:"method"`
	Path       string              `json:"path"`
	Query      string              `json:"query"`
	Headers    map[string][]string `json:"headers"`
	Body       *string             `json:"body,omitempty"`
	BodyBase64 []byte              `json:"body_base64,omitempty"`
}

// envelope builds the input of a run: the same for each run of an execution.
func envelope(j job, w journal.World) ([]byte, error) {
	if j.plain() {
		return j.event.Body, nil
	}
	e := j.event
	e.Kind, e.Name = j.execution.Kind, j.execution.Name
	return wrap(j.execution.ID, e, w, j.event.ScheduledAt())
}

// Envelope is the input of the export of a typed connector that an event of a
// kind calls, as JSON. An event whose body is no JSON where it has to be is a
// *runtime.Failure.
func Envelope(execution string, of event.Event, w journal.World) ([]byte, error) {
	return wrap(execution, of, w, time.Time{})
}

// wrap is Envelope with the instant of a schedule's tick, or zero.
func wrap(execution string, of event.Event, w journal.World, scheduled time.Time) ([]byte, error) {
	e := input{
		ScheduledAt: scheduled, Execution: execution, Attempt: w.Attempt, Checkpoint: w.Checkpoint,
		Config: orJSON(w.Config, `{}`), Connections: w.Connections,
	}
	switch of.Kind {
	case event.Action:
		e.Action, e.Input = of.Name, orJSON(of.Body, `{}`)
	case event.Webhook:
		e.Webhook, e.Request = of.Name, delivery(of)
	case event.Poll:
		e.Poll, e.Cursor = of.Name, orJSON(w.Cursor, `null`)
	default: // A test has nothing but what all have.
	}
	doc, err := json.Marshal(e)
	if err != nil {
		// Of all its parts only the input is not of our making.
		return nil, &runtime.Failure{Code: "invalid_input", Message: "the input is not valid JSON: " + err.Error()}
	}
	return doc, nil
}

func orJSON(doc []byte, otherwise string) json.RawMessage {
	if len(doc) == 0 {
		return json.RawMessage(otherwise)
	}
	return doc
}

func delivery(e event.Event) *request {
	r := &request{ID: e.DedupeKey, ReceivedAt: e.ReceivedAt.UTC(), Headers: map[string][]string{}}
	if e.Request != nil {
		r.Method, r.Path, r.Query = e.Request.Method, e.Request.Path, e.Request.Query
		if e.Request.Headers != nil {
			r.Headers = e.Request.Headers
		}
	}
	if utf8.Valid(e.Body) {
		body := string(e.Body)
		r.Body = &body
	} else {
		r.BodyBase64 = e.Body
	}
	return r
}
