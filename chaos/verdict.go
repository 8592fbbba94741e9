package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/cofferdam-run/cofferdam/chaos/ledger"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
)

// Why an execution may be dead, for a person to decide: by its class, nobody knows
// whether an effect was had; by its code, five servers in a row were killed while they
// ran it and nothing else.
const (
	ambiguous   = "ambiguous_effect"
	quarantined = "quarantined"
)

// listed is the most that a store lists at once.
const listed = 200

// verdict compares what was promised, what the database has and what the ledger saw.
type verdict struct {
	s *scene
	r *report

	db store.Store
	// found are the executions by the deliveries' ids.
	found map[string][]execution.Execution
	// records counts those that were emitted, by their key.
	records map[string]int
	effects map[string]ledger.Effect
	// succeeded and shared are what the counters must show.
	succeeded, shared int
}

// judge looks at everything, once nothing goes on any more.
func (s *scene) judge(ctx context.Context, cycles int) (r *report, err error) {
	db, err := s.place.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	keeper, err := keyfile.Open(s.place.keyPath())
	if err != nil {
		return nil, err
	}
	db.SealWith(vault.New(db, keeper))
	v := &verdict{
		s: s, r: &report{cycles: cycles, kills: s.kills}, db: db,
		found: map[string][]execution.Execution{}, records: map[string]int{}, effects: map[string]ledger.Effect{},
	}
	if err := v.read(ctx); err != nil {
		return nil, fmt.Errorf("read what is left: %w", err)
	}
	v.deliveries(ctx)
	v.strangers()
	if err := v.counters(ctx); err != nil {
		return nil, fmt.Errorf("read the counters: %w", err)
	}
	for _, wrong := range s.ledger.Wrong() {
		v.twice(&v.r.keyed, "the ledger: %s", wrong)
	}
	v.r.counts = s.ledger.Counts()
	s.pulse.results(v.r)
	return v.r, nil
}

// read collects what the verdict is about.
func (v *verdict) read(ctx context.Context) error {
	for before := ""; ; {
		all, err := v.db.Executions(ctx, v.s.place.tenant, execution.Filter{Before: before, Limit: listed})
		if err != nil {
			return err
		}
		for _, x := range all {
			e, err := v.db.Event(ctx, v.s.place.tenant, x.Event)
			if err != nil {
				return err
			}
			v.found[e.DedupeKey] = append(v.found[e.DedupeKey], x)
			before = x.ID
		}
		if len(all) < listed {
			break
		}
	}
	for before := ""; ; {
		all, err := v.db.Events(ctx, v.s.place.tenant, event.Filter{Kind: event.Record, Before: before, Limit: listed})
		if err != nil {
			return err
		}
		for _, e := range all {
			v.records[e.DedupeKey]++
			before = e.ID
		}
		if len(all) < listed {
			break
		}
	}
	for _, e := range v.s.ledger.Effects() {
		v.effects[e.ID] = e
		v.r.resent += e.Asked - 1
	}
	return nil
}

// lost and twice note that a promise was broken, and how that is known.
func (v *verdict) lost(format string, args ...any) {
	v.r.lost++
	v.r.evidence = append(v.r.evidence, "lost: "+fmt.Sprintf(format, args...))
}

func (v *verdict) twice(count *int, format string, args ...any) {
	*count++
	v.r.evidence = append(v.r.evidence, "duplicated: "+fmt.Sprintf(format, args...))
}

// deliveries judges each delivery that was made.
func (v *verdict) deliveries(ctx context.Context) {
	all, repeated, forgotten := v.s.vendor.deliveries()
	v.r.delivered, v.r.repeated = len(all), repeated
	for _, f := range forgotten {
		v.lost("%s", f)
	}
	for _, d := range all {
		runs := v.found[d.order.ID]
		delete(v.found, d.order.ID)
		if len(runs) > 1 {
			v.twice(&v.r.executions, "delivery %s has caused %d executions", d.order.ID, len(runs))
		}
		if d.execution != "" {
			v.r.accepted++
			if len(runs) == 0 || runs[0].ID != d.execution {
				v.lost("delivery %s was accepted as execution %s, which is not there", d.order.ID, d.execution)
			}
		}
		for _, x := range runs {
			v.run(ctx, d.order, x)
		}
		if len(runs) == 0 {
			v.nothing(d.order)
		}
	}
}

