package main

import (
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/execution"
)

func (a *app) deadLetterCommand() *cobra.Command {
	return group("dead-letter", "See what will not be retried",
		listVerb(a, "dead-letter", "List a tenant's dead executions, grouped by what went wrong", "/dead-letters", printDeadLetters))
}

func printDeadLetters(w io.Writer, all ...execution.DeadLetters) {
	var rows [][]string
	for _, d := range all {
		rows = append(rows, []string{strconv.Itoa(d.Count), d.Class, d.Code, d.Last.Local().Format(time.DateTime), d.Sample, d.Message})
	}
	table(w, []string{"COUNT", "CLASS", "CODE", "LAST", "SAMPLE", "MESSAGE"}, rows)
}
