package execution

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
)

// Redriving is how an execution gets another chance: with its attempts counted from
// zero.
type Redriving struct {
	Mode Mode
	// SameVersion keeps the version that is pinned, and the world; else the
	// execution runs on the one that its installation has then.
	SameVersion bool
	// Journal, unless nil, is added to the journal: what a person has decided.
	Journal *journal.Segment
	// Claim, unless 0, is the one that the journal was looked at under: if there was
	// another since, nothing is done.
	Claim int64
	// Backfill moves it into that lane, as one of many; else it leaves that lane.
	Backfill bool
}

// The codes with which a redrive is refused.
const (
	// CodeNotRedrivable: the execution is neither dead nor cancelled, or was redriven
	// meanwhile.
	CodeNotRedrivable = "not_redrivable"
	// CodeAmbiguousEffect: somebody has to say first whether an effect has happened.
	CodeAmbiguousEffect = string(fault.AmbiguousEffect)
	// CodeWouldRepeat: what was done would be done again.
	CodeWouldRepeat = "would_repeat_effects"
)

// effectsShown is how many effects a refusal names.
const effectsShown = 20

// Effect is what a run asked to be done outside, as a person is shown it.
type Effect struct {
	Ordinal  int    `json:"ordinal"`
	Function string `json:"function"`
	// Name is such as POST https://api.example.com/orders, without the query, which
	// people put keys into.
	Name    string    `json:"name"`
	Outcome string    `json:"outcome"`
	AskedAt time.Time `json:"asked_at"`
}

// EffectOf shows an entry of a journal.
func EffectOf(e journal.Entry) Effect {
	shown := Effect{Ordinal: e.Ordinal, Function: e.Func, Name: e.Func, Outcome: e.Outcome.String(), AskedAt: e.Asked.UTC()}
	var r struct{ Method, URL string }
	if json.Unmarshal(e.Request, &r) == nil && r.Method != "" {
		if u, err := url.Parse(r.URL); err == nil {
			shown.Name = fmt.Sprintf("%s %s://%s%s", strings.ToUpper(r.Method), u.Scheme, u.Host, u.Path)
		}
	}
	return shown
}

// Redrive gives a dead or cancelled execution another chance: its attempts are
// counted from zero, on the version that its installation has now. A Conflict fault
// if it may not run in that mode; see Redrivable.
func (x *Executions) Redrive(ctx context.Context, tenant, id string, mode Mode) (Execution, error) {
	return x.redriveAs(ctx, tenant, id, Redriving{Mode: mode})
}

// RedriveBehind is Redrive for one of many: it runs in the lane of backfill then, so that live
// work does not wait for them.
func (x *Executions) RedriveBehind(ctx context.Context, tenant, id string, mode Mode) (Execution, error) {
	return x.redriveAs(ctx, tenant, id, Redriving{Mode: mode, Backfill: true})
}

// Redrivable returns the fault with which Redrive would be refused, and nil if it
// would not. Resume needs to know of every effect whether it has happened; restart
// needs an idempotency key with each that has or may have; force always works.
func (x *Executions) Redrivable(ctx context.Context, tenant, id string, mode Mode) error {
	_, err := x.redrivable(ctx, tenant, id, mode)
	return err
}

func (x *Executions) redrivable(ctx context.Context, tenant, id string, mode Mode) (Execution, error) {
	if mode != Resume && mode != Restart && mode != Force {
		return Execution{}, fault.New(fault.InvalidInput, "mode_unknown", "there is no such mode").At("/mode").
			WithHint("it is resume, restart or force")
	}
	e, err := x.c.Store.Execution(ctx, tenant, id)
	if err != nil {
		return e, err
	}
	if e.State != Dead && e.State != Cancelled {
		return e, notRedrivable(e)
	}
	if mode == Force {
		return e, nil
	}
	past, err := x.past(ctx, e)
	if err != nil {
		return e, err
	}
	if mode == Restart {
		return e, past.mayRestart(id)
	}
	return e, past.mayResume(id)
}

