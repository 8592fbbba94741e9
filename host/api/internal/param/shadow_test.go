package param_test

import (
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
)

func TestPeriod(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"7d": 7 * day, "1d": day, "12h": 12 * time.Hour, "1h30m": 90 * time.Minute, "3660d": 3660 * day,
		"": 0, "d": 0, "7": 0, "0d": 0, "-7d": 0, "-1h": 0, "3661d": 0, "70000d": 0, "1.5d": 0, "7 d": 0, "99999999h": 0, "week": 0,
	} {
		got, err := param.Period(text)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %s, %v; want %s", text, got, err, want)
		}
	}
}
