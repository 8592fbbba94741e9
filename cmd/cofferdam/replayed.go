package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/replay"
)

// printReplayed prints a run as its trace, and how it compares.
func printReplayed(w io.Writer, of *replayed) {
	report, recording := of.Report, &of.recording
	ended := string(report.Outcome)
	if report.Divergence != nil && report.Divergence.Actual != nil {
		ended = "diverged"
	}
	fmt.Fprintf(w, "%s  %s  %s/%s  %s\n", of.File, strings.ToUpper(ended), recording.Kind, recording.Name, of.Plugin)
	if of.Execution != "" {
		fmt.Fprintf(w, "  execution %s, recorded %s\n", of.Execution, recording.RecordedAt.Local().Format(time.DateTime))
	}
	for _, what := range recording.Missing {
		fmt.Fprintf(w, "  missing  %s\n", what)
	}
	if of.Other {
		fmt.Fprintf(w, "  module   %s\n  instead of %s\n", report.Module, recording.World.Module)
	}
	fmt.Fprintf(w, "  replayed %s, %s fuel, %s memory, %d host calls, %d of %d recorded answers\n", duration(report.Usage.Wall),
		fuelCount(report.Usage.Fuel), byteCount(report.Usage.MemoryBytes), report.Usage.HostCalls, report.Asked, of.Recorded.Entries)
	steps := slices.Clone(report.Steps)
	for i := range steps {
		steps[i].Recorded = false // All are; how long they took when they were is what there is to see.
	}
	printCrossings(w, execution.Attempt{Steps: steps, Logs: report.Logs, LostLines: report.LostLines})
	printLeft(w, report.Left)
	if len(report.Output) > 0 {
		fmt.Fprintf(w, "  output   %s\n", cut(string(replay.Kept(report.Output)), 200))
	}
	if report.Error != nil {
		fmt.Fprintf(w, "  error    %s: %s\n", report.Error.Code, report.Error.Message)
	}
	if report.Failure != nil && report.Failure.Stack != "" {
		fmt.Fprintf(w, "  stack    %s\n", strings.ReplaceAll(strings.TrimSpace(report.Failure.Stack), "\n", "\n           "))
	}
	if report.Lacks != nil {
		fmt.Fprintf(w, "  ended    at call %d, %s: it asks for a part of a body that was streamed, and no recording has those\n", report.Lacks.Ordinal, report.Lacks)
	}
	if report.Open != nil {
		fmt.Fprintf(w, "  ended    at call %d, %s: it has no answer yet\n", report.Open.Ordinal, report.Open)
	}
	printDifferences(w, of)
}

func printLeft(w io.Writer, left *replay.Left) {
	for _, s := range left.State {
		op, value := "set", string(s.Value)
		switch {
		case s.Delete:
			op = "delete"
		case s.Value == nil:
			op, value = "add", fmt.Sprint(s.Delta)
		}
		fmt.Fprintf(w, "    state  %s %s %s\n", op, s.Key, cut(value, 100))
	}
	for _, record := range left.Records {
		fmt.Fprintf(w, "  emitted  %s %s %s\n", record.Name, record.Key, cut(string(record.Data), 100))
	}
	for _, tag := range left.Tags {
		fmt.Fprintf(w, "  tag      %s=%s\n", tag.Name, tag.Value)
	}
}

// printDifferences ends what is shown of a recording with a line that says how it
// compares.
func printDifferences(w io.Writer, of *replayed) {
	report := of.Report
	if d := report.Divergence; d != nil {
		printDivergence(w, d, lastOrdinal(report.Steps, d))
	}
	for _, d := range report.Differences {
		if d.Verdict != replay.CallsDiffer {
			fmt.Fprintf(w, "  %s\n    recorded %s\n    now      %s\n", strings.ReplaceAll(string(d.Verdict), "_", " "), d.Recorded, d.Now)
		}
	}
	switch {
	case report.Lacks != nil:
		fmt.Fprintln(w, "cannot tell: nothing differs up to a body that was streamed, which no recording has")
	case beyond(of):
		fmt.Fprintln(w, "differs: the recorded module failed, and this one goes on to what nobody has answered yet")
	case !report.Same() && of.Other && of.Recorded.Outcome == replay.Failed && report.Outcome == replay.Succeeded:
		fmt.Fprintln(w, "differs: the recorded module failed, and this one does not")
	case !report.Same() && of.Other:
		fmt.Fprintln(w, "differs: the module does not do what the recorded one did")
	case !report.Same():
		fmt.Fprintln(w, "differs: this is the recorded module, so that it is a bug of cofferdam's, unless it calls a function of an embedder's that computes")
	case of.Recorded.Outcome == replay.Interrupted:
		fmt.Fprintln(w, "same: calls are those recorded, up to where the run was interrupted")
	case report.FuelCompared:
		fmt.Fprintln(w, "same: output and fuel are those recorded")
	case of.Other:
		fmt.Fprintf(w, "same: output is that recorded; fuel was %s, and is %s with this module\n", fuelCount(of.Recorded.Fuel), fuelCount(report.Usage.Fuel))
	default:
		fmt.Fprintln(w, "same: output is that recorded; fuel cannot be compared, for it was counted by another version of cofferdam")
	}
}

// beyond says that other code comes past where the recorded one failed.
func beyond(of *replayed) bool {
	d := of.Report.Divergence
	return of.Other && of.Recorded.Outcome == replay.Failed && d != nil && d.Expected == nil
}

// lastOrdinal is the number of the divergence in the trace: that of the call which
// the run ended with. A call that was not made has its number among the answers.
func lastOrdinal(steps []hostfns.Step, d *replay.Divergence) int {
	if d.Actual == nil || len(steps) == 0 {
		return d.Expected.Ordinal
	}
	return steps[len(steps)-1].Ordinal
}

// printDivergence shows two calls, and of two requests to one function where they
// begin to differ.
func printDivergence(w io.Writer, d *replay.Divergence, number int) {
	switch {
	case d.Expected == nil:
		fmt.Fprintf(w, "  call %d was not recorded: nothing was sent\n    now      %s\n", number, d.Actual)
		printRequest(w, d.Actual, 0)
	case d.Actual == nil:
		fmt.Fprintf(w, "  recorded answer %d was not asked for\n    recorded %s\n", number, d.Expected)
		printRequest(w, d.Expected, 0)
	default:
		fmt.Fprintf(w, "  call %d differs: nothing was sent\n", number)
		at := 0
		if d.Expected.Func == d.Actual.Func {
			at = firstDifference(d.Expected.Request, d.Actual.Request)
		}
		fmt.Fprintf(w, "    recorded %s\n", d.Expected)
		printRequest(w, d.Expected, at)
		fmt.Fprintf(w, "    now      %s\n", d.Actual)
		printRequest(w, d.Actual, at)
	}
}

// printRequest shows a request from a little before a byte on.
func printRequest(w io.Writer, c *replay.Call, at int) {
	const before, shown = 60, 300
	if c.Request == nil || c.Summary == "" { // Without a summary the request is shown already.
		return
	}
	from := max(0, at-before)
	text := strings.ToValidUTF8(cut(string(c.Request[min(from, len(c.Request)):]), shown), "\uFFFD")
	if from > 0 {
		text = "..." + text
	}
	fmt.Fprintf(w, "             %s\n", text)
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}
