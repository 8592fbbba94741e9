// Package column is how values lie in columns: times as microseconds, states as
// small numbers, lists as JSON.
package column

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/cofferdam-run/cofferdam/host/execution"
)

// The states of an execution as numbers. SQL texts spell them out, because a
// partial index is used only where its predicate is written literally.
const (
	Queued    = 0
	Running   = 1
	Waiting   = 2
	Succeeded = 3
	Dead      = 4
	Cancelled = 5
)

// Never is the run_at of what waits for something else than time.
const Never = math.MaxInt64

// Micros is a time's column, 0 for the zero time.
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// Time reads Micros back, in UTC.
func Time(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// State is a state's column, and an error for a state that is none.
func State(s execution.State) (int, error) {
	switch s {
	case execution.Queued:
		return Queued, nil
	case execution.Running:
		return Running, nil
	case execution.Waiting:
		return Waiting, nil
	case execution.Succeeded:
		return Succeeded, nil
	case execution.Dead:
		return Dead, nil
	case execution.Cancelled:
		return Cancelled, nil
	default:
		return 0, fmt.Errorf("execution state %q is none of queued, running, waiting, succeeded, dead, cancelled", s)
	}
}

// StateOf reads State back.
func StateOf(n int) execution.State {
	switch n {
	case Queued:
		return execution.Queued
	case Running:
		return execution.Running
	case Waiting:
		return execution.Waiting
	case Succeeded:
		return execution.Succeeded
	case Dead:
		return execution.Dead
	case Cancelled:
		return execution.Cancelled
	default:
		return execution.State(fmt.Sprintf("unknown(%d)", n))
	}
}

// JSON is a list's or structure's column.
func JSON(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return b, nil
}

// FromJSON reads JSON back; an empty column leaves v.
func FromJSON(b []byte, v any) error {
	if len(b) == 0 {
		return nil
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("decode %T: %w", v, err)
	}
	return nil
}

// Bytes makes an empty slice nil, because not every driver tells them apart.
func Bytes(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}
