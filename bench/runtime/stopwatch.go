package main

import (
	"context"
	"math"
	goruntime "runtime"
	"slices"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/command"
)

// took is what something cost, in seconds.
type took struct{ cpu, wall float64 }

// timed measures n times f.
func timed(n int, f func() error) (took, error) {
	wall, used := time.Now(), command.CPU()
	for range n {
		if err := f(); err != nil {
			return took{}, err
		}
	}
	return took{cpu: command.CPU() - used, wall: time.Since(wall).Seconds()}, nil
}

// repeat returns how often f has to be done to take this long. It warms f up,
// too.
func repeat(target time.Duration, f func() error) (int, error) {
	for n := 1; ; n *= 2 {
		t, err := timed(n, f)
		if err != nil {
			return 0, err
		}
		if t.wall >= target.Seconds()/4 || n >= 1<<24 {
			return max(1, int(float64(n)*target.Seconds()/t.wall)), nil
		}
	}
}

// interleaved measures some things in turns, so that what else the machine does
// meets all of them: rounds of a batch of each, which takes about as long as
// batch. It returns what one of each took, by round.
func interleaved(rounds int, batch time.Duration, all ...func() error) ([][]took, error) {
	times := make([]int, len(all))
	for i, f := range all {
		n, err := repeat(batch, f)
		if err != nil {
			return nil, err
		}
		times[i] = n
	}
	measured := make([][]took, len(all))
	for round := range rounds {
		for turn := range all {
			i := (turn + round) % len(all) // Nobody always comes after the same one.
			goruntime.GC()                 // Nobody pays for what another has left behind.
			t, err := timed(times[i], all[i])
			if err != nil {
				return nil, err
			}
			n := float64(times[i])
			measured[i] = append(measured[i], took{cpu: t.cpu / n, wall: t.wall / n})
		}
	}
	return measured, nil
}

// ratio is the median over the rounds of a's cost by b's.
func ratio(a, b []took, cost func(took) float64) float64 {
	var all []float64
	for i := range min(len(a), len(b)) {
		all = append(all, cost(a[i])/cost(b[i]))
	}
	return median(all)
}

// middle is the median of a cost.
func middle(all []took, cost func(took) float64) float64 {
	var costs []float64
	for _, t := range all {
		costs = append(costs, cost(t))
	}
	return median(costs)
}

func byCPU(t took) float64  { return t.cpu }
func byWall(t took) float64 { return t.wall }

func median(all []float64) float64 { return quantile(all, .5) }

// quantile returns the q-th quantile: of few, rather the larger one.
func quantile(all []float64, q float64) float64 {
	if len(all) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[int(math.Ceil(float64(len(sorted)-1)*q))]
}

func geomean(all []float64) float64 {
	sum := 0.0
	for _, v := range all {
		sum += math.Log(v)
	}
	return math.Exp(sum / float64(len(all)))
}

// until waits for a moment. Where nothing runs but guests that cannot be
// interrupted it returns late, and that is to be measured.
func until(ctx context.Context, due time.Time) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Until(due)):
		return nil
	}
}
