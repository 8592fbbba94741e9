package main

import (
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/execution"
)

func (a *app) deadLetterCommand() *cobra.Command {
	return group("dead-letter", "See what will not be retried", a.tenantFlag(&cobra.Command{
		Use:     "list",
		Short:   "List a tenant's dead executions, grouped by what went wrong",
		Example: "  cofferdam dead-letter list --tenant acme",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			var p page[execution.DeadLetters]
			if err := a.client().call(c.Context(), http.MethodGet, a.inTenant("/dead-letters"), nil, &p); err != nil {
				return err
			}
			return a.show(p, func(w io.Writer) {
				var rows [][]string
				for _, d := range p.Items {
					rows = append(rows, []string{strconv.Itoa(d.Count), d.Class, d.Code, d.Last.Local().Format(time.DateTime), d.Sample, d.Message})
				}
				table(w, []string{"COUNT", "CLASS", "CODE", "LAST", "SAMPLE", "MESSAGE"}, rows)
			})
		},
	}))
}
