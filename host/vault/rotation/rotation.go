// Package rotation replaces the key of a tenant while everything goes on, as a job:
//
//	adding ----> sealing ----> settling ----> done
//	                ^             |
//	                +-- records --+
//
// First the tenant gets another key, which seals from then on. Then all records that
// are sealed under keys before it are sealed anew, in order, some at a time; those
// that somebody writes meanwhile are under the new key anyway. Then it waits until no
// process can have the key before in use, and looks again: at zero records the old
// keys are destroyed, and what they sealed opens nowhere any more.
//
//	rotations := rotation.New(rotation.Config{Vault: v, Records: db, Jobs: jobs})
//	r, err := rotations.Start(ctx, tenant)
//
// Reads never fail meanwhile: the old keys go last. A rotation whose process dies goes
// on in another from the last step that was saved, and making a step twice does no
// harm. Where records do not open at all, the old keys are kept, and the rotation
// fails and names them: once they are replaced or deleted it can be resumed.
package rotation

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/job"
)

// Kind is that of the jobs.
const Kind = "key_rotation"

// Phase is what a rotation does; see the package comment.
type Phase string

// The phases.
const (
	Adding   Phase = "adding"
	Sealing  Phase = "sealing"
	Settling Phase = "settling"
	Done     Phase = "done"
)

// Rotation is the replacement of a tenant's key.
type Rotation struct {
	ID         string       `json:"id" doc:"Its id."`
	Tenant     string       `json:"tenant" doc:"Whose key it is."`
	State      job.State    `json:"state" enum:"queued,running,paused,done,failed,cancelled" doc:"Whether it goes on."`
	Progress   Progress     `json:"progress" doc:"How far it has come."`
	Error      *fault.Error `json:"error,omitempty" doc:"Why it has failed."`
	CreatedAt  time.Time    `json:"created_at" doc:"When it was asked for."`
	ChangedAt  time.Time    `json:"changed_at" doc:"When it came further last."`
	FinishedAt time.Time    `json:"finished_at,omitzero" doc:"When it ended."`
}

// Progress is how far a rotation has come.
type Progress struct {
	Phase Phase `json:"phase" enum:"adding,sealing,settling,done" doc:"What it does: add a key, seal records under it, wait until nobody uses the ones before, done."`
	// Total is how many records were under other keys when it began, and Done how many
	// it has sealed anew; others were written anew meanwhile.
	Total int `json:"total" doc:"How many records were sealed under other keys when it began."`
	Done  int `json:"done" doc:"How many of them it has sealed anew."`
	// Unreadable counts the records of the last pass that do not open; some are named.
	Unreadable int      `json:"unreadable,omitempty" doc:"How many records do not open."`
	Named      []string `json:"unreadable_records,omitempty" doc:"Some of them."`
}

// cursor is where the next step begins.
type cursor struct {
	Phase Phase `json:"phase"`
	// Place counts the places that are done in this pass, and After is the last record
	// of the one that is not.
	Place int    `json:"place,omitempty"`
	After string `json:"after,omitempty"`
	// Until is when Settling is over, by the database's time.
	Until time.Time `json:"until,omitzero"`
}

func rotationOf(j job.Job) (Rotation, error) {
	r := Rotation{
		ID: j.ID, Tenant: j.Tenant, State: j.State, Error: j.Error,
		CreatedAt: j.CreatedAt, ChangedAt: j.ChangedAt, FinishedAt: j.FinishedAt, Progress: Progress{Phase: Adding},
	}
	if len(j.Progress) > 0 {
		if err := json.Unmarshal(j.Progress, &r.Progress); err != nil {
			return r, fmt.Errorf("decode the progress of the rotation %s: %w", j.ID, err)
		}
	}
	return r, nil
}
