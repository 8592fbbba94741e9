package tck

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
)

// compare gives what of a run is not as its vector says, for people.
func compare(r run) []string {
	v := r.host.vector
	differences := compareCalls(v.Calls, r.host.seen)
	switch {
	case v.Error != nil:
		differences = append(differences, compareError(*v.Error, r)...)
	case v.Until != nil:
		if r.wait == nil || !r.wait.Until.Equal(*v.Until) {
			differences = append(differences, fmt.Sprintf("got %s, want it to wait until %s", ended(r), v.Until))
		}
	case r.err != nil:
		differences = append(differences, fmt.Sprintf("got %s, want the output %s", ended(r), clip(v.Output)))
	default:
		differences = append(differences, differ("output", v.Output, r.result.Output)...)
	}
	if v.Logs != nil {
		differences = append(differences, compareLogs(r)...)
	}
	if v.Left != nil && r.err == nil {
		differences = append(differences, compareLeft(r)...)
	}
	return differences
}

// ended says how a run came to its end.
func ended(r run) string {
	switch {
	case r.failure != nil:
		return fmt.Sprintf("the error %s, %q", r.failure.Code, clip([]byte(r.failure.Message)))
	case r.wait != nil:
		return fmt.Sprintf("a wait until %s", r.wait.Until)
	case r.err != nil:
		return "an end by the host: " + r.err.Error()
	default:
		return "the output " + clip(r.result.Output)
	}
}

// compareCalls holds what was asked, and what was answered, against the vector, up to
// the first call that differs: what follows it follows from it.
func compareCalls(want, got []call) []string {
	for i := range max(len(want), len(got)) {
		where := fmt.Sprintf("host call %d", i+1)
		switch {
		case i >= len(got):
			return []string{fmt.Sprintf("%s: got none, want %s %s", where, want[i].Func, clip(want[i].Request))}
		case i >= len(want):
			return []string{fmt.Sprintf("%s: got %s %s, want none", where, got[i].Func, clip(got[i].Request))}
		case want[i].Func != got[i].Func:
			return []string{fmt.Sprintf("%s: got %s %s, want %s %s", where, got[i].Func, clip(got[i].Request), want[i].Func, clip(want[i].Request))}
		}
		differences := append(differ(where+", "+want[i].Func, request(want[i]), request(got[i])),
			differ(where+", the answer of "+want[i].Func, answer(want[i]), answer(got[i]))...)
		if len(differences) > 0 {
			return differences
		}
	}
	return nil
}

// request is a call's request in the form in which two mean the same.
func request(c call) json.RawMessage {
	v, err := decode(c.Request)
	object, ok := v.(map[string]any)
	if err != nil || !ok {
		return c.Request
	}
	switch c.Func {
	case "http":
		evenHTTP(object)
	case "sleep":
		if text, ok := object["until"].(string); ok {
			if until, err := time.Parse(time.RFC3339, text); err == nil {
				object["until"] = until.UTC()
			}
		}
	}
	raw, err := json.Marshal(object)
	if err != nil {
		return c.Request
	}
	return raw
}

// evenHTTP writes names of headers in lower case, and a body as what it means.
func evenHTTP(object map[string]any) {
	lowered := map[string]any{}
	headers, _ := object["headers"].(map[string]any)
	for name, values := range headers {
		lowered[strings.ToLower(name)] = values
	}
	object["headers"] = lowered
	if text, ok := object["body"].(string); ok {
		if body, err := decode(json.RawMessage(text)); err == nil {
			object["body"] = body
		}
	}
}

// answer leaves out of an error what the host does not pass on. A run that waits has
// had none.
func answer(c call) json.RawMessage {
	if len(c.Answer) == 0 || string(c.Answer) == "null" {
		return json.RawMessage("null")
	}
	var a struct {
		Result json.RawMessage `json:"result,omitempty"`
		Error  *struct {
			Code string `json:"code"`
		} `json:"error,omitempty"`
	}
	if json.Unmarshal(c.Answer, &a) != nil {
		return c.Answer
	}
	raw, err := json.Marshal(a)
	if err != nil {
		return c.Answer
	}
	return raw
}

