package guestlog_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/guestlog"
	"github.com/cofferdam-run/cofferdam/runtime"
)

func now() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func say(t *testing.T, l *guestlog.Log, request string) error {
	t.Helper()
	_, err := l.Funcs()[0].Answer(t.Context(), json.RawMessage(request))
	return err
}

func TestLogKeepsLines(t *testing.T) {
	t.Parallel()
	var tail []guestlog.Line
	l := guestlog.New(guestlog.Config{
		Secrets: hostfns.NewRedactor("hunter2"),
		Sink:    func(line guestlog.Line) { tail = append(tail, line) },
		Now:     now,
	})
	gate := hostfns.NewGate(hostfns.GateConfig{Funcs: l.Funcs(), Now: now})
	for _, request := range []string{
		`{"level":"info","message":"hello"}`,
		`{"level":"warn","message":"a\u0000b","fields":{ "n": 1 }}`,
		`{"level":"error","message":"pw=hunter2","fields":{"pw":"hunter2"}}`,
		`{"level":"debug","message":"","fields":null}`,
	} {
		if _, err := gate.Call(t.Context(), runtime.Crossing{Func: "log", Request: []byte(request)}); err != nil {
			t.Fatal(err)
		}
	}
	want := []guestlog.Line{
		{At: now(), Level: "info", Message: "hello", Step: 1},
		{At: now(), Level: "warn", Message: "a\uFFFDb", Fields: json.RawMessage(`{"n":1}`), Step: 2},
		{At: now(), Level: "error", Message: "pw=[redacted]", Fields: json.RawMessage(`{"pw":"[redacted]"}`), Step: 3},
		{At: now(), Level: "debug", Step: 4},
	}
	if diff := cmp.Diff(want, l.Lines()); diff != "" {
		t.Errorf("Lines (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, tail); diff != "" {
		t.Errorf("the sink's (-want +got):\n%s", diff)
	}
	if steps := gate.Steps(); len(steps) != 0 {
		t.Errorf("got %d steps, want none: lines are kept here", len(steps))
	}
}

func TestLogRefusesWhatIsNotALine(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		`{"level":"trace","message":"m"}`:            `"level" is "trace": it must be debug, info, warn or error`,
		`{"message":"m"}`:                            `"level" is ""`,
		`{"level":"info","message":"m","fields":[]}`: `"fields" must be a JSON object`,
		`{"level":"info","msg":"m"}`:                 `unknown field "msg"`,
	}
	for request, want := range tests {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			l := guestlog.New(guestlog.Config{Now: now})
			err := say(t, l, request)
			told, ok := errors.AsType[*hostfns.Error](err)
			if !ok || told.Code != hostfns.CodeInvalidRequest || !strings.Contains(told.Message, want) {
				t.Errorf("got %v, want invalid_request with %s", err, want)
			}
			if n := len(l.Lines()); n != 0 {
				t.Errorf("it kept %d lines", n)
			}
		})
	}
}

func TestLogCutsLongLines(t *testing.T) {
	t.Parallel()
	l := guestlog.New(guestlog.Config{LineBytes: 9, Now: now})
	for _, request := range []string{
		`{"level":"info","message":"12345678ä"}`,
		`{"level":"info","message":"1234","fields":{"a":1}}`,
	} {
		if err := say(t, l, request); err != nil {
			t.Fatal(err)
		}
	}
	want := []guestlog.Line{
		{At: now(), Level: "info", Message: "12345678... (cut: 10 bytes, and 9 is the limit)"},
		{At: now(), Level: "info", Message: "1234 (7 bytes of fields left out: 9 is the limit of a line)"},
	}
	if diff := cmp.Diff(want, l.Lines()); diff != "" {
		t.Errorf("Lines (-want +got):\n%s", diff)
	}
	if !utf8.ValidString(l.Lines()[0].Message) {
		t.Error("a rune was cut")
	}
}

func TestLogSaysWhenItIsFull(t *testing.T) {
	t.Parallel()
	told := 0
	l := guestlog.New(guestlog.Config{Lines: 3, Now: now, Sink: func(guestlog.Line) { told++ }})
	for i := range 10 {
		if err := say(t, l, fmt.Sprintf(`{"level":"info","message":"%d"}`, i)); err != nil {
			t.Fatal(err)
		}
	}
	lines := l.Lines()
	if len(lines) != 4 || told != 4 {
		t.Fatalf("got %d lines and told the sink of %d, want 3 and the one that says so", len(lines), told)
	}
	want := guestlog.Line{At: now(), Level: "warn", Message: "further lines are left out: a run keeps 3"}
	if diff := cmp.Diff(want, lines[3]); diff != "" {
		t.Errorf("the last (-want +got):\n%s", diff)
	}
}

func ExampleNew() {
	lines := guestlog.New(guestlog.Config{Now: now})
	gate := hostfns.NewGate(hostfns.GateConfig{Funcs: lines.Funcs(), Now: now})
	_, err := gate.Call(context.Background(), runtime.Crossing{Func: "log", Request: []byte(`{"level":"info","message":"labelled","fields":{"issue":7}}`)})
	for _, line := range lines.Lines() {
		fmt.Println(line.Level, line.Message, string(line.Fields), err)
	}
	// Output: info labelled {"issue":7} <nil>
}
