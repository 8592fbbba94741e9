package shadow

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

const (
	// groupsMost bounds a report's groups, and with samplesMost its size: 100 groups
	// of 3 samples of 2 KiB are the 600 KiB that a run keeps at the most.
	groupsMost  = 100
	samplesMost = 3
	// grain is the ratio of a bucket's bounds: ratios are known to within 1 %.
	grain = 1.01
	// bucketsMost is either side of a ratio of 1: those beyond 1.01^1000, which is
	// 20,000, count as that.
	bucketsMost = 1000
)

// result is what became of one execution.
type result struct {
	verdict Verdict
	// key is its group's; empty for the same.
	key    string
	sample Sample
	// recorded and now are the fuel of both; 0 where it cannot be compared.
	recorded, now int64
	// wall is how long it ran in production, in seconds.
	wall float64
}

// tally is a Report as it is kept, with what it is made of.
type tally struct {
	Report

	// Ratios counts executions by the logarithm of their fuel's ratio, to base grain.
	Ratios map[int]int `json:"ratios,omitempty"`
}

func (t *tally) add(r result) {
	t.Done++
	*t.of(r.verdict)++
	t.RecordedSeconds += r.wall
	if r.recorded > 0 && r.now > 0 {
		t.weigh(r.recorded, r.now)
	}
	if r.verdict != Same {
		t.group(r)
	}
}

func (t *tally) weigh(recorded, now int64) {
	t.Fuel.Compared++
	t.Fuel.Recorded += recorded
	t.Fuel.Now += now
	bucket := math.Round(math.Log(float64(now)/float64(recorded)) / math.Log(grain))
	if t.Ratios == nil {
		t.Ratios = map[int]int{}
	}
	t.Ratios[int(min(max(bucket, -bucketsMost), bucketsMost))]++
}

func (t *tally) group(r result) {
	i := slices.IndexFunc(t.Groups, func(g Group) bool { return g.Verdict == r.verdict && g.Key == r.key })
	if i < 0 {
		if len(t.Groups) == groupsMost {
			t.Other++
			return
		}
		i = len(t.Groups)
		t.Groups = append(t.Groups, Group{Verdict: r.verdict, Key: r.key, Samples: []Sample{}})
	}
	g := &t.Groups[i]
	g.Count++
	if len(g.Samples) < samplesMost {
		g.Samples = append(g.Samples, r.sample)
	}
}

// report is the tally for people.
func (t *tally) report() Report {
	r := t.Report
	r.Groups = slices.Clone(t.Groups)
	if r.Groups == nil {
		r.Groups = []Group{}
	}
	// Stable, so that groups of one size stay in the order in which they were met.
	slices.SortStableFunc(r.Groups, func(a, b Group) int { return cmp.Compare(b.Count, a.Count) })
	if r.Fuel.Recorded > 0 {
		r.Fuel.Total = float64(r.Fuel.Now) / float64(r.Fuel.Recorded)
	}
	r.Fuel.Median, r.Fuel.P95 = t.quantile(0.5), t.quantile(0.95)
	return r
}

// quantile is the ratio that a part of the executions do not exceed.
func (t *tally) quantile(part float64) float64 {
	rank := int(math.Ceil(part * float64(t.Fuel.Compared)))
	for _, bucket := range slices.Sorted(maps.Keys(t.Ratios)) {
		if rank -= t.Ratios[bucket]; rank <= 0 {
			return math.Pow(grain, float64(bucket))
		}
	}
	return 0
}
