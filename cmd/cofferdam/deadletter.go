package main

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/redrive"
)

func (a *app) deadLetterCommand() *cobra.Command {
	return group("dead-letter", "See what will not be retried, and give it another chance",
		listVerb(a, "dead-letter", "List a tenant's dead executions, grouped by what went wrong", "/dead-letters", printDead),
		a.deadLetterRedrive())
}

// deadOnes is which dead executions are meant.
type deadOnes struct {
	fingerprint, installation, class, code, kind, name, tag string

	since, until moment
	all          bool
}

// body is the filter as the API has it, nil for none.
func (d *deadOnes) body() map[string]any {
	filter := map[string]any{}
	for k, v := range map[string]string{
		"fingerprint": d.fingerprint, "installation": d.installation, "class": d.class, "code": d.code,
		"kind": d.kind, "name": d.name, "tag": d.tag, "since": d.since.String(), "until": d.until.String(),
	} {
		if v != "" {
			filter[k] = v
		}
	}
	return filter
}

func (a *app) deadLetterRedrive() *cobra.Command {
	var which deadOnes
	var mode string
	var rate int
	var dry, wait bool
	c := a.tenantFlag(&cobra.Command{
		Use:   "redrive (--fingerprint F | --all | --installation I ...)",
		Short: "Give many dead executions another chance, at a rate",
		Long: "Give many dead executions another chance, at a rate. It goes on in the server: see 'cofferdam redrive'.\n" +
			"Those that are not dead any more when it is their turn are skipped. The flags narrow it together.\n\n" + aboutModes,
		Example: "  cofferdam dead-letter redrive --fingerprint 9f2c64d1b3a80e57 --dry-run --tenant acme\n" +
			"  cofferdam dead-letter redrive --installation shop --class upstream --since 24h --rate 5 --wait -t acme",
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			filter := which.body()
			if which.all == (len(filter) > 0) {
				return usagef("say which are meant: --all, or any of --fingerprint, --installation, --class, --code, --kind, --name, --tag, --since and --until")
			}
			body := map[string]any{"all": which.all, "mode": mode, "rate": rate, "dry_run": dry}
			if !which.all {
				body["filter"] = filter
			}
			var started struct {
				Redrive *redrive.Redrive `json:"redrive,omitempty"`
				Plan    *redrive.Plan    `json:"plan,omitempty"`
			}
			if err := a.client().call(c.Context(), http.MethodPost, a.inTenant("/redrives"), body, &started); err != nil {
				return err
			}
			if started.Plan != nil {
				return a.show(started.Plan, func(w io.Writer) { printPlan(w, *started.Plan) })
			}
			if wait {
				return a.awaitRedrive(c.Context(), *started.Redrive)
			}
			return a.show(started.Redrive, func(w io.Writer) { printRedrive(w, *started.Redrive) })
		},
	})
	flags := c.Flags()
	flags.BoolVar(&which.all, "all", false, "all that are dead")
	flags.StringVar(&which.fingerprint, "fingerprint", "", "only a group of 'cofferdam dead-letter list'")
	flags.StringVar(&which.installation, "installation", "", "only this installation's")
	flags.StringVar(&which.class, "class", "", "only those whose problem it is: auth, upstream, plugin_bug, ...")
	flags.StringVar(&which.code, "code", "", "only those that went wrong so")
	flags.StringVar(&which.kind, "kind", "", "webhook, action, poll or test")
	flags.StringVar(&which.name, "name", "", "only this webhook, action or poll")
	flags.StringVar(&which.tag, "tag", "", "only those tagged name=value")
	flags.Var(&which.since, "since", "only those that died since: 24h, 7d, 2026-11-20 or 2026-11-20T09:00:00Z")
	flags.Var(&which.until, "until", "only those that died before, in the same form")
	flags.StringVar(&mode, "mode", string(execution.Resume), "resume, restart or force")
	flags.IntVar(&rate, "rate", 10, "how many in a second, 1 to 1000")
	flags.BoolVar(&dry, "dry-run", false, "do nothing, and show what would be done")
	flags.BoolVar(&wait, "wait", false, "show how it goes on until it ends; Ctrl-C leaves it to the server")
	return c
}

// aboutModes is for the help of whatever redrives.
const aboutModes = "resume   replays what was recorded up to the last effect, and goes on from there; the default.\n" +
	"restart  begins from the start with the same idempotency keys; refused if an effect without one has happened.\n" +
	"force    begins from the start, whatever has happened: effects may be made twice."

// printDead prints the listing, and what to do about it.
func printDead(w io.Writer, all ...execution.DeadLetters) {
	if len(all) == 0 {
		fmt.Fprintln(w, "nothing is dead")
		return
	}
	printDeadLetters(w, all...)
	fmt.Fprintln(w, "cofferdam execution show SAMPLE shows what happened; cofferdam dead-letter redrive --fingerprint FINGERPRINT gives a group another chance")
}

func printDeadLetters(w io.Writer, all ...execution.DeadLetters) {
	var rows [][]string
	for _, d := range all {
		rows = append(rows, []string{
			strconv.Itoa(d.Count), d.Class, d.Code, d.Last.Local().Format(time.DateTime), d.Fingerprint, d.Sample, d.Message,
		})
	}
	table(w, []string{"COUNT", "CLASS", "CODE", "LAST", "FINGERPRINT", "SAMPLE", "MESSAGE"}, rows)
}

func printPlan(w io.Writer, p redrive.Plan) {
	fmt.Fprintf(w, "%d would be redriven; of the %d that were looked at %d would be refused\n", p.Matched, p.Checked, p.Refused)
	printRefusals(w, p.Refusals)
	if len(p.Groups) > 0 {
		printDeadLetters(w, p.Groups...)
	}
}

func printRefusals(w io.Writer, all []redrive.Refusal) {
	for _, r := range all {
		fmt.Fprintf(w, "  refused %s: %s\n", r.Execution, r.Code)
	}
}

// moment is a flag for a time: one that is said, or an age.
type moment struct{ time.Time }

// Set implements pflag.Value.
func (m *moment) Set(s string) error {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n <= 36500 {
			m.Time = time.Now().AddDate(0, 0, -n)
			return nil
		}
	}
	if age, err := time.ParseDuration(s); err == nil && age >= 0 {
		m.Time = time.Now().Add(-age)
		return nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, s); err == nil {
			m.Time = at
			return nil
		}
	}
	return fmt.Errorf("%q is no time: write an age as 24h or 7d, a day as 2026-11-20, or 2026-11-20T09:00:00Z", s)
}

// String implements pflag.Value: as JSON has it, and empty for none.
func (m *moment) String() string {
	if m.IsZero() {
		return ""
	}
	return m.UTC().Format(time.RFC3339Nano)
}

// Type implements pflag.Value.
func (m *moment) Type() string { return "time" }
