package schedule_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/schedule"
)

// upcoming lists instants after a time in UTC.
func upcoming(tb testing.TB, w schedule.When, after time.Time, n int) []time.Time {
	tb.Helper()
	s := schedule.New(schedule.Config{Clock: func(context.Context) (time.Time, error) { return after, nil }})
	times, err := s.Upcoming(tb.Context(), w, n)
	if err != nil {
		tb.Fatal(err)
	}
	for i := range times {
		times[i] = times[i].UTC()
	}
	return times
}

func at(tb testing.TB, text string) time.Time {
	tb.Helper()
	v, err := time.Parse(time.RFC3339, text)
	if err != nil {
		tb.Fatal(err)
	}
	return v.UTC()
}

// zones change by an hour, by half an hour, at midnight, and for a month of fasting.
var zones = []string{"America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "America/Santiago", "Africa/Casablanca"}

// transitions lists when the offset of a zone changes in 2026 to 2030.
func transitions(tb testing.TB, name string) (*time.Location, []time.Time) {
	tb.Helper()
	zone, err := time.LoadLocation(name)
	if err != nil {
		tb.Fatal(err)
	}
	var all []time.Time
	for probe := time.Date(2026, 1, 1, 0, 0, 0, 0, zone); ; {
		_, end := probe.ZoneBounds()
		if end.IsZero() || end.Year() > 2030 {
			return zone, all
		}
		_, before := end.Add(-time.Second).Zone()
		if _, after := end.Zone(); before != after {
			all = append(all, end)
		}
		probe = end
	}
}

// days is a stretch of minutes around a transition, with what the wall shows.
type days struct {
	from, to time.Time
	// first is when the wall shows something first.
	first map[time.Time]time.Time
	walls []time.Time // In the order of instants.
}

func wallOf(at time.Time, zone *time.Location) time.Time {
	l := at.In(zone)
	return time.Date(l.Year(), l.Month(), l.Day(), l.Hour(), l.Minute(), 0, 0, time.UTC)
}

func around(transition time.Time, zone *time.Location) days {
	d := days{from: transition.UTC().Add(-30 * time.Hour), to: transition.UTC().Add(30 * time.Hour), first: map[time.Time]time.Time{}}
	for at := d.from; !at.After(d.to); at = at.Add(time.Minute) {
		w := wallOf(at, zone)
		d.walls = append(d.walls, w)
		if _, ok := d.first[w]; !ok {
			d.first[w] = at
		}
	}
	return d
}

// named says what an expression names, written down once more for each.
type named func(wall time.Time) bool

// eachMinute lists when fixed hours fire, out of the minutes of the zone: each wall minute
// once, and one that the wall never shows at the first later minute that it does.
func (d days) eachMinute(is named) []time.Time {
	fires := map[time.Time]bool{}
	for w := d.walls[0]; !w.After(d.walls[len(d.walls)-1]); w = w.Add(time.Minute) {
		if !is(w) {
			continue
		}
		shown := w
		for d.first[shown].IsZero() {
			shown = shown.Add(time.Minute)
		}
		fires[d.first[shown]] = true
	}
	var all []time.Time
	for at := range fires {
		if at.After(d.from) {
			all = append(all, at)
		}
	}
	slices.SortFunc(all, time.Time.Compare)
	return all
}

// eachInstant lists when all hours fire: whenever the wall shows it.
func (d days) eachInstant(is named) []time.Time {
	var all []time.Time
	for i, w := range d.walls {
		if i > 0 && is(w) {
			all = append(all, d.from.Add(time.Duration(i)*time.Minute))
		}
	}
	return all
}

func TestEveryTransition(t *testing.T) {
	t.Parallel()
	specs := map[string]struct {
		every bool // All hours: instants count.
		is    named
	}{
		"30 2 * * *":     {false, func(w time.Time) bool { return w.Hour() == 2 && w.Minute() == 30 }},
		"*/15 1-3 * * *": {false, func(w time.Time) bool { return w.Hour() >= 1 && w.Hour() <= 3 && w.Minute()%15 == 0 }},
		"0 0 * * *":      {false, func(w time.Time) bool { return w.Hour() == 0 && w.Minute() == 0 }},
		"45 23,0 * * *":  {false, func(w time.Time) bool { return (w.Hour() == 23 || w.Hour() == 0) && w.Minute() == 45 }},
		"* 2 * * *":      {false, func(w time.Time) bool { return w.Hour() == 2 }},
		"0 */2 * * *":    {false, func(w time.Time) bool { return w.Hour()%2 == 0 && w.Minute() == 0 }},
		"10 2 * * sun":   {false, func(w time.Time) bool { return w.Weekday() == time.Sunday && w.Hour() == 2 && w.Minute() == 10 }},
		"0 * * * *":      {true, func(w time.Time) bool { return w.Minute() == 0 }},
		"*/20 * * * *":   {true, func(w time.Time) bool { return w.Minute()%20 == 0 }},
		"5 0-23 * * 0,6": {true, func(w time.Time) bool {
			return w.Minute() == 5 && (w.Weekday() == time.Sunday || w.Weekday() == time.Saturday)
		}},
		"* * * * *": {true, func(time.Time) bool { return true }},
		"59 23 28-31 3 SUN": {false, func(w time.Time) bool {
			return w.Month() == 3 && (w.Day() >= 28 || w.Weekday() == time.Sunday) && w.Hour() == 23 && w.Minute() == 59
		}},
	}
	for _, name := range zones {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			zone, all := transitions(t, name)
			if len(all) < 9 {
				t.Fatalf("the zone has %d transitions in five years", len(all))
			}
			for _, transition := range all {
				d := around(transition, zone)
				for spec, s := range specs {
					want := d.eachMinute(s.is)
					if s.every {
						want = d.eachInstant(s.is)
					}
					if got := within(t, schedule.When{Cron: spec, TimeZone: name}, d); !slices.Equal(got, want) {
						t.Errorf("%s around %s: %s", spec, transition, cmp.Diff(want, got))
					}
				}
			}
		})
	}
}

