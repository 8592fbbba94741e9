package redrive

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/job"
)

const (
	// stepMost is how many executions a step redrives at most, so that a pause need
	// not wait for long.
	stepMost = 100
	// scanned is how many are read at once.
	scanned = 200
	// checkedMost is how many a Plan looks into: the journal of each is read.
	checkedMost = 100
	// refusalsShown is how many refusals are named.
	refusalsShown = 20
)

// Executions redrive one; see execution.Executions.
type Executions interface {
	RedriveBehind(ctx context.Context, tenant, id string, mode execution.Mode) (execution.Execution, error)
	Redrivable(ctx context.Context, tenant, id string, mode execution.Mode) error
}

// Config configures Redrives.
type Config struct {
	Store      Store
	Jobs       *job.Jobs
	Executions Executions
	Now        func() time.Time
}

// Redrives are the redrives of many. They are the job.Handler of Kind, and safe for
// concurrent use. One that is paused stops within a second; what one has redriven that
// is cancelled goes on.
type Redrives struct {
	*job.Of[Redrive]

	c Config
}

// New returns Redrives.
func New(c Config) *Redrives {
	return &Redrives{Of: job.NewOf(c.Jobs, Kind, "redrive", redriveOf), c: c}
}

// Plan says what a redrive would do, and does nothing.
func (r *Redrives) Plan(ctx context.Context, tenant string, s Spec) (Plan, error) {
	s, err := s.checked()
	if err != nil {
		return Plan{}, err
	}
	plan, err := r.count(ctx, tenant, s)
	if err != nil {
		return plan, err
	}
	for at := (batch{more: true}); at.more && plan.Checked < checkedMost; {
		if at, err = r.next(ctx, tenant, s.Filter, at.end, checkedMost-plan.Checked); err != nil {
			return plan, err
		}
		for _, e := range at.found {
			if err := r.check(ctx, e, s.Mode, &plan); err != nil {
				return plan, err
			}
		}
	}
	return plan, nil
}

// Start begins a redrive of all that is dead now, as far as the filter selects it.
func (r *Redrives) Start(ctx context.Context, tenant string, s Spec) (Redrive, error) {
	s, err := s.checked()
	if err != nil {
		return Redrive{}, err
	}
	now, err := r.c.Store.Now(ctx)
	if err != nil {
		return Redrive{}, fmt.Errorf("ask for the time: %w", err)
	}
	// What dies from now on may be what was redriven: it would never end.
	if end := now.Add(time.Microsecond); s.Filter.Until.IsZero() || s.Filter.Until.After(end) {
		s.Filter.Until = end
	}
	plan, err := r.count(ctx, tenant, s)
	if err != nil {
		return Redrive{}, err
	}
	j, err := r.c.Jobs.Create(ctx, tenant, Kind, order{Spec: s, Matched: plan.Matched})
	if err != nil {
		return Redrive{}, err
	}
	return redriveOf(j)
}

// Step implements job.Handler: it redrives the next executions, as many as the rate
// allows in a second.
func (r *Redrives) Step(ctx context.Context, j job.Job) (job.Step, error) {
	o, progress, err := decode(j)
	if err != nil {
		return job.Step{}, err
	}
	began := r.c.Now()
	next, err := r.next(ctx, j.Tenant, o.Filter, j.Cursor, min(o.Rate, stepMost))
	if err != nil {
		return job.Step{}, err
	}
	step := job.Step{Cursor: j.Cursor}
	tried := 0
	for _, e := range next.found {
		if err = r.one(ctx, e, o.Mode, &progress); err != nil {
			break
		}
		step.Cursor = e.ID
		tried++
	}
	if err != nil && tried == 0 {
		return job.Step{}, err
	}
	if err == nil {
		step.Cursor, step.Done = next.end, !next.more
	} // Else what was done is kept, and the next step meets the error, or does not.
	if step.Progress, err = json.Marshal(progress); err != nil {
		return job.Step{}, fmt.Errorf("encode the progress of a redrive: %w", err)
	}
	pace := time.Duration(tried) * time.Second / time.Duration(o.Rate)
	step.Wait = max(0, pace-r.c.Now().Sub(began))
	return step, nil
}

// check counts whether an execution may run in a mode.
func (r *Redrives) check(ctx context.Context, e execution.Execution, mode execution.Mode, plan *Plan) error {
	err := r.c.Executions.Redrivable(ctx, e.Tenant, e.ID, mode)
	refused := fault.From(err)
	switch {
	case err != nil && !isRefusal(refused):
		return fmt.Errorf("look at the execution %s: %w", e.ID, err)
	case err != nil && !isGone(refused):
		plan.Refused++
		plan.Refusals = name(plan.Refusals, e.ID, refused)
	}
	plan.Checked++
	return nil
}

// count finds how many there are.
func (r *Redrives) count(ctx context.Context, tenant string, s Spec) (Plan, error) {
	plan := Plan{Groups: []execution.DeadLetters{}, Refusals: []Refusal{}}
	groups, err := r.c.Store.BuriedGroups(ctx, tenant, s.Filter)
	if err != nil {
		return plan, fmt.Errorf("group the dead: %w", err)
	}
	for _, g := range groups {
		// Those of one fingerprint have one class and code.
		if s.Filter.matches(fault.Class(g.Class), g.Code) {
			plan.Groups = append(plan.Groups, g)
			plan.Matched += g.Count
		}
	}
	return plan, nil
}

// one redrives an execution and counts what became of that.
func (r *Redrives) one(ctx context.Context, e execution.Execution, mode execution.Mode, p *Progress) error {
	_, err := r.c.Executions.RedriveBehind(ctx, e.Tenant, e.ID, mode)
	switch refused := fault.From(err); {
	case err == nil:
		p.Redriven++
	case !isRefusal(refused):
		return fmt.Errorf("redrive the execution %s: %w", e.ID, err)
	case isGone(refused):
		p.Skipped++
	default:
		p.Refused++
		p.Refusals = name(p.Refusals, e.ID, refused)
	}
	return nil
}

// batch is a piece of what a filter selects.
type batch struct {
	found []execution.Execution
	// end is the id to go on after, and more says whether anything may follow it.
	end  string
	more bool
}

// next lists up to limit executions that a filter selects after an id.
func (r *Redrives) next(ctx context.Context, tenant string, f Filter, after string, limit int) (batch, error) {
	b := batch{end: after}
	all, err := r.c.Store.Buried(ctx, tenant, f, after, scanned)
	if err != nil {
		return b, fmt.Errorf("list the dead: %w", err)
	}
	b.more = len(all) == scanned
	for _, e := range all {
		if len(b.found) == limit {
			b.more = true
			break
		}
		b.end = e.ID
		died := e.Error
		if died == nil {
			died = &fault.Error{}
		}
		if f.matches(died.Class, died.Code) {
			b.found = append(b.found, e)
		}
	}
	return b, nil
}

// isRefusal says that it is about this execution, and not about us.
func isRefusal(f *fault.Error) bool {
	return f.Class == fault.Conflict || f.Code == fault.CodeNotFound
}

// isGone says that the execution is not there to be redriven any more.
func isGone(f *fault.Error) bool {
	return f.Code == execution.CodeNotRedrivable || f.Code == fault.CodeNotFound
}

func name(all []Refusal, id string, f *fault.Error) []Refusal {
	if len(all) >= refusalsShown {
		return all
	}
	return append(all, Refusal{Execution: id, Code: f.Code})
}

var _ job.Handler = (*Redrives)(nil)
