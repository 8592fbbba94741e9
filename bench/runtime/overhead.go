package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/command"
	"github.com/cofferdam-run/cofferdam/bench/internal/stopwatch"
)

const (
	// pairs is how often the metered module is measured against the plain one, and
	// asides how often wazero's own termination is, which costs several times as much.
	pairs, asides = 25, 5
)

// workloads are the exports of a guest, by the guest's name.
type workloads struct {
	name    string
	exports []string
	build   func(context.Context) ([]byte, error)
}

func (s *suite) workloads() []workloads {
	return []workloads{
		{"go", []string{
			"fib", "sieve", "matrix", "mandelbrot", "nbody", "sort", "strings", "maps", "copy", "trees",
			"interpreter", "channels", "sha256", "json", "regexp", "flate",
		}, func(ctx context.Context) ([]byte, error) { return s.golang(ctx, "workloads") }},
		{"assemblyscript", []string{"nbody", "maps", "strings", "sort"}, s.assembly},
		{"c", []string{"fib", "matrix", "sieve", "sort", "interpreter", "crc"}, func(ctx context.Context) ([]byte, error) {
			return s.clang(ctx)
		}},
		{"c_simd", []string{"matrix", "crc"}, func(ctx context.Context) ([]byte, error) {
			return s.clang(ctx, "-msimd128", "-ffast-math")
		}},
		{"handmade", []string{"loop", "fib", "fill", "simd"}, func(context.Context) ([]byte, error) {
			return handmade(), nil
		}},
	}
}

// overhead measures the CPU of metered workloads against the same ones as they
// are, and prints what wazero's own termination costs beside it.
func (s *suite) overhead(ctx context.Context) error {
	var fuel, termination []float64
	worst := ""
	for _, w := range s.workloads() {
		if !s.wants(w) {
			continue
		}
		binary, err := w.build(ctx)
		if err != nil {
			if err := s.skipped(err, "overhead_"+w.name); err != nil {
				return err
			}
			continue
		}
		all, err := s.overheads(ctx, w, binary)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		for _, o := range all {
			if len(fuel) == 0 || o.fuel > stopwatch.Quantile(fuel, 1) {
				worst = o.name
			}
			fuel, termination = append(fuel, o.fuel), append(termination, o.termination)
		}
	}
	if len(fuel) == 0 {
		return fmt.Errorf("%w: no workload is called %q", command.ErrSkip, s.only)
	}
	s.print("fuel_overhead_geomean", stopwatch.Geomean(fuel), "ratio",
		peer("termination", stopwatch.Geomean(termination)), fmt.Sprintf("workloads=%d", len(fuel)))
	s.print("fuel_overhead_worst", stopwatch.Quantile(fuel, 1), "ratio",
		peer("termination", stopwatch.Quantile(termination, 1)), "workload="+worst)
	return nil
}

func (s *suite) wants(w workloads) bool {
	for _, export := range w.exports {
		if strings.Contains(w.name+"_"+export, s.only) {
			return true
		}
	}
	return false
}

// overheadOf is what fuel and termination cost one workload, as ratios.
type overheadOf struct {
	name              string
	fuel, termination float64
}

// overheads measures the workloads of one guest.
func (s *suite) overheads(ctx context.Context, w workloads, binary []byte) (all []overheadOf, err error) {
	var codes []*code
	var instances []*instance
	for _, name := range []string{plain, metered, terminated} {
		e, err := newEngine(ctx, name)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, e.close(ctx)) }()
		c, err := e.compile(ctx, binary)
		if err != nil {
			return nil, err
		}
		i, err := c.instantiate(ctx, time.Now)
		if err != nil {
			return nil, err
		}
		codes, instances = append(codes, c), append(instances, i)
	}
	s.print("fuel_code_"+w.name, float64(codes[1].bytes)/float64(len(binary)), "ratio",
		peer("compile", codes[1].compiling.CPU/codes[0].compiling.CPU),
		peer("rewrite_mb_per_s", float64(len(binary))/1e6/codes[1].rewriting.CPU))
	for _, export := range w.exports {
		name := w.name + "_" + export
		if !strings.Contains(name, s.only) {
			continue
		}
		o, err := s.overheadOf(ctx, name, export, instances)
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, nil
}

// overheadOf measures one workload on a plain, a metered and a terminated
// instance, in this order, after all three gave the same result.
func (s *suite) overheadOf(ctx context.Context, name, export string, instances []*instance) (overheadOf, error) {
	if err := agree(ctx, name, export, instances); err != nil {
		return overheadOf{}, err
	}
	// Of the time, half is the plain ones'.
	n, err := stopwatch.Repeat(s.window/(2*pairs), func() error { _, err := instances[0].call(ctx, export, 1); return err })
	if err != nil {
		return overheadOf{}, err
	}
	run := make([]func() error, len(instances))
	for k, i := range instances {
		run[k] = func() error { _, err := i.call(ctx, export, uint64(n)); return err }
	}
	base, fuel, err := pairwise(pairs, run[0], run[1])
	if err != nil {
		return overheadOf{}, err
	}
	again, termination, err := pairwise(asides, run[0], run[2])
	if err != nil {
		return overheadOf{}, err
	}
	o := overheadOf{name: name, fuel: stopwatch.Over(fuel, base, stopwatch.ByCPU), termination: stopwatch.Over(termination, again, stopwatch.ByCPU)}
	s.print("fuel_overhead_"+name, o.fuel, "ratio", peer("termination", o.termination),
		peer("ns_per_unit", stopwatch.Middle(fuel, stopwatch.ByCPU)*1e9/float64(instances[1].used)))
	return o, nil
}

// agree makes the same call on each, and compares what they return.
func agree(ctx context.Context, name, export string, instances []*instance) error {
	want := uint64(0)
	for k, i := range instances {
		got, err := i.call(ctx, export, 1)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if k > 0 && got != want {
			return fmt.Errorf("%s gives %d as it is, and %d on instance %d", name, want, got, k)
		}
		want = got
	}
	return nil
}

// pairwise measures two things in turns, the one first that came last.
func pairwise(rounds int, a, b func() error) (as, bs []stopwatch.Cost, err error) {
	for round := range rounds {
		first, second := a, b
		if round%2 == 1 {
			first, second = b, a
		}
		one, err := stopwatch.Timed(1, first)
		if err != nil {
			return nil, nil, err
		}
		two, err := stopwatch.Timed(1, second)
		if err != nil {
			return nil, nil, err
		}
		if round%2 == 1 {
			one, two = two, one
		}
		as, bs = append(as, one), append(bs, two)
	}
	return as, bs, nil
}
