package connectortest

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

// StartsAgain is the error of a call that has ended with Context.StartAgainAt. What it
// did is kept. The next call of the same Host goes on from the checkpoint.
type StartsAgain struct { //nolint:errname // It is no failure.
	At         time.Time
	Checkpoint json.RawMessage
}

// Error implements error.
func (s *StartsAgain) Error() string {
	return fmt.Sprintf("starts again at %s with %s", s.At.Format(time.RFC3339), s.Checkpoint)
}

// Confirmed is what a connector's Confirm has found.
type Confirmed struct {
	// Happened is nil if it is not sure.
	Happened *bool `json:"happened"`
	// Response is what the call goes on with.
	Response json.RawMessage `json:"response"`
}

// Confirm asks what became of a request that was sent at a time, and not answered.
func (h *Host) Confirm(r connector.Request, askedAt time.Time) (Confirmed, error) {
	h.t.Helper()
	request := httpRequest{Connection: r.Connection, Method: r.Method, URL: r.URL, Headers: r.Header, Base64: r.Body, IdempotencyKey: r.IdempotencyKey}
	if r.JSON != nil {
		request.Base64 = h.encode("the body", r.JSON)
	}
	var found Confirmed
	err := h.run("confirm", map[string]any{"function": "http", "request": request, "asked_at": askedAt}, &found)
	return found, err
}

// lookOnly refuses what a confirm may not do.
func (c *call) lookOnly(function string, request []byte) *failure {
	if !c.readOnly {
		return nil
	}
	var r struct{ Method string }
	switch {
	case function == "log", function == "sleep":
		return nil
	case function == "http" && json.Unmarshal(request, &r) == nil && isRead(r.Method):
		return nil
	default:
		return refuse(code.Denied, "Confirm may only look: %s %s would change something", function, r.Method)
	}
}
