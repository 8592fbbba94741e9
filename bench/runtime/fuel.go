package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/command"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// counted is a call whose fuel is counted again and again, from its instance's
// beginning.
type counted struct {
	name string
	once func(context.Context) (fuel int64, err error)
}

// fuel counts how often the same call burns the same fuel: with slices of random
// lengths, on one processor and on two, and, where qemu is found, on arm64.
func (s *suite) fuel(ctx context.Context) error {
	lines, err := s.counts(ctx, func(c counted) error {
		agreed, first, err := s.repeated(ctx, c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		s.print("fuel_identical_"+c.name, float64(agreed), "calls",
			fmt.Sprintf("of=%d", s.repetitions), fmt.Sprintf("fuel=%d", first))
		return nil
	})
	if err != nil {
		return err
	}
	return s.skipped(s.emulated(ctx, lines), "fuel_arm64")
}

// repeated makes a call many times, and returns how often its fuel was that of
// the first time.
func (s *suite) repeated(ctx context.Context, c counted) (agreed int, first int64, err error) {
	defer goruntime.GOMAXPROCS(goruntime.GOMAXPROCS(0))
	for i := range s.repetitions {
		goruntime.GOMAXPROCS(1 + i%2)
		used, err := c.once(ctx)
		if err != nil {
			return 0, 0, err
		}
		if i == 0 {
			first = used
		}
		if used == first {
			agreed++
		}
	}
	return agreed, first, nil
}

// counts makes every counted call once, and returns a line for each. Each is
// given to f too, while it can be called.
func (s *suite) counts(ctx context.Context, f func(counted) error) (lines []string, err error) {
	e, err := newEngine(ctx, metered)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.close(ctx)) }()
	all, err := s.exports(ctx, e)
	if err != nil {
		return nil, err
	}
	mapper, err := s.golang(ctx, "mapper")
	if err != nil {
		return nil, err
	}
	whole, err := newSandbox(ctx, mapper, runtime.Limits{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, whole.close(ctx)) }()
	all = append(all, counted{"call_go", func(ctx context.Context) (int64, error) {
		result, err := whole.call(ctx, "transform")
		return result.Usage.Fuel, err
	}})
	for _, c := range all {
		used, err := c.once(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		lines = append(lines, fmt.Sprintf("count %s %d", c.name, used))
		if err := f(c); err != nil {
			return nil, err
		}
	}
	return lines, nil
}

// exports are workloads on instances that are made for each call.
func (s *suite) exports(ctx context.Context, e *engine) (all []counted, err error) {
	for _, w := range s.workloads() {
		export, wanted := map[string]string{"go": "json", "assemblyscript": "strings", "handmade": "fill"}[w.name]
		if !wanted {
			continue
		}
		binary, err := w.build(ctx)
		if errors.Is(err, command.ErrSkip) {
			continue // overhead says so.
		}
		if err != nil {
			return nil, err
		}
		c, err := e.compile(ctx, binary)
		if err != nil {
			return nil, err
		}
		all = append(all, counted{w.name + "_" + export, func(ctx context.Context) (int64, error) {
			return c.burn(ctx, export)
		}})
	}
	return all, nil
}

// burn returns the fuel of an instance's beginning and of one call of it.
func (c *code) burn(ctx context.Context, export string) (fuel int64, err error) {
	i, err := c.instantiate(ctx, erratic())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, i.module.Close(ctx)) }()
	fuel = i.used
	if _, err := i.call(ctx, export, 5); err != nil {
		return 0, err
	}
	return fuel + i.used, nil
}

// erratic is a clock that makes slices' lengths random: an account learns from it
// how fast the guest is.
func erratic() func() time.Time {
	now := time.Unix(0, 0)
	return func() time.Time {
		now = now.Add(time.Duration(rand.Int64N(int64(time.Millisecond)))) //nolint:gosec // Nothing depends on it.
		return now
	}
}

// listCounts prints the counts alone, for a run that is compared with another one.
func (s *suite) listCounts(ctx context.Context) error {
	lines, err := s.counts(ctx, func(counted) error { return nil })
	fmt.Fprintln(s.out, strings.Join(lines, "\n"))
	return err
}

// emulated compares counts with those of this program on arm64.
func (s *suite) emulated(ctx context.Context, want []string) error {
	var qemu string
	for _, name := range []string{"qemu-aarch64-static", "qemu-aarch64"} {
		if path, err := exec.LookPath(name); err == nil {
			qemu = path
		}
	}
	if qemu == "" || goruntime.GOOS != "linux" {
		return fmt.Errorf("%w: comparing with arm64 needs qemu-aarch64 on Linux", command.ErrSkip)
	}
	dir, err := os.MkdirTemp("", "cofferdam-bench")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "bench")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, ".")
	build.Dir = filepath.Dir(s.guests)
	build.Env = append(os.Environ(), "GOARCH=arm64", "CGO_ENABLED=0")
	if err := output(build); err != nil {
		return fmt.Errorf("build for arm64: %w", err)
	}
	cmd := exec.CommandContext(ctx, qemu, program, "-guests", s.guests, "-figure", "counts")
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("run on arm64: %w", err)
	}
	got := strings.Split(strings.TrimSpace(string(text)), "\n")
	agreed := 0
	for _, line := range want {
		if slices.Contains(got, line) {
			agreed++
		}
	}
	s.print("fuel_identical_arm64", float64(agreed), "calls", fmt.Sprintf("of=%d", len(want)))
	return nil
}
