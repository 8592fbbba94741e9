package redeliver_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/redeliver"
)

func delivery(body string) event.Event {
	return event.Event{
		ID: "evt_1", Kind: event.Webhook, Name: "issues", Body: []byte(body), ReceivedAt: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC),
		Request: &event.Request{Method: "POST", Headers: map[string][]string{"X-GitHub-Event": {"push"}, "X-Many": {"a", "b"}}},
	}
}

func TestFiltersSelect(t *testing.T) {
	t.Parallel()
	const order = `{"id":9007199254740993,"total":12.5,"paid":true,"tags":["a","b"],"customer":{"name":"Zoë"},"none":null}`
	for name, tt := range map[string]struct {
		filter, body string
		want         bool
		reason       string
	}{
		"no filter":                       {"", order, true, ""},
		"blank":                           {" \n", order, true, ""},
		"a header, whatever its case":     {`headers["x-github-event"] == "push"`, order, true, ""},
		"several of a name":               {`headers["x-many"] == "a, b"`, order, true, ""},
		"a header that is asked for":      {`"x-none" in headers`, order, false, ""},
		"a header that is not there":      {`headers["x-none"] == "push"`, order, false, "no such key: x-none"},
		"a member":                        {`body.paid`, order, true, ""},
		"a member below":                  {`body.customer.name.startsWith("Zo")`, order, true, ""},
		"a large id is what it is":        {`body.id == 9007199254740993 && body.id != 9007199254740992`, order, true, ""},
		"an int against a double":         {`body.total > 12`, order, true, ""},
		"a list":                          {`body.tags.exists(t, t == "b")`, order, true, ""},
		"null":                            {`body.none == null`, order, true, ""},
		"a member that is not there":      {`body.nothing == 1`, order, false, "no such key: nothing"},
		"has":                             {`has(body.nothing)`, order, false, ""},
		"what is no bool":                 {`body.total`, order, false, "the filter gives a double"},
		"another type":                    {`body.paid > 3`, order, false, "no such overload"},
		"a body that is no JSON":          {`body == "plain text"`, "plain text", true, ""},
		"two documents are no JSON":       {`body == "1 2"`, "1 2", true, ""},
		"a body that is no text":          {`body == b"\xff\x00"`, "\xff\x00", true, ""},
		"no body":                         {`body == ""`, "", true, ""},
		"a number that no double has":     {`body == "1e999"`, "1e999", true, ""},
		"a member of what is no JSON":     {`body.a == 1`, "plain text", false, "no such key: a"},
		"the time":                        {`received_at < timestamp("2026-11-20T12:00:01Z")`, order, true, ""},
		"name and kind":                   {`name == "issues" && kind == "webhook"`, order, true, ""},
		"a body that is too large":        {`size(body) > 1`, strings.Repeat("x", 1<<20+1), false, "a filter looks at 1048576"},
		"one that no filter looks at":     {`name == "issues"`, strings.Repeat("x", 1<<20+1), true, ""},
		"what costs too much":             {`body.all(a, body.all(b, body.all(c, a + b + c >= 0)))`, "[" + strings.Repeat("1,", 500) + "1]", false, "cost limit exceeded"},
		"a text that costs too much":      {`body.matches("(a*)*(a*)*(a*)*b")`, strings.Repeat("a", 1<<20), false, "cost limit exceeded"},
		"the largest body is searched":    {`body.contains("b")`, strings.Repeat("a", 1<<20), false, ""},
		"a deep body does no harm":        {`body.size() == 1`, strings.Repeat("[", 5000) + strings.Repeat("]", 5000), true, ""},
		"one deeper than JSON may be":     {`body.startsWith("[[[")`, strings.Repeat("[", 20000), true, ""},
		"an event without a request":      {`headers.size() == 2`, order, true, ""},
		"true || error is true":           {`name == "issues" || body.nothing == 1`, order, true, ""},
		"arithmetic that overflows":       {`body.id * body.id > 1`, order, false, "overflow"},
		"a regular expression that fails": {`name.matches("(")`, order, false, "missing closing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, reason, err := redeliver.Selects(t.Context(), tt.filter, delivery(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.want || !strings.Contains(reason, tt.reason) || (reason == "") != (tt.reason == "") {
				t.Errorf("got %t because of %q, want %t because of %q", got, reason, tt.want, tt.reason)
			}
		})
	}
}

func TestFiltersThatAreWrong(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ filter, code, says string }{
		"a typing mistake":        {`headers["x"] = "push"`, "filter_invalid", "line 1, column 14"},
		"on another line":         {"name == \"a\" &&\n  nme == \"b\"", "filter_invalid", "line 2, column 3: undeclared reference to 'nme'"},
		"no bool":                 {`size(headers)`, "filter_invalid", "the filter gives a int, and has to give a bool"},
		"types that do not fit":   {`name == 3`, "filter_invalid", "no matching overload"},
		"half of one":             {`name ==`, "filter_invalid", "Syntax error"},
		"an unknown function":     {`sleep(10)`, "filter_invalid", "undeclared reference to 'sleep'"},
		"too long":                {strings.Repeat("a", 4097), "filter_too_long", "4097 characters, and may have 4096"},
		"too deep":                {strings.Repeat("(", 500) + "true" + strings.Repeat(")", 500), "filter_invalid", "recursion"},
		"SQL":                     {`name = 'a' and kind = 'b'`, "filter_invalid", "line 1"},
		"what is no text":         {"\xff\xfe", "filter_invalid", "line 1"},
		"a regex that cannot run": {`name.matches(3)`, "filter_invalid", "no matching overload"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := redeliver.Check(tt.filter)
			f, ok := errors.AsType[*fault.Error](err)
			if !ok || f.Code != tt.code || f.Where != "/filter" || !strings.Contains(f.Message, tt.says) {
				t.Errorf("got %v, want %s that says %q", err, tt.code, tt.says)
			}
		})
	}
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{
		`headers["x"] == "y"`, `body.a.b[0] > 1.5 || has(body.c)`, `body.all(x, x.matches("a+"))`, `received_at > timestamp("2026-01-01T00:00:00Z")`,
		"", "\x00", `((((`, `[1,2,3].map(x, x*x)`, `"a" in body ? true : kind == "webhook"`, `b"\xff" == body`, `{"a":1}.a == 1`,
	} {
		f.Add(s, `{"a":{"b":[1,2]},"c":null}`)
		f.Add(s, "\xff")
	}
	f.Fuzz(func(t *testing.T, filter, body string) {
		selected, reason, err := redeliver.Selects(t.Context(), filter, delivery(body))
		if err != nil {
			if f, ok := errors.AsType[*fault.Error](err); !ok || f.Class != fault.InvalidInput || f.Where != "/filter" {
				t.Fatalf("%q: got %v, want a fault of the filter", filter, err)
			}
			return
		}
		if selected && reason != "" {
			t.Fatalf("%q is selected, and not because of %q", filter, reason)
		}
	})
}
