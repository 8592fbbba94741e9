package main

import (
	"context"
	"errors"

	"github.com/cofferdam-run/cofferdam/bench/internal/database"
	"github.com/cofferdam-run/cofferdam/bench/internal/rig"
	"github.com/cofferdam-run/cofferdam/bench/internal/stopwatch"
)

const (
	// slots is how many executions run at once where throughput is measured, and of
	// how many tenants.
	slots = 64
	// little is how many executions a turn of one at a time has.
	little = 150
)

// pair is a side with the journal, and one without.
type pair struct{ on, off *side }

func (s *suite) newPair(ctx context.Context, d *database.Database, tenants int, plugins ...string) (p pair, err error) {
	if p.on, err = s.newSide(ctx, d, true, tenants, plugins...); err != nil {
		return p, err
	}
	p.off, err = s.newSide(ctx, d, false, tenants, plugins...)
	return p, err
}

func (p pair) close() error { return errors.Join(p.on.Close(), p.off.Close()) }

func (p pair) turns(ctx context.Context, rounds int, loads ...rig.Load) (on, off [][]rig.Cost, err error) {
	return rig.Versus(ctx, rounds, p.on.Rig, p.off.Rig, loads...)
}

// throughput compares how many executions a second are done, 64 at a time, of a
// connector with a GET and two POSTs of 5 ms.
func (s *suite) throughput(ctx context.Context, d *database.Database) (err error) {
	p, err := s.newPair(ctx, d, slots, orders, bare)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	on, off, err := p.turns(ctx, s.rounds, s.flood(orders))
	if err != nil {
		return err
	}
	if err := s.bytes(ctx, d, p); err != nil {
		return err
	}
	handOn, handOff, err := p.turns(ctx, s.rounds, s.flood(bare))
	if err != nil {
		return err
	}
	value := stopwatch.Over(off[0], on[0], rig.ByWall)
	ratios := stopwatch.Each(off[0], on[0], rig.ByWall, stopwatch.Divided)
	s.print("throughput_ratio_"+d.Name, value, "ratio", s.goal(value, 0.95),
		peer("worst", stopwatch.Quantile(ratios, 0)), peer("best", stopwatch.Quantile(ratios, 1)),
		peer("on_per_s", 1/stopwatch.Middle(on[0], rig.ByWall)), peer("off_per_s", 1/stopwatch.Middle(off[0], rig.ByWall)),
		peer("cpu", stopwatch.Over(off[0], on[0], rig.ByCPU)), peer("handmade", stopwatch.Over(handOff[0], handOn[0], rig.ByWall)))
	s.print("throughput_cpu_us_"+d.Name, 1e6*stopwatch.Apart(on[0], off[0], rig.ByCPU), "us",
		peer("on", 1e6*stopwatch.Middle(on[0], rig.ByCPU)), peer("off", 1e6*stopwatch.Middle(off[0], rig.ByCPU)),
		peer("handmade", 1e6*stopwatch.Apart(handOn[0], handOff[0], rig.ByCPU)), peer("writes", stopwatch.Middle(on[0], byWrites)))
	s.print("throughput_handmade_per_s_"+d.Name, 1/stopwatch.Middle(handOn[0], rig.ByWall), "1/s", peer("off", 1/stopwatch.Middle(handOff[0], rig.ByWall)))
	return nil
}

func (s *suite) flood(plugin string) rig.Load {
	return rig.Load{Plugin: plugin, N: s.executions, Warm: s.executions / 8, Slots: slots}
}

// bytes compares what executions leave in the database.
func (s *suite) bytes(ctx context.Context, d *database.Database, p pair) error {
	on, err1 := p.on.measure(ctx)
	off, err2 := p.off.measure(ctx)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	total := func(x *side, l lies) float64 { return (l.total - x.before.total) / l.executions }
	s.print("execution_bytes_"+d.Name, on.journal/on.executions, "B", peer("rows", on.rows/on.executions), peer("rows_off", off.rows/off.executions),
		peer("database", total(p.on, on)), peer("database_off", total(p.off, off)))
	return nil
}

// calls compares what executions take that are made one at a time, of guests that do
// next to nothing: without any host call, and what a GET and a POST add, which are
// answered at once.
func (s *suite) calls(ctx context.Context, d *database.Database) (err error) {
	p, err := s.newPair(ctx, d, 1, silent, gets, posts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	one := func(plugin string, n int) rig.Load { return rig.Load{Plugin: plugin, N: n, Warm: n / 10, Slots: 1} }
	on, off, err := p.turns(ctx, s.rounds, one(silent, 2*little), one(gets, little), one(posts, little))
	if err != nil {
		return err
	}
	added := func(i int, by func(rig.Cost) float64) float64 { return 1e6 * stopwatch.Apart(on[i], off[i], by) }
	call := func(i int, by func(rig.Cost) float64) float64 { return (added(i, by) - added(0, by)) / calls }
	took := func(i int, all [][]rig.Cost) float64 {
		return 1e6 * (stopwatch.Middle(all[i], rig.ByWall) - stopwatch.Middle(all[0], rig.ByWall)) / calls
	}
	s.print("execution_us_"+d.Name, added(0, rig.ByWall), "us", peer("cpu", added(0, rig.ByCPU)),
		peer("on", 1e6*stopwatch.Middle(on[0], rig.ByWall)), peer("off", 1e6*stopwatch.Middle(off[0], rig.ByWall)))
	s.print("host_call_us_"+d.Name, call(1, rig.ByWall), "us", peer("cpu", call(1, rig.ByCPU)), peer("on", took(1, on)), peer("off", took(1, off)))
	s.print("host_call_effect_us_"+d.Name, call(2, rig.ByWall), "us", peer("cpu", call(2, rig.ByCPU)), peer("on", took(2, on)), peer("off", took(2, off)),
		peer("writes", stopwatch.Middle(on[2], byWrites)/calls))
	return nil
}

func byWrites(c rig.Cost) float64 { return c.Writes }