// redriveAs redrives an execution that may be, as it was looked at.
func (x *Executions) redriveAs(ctx context.Context, tenant, id string, r Redriving) (Execution, error) {
	e, err := x.redrivable(ctx, tenant, id, r.Mode)
	if err != nil {
		return Execution{}, err
	}
	r.Claim = e.Claim
	return x.redrive(ctx, e, r)
}

// redrive queues an execution again.
func (x *Executions) redrive(ctx context.Context, e Execution, r Redriving) (Execution, error) {
	if err := x.c.Store.Redrive(ctx, e.Tenant, e.ID, r); err != nil {
		return Execution{}, err
	}
	x.queued(ctx, e.Tenant)
	return x.c.Store.Execution(ctx, e.Tenant, e.ID)
}

func notRedrivable(e Execution) *fault.Error {
	return fault.New(fault.Conflict, CodeNotRedrivable, "the execution %q is %s, and only dead and cancelled ones can be redriven", e.ID, e.State)
}

// past is what is recorded of an execution.
type past struct {
	entries []journal.Entry
	// seq is the next segment's number.
	seq int
}

func (x *Executions) past(ctx context.Context, e Execution) (past, error) {
	recorded, err := x.c.Store.Journal(ctx, e.Tenant, e.ID)
	if err != nil {
		return past{}, fmt.Errorf("read journal: %w", err)
	}
	p := past{seq: 1}
	if n := len(recorded.Segments); n > 0 {
		p.seq = recorded.Segments[n-1].Seq + 1
	}
	if p.entries, err = journal.Join(recorded.Segments); err != nil {
		return p, fault.New(fault.Conflict, "journal_unreadable", "what was recorded of the execution %q cannot be read", e.ID).
			WithHint("a server of another version may have written it: use that one").Because(err)
	}
	return p, nil
}

// last is the last entry, nil if nothing was asked.
func (p past) last() *journal.Entry {
	if len(p.entries) <= 1 {
		return nil // The first is the start.
	}
	return &p.entries[len(p.entries)-1]
}

// unclear is the last entry if nobody knows whether it happened, no answer having
// come, and nil otherwise: what comes after it cannot have been asked.
func (p past) unclear() *journal.Entry {
	e := p.last()
	if e == nil || e.Effect != hostfns.Unsafe || e.Outcome != hostfns.Unknown || !e.Answered.IsZero() {
		return nil
	}
	return e
}

func (p past) mayResume(id string) error {
	e := p.unclear()
	if e == nil || e.Again || e.Confirm || e.Key != "" {
		return nil
	}
	shown := EffectOf(*e)
	f := fault.New(fault.Conflict, CodeAmbiguousEffect, "nobody knows whether %s (entry %d) has happened: it was sent, and no answer came", shown.Name, shown.Ordinal).
		WithHint("Look at the other side, and resolve it: if it has not happened, `cofferdam execution resolve %s --send-again`; "+
			"if it has, `cofferdam execution resolve %s --answer FILE`, with what was answered.", id, id)
	return showing(f, []Effect{shown})
}

func (p past) mayRestart(id string) error {
	var all []Effect
	for _, e := range p.entries {
		if e.Effect == hostfns.Unsafe && e.Outcome != hostfns.NotDone && e.Key == "" {
			all = append(all, EffectOf(e))
		}
	}
	if len(all) == 0 {
		return nil
	}
	f := fault.New(fault.Conflict, CodeWouldRepeat,
		"from the start, %d effects that have happened, or may have, would be made again: they have no idempotency key", len(all)).
		WithHint("`cofferdam execution redrive %s --mode resume` goes on behind them; --mode force makes them again.", id)
	shown := all[:min(len(all), effectsShown)]
	for _, e := range shown {
		f.Problems = append(f.Problems, fault.Problem{Where: fmt.Sprintf("entry %d", e.Ordinal), Message: e.Name + ": " + e.Outcome})
	}
	return showing(f, shown)
}

// showing puts effects into a fault's details.
func showing(f *fault.Error, all []Effect) error {
	doc, err := json.Marshal(map[string][]Effect{"effects": all})
	if err != nil {
		return fmt.Errorf("encode effects: %w", err)
	}
	f.Details = doc
	return f
}
