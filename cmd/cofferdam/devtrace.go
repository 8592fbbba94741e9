package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/guestlog"
)

// devTrace shows executions as they happen. What several do at once is not mixed: one
// is shown at a time, and what is not of it, not at all. It is safe for concurrent use.
type devTrace struct {
	mu    sync.Mutex
	out   io.Writer
	color bool
	// current is the execution that is shown, and early what others did that may be
	// the next to be shown: a run may begin before anybody knows its id.
	current string
	early   map[string][]string
}

// earlyMost is how many executions may begin before they are announced.
const earlyMost = 64

func newDevTrace(out io.Writer, color bool) *devTrace {
	return &devTrace{out: out, color: color, early: map[string][]string{}}
}

// Colors of a terminal: https://en.wikipedia.org/wiki/ANSI_escape_code#SGR.
const (
	plainText = ""
	bold      = "1"
	dim       = "2"
	red       = "31"
	green     = "32"
	yellow    = "33"
)

// paint colors a text, on a terminal.
func (t *devTrace) paint(color, text string) string {
	if !t.color || color == plainText || text == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// say prints a line.
func (t *devTrace) say(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintln(t.out, strings.TrimRight(fmt.Sprintf(format, args...), " "))
}

// begin shows an execution from now on, and what it has done so far.
func (t *devTrace) begin(id, title string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.out, "\n%s\n", t.paint(bold, title))
	for _, line := range t.early[id] {
		fmt.Fprintln(t.out, line)
	}
	clear(t.early)
	t.current = id
}

// end shows no more of the current execution.
func (t *devTrace) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.current = ""
}

// tell prints a line of an execution, now or when it is announced.
func (t *devTrace) tell(id, line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case id == t.current:
		fmt.Fprintln(t.out, line)
	case t.current == "" && (len(t.early) < earlyMost || t.early[id] != nil):
		t.early[id] = append(t.early[id], line)
	}
}

// step implements host.Watcher.
func (t *devTrace) step(c host.Caller, s hostfns.Step) {
	if text := t.stepText(s); text != "" {
		t.tell(c.Execution, text)
	}
}

// stepText is empty for what is shown once it is kept.
func (t *devTrace) stepText(s hostfns.Step) string {
	if s.Code == "" && (s.Func == "tag" || s.Func == "emit") {
		return ""
	}
	took, color := duration(s.Duration), plainText
	if s.Recorded {
		took, color = "recorded", dim
	}
	code := ""
	if s.Code != "" {
		code = "  " + t.paint(red, string(s.Code))
		if s.Code == "suspended" {
			code = "  waits"
		}
	}
	return t.paint(color, strings.TrimRight(fmt.Sprintf("  %9s  %-9s %s", took, s.Func, s.Summary), " ")) + code
}

// logLine implements host.Watcher.
func (t *devTrace) logLine(c host.Caller, l guestlog.Line) {
	t.tell(c.Execution, t.lineText(l))
}

func (t *devTrace) lineText(l guestlog.Line) string {
	color := map[string]string{"debug": dim, "warn": yellow, "error": red}[l.Level]
	text := l.Message
	if len(l.Fields) > 0 {
		text += "  " + string(l.Fields)
	}
	return "             " + t.paint(color, fmt.Sprintf("%-9s %s", l.Level, indented(text, "                       ")))
}

// attempt shows all that a run did.
func (t *devTrace) attempt(a execution.Attempt) {
	logs := a.Logs
	upTo := func(step int) {
		for len(logs) > 0 && logs[0].Step < step {
			t.say("%s", t.lineText(logs[0]))
			logs = logs[1:]
		}
	}
	for _, step := range a.Steps {
		upTo(step.Ordinal)
		if text := t.stepText(step); text != "" {
			t.say("%s", text)
		}
	}
	upTo(math.MaxInt)
}

// indented puts the lines of a text below one another.
func indented(text, indent string) string {
	return strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n"+indent)
}

// left shows what an execution has left behind.
func (t *devTrace) left(x execution.Execution, last execution.Attempt, records []event.Event) {
	const most = 160
	row := func(what, format string, args ...any) {
		t.say("             %-9s %s", what, fmt.Sprintf(format, args...))
	}
	for _, s := range last.State {
		switch s.Op {
		case "add":
			row("state", "%s += %s", s.Key, s.Value)
		case "delete":
			row("state", "%s deleted", s.Key)
		default:
			row("state", "%s = %s", s.Key, cut(string(s.Value), most))
		}
	}
	for _, r := range records {
		row("record", "%s %s %s", r.Name, r.DedupeKey, cut(string(r.Body), most))
	}
	for _, tag := range x.Tags {
		row("tag", "%s=%s", tag.Name, tag.Value)
	}
}

// done shows how an execution ended, and what it cost.
func (t *devTrace) done(x execution.Execution, attempts []execution.Attempt) {
	const most = 2000
	var last execution.Attempt
	if n := len(attempts); n > 0 {
		last = attempts[n-1]
	}
	if len(x.Output) > 0 && x.State == execution.Succeeded {
		t.say("  %s  %s", t.paint(bold, "output"), cut(string(x.Output), most))
	}
	problem := x.Error
	if problem == nil && x.State != execution.Succeeded {
		problem = last.Error
	}
	if problem != nil {
		t.fault(problem)
	}
	state, color := string(x.State), red
	switch x.State {
	case execution.Succeeded:
		color = green
	case execution.Waiting:
		state, color = "waits for "+strings.ReplaceAll(x.Reason, "_", " "), yellow
		if !x.Until.IsZero() {
			state += " until " + x.Until.Local().Format("15:04:05")
		}
	default:
	}
	cost := fmt.Sprintf("%s, %s fuel, %s memory", duration(last.Usage.Wall), fuelCount(last.Usage.Fuel), byteCount(last.Usage.MemoryBytes))
	if n := len(attempts); n > 1 {
		cost += fmt.Sprintf(", run %d times", n)
	}
	t.say("  %s  %s", t.paint(color, state), t.paint(dim, cost))
}

// fault shows an error with its stack, in lines of the author's sources where they
// are known.
func (t *devTrace) fault(f *fault.Error) {
	t.say("  %s   %s: %s", t.paint(red, "error"), f.Code, indented(f.Message, "          "))
	var details struct {
		Stack string `json:"stack"`
	}
	_ = json.Unmarshal(f.Details, &details) // Without a stack there is none to show.
	for line := range strings.Lines(strings.TrimSpace(details.Stack)) {
		t.say("          %s", strings.TrimSpace(line))
	}
	for _, p := range f.Problems {
		t.say("          at %s: %s", p.Where, p.Message)
	}
	// Whoever sees the line at fault needs no advice.
	if f.Hint != "" && details.Stack == "" {
		t.say("          %s", t.paint(dim, f.Hint))
	}
}
