package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/job"
	"github.com/cofferdam-run/cofferdam/host/redrive"
)

func (a *app) redriveCommand() *cobra.Command {
	return group("redrive", "See and steer the redrives of many dead executions; 'cofferdam dead-letter redrive' begins one",
		listVerb(a, "redrive", "List a tenant's redrives, the newest first", "/redrives", printRedrives),
		a.redriveVerb("show", "Show how far a redrive has come"),
		a.redriveVerb("pause", "Have a redrive stop for now"),
		a.redriveVerb("resume", "Have a redrive go on that was paused, or has failed"),
		a.redriveVerb("cancel", "End a redrive; what it has redriven goes on"))
}

func (a *app) redriveVerb(verb, short string) *cobra.Command {
	return a.jobVerb(jobKind{group: "redrive", path: "/redrives", show: a.redrive}, verb, short)
}

// redrive makes a request whose answer is a redrive, and shows it.
func (a *app) redrive(c *cobra.Command, method, path string) error {
	var r redrive.Redrive
	if err := a.client().call(c.Context(), method, path, nil, &r); err != nil {
		return err
	}
	return a.show(r, func(w io.Writer) { printRedrive(w, r) })
}

// jobKind is a kind of jobs of a tenant's: the group of its verbs, where they are in the
// API, and what makes a request there and shows the job that is the answer.
type jobKind struct {
	group, path string
	show        func(c *cobra.Command, method, path string) error
}

// jobVerb shows or steers a job.
func (a *app) jobVerb(k jobKind, verb, short string) *cobra.Command {
	name := strings.ToUpper(k.group[strings.LastIndex(k.group, " ")+1:])
	return a.tenantFlag(&cobra.Command{
		Use:     verb + " " + name,
		Short:   short,
		Example: "  cofferdam " + k.group + " " + verb + " job_01J9ZK7V5Q8W3E6R1T0Y2U4I8O --tenant acme",
		Args:    exactly(name),
		RunE: func(c *cobra.Command, args []string) error {
			method, path := http.MethodPost, a.inTenant(k.path+"/%s/%s", escape(args[0]), verb)
			if verb == "show" {
				method, path = http.MethodGet, strings.TrimSuffix(path, "/show")
			}
			return k.show(c, method, path)
		},
	})
}

// awaitRedrive shows a redrive each second until it goes on no more. It fails if the
// redrive has, or was stopped.
func (a *app) awaitRedrive(ctx context.Context, r redrive.Redrive) error {
	for !r.State.Ended() && r.State != job.Paused {
		if a.Output != "json" {
			fmt.Fprintf(a.err, "%s  %s\n", r.State, progress(r.Progress))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the redrive %s, which goes on: %w", r.ID, ctx.Err())
		case <-time.After(time.Second):
		}
		path := a.inTenant("/redrives/%s", escape(r.ID))
		r = redrive.Redrive{}
		if err := a.client().call(ctx, http.MethodGet, path, nil, &r); err != nil {
			return err
		}
	}
	err := a.show(r, func(w io.Writer) {
		printRedrive(w, r)
		if r.Progress.Redriven > 0 {
			fmt.Fprintln(w, "they run now: cofferdam dead-letter list shows those that die again")
		}
	})
	if err != nil {
		return err
	}
	if r.State != job.Done {
		return fault.New(fault.Conflict, "redrive_"+string(r.State), "the redrive %s is %s", r.ID, r.State).
			WithHint("'cofferdam redrive resume %s' has it go on, unless it was cancelled", r.ID)
	}
	return nil
}

func progress(p redrive.Progress) string {
	return fmt.Sprintf("%d of %d redriven, %d skipped, %d refused", p.Redriven, p.Matched, p.Skipped, p.Refused)
}

func printRedrive(w io.Writer, r redrive.Redrive) {
	printRedrives(w, r)
	printRefusals(w, r.Progress.Refusals)
	if r.Error != nil {
		fmt.Fprintf(w, "  %s: %s\n", r.Error.Code, r.Error.Message)
	}
}

func printRedrives(w io.Writer, all ...redrive.Redrive) {
	var rows [][]string
	for _, r := range all {
		rows = append(rows, []string{
			r.ID, string(r.State), string(r.Spec.Mode), strconv.Itoa(r.Spec.Rate) + "/s",
			r.CreatedAt.Local().Format(time.DateTime), progress(r.Progress),
		})
	}
	table(w, []string{"ID", "STATE", "MODE", "RATE", "CREATED", "PROGRESS"}, rows)
	if len(rows) == 0 {
		fmt.Fprintln(w, "no redrives yet: cofferdam dead-letter redrive begins one")
	}
}
