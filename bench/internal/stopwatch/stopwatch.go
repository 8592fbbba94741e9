// Package stopwatch measures things side by side: in turns, so that what else the
// machine does meets all of them.
package stopwatch

import (
	goruntime "runtime"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/command"
)

// Cost is what one of something cost, in seconds.
type Cost struct {
	// CPU is this process's, by whatever in it.
	CPU, Wall float64
}

// ByCPU is a cost's CPU.
func ByCPU(c Cost) float64 { return c.CPU }

// ByWall is a cost by the clock.
func ByWall(c Cost) float64 { return c.Wall }

// Timed measures n times f, together.
func Timed(n int, f func() error) (Cost, error) {
	began, used := time.Now(), command.CPU()
	for range n {
		if err := f(); err != nil {
			return Cost{}, err
		}
	}
	return Cost{CPU: command.CPU() - used, Wall: time.Since(began).Seconds()}, nil
}

// Repeat returns how often f has to be done to take this long. It warms f up, too.
func Repeat(target time.Duration, f func() error) (int, error) {
	for n := 1; ; n *= 2 {
		t, err := Timed(n, f)
		if err != nil {
			return 0, err
		}
		if t.Wall >= target.Seconds()/4 || n >= 1<<24 {
			return max(1, int(float64(n)*target.Seconds()/t.Wall)), nil
		}
	}
}

// Interleaved measures some things in turns: rounds of a batch of each, which takes
// about as long as batch. It returns what one of each cost, by round.
func Interleaved(rounds int, batch time.Duration, all ...func() error) ([][]Cost, error) {
	times := make([]int, len(all))
	for i, f := range all {
		n, err := Repeat(batch, f)
		if err != nil {
			return nil, err
		}
		times[i] = n
	}
	return turns(rounds, times, all)
}

// Turns is Interleaved with batches of n, after one of each to warm up.
func Turns(rounds, n int, all ...func() error) ([][]Cost, error) {
	times := make([]int, len(all))
	for i, f := range all {
		if _, err := Timed(n, f); err != nil {
			return nil, err
		}
		times[i] = n
	}
	return turns(rounds, times, all)
}

func turns(rounds int, times []int, all []func() error) ([][]Cost, error) {
	measured := make([][]Cost, len(all))
	for round := range rounds {
		for turn := range all {
			i := (turn + round) % len(all) // Nobody always comes after the same one.
			goruntime.GC()                 // Nobody pays for what another has left behind.
			t, err := Timed(times[i], all[i])
			if err != nil {
				return nil, err
			}
			n := float64(times[i])
			measured[i] = append(measured[i], Cost{CPU: t.CPU / n, Wall: t.Wall / n})
		}
	}
	return measured, nil
}
