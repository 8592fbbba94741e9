package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/telemetry"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/guestlog"
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
	fmt.Fprintf(w, "\n  trace    %s\n", telemetry.TraceID(x.ID))
	if r := t.Redelivery; r != nil {
		fmt.Fprintf(w, "  redelivered by %s, after %s\n", r.Job, r.Follows)
	}
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
	again := ""
	if n := recorded(a.Steps); n > 0 {
		again = fmt.Sprintf(", %d of them answered as recorded", n)
	}
	fmt.Fprintf(w, "  attempt %d  %s  %s, %s cpu, %s fuel, %s memory, %d host calls%s\n", a.Number, a.Outcome,
		duration(a.Usage.Wall), duration(a.Usage.CPU), fuelCount(a.Usage.Fuel), byteCount(a.Usage.MemoryBytes), a.Usage.HostCalls, again)
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
			printLine(w, logs[0])
			logs = logs[1:]
		}
	}
	for _, s := range a.Steps {
		upTo(s.Ordinal)
		code := ""
		if s.Code != "" {
			code = "  " + string(s.Code)
		}
		took := duration(s.Duration)
		if s.Recorded { // Nothing was asked: how long it took says nothing.
			took = "recorded"
		}
		fmt.Fprintf(w, "    %2d  %9s  %-10s %s%s\n", s.Ordinal, took, s.Func, s.Summary, code)
	}
	upTo(math.MaxInt)
	if a.LostLines > 0 {
		fmt.Fprintf(w, "        %d lines of log were lost: they were not taken within a second of the guest's end\n", a.LostLines)
	}
}

// recorded counts the answers of an earlier run.
func recorded(steps []hostfns.Step) (n int) {
	for _, s := range steps {
		if s.Recorded {
			n++
		}
	}
	return n
}

// printLine prints a line of log. What has lines of its own, such as a stack, comes
// below it.
func printLine(w io.Writer, l guestlog.Line) {
	fields, blocks := string(l.Fields), map[string]string{}
	all := map[string]json.RawMessage{}
	if strings.Contains(fields, `\n`) && json.Unmarshal(l.Fields, &all) == nil {
		for name, value := range all {
			var text string
			if json.Unmarshal(value, &text) == nil && strings.Contains(text, "\n") {
				blocks[name] = strings.TrimSpace(text)
				delete(all, name)
			}
		}
		rest, _ := json.Marshal(all) // It was decoded.
		fields = string(rest)
	}
	fmt.Fprintf(w, "    %2d             log        %s: %s %s\n", l.Step, l.Level, l.Message, fields)
	for _, name := range slices.Sorted(maps.Keys(blocks)) {
		const indent = "\n                     "
		fmt.Fprintf(w, "%s%s%s%s\n", indent[1:], name, indent+"  ", strings.ReplaceAll(blocks[name], "\n", indent+"  "))
	}
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "..."
}
