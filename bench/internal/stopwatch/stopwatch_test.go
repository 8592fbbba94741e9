package stopwatch_test

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/stopwatch"
)

func TestMedians(t *testing.T) {
	t.Parallel()
	all := []float64{4, 1, 2, 8}
	got := [3]float64{stopwatch.Median(all), stopwatch.Quantile(all, 1), stopwatch.Geomean(all)}
	if got != [3]float64{4, 8, 2.82842712474619} {
		t.Errorf("got %v", got)
	}
	if !slices.Equal(all, []float64{4, 1, 2, 8}) {
		t.Errorf("they were moved: %v", all)
	}
	if got := stopwatch.Median(nil); !math.IsNaN(got) {
		t.Errorf("of nothing it is %v", got)
	}
}

func TestCostsAreComparedRoundByRound(t *testing.T) {
	t.Parallel()
	a := []stopwatch.Cost{{Wall: 2, CPU: 1}, {Wall: 40, CPU: 1}, {Wall: 6, CPU: 1}}
	b := []stopwatch.Cost{{Wall: 1, CPU: 2}, {Wall: 10, CPU: 2}, {Wall: 2, CPU: 2}}
	got := [4]float64{
		stopwatch.Over(a, b, stopwatch.ByWall), stopwatch.Over(a, b, stopwatch.ByCPU),
		stopwatch.Apart(a, b, stopwatch.ByWall), stopwatch.Middle(a, stopwatch.ByWall),
	}
	if want := [4]float64{3, .5, 4, 6}; got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTurnsGiveEachItsOwnTimes(t *testing.T) {
	t.Parallel()
	for name, measure := range map[string]func(...func() error) ([][]stopwatch.Cost, error){
		"for a while": func(all ...func() error) ([][]stopwatch.Cost, error) {
			return stopwatch.Interleaved(4, time.Microsecond, all...)
		},
		"so many": func(all ...func() error) ([][]stopwatch.Cost, error) { return stopwatch.Turns(4, 2, all...) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls [2]int
			all, err := measure(func() error { calls[0]++; return nil }, func() error { calls[1]++; return nil })
			if err != nil || len(all) != 2 || len(all[0]) != 4 || len(all[1]) != 4 {
				t.Errorf("got %v, %v, want four rounds of two", all, err)
			}
			if calls[0] < 5 || calls[1] < 5 {
				t.Errorf("got %v calls", calls)
			}
			failed := errors.New("failed")
			if _, err := measure(func() error { return failed }); !errors.Is(err, failed) {
				t.Errorf("got %v, want what failed", err)
			}
		})
	}
}
