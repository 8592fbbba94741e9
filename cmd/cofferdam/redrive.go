package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

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

// awaitRedrive shows a redrive until it goes on no more.
func (a *app) awaitRedrive(ctx context.Context, r redrive.Redrive) error {
	return awaitJob(ctx, a, awaited[redrive.Redrive]{
		noun: "redrive", group: "redrive", path: "/redrives",
		look: func(r redrive.Redrive) (string, job.State, string) { return r.ID, r.State, progress(r.Progress) },
		print: func(w io.Writer, r redrive.Redrive) {
			printRedrive(w, r)
			if r.Progress.Redriven > 0 {
				fmt.Fprintln(w, "they run now: cofferdam dead-letter list shows those that die again")
			}
		},
	}, r)
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
