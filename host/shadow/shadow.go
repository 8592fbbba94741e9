// Package shadow runs a new version of a plugin against what an old one has done:
// it replays recorded executions on the new version, with no way out, and reports
// what would have become of them.
//
//	r, err := runs.Start(ctx, shadow.Spec{Plugin: "crm", Version: "1.3.0", Against: "1.2.0", Since: lastWeek})
//	r, err = runs.Get(ctx, r.Tenant, r.ID) // r.Report grows until r.State.Ended().
//
// A shadow run never goes live: every question of the new version's to the world
// outside is answered by what was recorded for the old one, or not at all (see
// hostfns/replay). It writes nothing but its own report, and leaves the executions
// as they are.
//
// It is a job: it goes on after a crash from the page that it was at, and can be
// cancelled. All its replays together have the CPU share of one tenant of weight 1,
// so that it does not hold up production. It takes the newest executions of each
// tenant first. With a limit, tenants get equal parts of it, as far as they have as
// many, so that the largest does not crowd out all others.
//
// # Sharp edges
//
// The samples of a report show some of what customers' executions said, where the run
// is of one tenant: it is that tenant's job, sealed with its key and deleted with it. No
// key is all tenants', so the samples of a run of all of them only name executions: a
// run of one of the tenants says more of them. Such a run is deleted, too, with a tenant
// that it has a sample of.
//
// What would come after the first call that differs is not known, and not guessed.
package shadow

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/job"
)

// Kind is the kind of the jobs.
const Kind = "shadow"

// Spec is what is asked for.
type Spec struct {
	// Plugin is a name, or publisher/name.
	Plugin string `json:"plugin"`
	// Version is the one to try: any that is published, installed or not, yanked or not.
	Version string `json:"version"`
	// Against is the one whose executions are replayed.
	Against string `json:"against"`
	// Tenant is an id; empty for all tenants.
	Tenant string `json:"tenant,omitempty"`
	// Since and Until bound when the executions ended: from Since on, and before
	// Until, which is when the run began at the latest.
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
	// Limit is how many are replayed at most; 0 is no limit.
	Limit int `json:"limit,omitempty"`
}

// Verdict is what became of one execution on the new version.
type Verdict string

const (
	// Same says that it asked for the same and came to the same.
	Same Verdict = "same"
	// Mended says that the old version failed, and it succeeded after the same calls.
	Mended Verdict = "mended"
	// OutputDiffers says that it succeeded with another output.
	OutputDiffers Verdict = "output_differs"
	// LeftDiffers says that the records, tags or state that it left differ.
	LeftDiffers Verdict = "left_differs"
	// CallsDiffer says that it asked for something else, or did not ask.
	CallsDiffer Verdict = "calls_differ"
	// AsksBeyond says that it asked for more than was recorded.
	AsksBeyond Verdict = "asks_beyond"
	// Fails says that it failed where the old version did not.
	Fails Verdict = "fails"
	// OutcomeDiffers says that it ended otherwise: it failed in another way, or one of
	// the two waits.
	OutcomeDiffers Verdict = "outcome_differs"
	// FuelDiffers says that one and the same module used other fuel: a bug of this
	// program's.
	FuelDiffers Verdict = "fuel_differs"
	// NotComparable says that the two cannot be compared to the end.
	NotComparable Verdict = "not_comparable"
	// Skipped says that there was nothing to replay.
	Skipped Verdict = "skipped"
)

// Report is what a run has come to so far.
type Report struct {
	// Total is how many executions there were at the beginning, within the limit: an
	// estimate, as retention goes on meanwhile. It is 0 until they are counted.
	Total int `json:"total"`
	Done  int `json:"done"`

	Same           int `json:"same"`
	Mended         int `json:"mended"`
	OutputDiffers  int `json:"output_differs"`
	LeftDiffers    int `json:"left_differs"`
	CallsDiffer    int `json:"calls_differ"`
	AsksBeyond     int `json:"asks_beyond"`
	Fails          int `json:"fails"`
	OutcomeDiffers int `json:"outcome_differs"`
	FuelDiffers    int `json:"fuel_differs"`
	NotComparable  int `json:"not_comparable"`
	Skipped        int `json:"skipped"`

	Fuel Fuel `json:"fuel"`
	// Groups are all but the same ones, by verdict and by what differs, the largest
	// first: at most 100. Other is how many are in no group for that.
	Groups []Group `json:"groups"`
	Other  int     `json:"other"`

	// RecordedSeconds is how long the replayed executions ran in production, and
	// Seconds how long replaying them took.
	RecordedSeconds float64 `json:"recorded_seconds"`
	Seconds         float64 `json:"seconds"`
}

