package main

import (
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
)

// execution shows one run of the customer's: each thing that the plugin asked for, and
// what came of it. Another customer's is not found.
func (d *desk) execution(w http.ResponseWriter, r *http.Request, who *customer) {
	trace, err := d.h.Executions.Trace(r.Context(), who.Tenant, r.PathValue("id"))
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	d.show(w, r, http.StatusOK, "execution.html", map[string]any{"Trace": trace, "Run": ranOf(trace.Execution), "Input": string(trace.Event.Body)})
}

// ran is an execution in words.
type ran struct {
	ID, What, State string
	// Tone is good, bad, waiting or going: what a glance is to tell.
	Tone      string
	Error     string
	Hint      string
	CreatedAt time.Time
	Took      time.Duration
}

// ranOf puts an execution into words. Its error has some of its own, with a hint: they
// are for users to read.
func ranOf(x execution.Execution) ran {
	reconnect := false
	v := ran{ID: x.ID, What: whatOf(x), CreatedAt: x.CreatedAt}
	switch x.State {
	case execution.Succeeded:
		v.State, v.Tone = "Succeeded", "good"
	case execution.Dead:
		v.State, v.Tone = "Failed", "bad"
	case execution.Cancelled:
		v.State, v.Tone = "Cancelled", "bad"
	case execution.Waiting:
		v.State, v.Tone = "Waiting", "waiting"
		if x.Reason == execution.ReasonReconnect {
			v.State, reconnect = "Waiting for a reconnect", true
		}
	default:
		v.State, v.Tone = "Running", "going"
	}
	if !x.FinishedAt.IsZero() {
		v.Took = x.FinishedAt.Sub(x.StartedAt).Round(time.Millisecond)
	}
	if x.Error != nil && x.State != execution.Succeeded {
		v.Error, v.Hint = sentence(x.Error.Message), x.Error.Hint
	}
	if reconnect { // What there is to do about it is to be done on our page.
		v.Hint = "It goes on by itself once the account is connected again."
	}
	return v
}

// sentence begins with a capital and ends with a full stop, as messages of Cofferdam do
// not, and does not name the function that a plugin has called.
func sentence(message string) string {
	message = strings.TrimPrefix(message, "http: ")
	if message == "" {
		return ""
	}
	_, first := utf8.DecodeRuneInString(message)
	return strings.ToUpper(message[:first]) + strings.TrimSuffix(message[first:], ".") + "."
}

func whatOf(x execution.Execution) string {
	if x.Kind == event.Test {
		return "Test of the connection"
	}
	for _, tag := range x.Tags {
		if tag.Name == "ticket" {
			return "Ticket " + tag.Value
		}
	}
	return "A ticket"
}

// words are the functions that pages put times into words with.
func words() template.FuncMap {
	return template.FuncMap{
		"clock": func(t time.Time) template.HTML {
			return template.HTML(fmt.Sprintf(`<time datetime="%s">%s</time>`, t.UTC().Format(time.RFC3339), t.Local().Format("15:04:05"))) //nolint:gosec // Digits.
		},
		"brief":    func(d time.Duration) string { return d.Round(100 * time.Microsecond).String() },
		"sentence": sentence,
	}
}
