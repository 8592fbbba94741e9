package trial

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/worker"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
)

// Ask is what a typed connector is asked for: see sdk/ABI.md, "Exports".
type Ask struct {
	Kind event.Kind
	// Name is the action, webhook or poll.
	Name string
	// Payload is an action's input, a delivery's body or a poll's cursor.
	Payload []byte
	// Headers, Query, ID and Received are a delivery's. Names of headers are lower-case.
	Headers  map[string][]string
	Query    string
	ID       string
	Received time.Time

	Execution string
	// Attempt defaults to 1.
	Attempt    int
	Checkpoint json.RawMessage
	Config     json.RawMessage
	// Connections are the granted ones, each with its fields that are not secret.
	Connections map[string]json.RawMessage
}

// Envelope is the input of the export that is named as the kind.
func (a Ask) Envelope() ([]byte, error) {
	w := journal.World{
		Attempt: max(1, a.Attempt), Checkpoint: a.Checkpoint, Config: a.Config, Connections: a.Connections,
	}
	e := event.Event{Kind: a.Kind, Name: a.Name, Body: a.Payload}
	switch a.Kind {
	case event.Webhook:
		e.DedupeKey, e.ReceivedAt = cmp.Or(a.ID, "delivery-1"), a.Received
		e.Request = &event.Request{Method: "POST", Path: "/hooks/end_00000000000000000000000001", Query: a.Query, Headers: a.Headers}
	case event.Poll:
		w.Cursor = a.Payload
	case event.Action, event.Test:
	default:
		return nil, fmt.Errorf("make the input of %q: there is no such kind of call", a.Kind)
	}
	doc, err := worker.Envelope(cmp.Or(a.Execution, DefaultExecution), e, w)
	if err != nil {
		return nil, fmt.Errorf("make the input of %s: %w", a.Kind, err)
	}
	return doc, nil
}
