package golden

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"

	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/fixture"
	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/trial"
	"github.com/cofferdam-run/cofferdam/hostfns/guestlog"
	"github.com/cofferdam-run/cofferdam/hostfns/replay"
)

// actual is what a run came to, as a test would expect it, with nothing left out.
func actual(r *trial.Report, stored map[string]json.RawMessage) Expect {
	e := Expect{Logs: logsOf(r.Lines)}
	if f := r.Failure; f != nil {
		e.Error = &Error{Code: string(f.Code), Message: f.Message, RetryAfterMS: f.RetryAfter.Milliseconds()}
		return e
	}
	if w := r.Waits; w != nil {
		e.Waits = &Waits{Until: w.Until.UTC(), Checkpoint: w.Checkpoint}
	}
	if len(r.Output) > 0 {
		e.Output = r.Output
	}
	if r.Left == nil {
		e.Logs = nil
		return e
	}
	e.Records, e.Tags, e.State = &r.Left.Records, map[string][]string{}, map[string]json.RawMessage{}
	if *e.Records == nil {
		e.Records = &[]replay.Record{}
	}
	for _, tag := range r.Left.Tags {
		e.Tags[tag.Name] = append(e.Tags[tag.Name], tag.Value)
	}
	after := trial.Apply(stored, r.Left.State)
	for _, w := range r.Left.State {
		e.State[w.Key] = json.RawMessage(`null`)
		if value, there := after[w.Key]; there {
			e.State[w.Key] = value
		}
	}
	return e
}

func logsOf(lines []guestlog.Line) *[]string {
	logs := make([]string, len(lines))
	for i, l := range lines {
		logs[i] = l.Level + " " + l.Message
		if len(l.Fields) > 0 {
			logs[i] += " " + string(l.Fields)
		}
	}
	return &logs
}

// compare lists what of got is not as it is wanted.
func compare(want, got Expect) []Problem {
	var problems []Problem
	differ := func(what string, wanted, gotten any) {
		problems = append(problems, Problem{What: what, Want: shown(wanted), Got: shown(gotten)})
	}
	if p, over := compareEnd(want, got); over || p != nil {
		return append(problems, p...)
	}
	if want.Output != nil && !sameJSON(want.Output, got.Output) {
		differ("the output differs", want.Output, got.Output)
	}
	if want.Records != nil && !sameValue(*want.Records, *got.Records) {
		differ("the records differ", *want.Records, *got.Records)
	}
	if want.Tags != nil && !sameValue(want.Tags, got.Tags) {
		differ("the tags differ", want.Tags, got.Tags)
	}
	if want.State != nil && !sameValue(want.State, got.State) {
		differ("the state differs", want.State, got.State)
	}
	if want.Logs != nil && !slices.Equal(*want.Logs, *got.Logs) {
		differ("the logs differ", *want.Logs, *got.Logs)
	}
	return problems
}

// compareEnd compares how a run ended. It is over where nothing else can be compared.
func compareEnd(want, got Expect) (problems []Problem, over bool) {
	switch {
	case want.Error == nil && got.Error != nil:
		return []Problem{{What: fmt.Sprintf("it failed: %s: %s", got.Error.Code, got.Error.Message)}}, true
	case want.Error != nil && got.Error == nil:
		return []Problem{{What: "it succeeded", Want: shown(want.Error), Got: shown(got.Output)}}, true
	case want.Error != nil:
		masked := *got.Error
		if want.Error.Code == "" {
			masked.Code = ""
		}
		if want.Error.Message == "" {
			masked.Message = ""
		}
		if want.Error.RetryAfterMS == 0 {
			masked.RetryAfterMS = 0
		}
		if masked != *want.Error {
			return []Problem{{What: "the error differs", Want: shown(want.Error), Got: shown(masked)}}, true
		}
		return nil, true
	case want.Waits == nil && got.Waits != nil:
		return []Problem{{What: "it ended to wait, with a checkpoint", Got: shown(got.Waits)}}, true
	case want.Waits != nil && (got.Waits == nil || !want.Waits.matches(got.Waits)):
		return []Problem{{What: "the wait differs", Want: shown(want.Waits), Got: shown(got.Waits)}}, false
	default:
		return nil, false
	}
}

func (w *Waits) matches(got *Waits) bool {
	return (w.Until.IsZero() || w.Until.Equal(got.Until)) && (w.Checkpoint == nil || sameJSON(w.Checkpoint, got.Checkpoint))
}

func shown(v any) string {
	if b, ok := v.(fixture.Body); ok {
		return prettyBody(b)
	}
	return pretty(v)
}

// sameValue compares two values by their JSON.
func sameValue(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && sameJSON(x, y)
}

// sameJSON compares two documents by what they mean: neither the order of members nor
// how a number is written counts. What is no JSON is compared as bytes.
func sameJSON(a, b []byte) bool {
	x, okX := decoded(a)
	y, okY := decoded(b)
	if !okX || !okY {
		return bytes.Equal(a, b)
	}
	return same(x, y)
}

func decoded(doc []byte) (v any, ok bool) {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	if d.Decode(&v) != nil || len(bytes.TrimSpace(doc[d.InputOffset():])) > 0 {
		return nil, false
	}
	return v, true
}

func same(a, b any) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for name, value := range x {
			if other, there := y[name]; !there || !same(value, other) {
				return false
			}
		}
		return true
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, same)
	case json.Number:
		y, ok := b.(json.Number)
		return ok && (x == y || sameNumber(x.String(), y.String()))
	default:
		return a == b
	}
}

// sameNumber compares numbers of a length that costs nothing to compare.
func sameNumber(a, b string) bool {
	const most = 64
	if len(a) > most || len(b) > most {
		return false
	}
	x, _, errX := big.ParseFloat(a, 10, 256, big.ToNearestEven)
	y, _, errY := big.ParseFloat(b, 10, 256, big.ToNearestEven)
	return errX == nil && errY == nil && x.Cmp(y) == 0
}
