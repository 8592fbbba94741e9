package stopwatch

import (
	"math"
	"slices"
)

// Each gives by round what f makes of a's cost and b's.
func Each[C any](a, b []C, by func(C) float64, f func(a, b float64) float64) []float64 {
	all := make([]float64, min(len(a), len(b)))
	for i := range all {
		all[i] = f(by(a[i]), by(b[i]))
	}
	return all
}

// Over is the median over the rounds of a's cost by b's.
func Over[C any](a, b []C, by func(C) float64) float64 { return Median(Each(a, b, by, Divided)) }

// Apart is the median over the rounds of a's cost less b's.
func Apart[C any](a, b []C, by func(C) float64) float64 { return Median(Each(a, b, by, less)) }

// Divided is a ratio.
func Divided(a, b float64) float64 { return a / b }

func less(a, b float64) float64 { return a - b }

// Middle is the median of a cost.
func Middle[C any](all []C, by func(C) float64) float64 {
	costs := make([]float64, len(all))
	for i, c := range all {
		costs[i] = by(c)
	}
	return Median(costs)
}

// Median is the Quantile of a half.
func Median(all []float64) float64 { return Quantile(all, .5) }

// Quantile returns the q-th quantile: of few, rather the larger one.
func Quantile(all []float64, q float64) float64 {
	if len(all) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[int(math.Ceil(float64(len(sorted)-1)*q))]
}

// Geomean is the geometric mean.
func Geomean(all []float64) float64 {
	sum := 0.0
	for _, v := range all {
		sum += math.Log(v)
	}
	return math.Exp(sum / float64(len(all)))
}
