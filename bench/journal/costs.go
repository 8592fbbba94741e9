package main

import (
	"context"
	"errors"
	"math"
	"slices"
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

func (s *suite) newPair(ctx context.Context, d *database, tenants int, plugins ...string) (p pair, err error) {
	if p.on, err = s.newSide(ctx, d, true, tenants, plugins...); err != nil {
		return p, err
	}
	p.off, err = s.newSide(ctx, d, false, tenants, plugins...)
	return p, err
}

func (p pair) close() error { return errors.Join(p.on.close(), p.off.close()) }

// turns runs loads on both sides, in turns, so that what else the machine does meets
// both. Nobody always comes after the same one. It returns what an execution of each
// load cost, by round.
func (p pair) turns(ctx context.Context, rounds int, loads ...load) (on, off [][]cost, err error) {
	on, off = make([][]cost, len(loads)), make([][]cost, len(loads))
	for round := range rounds {
		for i, l := range loads {
			first, second := p.on, p.off
			if (round+i)%2 == 1 {
				first, second = second, first
			}
			for _, x := range []*side{first, second} {
				c, err := x.turn(ctx, l, nil)
				if err != nil {
					return nil, nil, err
				}
				if x.journals {
					on[i] = append(on[i], c)
				} else {
					off[i] = append(off[i], c)
				}
			}
		}
	}
	return on, off, nil
}

// throughput compares how many executions a second are done, 64 at a time, of a
// connector with a GET and two POSTs of 5 ms.
func (s *suite) throughput(ctx context.Context, d *database) (err error) {
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
	value := over(off[0], on[0], byWall)
	s.print("throughput_ratio_"+d.name, value, "ratio", s.goal(value, 0.95),
		peer("worst", quantile(each(off[0], on[0], byWall, divided), 0)), peer("best", quantile(each(off[0], on[0], byWall, divided), 1)),
		peer("on_per_s", 1/middle(on[0], byWall)), peer("off_per_s", 1/middle(off[0], byWall)),
		peer("cpu", over(off[0], on[0], byCPU)), peer("handmade", over(handOff[0], handOn[0], byWall)))
	s.print("throughput_cpu_us_"+d.name, 1e6*apart(on[0], off[0], byCPU), "us",
		peer("on", 1e6*middle(on[0], byCPU)), peer("off", 1e6*middle(off[0], byCPU)),
		peer("handmade", 1e6*apart(handOn[0], handOff[0], byCPU)), peer("writes", middle(on[0], byWrites)))
	s.print("throughput_handmade_per_s_"+d.name, 1/middle(handOn[0], byWall), "1/s", peer("off", 1/middle(handOff[0], byWall)))
	return nil
}

func (s *suite) flood(plugin string) load {
	return load{plugin: plugin, n: s.executions, warm: s.executions / 8, slots: slots}
}

// bytes compares what executions leave in the database.
func (s *suite) bytes(ctx context.Context, d *database, p pair) error {
	on, err1 := p.on.measure(ctx)
	off, err2 := p.off.measure(ctx)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	total := func(x *side, l lies) float64 { return (l.total - x.before.total) / l.executions }
	s.print("execution_bytes_"+d.name, on.journal/on.executions, "B", peer("rows", on.rows/on.executions), peer("rows_off", off.rows/off.executions),
		peer("database", total(p.on, on)), peer("database_off", total(p.off, off)))
	return nil
}

// calls compares what executions take that are made one at a time, of guests that do
// next to nothing: without any host call, and what a GET and a POST add, which are
// answered at once.
func (s *suite) calls(ctx context.Context, d *database) (err error) {
	p, err := s.newPair(ctx, d, 1, silent, gets, posts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	one := func(plugin string, n int) load { return load{plugin: plugin, n: n, warm: n / 10, slots: 1} }
	on, off, err := p.turns(ctx, s.rounds, one(silent, 2*little), one(gets, little), one(posts, little))
	if err != nil {
		return err
	}
	added := func(i int, by func(cost) float64) float64 { return 1e6 * apart(on[i], off[i], by) }
	call := func(i int, by func(cost) float64) float64 { return (added(i, by) - added(0, by)) / calls }
	took := func(i int, all [][]cost) float64 {
		return 1e6 * (middle(all[i], byWall) - middle(all[0], byWall)) / calls
	}
	s.print("execution_us_"+d.name, added(0, byWall), "us", peer("cpu", added(0, byCPU)),
		peer("on", 1e6*middle(on[0], byWall)), peer("off", 1e6*middle(off[0], byWall)))
	s.print("host_call_us_"+d.name, call(1, byWall), "us", peer("cpu", call(1, byCPU)), peer("on", took(1, on)), peer("off", took(1, off)))
	s.print("host_call_effect_us_"+d.name, call(2, byWall), "us", peer("cpu", call(2, byCPU)), peer("on", took(2, on)), peer("off", took(2, off)),
		peer("writes", middle(on[2], byWrites)/calls))
	return nil
}

func byWall(c cost) float64   { return c.wall }
func byCPU(c cost) float64    { return c.cpu }
func byWrites(c cost) float64 { return c.writes }

func divided(a, b float64) float64 { return a / b }
func less(a, b float64) float64    { return a - b }

// over is the median over the rounds of a's cost by b's.
func over(a, b []cost, by func(cost) float64) float64 {
	return quantile(each(a, b, by, divided), .5)
}

// apart is the median over the rounds of a's cost less b's.
func apart(a, b []cost, by func(cost) float64) float64 { return quantile(each(a, b, by, less), .5) }

func each(a, b []cost, by func(cost) float64, f func(a, b float64) float64) []float64 {
	var all []float64
	for i := range a {
		all = append(all, f(by(a[i]), by(b[i])))
	}
	return all
}

func middle(all []cost, by func(cost) float64) float64 {
	var costs []float64
	for _, c := range all {
		costs = append(costs, by(c))
	}
	return quantile(costs, .5)
}

// quantile returns the q-th quantile: of few, rather the larger one.
func quantile(all []float64, q float64) float64 {
	if len(all) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[int(math.Ceil(float64(len(sorted)-1)*q))]
}
