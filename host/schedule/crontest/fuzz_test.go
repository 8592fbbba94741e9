// Package crontest_test fuzzes cron expressions. It stands apart from the other tests of
// host/schedule, whose databases go fuzz builds anew with its instruments, for minutes.
package crontest_test

import (
	"context"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/schedule"
)

// FuzzCron holds that no expression breaks anything, and that the instants of one that is
// taken come one after the other, each at a minute that the wall shows, or after a gap.
func FuzzCron(f *testing.F) {
	for _, spec := range []string{"* * * * *", "30 2 * * mon-fri", "0 0 31 2 *", "TZ=UTC", "TZ= * * * * *", "5/15 22-2 */2 jan-mar 7", ", * * * *", "H * * * *", "0 0 1 THU 3"} {
		f.Add(spec, "America/New_York", int64(1772_953_200))
		f.Add(spec, "Australia/Lord_Howe", int64(1_790_000_000))
	}
	f.Fuzz(func(t *testing.T, spec, zone string, unix int64) {
		now := time.Unix(unix%(1<<34), 0).UTC()
		s := schedule.New(schedule.Config{Clock: func(context.Context) (time.Time, error) { return now, nil }})
		times, err := s.Upcoming(t.Context(), schedule.When{Cron: spec, TimeZone: zone}, 5)
		if err != nil {
			if code := fault.From(err).Code; code != "cron_invalid" && code != "cron_never" && code != "time_zone_unknown" && code != "when_invalid" {
				t.Fatalf("got %s: %v", code, err)
			}
			return
		}
		for _, at := range times {
			if !at.After(now) {
				t.Fatalf("%s comes after %s", at, now)
			}
			now = at
		}
	})
}