// run judges an execution by its end.
func (v *verdict) run(ctx context.Context, o order, x execution.Execution) {
	seen, err := v.db.State(v.s.place.tenant, v.s.installed).Get(ctx, "seen/"+o.ID)
	switch {
	case err != nil:
		v.lost("the state of delivery %s cannot be read: %v", o.ID, err)
	case x.State == execution.Succeeded:
		v.succeeded++
		if o.Shared {
			v.shared++
		}
		v.all(o, x, seen.Version != 0)
		return
	case x.State == execution.Dead && x.Error != nil && string(x.Error.Class) == ambiguous:
		v.r.ambiguous++
	case x.State == execution.Dead && x.Error != nil && x.Error.Code == quarantined:
		v.r.quarantined++
	default:
		v.lost("execution %s of delivery %s is %s: %s", x.ID, o.ID, x.State, v.why(ctx, x))
	}
	if seen.Version != 0 {
		v.twice(&v.r.state, "execution %s of delivery %s has changed state, and is %s", x.ID, o.ID, x.State)
	}
	v.nothing(o)
}

// why says what an execution's error was, and what became of its runs.
func (v *verdict) why(ctx context.Context, x execution.Execution) string {
	text, _ := json.Marshal(x.Error)
	trace, err := v.db.Trace(ctx, x.Tenant, x.ID)
	if err != nil {
		return string(text)
	}
	runs := make([]string, 0, len(trace.Attempts))
	for _, a := range trace.Attempts {
		runs = append(runs, fmt.Sprintf("%d: %s", a.Claim, a.Outcome))
	}
	return fmt.Sprintf("%s (claim %d; runs that have ended: %s)", text, x.Claim, strings.Join(runs, ", "))
}

// all judges what has to be there exactly once.
func (v *verdict) all(o order, x execution.Execution, seen bool) {
	if !seen {
		v.lost("execution %s of delivery %s has succeeded without its state", x.ID, o.ID)
	}
	switch n := v.records[o.ID]; {
	case n == 0:
		v.lost("execution %s of delivery %s has succeeded without its record", x.ID, o.ID)
	case n > 1:
		v.twice(&v.r.records, "delivery %s has %d records", o.ID, n)
	}
	for _, id := range effectsOf(o.ID) {
		if v.effects[id].Had == 0 {
			v.lost("execution %s of delivery %s has succeeded without effect %s", x.ID, o.ID, id)
		}
	}
	v.atMostOnce(o)
}

// nothing judges what must not be there for an execution that has not succeeded.
func (v *verdict) nothing(o order) {
	if v.records[o.ID] > 0 {
		v.twice(&v.r.records, "delivery %s has a record without having succeeded", o.ID)
	}
	v.atMostOnce(o)
}

// atMostOnce judges the effects outside.
func (v *verdict) atMostOnce(o order) {
	for _, id := range effectsOf(o.ID) {
		e := v.effects[id]
		delete(v.effects, id)
		if e.Had <= 1 {
			continue
		}
		count := &v.r.plain
		if e.Keyed {
			count = &v.r.keyed
		}
		v.twice(count, "effect %s was had %d times", id, e.Had)
	}
}

// strangers are what nobody has asked for.
func (v *verdict) strangers() {
	for id := range v.found {
		v.lost("there is an execution of %q, which was never delivered", id)
	}
	for id := range v.effects {
		v.lost("there is the effect %q, which belongs to no delivery", id)
	}
}

// counters compares two keys with the number of executions that have counted.
func (v *verdict) counters(ctx context.Context) error {
	for key, want := range map[string]int{"count": v.succeeded, "shared": v.shared} {
		e, err := v.db.State(v.s.place.tenant, v.s.installed).Get(ctx, key)
		if err != nil {
			return err
		}
		got := 0
		if e.Version != 0 {
			if err := json.Unmarshal(e.Value, &got); err != nil {
				return err
			}
		}
		switch {
		case got > want:
			v.r.state += got - want - 1
			v.twice(&v.r.state, "the counter %q is %d, and %d executions have counted", key, got, want)
		case got < want:
			v.r.lost += want - got - 1
			v.lost("the counter %q is %d, and %d executions have counted", key, got, want)
		}
	}
	v.r.succeeded = v.succeeded
	return nil
}

// effectsOf names what the guest has the ledger do for a delivery.
func effectsOf(id string) []string { return []string{id + "/charge", id + "/mail", id + "/ship"} }
