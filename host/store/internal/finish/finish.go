// Package finish says what the end of a run makes of its execution's row and of
// its day's usage, for every database alike.
package finish

import (
	"fmt"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
)

// Row is what is written of an execution. An empty VersionID and nil Tags leave
// what is there.
type Row struct {
	State       int
	Reason      string
	RunAt       int64
	FinishedAt  int64
	Counted     int
	VersionID   string
	Output      []byte
	Error       []byte
	Fingerprint string
	Tags        []byte
}

// Of makes the row. A run whose cancellation was asked for is not run again, but
// a success stands: it happened.
func Of(c execution.Completion, cancelRequested bool, now time.Time) (Row, error) {
	r := Row{
		VersionID: c.VersionID, Output: column.Bytes(c.Output), Error: column.Bytes(c.Error),
		Fingerprint: c.Fingerprint, RunAt: column.Micros(now),
	}
	var err error
	if r.State, err = column.State(c.Outcome); err != nil {
		return Row{}, fmt.Errorf("end a run: %w", err)
	}
	if c.Counted {
		r.Counted = 1
	}
	switch {
	case r.State == column.Running:
		return Row{}, fmt.Errorf("end a run: running is no outcome")
	case cancelRequested && !c.Outcome.Done():
		r.State = column.Cancelled
	case r.State == column.Waiting:
		r.Reason, r.RunAt = c.Reason, column.Never
		if !c.Until.IsZero() {
			r.RunAt = column.Micros(c.Until)
		}
	}
	if column.StateOf(r.State).Done() {
		r.FinishedAt = column.Micros(now)
	}
	if r.State == column.Succeeded && len(c.Tags) > 0 {
		if r.Tags, err = column.JSON(c.Tags); err != nil {
			return Row{}, err
		}
	}
	return r, nil
}

// Records are the completion's records as the events that are stored: always of
// the execution's tenant, and of its installation where they do not say.
func Records(c execution.Completion, installation string, now time.Time) []event.Event {
	events := make([]event.Event, len(c.Records))
	for i, e := range c.Records {
		e.Tenant = c.Tenant
		if e.Installation == "" {
			e.Installation = installation
		}
		if e.Source == "" {
			e.Source = installation
		}
		if e.ReceivedAt.IsZero() {
			e.ReceivedAt = now
		}
		events[i] = e
	}
	return events
}