// within lists what fires in a stretch.
func within(tb testing.TB, w schedule.When, d days) []time.Time {
	tb.Helper()
	var all []time.Time
	for after := d.from; ; {
		some := upcoming(tb, w, after, 100)
		for _, at := range some {
			if at.After(d.to) {
				return all
			}
			all = append(all, at)
		}
		after = some[len(some)-1]
	}
}

// TestTransitionsByHand holds the rule to dates that are printed in calendars.
func TestTransitionsByHand(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		when  schedule.When
		after string
		want  []string
	}{
		"half past two, left out": {
			schedule.When{Cron: "30 2 * * *", TimeZone: "America/New_York"},
			"2026-03-07T12:00:00Z",
			[]string{"2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"},
		},
		"half past one, twice": {
			schedule.When{Cron: "30 1 * * *", TimeZone: "America/New_York"},
			"2026-10-31T12:00:00Z",
			[]string{"2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"},
		},
		"every half hour, in the repeated hour too": {
			schedule.When{Cron: "*/30 * * * *", TimeZone: "Europe/Berlin"},
			"2026-10-25T00:00:00Z",
			[]string{"2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:00:00Z"},
		},
		"a gap of half an hour": {
			schedule.When{Cron: "15 2 * * *", TimeZone: "Australia/Lord_Howe"},
			"2026-10-03T00:00:00Z",
			[]string{"2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"},
		},
		"half an hour twice": {
			schedule.When{Cron: "45 1 * * *", TimeZone: "Australia/Lord_Howe"},
			"2026-04-04T00:00:00Z",
			[]string{"2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"},
		},
		"midnight, left out": {
			schedule.When{Cron: "0 0 * * *", TimeZone: "America/Santiago"},
			"2026-09-05T12:00:00Z",
			[]string{"2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"},
		},
		"the leap day after 2096": {
			schedule.When{Cron: "0 0 29 2 *"}, "2096-03-01T00:00:00Z", []string{"2104-02-29T00:00:00Z"},
		},
		"one of two days": {
			schedule.When{Cron: "0 12 13 * fri"},
			"2026-11-12T00:00:00Z",
			[]string{"2026-11-13T12:00:00Z", "2026-11-20T12:00:00Z", "2026-11-27T12:00:00Z", "2026-12-04T12:00:00Z", "2026-12-11T12:00:00Z", "2026-12-13T12:00:00Z"},
		},
		"an interval, from its anchor": {
			schedule.When{Every: "90s", Anchor: time.Date(2026, 1, 1, 0, 0, 30, 0, time.UTC)},
			"2026-01-01T00:02:00Z",
			[]string{"2026-01-01T00:03:30Z", "2026-01-01T00:05:00Z"},
		},
		"an anchor to come": {
			schedule.When{Every: "24h", Anchor: time.Date(2026, 6, 1, 8, 0, 0, 0, time.UTC)},
			"2026-01-01T08:00:00Z",
			[]string{"2026-01-02T08:00:00Z"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var want []time.Time
			for _, text := range test.want {
				want = append(want, at(t, text))
			}
			if got := upcoming(t, test.when, at(t, test.after), len(want)); !slices.Equal(got, want) {
				t.Error(cmp.Diff(want, got))
			}
		})
	}
}

