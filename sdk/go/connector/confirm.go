package connector

import (
	"encoding/json"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

// Doubt is a request of which nobody knows whether it had its effect: it was sent, and
// no final answer came.
type Doubt struct {
	// Function is the host function that was asked: "http", or one of the host app's.
	Function string
	// Request is what was asked of http, as the connector asked it.
	Request Request
	// Raw is the request in JSON, whatever the function.
	Raw json.RawMessage
	// AskedAt is when it was sent first.
	AskedAt time.Time
}

// Confirmation is what became of a Doubt. Make it with Happened, NotHappened or
// Unsure.
type Confirmation struct {
	happened *bool
	response any
}

// Happened says that the request had its effect. The execution goes on with the
// response, as if it had come then; of a host function other than http it is the
// result.
func Happened(response any) Confirmation {
	yes := true
	return Confirmation{happened: &yes, response: response}
}

// NotHappened says that the request had no effect, and will have none: it is made
// again.
func NotHappened() Confirmation { return Confirmation{happened: new(bool)} }

// Unsure says that it cannot be known yet. It is asked again later, and in the end
// left to a person.
func Unsure() Confirmation { return Confirmation{} }

// MarshalJSON gives the form of sdk/ABI.md.
func (c Confirmation) MarshalJSON() ([]byte, error) {
	w := struct {
		Happened *bool `json:"happened,omitempty"`
		Response any   `json:"response,omitempty"`
	}{c.happened, c.response}
	switch r := c.response.(type) {
	case Response:
		w.Response = r.wire()
	case *Response:
		w.Response = r.wire()
	}
	return json.Marshal(w)
}

// wireDoubt is the part of confirm's input that is about the request.
type wireDoubt struct {
	Function string          `json:"function"`
	Request  json.RawMessage `json:"request"`
	AskedAt  time.Time       `json:"asked_at"`
}

func (c Connector) confirm(ctx *Context, input []byte) (any, error) {
	if c.Confirm == nil {
		return nil, Errorf(code.InvalidInput, "connector %q has no Confirm", c.Name)
	}
	var w wireDoubt
	if err := json.Unmarshal(input, &w); err != nil {
		return nil, Errorf(code.InvalidInput, "read what is in doubt: %w", err)
	}
	d := Doubt{Function: w.Function, Raw: w.Request, AskedAt: w.AskedAt}
	if w.Function == "http" {
		var r wireRequest
		if err := json.Unmarshal(w.Request, &r); err != nil {
			return nil, Errorf(code.InvalidInput, "read the request that is in doubt: %w", err)
		}
		d.Request = Request{
			Connection: r.Connection, Method: r.Method, URL: r.URL, Header: r.Headers.lower(), Body: r.bytes(),
			Timeout: time.Duration(r.TimeoutMS) * time.Millisecond, IdempotencyKey: r.IdempotencyKey,
		}
	}
	return c.Confirm(ctx, d)
}