func compareError(want failure, r run) []string {
	f := r.failure
	if f == nil || string(f.Code) != want.Code {
		return []string{fmt.Sprintf("got %s, want the error %s", ended(r), want.Code)}
	}
	var differences []string
	for _, part := range want.Says {
		if !strings.Contains(f.Message, part) {
			differences = append(differences, fmt.Sprintf("the error's message is %q, and lacks %q", f.Message, part))
		}
	}
	if f.Message == "" {
		differences = append(differences, "the error has no message")
	}
	if got := f.RetryAfter.Milliseconds(); got != want.RetryAfterMS {
		differences = append(differences, fmt.Sprintf("retry_after_ms: got %d, want %d", got, want.RetryAfterMS))
	}
	var details map[string]json.RawMessage
	if f.Details != nil && json.Unmarshal(f.Details, &details) != nil {
		details = nil // They may be anything; what is wanted of them is not there.
	}
	for name, value := range want.Details {
		differences = append(differences, differ("details."+name, value, details[name])...)
	}
	return differences
}

func compareLogs(r run) []string {
	want := make([]any, 0, len(r.host.vector.Logs))
	for _, l := range r.host.vector.Logs {
		want = append(want, l)
	}
	got := make([]any, 0, len(want))
	for _, l := range r.host.lines.Lines() {
		got = append(got, line{Level: l.Level, Message: l.Message, Fields: l.Fields})
	}
	return differ("logs", encode(want), encode(got))
}

func compareLeft(r run) []string {
	state, err := r.host.committed()
	if err != nil {
		return []string{err.Error()}
	}
	want := *r.host.vector.Left
	if want.State == nil {
		want.State = r.host.vector.State
	}
	var records, tags []json.RawMessage
	for _, one := range r.host.kept.Records() {
		records = append(records, encode(one))
	}
	for _, one := range r.host.kept.Tags() {
		tags = append(tags, encode(one))
	}
	return slices.Concat(
		differ("records", encode(want.Records), encode(records)),
		differ("tags", encode(want.Tags), encode(tags)),
		differ("state", encode(want.State), encode(state)),
	)
}

// encode gives an empty list for none, and an empty object.
func encode(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	switch {
	case err != nil:
		return nil
	case string(raw) == "null":
		return json.RawMessage("[]")
	case string(raw) == "{}":
		return json.RawMessage("[]")
	default:
		return raw
	}
}

// differ compares what two documents mean.
func differ(what string, want, got json.RawMessage) []string {
	w, err := meaning(want)
	if err != nil {
		return []string{fmt.Sprintf("%s: the vector's is not JSON: %v", what, err)}
	}
	g, err := meaning(got)
	if err != nil {
		return []string{fmt.Sprintf("%s: got %s, which is not JSON: %v", what, clip(got), err)}
	}
	if reflect.DeepEqual(w, g) {
		return nil
	}
	// What cmp takes doubles with each level.
	if max(depth(w), depth(g)) > 12 {
		return []string{fmt.Sprintf("%s differs: got %s, want %s", what, clip(got), clip(want))}
	}
	return []string{fmt.Sprintf("%s differs (-want +got):\n%s", what, clip([]byte(cmp.Diff(w, g))))}
}

// depth is how many levels a document has.
func depth(v any) int {
	deepest := 0
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			deepest = max(deepest, depth(item))
		}
	case map[string]any:
		for _, member := range v {
			deepest = max(deepest, depth(member))
		}
	}
	return deepest + 1
}

// meaning is a document, in which 1 and 1.0 are one number and large ones are exact.
func meaning(raw json.RawMessage) (any, error) {
	v, err := decode(raw)
	if err != nil {
		return nil, err
	}
	return plain(v), nil
}

func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		if f, err := v.Float64(); err == nil && strings.ContainsAny(v.String(), ".eE") {
			return json.Number(strconv.FormatFloat(f, 'f', -1, 64))
		}
		return v
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case map[string]any:
		for key, member := range v {
			v[key] = plain(member)
		}
	}
	return v
}

// clip keeps a megabyte out of a report.
func clip(text []byte) string {
	const most = 2000
	if len(text) <= most {
		return string(text)
	}
	return strings.ToValidUTF8(string(text[:most]), "") + fmt.Sprintf("... (%d bytes)", len(text))
}