func TestWhatIsNoTime(t *testing.T) {
	t.Parallel()
	now := at(t, "2026-11-20T12:00:00Z")
	for name, test := range map[string]struct {
		when        schedule.When
		code, where string
		says        string
	}{
		"nothing":               {schedule.When{}, "when_invalid", "/when", "has 0"},
		"two things":            {schedule.When{Cron: "* * * * *", Every: "5m"}, "when_invalid", "/when", "has 2"},
		"a zone of an interval": {schedule.When{Every: "5m", TimeZone: "UTC"}, "when_invalid", "/when/time_zone", "cron only"},
		"an anchor of cron":     {schedule.When{Cron: "* * * * *", Anchor: now}, "when_invalid", "/when/anchor", "every only"},
		"four fields":           {schedule.When{Cron: "* * * *"}, "cron_invalid", "/when/cron", "has 4 fields"},
		"seconds":               {schedule.When{Cron: "0 * * * * *"}, "cron_invalid", "/when/cron", "has 6 fields"},
		"minute 60":             {schedule.When{Cron: "60 * * * *"}, "cron_invalid", "/when/cron", "60"},
		"month 13":              {schedule.When{Cron: "0 0 1 13 *"}, "cron_invalid", "/when/cron", "13"},
		"a step of nothing":     {schedule.When{Cron: "*/0 * * * *"}, "cron_invalid", "/when/cron", ""},
		"an empty item":         {schedule.When{Cron: ", * * * *"}, "cron_invalid", "/when/cron", "empty item"},
		"a word":                {schedule.When{Cron: "@hourly"}, "cron_invalid", "/when/cron", "has 1 fields"},
		"an hour by name":       {schedule.When{Cron: "0 noon * * *"}, "cron_invalid", "/when/cron", `"n"`},
		"a question mark":       {schedule.When{Cron: "0 0 ? * *"}, "cron_invalid", "/when/cron", "means nothing"},
		"the last of a month":   {schedule.When{Cron: "0 0 L * *"}, "cron_invalid", "/when/cron", "means nothing"},
		"a zone in front":       {schedule.When{Cron: "TZ=UTC * * * * *"}, "cron_invalid", "/when/cron", "begins with a time zone"},
		"only a zone":           {schedule.When{Cron: "TZ=UTC"}, "cron_invalid", "/when/cron", "begins with a time zone"},
		"another zone in front": {schedule.When{Cron: "CRON_TZ=UTC * * * * *"}, "cron_invalid", "/when/cron", "begins with a time zone"},
		"far too long":          {schedule.When{Cron: strings.Repeat("1,", 200) + "1 * * * *"}, "cron_invalid", "/when/cron", "bytes"},
		"31 February":           {schedule.When{Cron: "0 0 31 2 *"}, "cron_never", "/when/cron", "never comes"},
		"31 of short months":    {schedule.When{Cron: "0 0 31 2,4,6,9,11 *"}, "cron_never", "/when/cron", "never comes"},
		"no zone":               {schedule.When{Cron: "0 0 * * *", TimeZone: "Europe/Atlantis"}, "time_zone_unknown", "/when/time_zone", "Atlantis"},
		"the machine's zone":    {schedule.When{Cron: "0 0 * * *", TimeZone: "Local"}, "time_zone_unknown", "/when/time_zone", "Local"},
		"a path":                {schedule.When{Cron: "0 0 * * *", TimeZone: "../../etc/passwd"}, "time_zone_unknown", "/when/time_zone", "passwd"},
		"no interval":           {schedule.When{Every: "often"}, "every_invalid", "/when/every", "not a time"},
		"a short one":           {schedule.When{Every: "9s"}, "every_invalid", "/when/every", "shorter than 10s"},
		"a negative one":        {schedule.When{Every: "-5m"}, "every_invalid", "/when/every", "shorter"},
		"a long one":            {schedule.When{Every: "9000h"}, "every_invalid", "/when/every", "longer than 8784h"},
		"half a second":         {schedule.When{Every: "10.5s"}, "every_invalid", "/when/every", "whole seconds"},
		"an anchor long ago":    {schedule.When{Every: "5m", Anchor: time.Date(1, 2, 3, 0, 0, 0, 0, time.UTC)}, "anchor_invalid", "/when/anchor", "year 1"},
		"the past":              {schedule.When{At: now}, "at_past", "/when/at", "not in the future"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := schedule.New(schedule.Config{Clock: func(context.Context) (time.Time, error) { return now, nil }})
			_, err := s.Upcoming(t.Context(), test.when, 1)
			if err == nil {
				t.Fatal("it was taken")
			}
			f := fault.From(err)
			if f.Code != test.code || f.Where != test.where || f.Hint == "" || !strings.Contains(f.Message, test.says) {
				t.Errorf("got %s at %s: %s (%s), want %s at %s: ...%s...", f.Code, f.Where, f.Message, f.Hint, test.code, test.where, test.says)
			}
		})
	}
}
