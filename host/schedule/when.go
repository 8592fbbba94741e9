package schedule

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

const (
	// minEvery is the shortest interval: a tick is an event and an execution, and what
	// has to be known sooner is better told by a webhook.
	minEvery = 10 * time.Second
	// maxEvery is as long as a manifest may say for a poll.
	maxEvery = 366 * 24 * time.Hour
	// maxText is the most of a text that an error shows.
	maxText = 100
)

// When says at which instants a schedule ticks: by Cron, Every or At.
type When struct {
	// Cron is an expression of five fields, as in crontab(5). TimeZone is a name of the IANA's, and defaults to UTC.
	Cron     string `json:"cron,omitempty"`
	TimeZone string `json:"time_zone,omitempty"`
	// Every is a time such as 5m, from Anchor on, which defaults to now.
	Every  string    `json:"every,omitempty"`
	Anchor time.Time `json:"anchor,omitzero"`
	// At is the one instant.
	At time.Time `json:"at,omitzero"`
}

// timer finds instants.
type timer interface {
	// after returns the first instant after another, or zero if there is none.
	after(t time.Time) time.Time
}

// settled returns w with what may be left out, and what finds its instants.
func (w When) settled(now time.Time) (When, timer, error) {
	given := 0
	for _, is := range []bool{w.Cron != "", w.Every != "", !w.At.IsZero()} {
		if is {
			given++
		}
	}
	if given != 1 {
		return w, nil, fault.New(fault.InvalidInput, "when_invalid", "a schedule has one of cron, every and at, and this one has %d", given).
			At("/when").WithHint(`Write {"cron": "0 3 * * *", "time_zone": "Europe/Berlin"}, {"every": "5m"} or {"at": "2027-01-01T00:00:00Z"}.`)
	}
	if w.Cron == "" && w.TimeZone != "" {
		return w, nil, stray("/when/time_zone", "a time zone", "cron")
	}
	if w.Every == "" && !w.Anchor.IsZero() {
		return w, nil, stray("/when/anchor", "an anchor", "every")
	}
	switch {
	case w.Cron != "":
		return w.cron(now)
	case w.Every != "":
		return w.every(now)
	default:
		w.At = w.At.UTC().Truncate(time.Microsecond)
		return w, once(w.At), nil
	}
}

func stray(where, what, with string) *fault.Error {
	return fault.New(fault.InvalidInput, "when_invalid", "%s means something together with %s only", what, with).At(where).WithHint("Leave it out.")
}

func (w When) cron(now time.Time) (When, timer, error) {
	if w.TimeZone == "" {
		w.TimeZone = "UTC"
	}
	zone, err := location(w.TimeZone)
	if err != nil {
		return w, nil, err
	}
	c, err := newCron(w.Cron, zone)
	if err != nil {
		return w, nil, err
	}
	w.Cron = strings.Join(strings.Fields(w.Cron), " ")
	if c.after(now).IsZero() {
		return w, nil, fault.New(fault.InvalidInput, "cron_never", "%q never comes: there is no such day within %d years", w.Cron, searchYears).At("/when/cron").
			WithHint(`The last day of February is "28-29 2" of day and month; a month has 30 days or 31.`)
	}
	return w, c, nil
}

// zoneName is what names of time zones look like: nothing that leads out of their folder.
var zoneName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$`)

// location finds a zone. "Local" is the machine's own, of which nobody elsewhere knows.
func location(name string) (*time.Location, error) {
	unknown := fault.New(fault.InvalidInput, "time_zone_unknown", "there is no time zone %q", clip(name)).At("/when/time_zone").
		WithHint("Use a name of the IANA's database, such as Europe/Berlin, America/New_York or UTC.")
	if !zoneName.MatchString(name) || strings.EqualFold(name, "local") {
		return nil, unknown
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, unknown.Because(err)
	}
	return zone, nil
}

func (w When) every(now time.Time) (When, timer, error) {
	d, err := time.ParseDuration(w.Every)
	bad := func(format string, args ...any) error {
		return fault.New(fault.InvalidInput, "every_invalid", "the interval "+format, args...).At("/when/every").
			WithHint("Write whole seconds from %s to %s, such as 30s, 5m or 24h.", short(minEvery), short(maxEvery))
	}
	switch {
	case err != nil:
		return w, nil, bad("%q is not a time", clip(w.Every))
	case d%time.Second != 0:
		return w, nil, bad("%s is not of whole seconds", clip(w.Every))
	case d < minEvery:
		return w, nil, bad("%s is shorter than %s", clip(w.Every), short(minEvery))
	case d > maxEvery:
		return w, nil, bad("%s is longer than %s", clip(w.Every), short(maxEvery))
	}
	if w.Anchor.IsZero() {
		w.Anchor = now.Truncate(time.Second)
	}
	if y := w.Anchor.UTC().Year(); y < 1970 || y > 2200 {
		return w, nil, fault.New(fault.InvalidInput, "anchor_invalid", "the anchor is in the year %d", y).At("/when/anchor").
			WithHint("It is between 1970 and 2200; the interval is counted from there, both ways.")
	}
	w.Every, w.Anchor = short(d), w.Anchor.UTC().Truncate(time.Microsecond)
	return w, interval{every: d, anchor: w.Anchor}, nil
}

// short is a duration without the parts that are zero: 5m instead of 5m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func clip(s string) string {
	if len(s) > maxText {
		return s[:maxText] + "..."
	}
	return s
}

// interval ticks at its anchor and at all multiples of a time before and after it.
type interval struct {
	every  time.Duration
	anchor time.Time
}

// after implements timer.
func (i interval) after(t time.Time) time.Time {
	since := t.Sub(i.anchor)
	left := i.every - since%i.every
	if left > i.every { // It is before the anchor.
		left -= i.every
	}
	return t.Add(left)
}

// once ticks at one instant.
type once time.Time

// after implements timer.
func (o once) after(t time.Time) time.Time {
	if at := time.Time(o); at.After(t) {
		return at
	}
	return time.Time{}
}

// upcoming lists the next n instants after one, in the zone of the schedule.
func (w When) upcoming(now time.Time, n int) ([]time.Time, error) {
	w, timer, err := w.settled(now)
	if err != nil {
		return nil, err
	}
	zone := time.UTC
	if w.TimeZone != "" {
		if zone, err = location(w.TimeZone); err != nil {
			return nil, err
		}
	}
	times := []time.Time{}
	for t := timer.after(now); !t.IsZero() && len(times) < n; t = timer.after(t) {
		times = append(times, t.In(zone))
	}
	if len(times) == 0 {
		return nil, fmt.Errorf("find the next times: %w", past(w.At))
	}
	return times, nil
}

// past is the fault of an instant that is over.
func past(at time.Time) *fault.Error {
	return fault.New(fault.InvalidInput, "at_past", "%s is not in the future", at.Format(time.RFC3339)).At("/when/at").
		WithHint("To have it done now, call it, or run a schedule by hand.")
}
