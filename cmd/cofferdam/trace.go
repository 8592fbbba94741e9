package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/execution"
)

func printExecutions(w io.Writer, all []execution.Execution) {
	var rows [][]string
	for _, x := range all {
		rows = append(rows, []string{x.ID, string(x.State), string(x.Kind) + "/" + x.Name, x.CreatedAt.Local().Format(time.DateTime), strings.TrimSpace(outcome(x))})
	}
	table(w, []string{"ID", "STATE", "WHAT", "CREATED", "OUTCOME"}, rows)
	if len(rows) == 0 {
		fmt.Fprintln(w, "no executions yet")
	}
}

// outcome is what there is to say about an execution besides its state.
func outcome(x execution.Execution) string {
	switch {
	case x.Error != nil && x.State == execution.Waiting:
		return fmt.Sprintf("  again at %s after %s: %s", x.Until.Local().Format(time.TimeOnly), x.Error.Code, x.Error.Message)
	case x.Error != nil:
		return fmt.Sprintf("  %s: %s", x.Error.Code, x.Error.Message)
	case x.State == execution.Waiting:
		return "  " + x.Reason
	case x.State == execution.Succeeded:
		return "  in " + duration(x.FinishedAt.Sub(x.CreatedAt))
	default:
		return ""
	}
}

// printTrace prints all that is known of an execution, for people.
func printTrace(w io.Writer, t execution.Trace) {
	x := t.Execution
	fmt.Fprintf(w, "%s  %s  %s/%s%s\n", x.ID, strings.ToUpper(string(x.State)), x.Kind, x.Name, outcome(x))
	fmt.Fprintf(w, "  event    %s", t.Event.ID)
	if t.Event.DedupeKey != "" {
		fmt.Fprintf(w, "  delivery %s", t.Event.DedupeKey)
	}
	fmt.Fprintln(w)
	for _, a := range t.Attempts {
		printAttempt(w, a)
	}
	for _, tag := range x.Tags {
		fmt.Fprintf(w, "  tag      %s=%s\n", tag.Name, tag.Value)
	}
	for _, id := range t.Emitted {
		fmt.Fprintf(w, "  emitted  %s\n", id)
	}
	if len(x.Output) > 0 {
		fmt.Fprintf(w, "  output   %s\n", cut(string(x.Output), 200))
	}
	if x.Error != nil && x.Error.Hint != "" {
		fmt.Fprintf(w, "  hint     %s\n", x.Error.Hint)
	}
}

func printAttempt(w io.Writer, a execution.Attempt) {
	fmt.Fprintf(w, "  attempt %d  %s  %s, %s cpu, %s fuel, %s memory, %d host calls\n", a.Number, a.Outcome,
		duration(a.Usage.Wall), duration(a.Usage.CPU), fuelCount(a.Usage.Fuel), byteCount(a.Usage.MemoryBytes), a.Usage.HostCalls)
	printCrossings(w, a)
	for _, s := range a.State {
		fmt.Fprintf(w, "    state  %s %s %s\n", s.Op, s.Key, cut(string(s.Value), 100))
	}
	if a.Error != nil {
		fmt.Fprintf(w, "    error  %s: %s\n", a.Error.Code, a.Error.Message)
	}
}

// printCrossings prints host calls and log lines in the order in which the guest
// made them.
func printCrossings(w io.Writer, a execution.Attempt) {
	logs := a.Logs
	upTo := func(step int) {
		for len(logs) > 0 && logs[0].Step < step {
			fmt.Fprintf(w, "    %2d             log        %s: %s %s\n", logs[0].Step, logs[0].Level, logs[0].Message, logs[0].Fields)
			logs = logs[1:]
		}
	}
	for _, s := range a.Steps {
		upTo(s.Ordinal)
		code := ""
		if s.Code != "" {
			code = "  " + string(s.Code)
		}
		fmt.Fprintf(w, "    %2d  %9s  %-10s %s%s\n", s.Ordinal, duration(s.Duration), s.Func, s.Summary, code)
	}
	upTo(math.MaxInt)
	if a.LostLines > 0 {
		fmt.Fprintf(w, "        %d lines of log were lost: they were not taken within a second of the guest's end\n", a.LostLines)
	}
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "..."
}
