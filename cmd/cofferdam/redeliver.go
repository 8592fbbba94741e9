package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/job"
	"github.com/cofferdam-run/cofferdam/host/redeliver"
)

// someEvents is which stored events are meant, and how they are redelivered.
type someEvents struct {
	endpoint, installation, kind, where string

	since, until moment
	pace         int
	force, dry   bool
}

func (s *someEvents) body(event string) map[string]any {
	body := map[string]any{"pace": s.pace, "force": s.force, "dry_run": s.dry}
	for k, v := range map[string]string{
		"endpoint": s.endpoint, "installation": s.installation, "event": event, "kind": s.kind,
		"filter": s.where, "since": s.since.String(), "until": s.until.String(),
	} {
		if v != "" {
			body[k] = v
		}
	}
	return body
}

func (a *app) redeliverCommand() *cobra.Command {
	var which someEvents
	var wait bool
	c := a.tenantFlag(&cobra.Command{
		Use:   "redeliver [EVENT]",
		Short: "Send stored events again, and see and steer what does so",
		Long: "Send stored events again: one, or those of an endpoint or installation. Each gets a new execution, for which live work does not wait.\n" +
			"It goes on in the server. Events that have succeeded are skipped unless it is forced, and those whose work goes on are always.\n\n" +
			"--where is a CEL expression (https://cel.dev) over headers (by lower-case names), body (what its JSON says, or a string), name, kind and received_at.",
		Example: "  cofferdam redeliver evt_01J9ZK7V5Q8W3E6R1T0Y2U4I8O --force --tenant acme\n" +
			"  cofferdam redeliver --installation shop --since 24h --where 'headers[\"x-topic\"] == \"orders/paid\" && body.total > 100' --dry-run -t acme\n" +
			"  cofferdam redeliver --endpoint end_01J9ZP4X0E8V3T6B2M5N7Q1R0S --since 7d --pace 50 --wait -t acme",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			event := strings.Join(args, "")
			if event != "" && !strings.HasPrefix(event, "evt_") {
				return usagef("%q is no event: its id begins with evt_; the verbs are list, show, outcomes, pause, resume and cancel", event)
			}
			if event == "" && which.endpoint == "" && which.installation == "" {
				return usagef("say which are meant: an event, --endpoint or --installation")
			}
			return a.redeliver(c.Context(), which.body(event), wait)
		},
	})
	flags := c.Flags()
	flags.StringVar(&which.endpoint, "endpoint", "", "only what was delivered to this endpoint")
	flags.StringVar(&which.installation, "installation", "", "only this installation's")
	flags.StringVar(&which.kind, "kind", "", "webhook, action, poll, test or record")
	flags.StringVar(&which.where, "where", "", "only those for which this CEL expression is true")
	flags.Var(&which.since, "since", "only those that arrived since: 24h, 7d, 2026-11-20 or 2026-11-20T09:00:00Z")
	flags.Var(&which.until, "until", "only those that arrived before, in the same form")
	flags.IntVar(&which.pace, "pace", 50, "how many in a second, 1 to 10000")
	flags.BoolVar(&which.force, "force", false, "those that have succeeded, too: effects are made twice")
	flags.BoolVar(&which.dry, "dry-run", false, "do nothing, and count what would be done")
	flags.BoolVar(&wait, "wait", false, "show how it goes on until it ends; Ctrl-C leaves it to the server")
	c.AddCommand(
		listVerb(a, "redeliver", "List a tenant's redeliveries, the newest first", "/redeliveries", printRedeliveries),
		a.redeliverVerb("show", "Show how far a redelivery has come"),
		a.redeliverOutcomes(),
		a.redeliverVerb("pause", "Have a redelivery stop for now"),
		a.redeliverVerb("resume", "Have a redelivery go on that was paused, or has failed"),
		a.redeliverVerb("cancel", "End a redelivery; the executions that it has made go on"))
	return c
}

func (a *app) redeliver(ctx context.Context, body map[string]any, wait bool) error {
	var started struct {
		Redelivery *redeliver.Redelivery `json:"redelivery,omitempty"`
		Plan       *redeliver.Plan       `json:"plan,omitempty"`
	}
	if err := a.client().call(ctx, http.MethodPost, a.inTenant("/redeliveries"), body, &started); err != nil {
		return err
	}
	switch {
	case started.Plan != nil:
		return a.show(started.Plan, func(w io.Writer) { printRedeliveryPlan(w, *started.Plan) })
	case wait:
		return a.awaitRedelivery(ctx, *started.Redelivery)
	default:
		return a.show(started.Redelivery, func(w io.Writer) { printRedelivery(w, *started.Redelivery) })
	}
}

func (a *app) redeliverVerb(verb, short string) *cobra.Command {
	show := func(c *cobra.Command, method, path string) error {
		var r redeliver.Redelivery
		if err := a.client().call(c.Context(), method, path, nil, &r); err != nil {
			return err
		}
		return a.show(r, func(w io.Writer) { printRedelivery(w, r) })
	}
	return a.jobVerb(jobKind{group: "redeliver", path: "/redeliveries", show: show}, verb, short)
}

