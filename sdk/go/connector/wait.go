package connector

import (
	"encoding/json"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

type sleepRequest struct {
	MS         *float64   `json:"ms,omitempty"`
	Until      *time.Time `json:"until,omitempty"`
	Checkpoint any        `json:"checkpoint,omitempty"`
}

// Sleep waits, up to 400 days. More than a second ends the sandbox meanwhile: the call
// is made again then, and what it had asked before is answered as it was, so that it
// goes on here as if it had waited.
func (c *Context) Sleep(d time.Duration) error {
	ms := float64(max(0, d)) / float64(time.Millisecond)
	return c.client.ask("sleep", sleepRequest{MS: &ms}, nil)
}

// SleepUntil waits until a time, as Sleep does. One that is past is not waited for.
func (c *Context) SleepUntil(t time.Time) error {
	return c.client.ask("sleep", sleepRequest{Until: &t}, nil)
}

// StartAgainAt ends the call: what it has done so far is kept, as if it had succeeded,
// and at the time t it is made again from its start, with the checkpoint. Other than
// after a Sleep, nothing of what it asked before is remembered, so that work that goes
// on for ever, such as a look at something each hour, does not grow. It returns only
// if it fails.
//
// The checkpoint is any value with a JSON form of at most 64 KiB, other than null.
func (c *Context) StartAgainAt(t time.Time, checkpoint any) error {
	raw, err := json.Marshal(checkpoint)
	if err != nil {
		return Errorf(code.PluginBug, "encode the checkpoint: %w", err)
	}
	if string(raw) == "null" {
		return Errorf(code.PluginBug, "the checkpoint is null: give the call something by which it knows that it is not the first")
	}
	if err := c.client.ask("sleep", sleepRequest{Until: &t, Checkpoint: json.RawMessage(raw)}, nil); err != nil {
		return err
	}
	return Errorf(code.Internal, "the host did not end the call, as a checkpoint asks for")
}

// Checkpoint decodes what the call was started again with into the value that v points
// to, and says whether it was.
func (c *Context) Checkpoint(v any) (found bool, err error) {
	if len(c.checkpoint) == 0 || string(c.checkpoint) == "null" {
		return false, nil
	}
	if err := json.Unmarshal(c.checkpoint, v); err != nil {
		return true, Errorf(code.PluginBug, "read the checkpoint: %w", err)
	}
	return true, nil
}
