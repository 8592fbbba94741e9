package pace_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/pace"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

// In no time do more requests leave than the rate and the burst allow, whatever process
// they are of, and however they come.
func TestNoMoreThanTheRate(t *testing.T) {
	t.Parallel()
	for name, rate := range map[string]pace.Rate{
		"10/s": {PerSecond: 10, Burst: 5}, "evenly": {PerSecond: 7, Burst: 1}, "many": {PerSecond: 400, Burst: 100}, "by the minute": {PerSecond: 0.5, Burst: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := setup(t, 3, func(p *pace.PacerConfig) { p.Wait = time.Nanosecond })
			c.rate(t, rate.PerSecond, rate.Burst)
			random := rand.New(rand.NewPCG(1, 2))
			var sent []time.Time
			for range 1500 {
				c.advance(time.Duration(random.Int64N(int64(time.Second / 2 / time.Duration(1+rate.PerSecond)))))
				pass, err := c.run(random.IntN(3), again).Enter(t.Context(), "vendor", false)
				if err != nil {
					continue
				}
				c.advance(time.Duration(random.Int64N(int64(time.Millisecond))))
				if pass.Fresh() {
					sent = append(sent, c.Now())
				}
				ends(t, pass, egress.Answered)
			}
			checkRate(t, sent, rate)
		})
	}
}

// The same holds where the database takes long, as long as that is not far more than the
// time before; and nothing waits for ever where it is.
func TestNoMoreThanTheRateOfASlowDatabase(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rate pace.Rate
		// least and most are how long the way there takes, and the way back.
		least, most time.Duration
	}{
		"10/s":             {pace.Rate{PerSecond: 10, Burst: 5}, 0, 60 * time.Millisecond},
		"evenly":           {pace.Rate{PerSecond: 7, Burst: 1}, 60 * time.Millisecond, 80 * time.Millisecond},
		"evenly and often": {pace.Rate{PerSecond: 50, Burst: 1}, 100 * time.Millisecond, 120 * time.Millisecond},
		"many":             {pace.Rate{PerSecond: 400, Burst: 100}, 0, 60 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var cl *cluster
			cl = setup(t, 3, func(p *pace.PacerConfig) {
				p.After = func(d time.Duration) <-chan time.Time {
					cl.advance(d)
					over := make(chan time.Time, 1)
					over <- cl.Now()
					return over
				}
			})
			cl.rate(t, c.rate.PerSecond, c.rate.Burst)
			random := rand.New(rand.NewPCG(1, 2))
			cl.store.delay = func() { cl.advance(c.least + time.Duration(random.Int64N(int64(c.most-c.least)))) }
			var sent []time.Time
			for range 500 {
				if random.IntN(10) == 0 { // Then nothing is left of what was leased.
					cl.advance(2 * time.Second)
				}
				pass, err := cl.run(random.IntN(3), again).Enter(t.Context(), "vendor", false)
				if err != nil {
					cl.advance(time.Duration(float64(time.Second) / c.rate.PerSecond))
					continue
				}
				if pass.Fresh() {
					sent = append(sent, cl.Now())
				}
				ends(t, pass, egress.Answered)
			}
			if len(sent) < 250 {
				t.Errorf("%d of 500 were sent", len(sent))
			}
			checkWindows(t, sent, c.rate)
		})
	}
}

// checkRate holds that there are no more in any window than the rate allows, and that most
// of it is used.
func checkRate(t *testing.T, sent []time.Time, rate pace.Rate) {
	t.Helper()
	checkWindows(t, sent, rate)
	took := sent[len(sent)-1].Sub(sent[0]).Seconds()
	if used := float64(len(sent)) / took / rate.PerSecond; used < 0.5 {
		t.Errorf("%d in %.1f s are %.0f %% of the rate", len(sent), took, 100*used)
	}
}

func checkWindows(t *testing.T, sent []time.Time, rate pace.Rate) {
	t.Helper()
	worst := 0.0
	for i := range sent {
		for j := i; j < len(sent); j++ {
			worst = max(worst, float64(j-i+1)-rate.PerSecond*sent[j].Sub(sent[i]).Seconds())
		}
	}
	allowed := float64(rate.Burst)
	if rate.Burst == 1 {
		allowed = 1.5 // One that is late by half of an interval is followed by one in time.
	}
	if worst > allowed+0.01 {
		t.Errorf("%.2f more were sent than the rate allows, and the burst is %d", worst, rate.Burst)
	}
}
