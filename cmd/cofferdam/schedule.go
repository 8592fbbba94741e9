package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/schedule"
	"github.com/cofferdam-run/cofferdam/registry"
)

func (a *app) scheduleCommand() *cobra.Command {
	return group("schedule", "Have polls and actions done at times",
		a.scheduleCreate(),
		listVerb(a, "schedule", "List a tenant's schedules, the newest first", "/schedules", printSchedules),
		a.scheduleVerb("show", "Show a schedule", http.MethodGet, ""),
		a.scheduleUpdate(),
		a.scheduleNext(),
		a.scheduleVerb("pause", "Have a schedule stop for now", http.MethodPost, "/pause"),
		a.scheduleVerb("resume", "Have a schedule go on from now", http.MethodPost, "/resume"),
		a.scheduleRun(),
		a.removeVerb("delete", "deleted", "schedule nightly", "Forget a schedule; what it has caused goes on", "/schedules"))
}

// newSchedule asks for a schedule.
type newSchedule struct {
	Name         string          `json:"name,omitempty"`
	Installation string          `json:"installation"`
	Poll         string          `json:"poll,omitempty"`
	Action       string          `json:"action,omitempty"`
	Input        json.RawMessage `json:"input,omitempty"`
	When         *schedule.When  `json:"when,omitempty"`
	Overlap      string          `json:"overlap,omitempty"`
	Missed       string          `json:"missed,omitempty"`
	JitterS      int64           `json:"jitter_s,omitempty"`
	Paused       bool            `json:"paused,omitempty"`
}

// whenFlags are how a command line says when.
type whenFlags struct {
	cron, zone, every, at string
}

func (f *whenFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.cron, "cron", "", "five fields, as in crontab(5)")
	c.Flags().StringVar(&f.zone, "time-zone", "", "the time zone of --cron, such as Europe/Berlin; UTC by default")
	c.Flags().StringVar(&f.every, "every", "", "an interval, such as 30s, 5m or 24h")
	c.Flags().StringVar(&f.at, "at", "", "one instant, such as 2027-01-01T08:00:00Z")
}

// when is what the flags say, nil for nothing.
func (f *whenFlags) when() (*schedule.When, error) {
	if *f == (whenFlags{}) {
		return nil, nil //nolint:nilnil // Nothing is said.
	}
	w := schedule.When{Cron: f.cron, TimeZone: f.zone, Every: f.every}
	if f.at != "" {
		at, err := time.Parse(time.RFC3339, f.at)
		if err != nil {
			return nil, usagef("--at %q is not a time such as 2027-01-01T08:00:00Z", f.at)
		}
		w.At = at
	}
	return &w, nil
}

func (a *app) scheduleCreate() *cobra.Command {
	var s newSchedule
	var when whenFlags
	var input string
	var jitter time.Duration
	c := a.tenantFlag(&cobra.Command{
		Use:   "create INSTALLATION",
		Short: "Have a poll or an action done at times",
		Long: "Have a poll or an action done at times: by --cron, --every or --at. Of a poll that can be left out, where the\n" +
			"plugin suggests an interval.",
		Example: "  cofferdam schedule create shop --poll orders --tenant acme\n" +
			"  cofferdam schedule create shop --action sync --input '{\"full\":true}' --cron '30 3 * * mon-fri' --time-zone Europe/Berlin -t acme\n" +
			"  cofferdam schedule create shop --action close --name year-end --at 2026-12-31T22:59:00Z -t acme",
		Args: exactly("INSTALLATION"),
		RunE: func(c *cobra.Command, args []string) error {
			s.Installation, s.JitterS = args[0], int64(jitter/time.Second)
			var err error
			if s.Input, err = a.document("--input", input); err != nil {
				return err
			}
			if s.When, err = when.when(); err != nil {
				return err
			}
			return a.schedule(c, http.MethodPost, a.inTenant("/schedules"), s)
		},
	})
	when.add(c)
	c.Flags().StringVar(&s.Poll, "poll", "", "the poll that it calls for")
	c.Flags().StringVar(&s.Action, "action", "", "the action that it calls")
	c.Flags().StringVar(&input, "input", "", "the action's input: JSON, @file, or - for standard input")
	c.Flags().StringVar(&s.Name, "name", "", "the schedule's name; that of the poll or action by default")
	c.Flags().StringVar(&s.Overlap, "overlap", "", "while the one before is not done: skip (the default), queue or cancel_old")
	c.Flags().StringVar(&s.Missed, "missed", "", "of what was due while no server ran: one (the default), all or none")
	c.Flags().DurationVar(&jitter, "jitter", 0, "the most by which ticks come later, up to 1h; by how much is the schedule's own")
	c.Flags().BoolVar(&s.Paused, "paused", false, "begin paused")
	return c
}

