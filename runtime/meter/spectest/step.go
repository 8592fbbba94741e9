package spectest

import (
	"context"
	"errors"
	"math/rand/v2"

	"github.com/cofferdam-run/cofferdam/runtime/meter"
)

const (
	// sampledCommands are stepped in each module that has state, and sampledBudgets
	// are tried of each command, when not all are.
	sampledCommands = 4
	sampledBudgets  = 2
	// fullBudgets is how many budgets are tried of each command at most.
	fullBudgets = 32
)

// steps does commands again with less fuel. Modules without a state are used as
// they are; others are built anew each time, with all commands up to the one.
func (r *run) steps(ctx context.Context) error {
	random := rand.New(rand.NewPCG(r.options.Seed, uint64(len(r.script.Commands))))
	from := 0
	for to := 1; to <= len(r.script.Commands); to++ {
		if to < len(r.script.Commands) && (r.script.Commands[to].Type != typeModule || r.script.entangled()) {
			continue
		}
		if err := r.stepAll(ctx, from, to, random); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// stepAll steps the commands in [from, to), which do not need those before.
func (r *run) stepAll(ctx context.Context, from, to int, random *rand.Rand) error {
	var places []int
	for i := from; i < to; i++ {
		if _, ok := r.done[i]; ok {
			places = append(places, i)
		}
	}
	if len(places) == 0 {
		return nil
	}
	if c := &r.script.Commands[from]; c.Type == typeModule && !r.script.entangled() {
		if e := r.metered; e.compile(ctx, r.path(c), false).info.stateless {
			return r.stepInPlace(ctx, from, places, random)
		}
	}
	if !r.options.Full && len(places) > sampledCommands {
		random.Shuffle(len(places), func(i, j int) { places[i], places[j] = places[j], places[i] })
		places = places[:sampledCommands]
	}
	for _, i := range places {
		for _, budget := range r.budgets(r.done[i].used, random) {
			if err := r.stepAnew(ctx, from, i, budget); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *run) stepInPlace(ctx context.Context, from int, places []int, random *rand.Rand) error {
	e, err := newEngine(ctx, r.cache, newAccount, r.root)
	if err != nil {
		return err
	}
	if err := e.load(ctx, r.script, from); err != nil {
		return err
	}
	for _, i := range places {
		for _, budget := range r.budgets(r.done[i].used, random) {
			r.step(i, budget, e.perform(ctx, &r.script.Commands[i].Action, budget))
		}
	}
	return e.runtime.Close(ctx)
}

// stepAnew does the commands in [from, at), then the one at the place with a budget.
func (r *run) stepAnew(ctx context.Context, from, at int, budget int64) error {
	e, err := newEngine(ctx, r.cache, newAccount, r.root)
	if err != nil {
		return err
	}
	for i := from; i < at; i++ {
		switch c := &r.script.Commands[i]; {
		case c.Type == typeModule:
			if err := e.load(ctx, r.script, i); err != nil {
				return err
			}
		case c.invokes():
			e.perform(ctx, &c.Action, plenty)
		case c.Type == typeUninstantiable || c.Type == typeUnlinkable:
			// It may leave elements in a table.
			_, _ = e.instantiate(ctx, r.path(c), "")
		}
	}
	r.step(at, budget, e.perform(ctx, &r.script.Commands[at].Action, budget))
	return e.runtime.Close(ctx)
}

// step judges what the command at a place did with a budget. That must be the
// same as with plenty, but for one thing.
func (r *run) step(at int, budget int64, got outcome) {
	c, want := &r.script.Commands[at], r.done[at]
	r.report.Steps++
	exhausted := errors.Is(got.ended, meter.ErrExhausted)
	if exhausted {
		r.report.Exhausted++
	}
	switch {
	case exhausted && want.err != "":
		// What a trap cost is not known to the last unit.
	case exhausted && budget >= want.used:
		r.differ(c, "of %d units, %d were too few", want.used, budget)
	case exhausted && got.used != budget:
		r.differ(c, "exhausted with a budget of %d, it used %d", budget, got.used)
	case !exhausted && want.err == "" && budget < want.used:
		r.differ(c, "of %d units, %d were enough", want.used, budget)
	case !exhausted:
		if problem := c.compare(want, got); problem != "" {
			r.differ(c, "with %d of %d units: %s", budget, want.used, problem)
		} else if got.used != want.used {
			r.differ(c, "with a budget of %d it used %d, want %d", budget, got.used, want.used)
		}
	}
}

// budgets are the exact one, the one below, and others.
func (r *run) budgets(used int64, random *rand.Rand) []int64 {
	budgets := []int64{used}
	if used == 0 {
		return budgets
	}
	budgets = append(budgets, used-1)
	n := int64(sampledBudgets - 1)
	if r.options.Full {
		n = fullBudgets
	}
	if used <= n {
		for b := range used - 1 {
			budgets = append(budgets, b)
		}
		return budgets
	}
	for range n {
		budgets = append(budgets, random.Int64N(used))
	}
	return budgets
}