// Differs is how many did not come to the same, without those that are Mended: it is
// what a new version may be held back for.
func (r *Report) Differs() int {
	return r.OutputDiffers + r.LeftDiffers + r.CallsDiffer + r.AsksBeyond + r.Fails + r.OutcomeDiffers + r.FuelDiffers
}

// of is the count of a verdict.
func (r *Report) of(v Verdict) *int {
	return map[Verdict]*int{
		Same: &r.Same, Mended: &r.Mended, OutputDiffers: &r.OutputDiffers, LeftDiffers: &r.LeftDiffers, CallsDiffer: &r.CallsDiffer,
		AsksBeyond: &r.AsksBeyond, Fails: &r.Fails, OutcomeDiffers: &r.OutcomeDiffers, FuelDiffers: &r.FuelDiffers,
		NotComparable: &r.NotComparable, Skipped: &r.Skipped,
	}[v]
}

// Fuel compares the fuel of the executions that came to their end on both versions.
// The ratios are of the new version's to the old one's: 1.1 is a tenth more. They are
// 0 where none was compared.
type Fuel struct {
	Compared int   `json:"compared"`
	Recorded int64 `json:"recorded"`
	Now      int64 `json:"now"`
	// Total is that of the sums; Median and P95 are of executions, to within 1 %.
	Total  float64 `json:"total"`
	Median float64 `json:"median"`
	P95    float64 `json:"p95"`
}

// Group is executions that differ in the same way.
type Group struct {
	Verdict Verdict `json:"verdict"`
	// Key says what differs: the function, method and path of calls, the JSON pointers
	// (RFC 6901, with * for what varies) of outputs, the code of failures.
	Key     string   `json:"key"`
	Count   int      `json:"count"`
	Samples []Sample `json:"samples"`
}

// Sample is one execution of a group.
type Sample struct {
	Tenant    string `json:"tenant"`
	Execution string `json:"execution"`
	// Recorded and Now are the two sides of the first difference, for people; these and
	// Changes are empty in a run of all tenants.
	Recorded string `json:"recorded,omitempty"`
	Now      string `json:"now,omitempty"`
	// Changes are the first few places in which JSON differs.
	Changes []Change `json:"changes,omitempty"`
}

// Change is one place in which two JSON documents differ.
type Change struct {
	// Where is a JSON pointer.
	Where string `json:"where"`
	// Recorded and Now are JSON, cut; empty where there is nothing.
	Recorded string `json:"recorded,omitempty"`
	Now      string `json:"now,omitempty"`
}

// Run is a shadow run.
type Run struct {
	ID         string       `json:"id"`
	Tenant     string       `json:"tenant,omitempty"`
	State      job.State    `json:"state"`
	Spec       Spec         `json:"spec"`
	Report     Report       `json:"report"`
	Error      *fault.Error `json:"error,omitempty"`
	CreatedAt  time.Time    `json:"created_at"`
	ChangedAt  time.Time    `json:"changed_at"`
	FinishedAt time.Time    `json:"finished_at,omitzero"`
}

// order is the spec of a job.
type order struct {
	Spec
	// PluginID and the others are what the names meant when it was asked for.
	PluginID  string `json:"plugin_id"`
	VersionID string `json:"version_id"`
	AgainstID string `json:"against_id"`
}

func decode(j job.Job) (order, tally, error) {
	var o order
	if err := json.Unmarshal(j.Spec, &o); err != nil {
		return o, tally{}, fmt.Errorf("read the spec of a shadow run: %w", err)
	}
	t := tally{Report: Report{Groups: []Group{}}}
	if len(j.Progress) > 0 {
		if err := json.Unmarshal(j.Progress, &t); err != nil {
			return o, t, fmt.Errorf("read the progress of a shadow run: %w", err)
		}
	}
	return o, t, nil
}

func runOf(j job.Job) (Run, error) {
	r := Run{
		ID: j.ID, Tenant: j.Tenant, State: j.State, Error: j.Error,
		CreatedAt: j.CreatedAt, ChangedAt: j.ChangedAt, FinishedAt: j.FinishedAt,
	}
	o, t, err := decode(j)
	r.Spec, r.Report = o.Spec, t.report()
	return r, err
}
