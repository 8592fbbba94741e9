package hostfns

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

const (
	// maxHeld is the longest wait that a sandbox is held for: making the run again
	// costs more than that of memory and time.
	maxHeld = time.Second
	// maxSleep is the longest wait at all: a year, and what a calendar adds to it.
	maxSleep = 400 * 24 * time.Hour
	// maxCheckpoint is in bytes of JSON: a checkpoint is a place to go on from, and
	// what is larger belongs in state.
	maxCheckpoint = 64 << 10
)

// SleepFunc is the name of the Func that Sleep returns.
const SleepFunc = "sleep"

// Sleep is the function "sleep". A wait of up to a second passes on after, time.After
// in a program, and not past the end of the guest's call. A longer one, and any with
// a checkpoint, is [Suspended]. The clock is now.
func Sleep(now func() time.Time, after func(time.Duration) <-chan time.Time) Func {
	return Func{
		Name:   SleepFunc,
		Effect: Always(Read),
		Answer: func(ctx context.Context, request json.RawMessage) (any, error) {
			r, err := Decode[sleepRequest](request)
			if err != nil {
				return nil, err
			}
			present := now()
			d, err := r.wait(present)
			if err != nil {
				return nil, err
			}
			switch {
			case r.Checkpoint != nil:
				return nil, &Suspended{Reason: "sleep", Until: present.Add(d), Checkpoint: r.Checkpoint}
			case d > maxHeld:
				return nil, &Suspended{Reason: "sleep", Until: present.Add(d), Answer: json.RawMessage(`{"result":{}}`)}
			case d == 0:
				return nil, nil
			}
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-after(d):
				return nil, nil
			}
		},
		Summarize: func(request json.RawMessage) string {
			r, err := Decode[sleepRequest](request)
			switch {
			case err != nil:
				return ""
			case r.Until != nil:
				return "until " + r.Until.UTC().Format(time.RFC3339)
			case r.MS != nil:
				return fmt.Sprintf("%g ms", *r.MS)
			default:
				return ""
			}
		},
	}
}

type sleepRequest struct {
	MS         *float64        `json:"ms"`
	Until      *time.Time      `json:"until"`
	Checkpoint json.RawMessage `json:"checkpoint"`
}

// wait is how long the guest wants to wait, from now on.
func (r *sleepRequest) wait(now time.Time) (time.Duration, error) {
	if string(r.Checkpoint) == "null" {
		r.Checkpoint = nil
	}
	if len(r.Checkpoint) > maxCheckpoint {
		return 0, Errorf(CodeInvalidRequest, "\"checkpoint\" is %d bytes of JSON, and %d is the limit: keep what is large in state",
			len(r.Checkpoint), maxCheckpoint)
	}
	switch {
	case (r.MS == nil) == (r.Until == nil):
		return 0, Errorf(CodeInvalidRequest, "give either \"ms\" or \"until\", a time such as 2026-01-02T15:04:05Z")
	case r.Until != nil && r.Until.Sub(now) > maxSleep:
		return 0, Errorf(CodeInvalidRequest, "\"until\" is %s, and %s is the limit, 400 days from now: wait in parts",
			r.Until.UTC().Format(time.RFC3339), now.Add(maxSleep).UTC().Format(time.RFC3339))
	case r.Until != nil:
		return max(0, r.Until.Sub(now)), nil
	case *r.MS < 0 || *r.MS > float64(maxSleep.Milliseconds()):
		return 0, Errorf(CodeInvalidRequest, "\"ms\" is %g, and must be from 0 to %d, which are 400 days: wait in parts", *r.MS, maxSleep.Milliseconds())
	default:
		return time.Duration(*r.MS * float64(time.Millisecond)), nil
	}
}
