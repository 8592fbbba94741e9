package schedule

import (
	"math"
	"strings"
	"time"

	gocron "github.com/netresearch/go-cron"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

const (
	// maxCron is far longer than any expression that somebody would read.
	maxCron = 256
	// searchYears finds every 29 February: between those of 2096 and 2104 are eight years.
	searchYears = 9
	// everyHour are the bits of all hours.
	everyHour = 1<<24 - 1
)

// fields are those of a cron expression, in their order, and whether they take names.
func fields() []struct {
	name  string
	names bool
} {
	return []struct {
		name  string
		names bool
	}{{"minute", false}, {"hour", false}, {"day of the month", false}, {"month", true}, {"day of the week", true}}
}

// cron is a cron expression in a time zone. It is found in local time as if that were
// UTC, where each minute comes once, and then what is found is looked for in the zone.
type cron struct {
	spec *gocron.SpecSchedule
	zone *time.Location
}

// newCron reads an expression: the five fields of crontab(5), nothing else. Where both
// days are restricted either one will do, as there.
func newCron(text string, zone *time.Location) (cron, error) {
	parts, err := split(text)
	if err != nil {
		return cron{}, err
	}
	// Names are read in capitals by some and not by others; see checkField.
	parsed, err := gocron.MustNewParser(gocron.Minute | gocron.Hour | gocron.Dom | gocron.Month | gocron.Dow | gocron.DowOrDom).
		WithMaxSearchYears(searchYears).Parse(strings.ToLower(strings.Join(parts, " ")))
	if err != nil {
		return cron{}, badCron("%q cannot be read: %v", text, err)
	}
	spec, ok := parsed.(*gocron.SpecSchedule)
	if !ok {
		return cron{}, badCron("%q is not an expression of five fields", text)
	}
	spec.Location = time.UTC
	return cron{spec: spec, zone: zone}, nil
}

func split(text string) ([]string, error) {
	if len(text) > maxCron {
		return nil, badCron("it has %d bytes, and the most is %d", len(text), maxCron)
	}
	if upper := strings.ToUpper(text); strings.HasPrefix(upper, "TZ=") || strings.HasPrefix(upper, "CRON_TZ=") {
		return nil, badCron("%q begins with a time zone", text).WithHint(`Write the zone beside it: {"cron": "0 3 * * *", "time_zone": "Europe/Berlin"}.`)
	}
	parts := strings.Fields(text)
	if len(parts) != len(fields()) {
		return nil, badCron("%q has %d fields, and there are five: of minute, hour, day, month and weekday", text, len(parts))
	}
	for i, f := range fields() {
		if err := checkField(f.name, parts[i], f.names); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// checkField refuses what the parser would take for something else, or for nothing.
func checkField(name, text string, names bool) error {
	for item := range strings.SplitSeq(text, ",") {
		if item == "" {
			return badCron("the %s %q has an empty item", name, text)
		}
		for _, r := range item {
			letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
			if letter && names || r >= '0' && r <= '9' || strings.ContainsRune("*/-", r) {
				continue
			}
			return badCron("the %s %q has a %q, which means nothing there", name, text, string(r))
		}
	}
	return nil
}

func badCron(format string, args ...any) *fault.Error {
	return fault.New(fault.InvalidInput, "cron_invalid", "this is no cron expression: "+format, args...).At("/when/cron").
		WithHint(`Five fields, each * or a list of numbers, ranges and steps: "30 3 * * mon-fri" is half past three on working days.`)
}

// after returns the first instant after another, or zero if there is none within
// searchYears.
func (c cron) after(t time.Time) time.Time {
	if c.spec.Hour&everyHour == everyHour {
		return c.instant(t)
	}
	for wall := c.wall(t); ; {
		wall = c.spec.Next(wall)
		if wall.IsZero() {
			return time.Time{}
		}
		// In a repeated hour the wall goes back, and what it shows was there before.
		if at := c.first(wall); at.After(t) {
			return at
		}
	}
}

// instant is after for expressions of every hour: what the wall shows is looked for in
// one stretch of a constant offset after the other.
func (c cron) instant(t time.Time) time.Time {
	for last := t.AddDate(searchYears, 0, 0); t.Before(last); {
		local := t.In(c.zone)
		_, end := local.ZoneBounds()
		wall := c.spec.Next(c.wall(t))
		if wall.IsZero() {
			return time.Time{}
		}
		_, offset := local.Zone()
		at := wall.Add(-time.Duration(offset) * time.Second)
		if end.IsZero() || at.Before(end) {
			return at
		}
		// The second before the next stretch, by the clock of that one.
		t = end
		if c.shows(end) {
			return end
		}
	}
	return time.Time{}
}

// shows says that the expression names what the wall shows at an instant.
func (c cron) shows(t time.Time) bool {
	wall := c.wall(t)
	return c.spec.Next(wall.Add(-time.Second)).Equal(wall)
}

// wall is what a clock on the wall shows, as if it were in UTC.
func (c cron) wall(t time.Time) time.Time {
	_, offset := t.In(c.zone).Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// first is when the wall shows something first, or, if it never does, the first instant
// after the gap.
func (c cron) first(wall time.Time) time.Time {
	// The wall is at most a day away from UTC: of the stretches of a constant offset
	// that are that near, the first one counts that has it, or that is later.
	probe := wall.Add(-26 * time.Hour)
	for range math.MaxUint8 {
		local := probe.In(c.zone)
		_, end := local.ZoneBounds()
		_, offset := local.Zone()
		at := wall.Add(-time.Duration(offset) * time.Second)
		if at.Before(probe) {
			return probe // It fell into the gap before this stretch.
		}
		if end.IsZero() || at.Before(end) {
			return at
		}
		probe = end
	}
	return wall // No zone changes so often within a day.
}