func (a *app) redeliverOutcomes() *cobra.Command {
	var state, cursor string
	var limit int
	c := a.tenantFlag(&cobra.Command{
		Use:     "outcomes REDELIVER",
		Short:   "List the executions that a redelivery has made, and how they stand",
		Example: "  cofferdam redeliver outcomes job_01J9ZK7V5Q8W3E6R1T0Y2U4I8O --state dead --tenant acme",
		Args:    exactly("REDELIVER"),
		RunE: func(c *cobra.Command, args []string) error {
			q := url.Values{"limit": {strconv.Itoa(limit)}}
			for k, v := range map[string]string{"state": state, "cursor": cursor} {
				if v != "" {
					q.Set(k, v)
				}
			}
			var p page[redeliver.Outcome]
			if err := a.client().call(c.Context(), http.MethodGet, a.inTenant("/redeliveries/%s/outcomes?%s", escape(args[0]), q.Encode()), nil, &p); err != nil {
				return err
			}
			return a.show(p, func(w io.Writer) { printOutcomes(w, p) })
		},
	})
	c.Flags().StringVar(&state, "state", "", "queued, running, waiting, succeeded, dead or cancelled")
	c.Flags().StringVar(&cursor, "cursor", "", "where the page before this one ended")
	c.Flags().IntVar(&limit, "limit", 50, "how many at the most, 1 to 200")
	return c
}

// awaitRedelivery shows a redelivery until it goes on no more.
func (a *app) awaitRedelivery(ctx context.Context, r redeliver.Redelivery) error {
	return awaitJob(ctx, a, awaited[redeliver.Redelivery]{
		noun: "redelivery", group: "redeliver", path: "/redeliveries",
		look: func(r redeliver.Redelivery) (string, job.State, string) { return r.ID, r.State, tally(r.Progress) },
		print: func(w io.Writer, r redeliver.Redelivery) {
			printRedelivery(w, r)
			if r.Progress.Redelivered > 0 {
				fmt.Fprintf(w, "they run now: cofferdam redeliver outcomes %s shows how they stand\n", r.ID)
			}
		},
	}, r)
}

func tally(t redeliver.Tally) string {
	text := fmt.Sprintf("%d redelivered of %d matched, %d skipped", t.Redelivered, t.Matched, t.Skipped.Succeeded+t.Skipped.Unfinished+t.Skipped.Gone)
	if t.Undecided > 0 {
		text += fmt.Sprintf(", %d undecided", t.Undecided)
	}
	return text
}

func printRedeliveryPlan(w io.Writer, p redeliver.Plan) {
	fmt.Fprintf(w, "%d of the %d that were looked at would be redelivered\n", p.Redelivered, p.Looked)
	printTally(w, p.Tally)
	if !p.Complete {
		fmt.Fprintf(w, "there are more: it stopped early, at what arrived at %s\n", p.At.Local().Format(time.DateTime))
	}
}

// printTally prints why events are left out.
func printTally(w io.Writer, t redeliver.Tally) {
	for _, l := range []struct {
		n   int
		why string
	}{
		{t.Skipped.Succeeded, "have succeeded"},
		{t.Skipped.Unfinished, "are not done with"},
		{t.Skipped.Gone, "cause nothing any more"},
		{t.Undecided, "are left out because the filter failed"},
	} {
		if l.n > 0 {
			fmt.Fprintf(w, "  %d %s\n", l.n, l.why)
		}
	}
	if t.Example != nil {
		fmt.Fprintf(w, "  such as %s: %s\n", t.Example.Event, t.Example.Reason)
	}
}

func printRedelivery(w io.Writer, r redeliver.Redelivery) {
	printRedeliveries(w, r)
	printTally(w, r.Progress)
	if r.Error != nil {
		fmt.Fprintf(w, "  %s: %s\n", r.Error.Code, r.Error.Message)
	}
}

func printRedeliveries(w io.Writer, all ...redeliver.Redelivery) {
	var rows [][]string
	for _, r := range all {
		rows = append(rows, []string{
			r.ID, string(r.State), strconv.Itoa(r.Spec.Pace) + "/s", r.CreatedAt.Local().Format(time.DateTime), tally(r.Progress),
		})
	}
	table(w, []string{"ID", "STATE", "PACE", "CREATED", "PROGRESS"}, rows)
	if len(rows) == 0 {
		fmt.Fprintln(w, "no redeliveries yet: cofferdam redeliver --endpoint ENDPOINT begins one")
	}
}

func printOutcomes(w io.Writer, p page[redeliver.Outcome]) {
	var rows [][]string
	for _, o := range p.Items {
		rows = append(rows, []string{o.Event, o.Execution, string(o.State)})
	}
	table(w, []string{"EVENT", "EXECUTION", "STATE"}, rows)
	if p.Next != "" {
		fmt.Fprintf(w, "there are more: --cursor %s\n", p.Next)
	}
}
