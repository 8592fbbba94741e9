// Package finish says what the end of a run makes of its execution's row and of
// its day's usage, for every database alike.
package finish

import (
	"fmt"
	"slices"
	"time"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/host/store/internal/sealing"
	"github.com/cofferdam-run/cofferdam/hostfns/emit"
)

// Row is what is written of an execution. An empty VersionID and nil Tags leave
// what is there.
type Row struct {
	State      int
	Reason     string
	WaitsFor   string
	RunAt      int64
	FinishedAt int64
	// Counted is added to the attempts.
	Counted     int
	VersionID   string
	Output      []byte
	Error       []byte
	Fingerprint string
	Tags        []byte
}

// Before is what the execution's row has before.
type Before struct {
	CancelRequested bool
	// Attempt is how many tries were counted.
	Attempt int
	// Tags is the column, nil for none.
	Tags []byte
}

// Of makes the row. A run whose cancellation was asked for is not run again, but
// a success stands: it happened. So does what came before a checkpoint.
func Of(c execution.Completion, before Before, now time.Time) (Row, error) {
	r := Row{
		VersionID: c.VersionID, Output: column.Bytes(c.Output), Error: column.Bytes(c.Error),
		Fingerprint: c.Fingerprint, RunAt: column.Micros(now),
	}
	var err error
	if r.State, err = column.State(c.Outcome); err != nil {
		return Row{}, fmt.Errorf("end a run: %w", err)
	}
	switch {
	case c.Checkpointed:
		r.Counted = -before.Attempt // What comes next has all its attempts before it.
	case c.Counted:
		r.Counted = 1
	}
	switch {
	case r.State == column.Running:
		return Row{}, fmt.Errorf("end a run: running is no outcome")
	case c.Checkpointed && r.State != column.Waiting:
		return Row{}, fmt.Errorf("end a run: it is checkpointed and %s, and only what waits is", c.Outcome)
	case before.CancelRequested && !c.Outcome.Done():
		r.State = column.Cancelled
	case r.State == column.Waiting:
		r.Reason, r.WaitsFor, r.RunAt = c.Reason, c.WaitsFor, column.Never
		if !c.Until.IsZero() {
			r.RunAt = column.Micros(c.Until)
		}
	}
	if column.StateOf(r.State).Done() {
		r.FinishedAt = column.Micros(now)
	}
	if Applies(c) && len(c.Tags) > 0 {
		if r.Tags, err = tags(before.Tags, c.Tags); err != nil {
			return Row{}, err
		}
	}
	return r, nil
}

// Applies says that the run's effects are kept.
func Applies(c execution.Completion) bool { return c.Outcome == execution.Succeeded || c.Checkpointed }

// tags adds tags to those that earlier checkpoints left.
func tags(before []byte, added []emit.Tag) ([]byte, error) {
	var all []emit.Tag
	if err := column.FromJSON(before, &all); err != nil {
		return nil, err
	}
	old := len(all)
	for _, t := range added {
		if !slices.Contains(all[:old], t) {
			all = append(all, t)
		}
	}
	return column.JSON(all)
}

// Records are the completion's records as the events that are stored: always of
// the execution's tenant, and of its installation where they do not say.
func Records(c sealing.Completion, installation string, now time.Time) []sealing.Event {
	events := make([]sealing.Event, len(c.Records))
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
