package skew_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cofferdam-run/cofferdam/host/skew"
)

var epoch = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// at is a time some milliseconds after the epoch.
func at(ms int) time.Time { return epoch.Add(time.Duration(ms) * time.Millisecond) }

// answer is one of a clock that is ahead by some milliseconds.
type answer struct{ at, asked, answered int }

func TestWhatAnswersSay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answers []answer
		// least and most are when it reads 2000, and ahead how much later it reads.
		least, most int
		ahead       int
	}{
		"one":                                 {[]answer{{1100, 1000, 1020}}, 1900, 1920, 90},
		"a slow one after a quick one":        {[]answer{{1100, 1000, 1002}, {1150, 1010, 1210}}, 1900, 1902, 99},
		"a quick one after a slow one":        {[]answer{{1150, 1010, 1210}, {1150, 1050, 1052}}, 1900, 1902, 99},
		"two that leave little between":       {[]answer{{1100, 1000, 1010}, {1150, 1042, 1051}}, 1900, 1901, 99},
		"one that came after a later one":     {[]answer{{1100, 1000, 1002}, {1050, 900, 1003}}, 1900, 1902, 99},
		"a clock that was set, or another":    {[]answer{{1100, 1000, 1002}, {1700, 1100, 1120}}, 1400, 1420, 590},
		"a clock that was set back":           {[]answer{{1100, 1000, 1002}, {500, 1100, 1120}}, 2600, 2620, -610},
		"one that touches what is known":      {[]answer{{1100, 1000, 1002}, {1100, 1002, 1050}}, 1902, 1902, 98},
		"one that just misses what was known": {[]answer{{1100, 1000, 1002}, {1100, 1003, 1050}}, 1903, 1950, 74},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var clock skew.Clock
			for _, a := range c.answers {
				clock.Learn(at(a.at), at(a.asked), at(a.answered))
			}
			least, most, known := clock.Here(at(2000))
			if !known || !least.Round(time.Millisecond).Equal(at(c.least)) || !most.Round(time.Millisecond).Equal(at(c.most)) {
				t.Errorf("it is %v from %v to %v, want from %v to %v", known, least, most, at(c.least), at(c.most))
			}
			if got := clock.Ahead().Milliseconds(); got < int64(c.ahead)-1 || got > int64(c.ahead) {
				t.Errorf("it is ahead by %d ms, want %d", got, c.ahead)
			}
		})
	}
}

func TestNothingIsKnownAtFirst(t *testing.T) {
	t.Parallel()
	var clock skew.Clock
	if _, _, known := clock.Here(epoch); known || clock.Ahead() != 0 {
		t.Error("something is known of a clock that nobody has asked")
	}
}

// TestTheTruthIsBetweenTheBounds has clocks drift as far as they may, and answers take as
// long as they like.
func TestTheTruthIsBetweenTheBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		offset := time.Duration(rapid.IntRange(-1e6, 1e6).Draw(t, "offset")) * time.Microsecond
		perMillion := rapid.Int64Range(-150, 150).Draw(t, "drift")
		// theirs is what it reads at a time of ours.
		theirs := func(here time.Time) time.Time {
			return here.Add(offset + time.Duration(int64(here.Sub(epoch))*perMillion/1_000_000))
		}
		var clock skew.Clock
		now := epoch
		for range rapid.IntRange(1, 20).Draw(t, "answers") {
			now = now.Add(time.Duration(rapid.IntRange(0, 100_000).Draw(t, "later")) * time.Millisecond)
			out := time.Duration(rapid.IntRange(0, 300_000).Draw(t, "out")) * time.Microsecond
			home := time.Duration(rapid.IntRange(0, 300_000).Draw(t, "home")) * time.Microsecond
			clock.Learn(theirs(now.Add(out)), now, now.Add(out+home))
			now = now.Add(out + home)
		}
		least, most, _ := clock.Here(theirs(now))
		const since = 200 * time.Microsecond // What they drift apart while an answer comes.
		if least.After(now.Add(since)) || most.Before(now.Add(-since)) {
			t.Fatalf("it is %v, and was said to be from %v to %v", now, least, most)
		}
	})
}