// scheduleChange is what a schedule is to be; what is left out stays.
type scheduleChange struct {
	Name    *string         `json:"name,omitempty"`
	Input   json.RawMessage `json:"input,omitempty"`
	When    *schedule.When  `json:"when,omitempty"`
	Overlap *string         `json:"overlap,omitempty"`
	Missed  *string         `json:"missed,omitempty"`
	JitterS *int64          `json:"jitter_s,omitempty"`
}

func (a *app) scheduleUpdate() *cobra.Command {
	var when whenFlags
	var name, input, overlap, missed string
	var jitter time.Duration
	c := a.tenantFlag(&cobra.Command{
		Use:   "update SCHEDULE",
		Short: "Change a schedule; what is not given stays",
		Long: "Change a schedule; what is not given stays. With other times or another jitter it goes on from now, and one that has\n" +
			"ended is active again.",
		Example: "  cofferdam schedule update nightly --cron '0 4 * * *' --time-zone Europe/Berlin --tenant acme\n" +
			"  cofferdam schedule update orders --every 15m --overlap queue -t acme",
		Args: exactly("SCHEDULE"),
		RunE: func(c *cobra.Command, args []string) error {
			var change scheduleChange
			var err error
			if change.When, err = when.when(); err != nil {
				return err
			}
			if change.Input, err = a.document("--input", input); err != nil {
				return err
			}
			for flag, into := range map[string]struct {
				field **string
				value *string
			}{"name": {&change.Name, &name}, "overlap": {&change.Overlap, &overlap}, "missed": {&change.Missed, &missed}} {
				if c.Flags().Changed(flag) {
					*into.field = into.value
				}
			}
			if c.Flags().Changed("jitter") {
				s := int64(jitter / time.Second)
				change.JitterS = &s
			}
			if change.Name == nil && change.Input == nil && change.When == nil && change.Overlap == nil && change.Missed == nil && change.JitterS == nil {
				return usagef("nothing is to be changed: give --cron, --every, --at, --input, --name, --overlap, --missed or --jitter")
			}
			return a.schedule(c, http.MethodPatch, a.inTenant("/schedules/%s", escape(args[0])), change)
		},
	})
	when.add(c)
	c.Flags().StringVar(&input, "input", "", "another input of the action: JSON, @file, or - for standard input")
	c.Flags().StringVar(&name, "name", "", "another name")
	c.Flags().StringVar(&overlap, "overlap", "", "while the one before is not done: skip, queue or cancel_old")
	c.Flags().StringVar(&missed, "missed", "", "of what was due while no server ran: one, all or none")
	c.Flags().DurationVar(&jitter, "jitter", 0, "the most by which ticks come later, up to 1h")
	return c
}

// schedule makes a request whose answer is a schedule, and shows it.
func (a *app) schedule(c *cobra.Command, method, path string, body any) error {
	var s schedule.Schedule
	if err := a.client().call(c.Context(), method, path, body, &s); err != nil {
		return err
	}
	return a.show(s, func(w io.Writer) { printSchedule(w, s) })
}

func (a *app) scheduleVerb(verb, short, method, suffix string) *cobra.Command {
	return a.tenantFlag(&cobra.Command{
		Use:     verb + " SCHEDULE",
		Short:   short,
		Example: "  cofferdam schedule " + verb + " nightly --tenant acme",
		Args:    exactly("SCHEDULE"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.schedule(c, method, a.inTenant("/schedules/%s%s", escape(args[0]), suffix), nil)
		},
	})
}

