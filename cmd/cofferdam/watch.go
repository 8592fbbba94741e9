package main

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/alert"
)

func (a *app) watchCommand() *cobra.Command {
	return group("watch", "Be told when endpoints or schedules are silent, or the queue is late, and get digests",
		a.watchSet(),
		listVerb(a, "watch", "List what is watched of a tenant's", "/watches", printWatches),
		a.removeVerb("delete", "deleted", "watch queue", "Have something watched no more", "/watches"))
}

func (a *app) watchSet() *cobra.Command {
	var within time.Duration
	c := a.tenantFlag(&cobra.Command{
		Use:   "set ENDPOINT|SCHEDULE|queue|digest",
		Short: "Have something watched",
		Long: "Have something watched: an endpoint or a schedule that is not to be silent, the queue, which is not to be late.\n" +
			"digest is none: it has a notice made of each hour or day in which something went wrong.",
		Example: "  cofferdam watch set end_01J9ZK7V5Q8W3E6R1T0Y2U4I8O --within 24h --tenant acme\n" +
			"  cofferdam watch set nightly --within 25h --tenant acme\n" +
			"  cofferdam watch set queue --within 10m --tenant acme\n" +
			"  cofferdam watch set digest --within 24h --tenant acme",
		Args: exactly("ENDPOINT|SCHEDULE|queue|digest"),
		RunE: func(c *cobra.Command, args []string) error {
			if within == 0 {
				return usagef("say for how long it may be silent or late, such as --within 24h")
			}
			var w alert.Watch
			body := map[string]any{"within_seconds": int64(within / time.Second)}
			if err := a.client().call(c.Context(), http.MethodPut, a.inTenant("/watches/%s", escape(args[0])), body, &w); err != nil {
				return err
			}
			return a.show(w, func(out io.Writer) { printWatches(out, w) })
		},
	})
	c.Flags().DurationVar(&within, "within", 0, "for how long it may be silent or late, 1m to 2160h; of a digest, 1h or 24h")
	return c
}

func printWatches(w io.Writer, all ...alert.Watch) {
	var rows [][]string
	for _, x := range all {
		row := []string{x.Object, (time.Duration(x.WithinS) * time.Second).String(), x.Since.Format(time.RFC3339), "well"}
		switch {
		case !x.ToldAt.IsZero() && x.Object == alert.Queue:
			row[3] = "late since " + x.ToldAt.Format(time.RFC3339)
		case !x.ToldAt.IsZero():
			row[3] = "silent since " + x.ToldAt.Format(time.RFC3339)
		case x.Object == alert.Digest:
			row[3] = "-"
		}
		rows = append(rows, row)
	}
	table(w, []string{"OBJECT", "WITHIN", "SINCE", "STATE"}, rows)
	if len(rows) == 0 {
		fmt.Fprintln(w, "nothing is watched")
	}
}