func (a *app) scheduleRun() *cobra.Command {
	return a.tenantFlag(&cobra.Command{
		Use:     "run SCHEDULE",
		Short:   "Have what a schedule calls for done now, whatever its state",
		Example: "  cofferdam schedule run nightly --tenant acme",
		Args:    exactly("SCHEDULE"),
		RunE: func(c *cobra.Command, args []string) error {
			var accepted event.Accepted
			if err := a.client().call(c.Context(), http.MethodPost, a.inTenant("/schedules/%s/run", escape(args[0])), nil, &accepted); err != nil {
				return err
			}
			return a.show(accepted, func(w io.Writer) {
				fmt.Fprintf(w, "queued %s: 'cofferdam execution show %s' shows it\n", accepted.Execution, accepted.Execution)
			})
		},
	})
}

func (a *app) scheduleNext() *cobra.Command {
	var when whenFlags
	var count int
	c := a.tenantFlag(&cobra.Command{
		Use:   "next [SCHEDULE]",
		Short: "Show when a schedule ticks next, or when one would",
		Example: "  cofferdam schedule next nightly --tenant acme\n" +
			"  cofferdam schedule next --cron '30 2 * * *' --time-zone America/New_York --count 10 -t acme",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			w, err := when.when()
			if err != nil {
				return err
			}
			if (w == nil) == (len(args) == 0) {
				return usagef("name a schedule, or say when with --cron, --every or --at")
			}
			method, path, body := http.MethodPost, a.inTenant("/schedules/preview"), any(map[string]any{"when": w, "count": count})
			if w == nil {
				query := url.Values{"count": {strconv.Itoa(count)}}
				method, path, body = http.MethodGet, a.inTenant("/schedules/%s/next?%s", escape(args[0]), query.Encode()), nil
			}
			var next struct {
				Times []time.Time `json:"times"`
			}
			if err := a.client().call(c.Context(), method, path, body, &next); err != nil {
				return err
			}
			return a.show(next, func(w io.Writer) {
				for _, at := range next.Times {
					fmt.Fprintln(w, at.Format("Mon 2006-01-02 15:04:05 -07:00"))
				}
			})
		},
	})
	when.add(c)
	c.Flags().IntVar(&count, "count", 5, "how many to show, up to 100")
	return c
}

// schedulePolls gives each poll of an installation for which its plugin suggests an
// interval a schedule, named after both.
func (a *app) schedulePolls(c *cobra.Command, i installation.Installation) error {
	var v registry.Version
	if err := a.client().call(c.Context(), http.MethodGet, fmt.Sprintf("/v1/plugins/%s/versions/%s", escape(i.Plugin), escape(i.VersionID)), nil, &v); err != nil {
		return err
	}
	for _, p := range v.Manifest.Polls {
		if p.Every == "" {
			continue
		}
		if err := a.schedule(c, http.MethodPost, a.inTenant("/schedules"), newSchedule{Name: i.Name + "." + p.Name, Installation: i.ID, Poll: p.Name}); err != nil {
			return err
		}
	}
	return nil
}

func printSchedule(w io.Writer, s schedule.Schedule) {
	printSchedules(w, s)
	if s.Reason != "" {
		fmt.Fprintf(w, "  %s: %s\n", s.State, s.Reason)
	}
}

func printSchedules(w io.Writer, all ...schedule.Schedule) {
	var rows [][]string
	for _, s := range all {
		calls := "action " + s.Action
		if s.Poll != "" {
			calls = "poll " + s.Poll
		}
		next := "-"
		if s.State == schedule.Active && !s.Next.IsZero() {
			next = s.Next.Format(time.RFC3339)
		}
		rows = append(rows, []string{s.Name, s.ID, s.Installation, calls, saysWhen(s.When), string(s.State), next, strconv.FormatInt(s.Fired, 10), strconv.FormatInt(s.Skipped, 10)})
	}
	table(w, []string{"NAME", "ID", "INSTALLATION", "CALLS", "WHEN", "STATE", "NEXT", "FIRED", "SKIPPED"}, rows)
	if len(rows) == 0 {
		fmt.Fprintln(w, "no schedules")
	}
}

func saysWhen(w schedule.When) string {
	switch {
	case w.Cron != "":
		return w.Cron + " " + w.TimeZone
	case w.Every != "":
		return "every " + w.Every
	default:
		return "at " + w.At.Format(time.RFC3339)
	}
}
