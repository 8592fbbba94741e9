package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
	"github.com/cofferdam-run/cofferdam/hostfns/replay"
	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// recordings are files of recordings and of modules to run them on, by the name of
// their variable: $LABELLED is the example's, with its module, and $FAILED too, with
// a vendor that has changed; $ASKED asks an app's function, and is without its module,
// $ASKS, and so are $PAID, of another, and $BROKEN, of one that fails at once.
func recordings(t *testing.T, dir, guest string) map[string]string {
	t.Helper()
	example, err := os.ReadFile(guest)
	if err != nil {
		t.Fatal(err)
	}
	const (
		asks   = `{"customer":"c-1001","currency":"eur"}`
		others = `{"customer":"c-1001","currency":"usd"}`
	)
	label := replay.Recording{
		Execution: "exe_1", Plugin: "hello-go", Version: "0.1.0", Kind: "action", Name: "label", Export: "action",
		Input: []byte(`{"execution":"exe_1","attempt":1,"action":"label","input":{"repo":"acme/site","number":7,"label":"bug"},` +
			`"config":{"api_url":"https://api.github.com","label":"triage"},"connections":{"github":{}}}`),
	}
	ask := replay.Recording{Execution: "exe_2", Plugin: "plans", Version: "1.0.0", Kind: "action", Name: "run", Export: "run"}
	asked := runtimetest.Ask("run", "plan_of", asks)
	failed := label
	failed.Execution = "exe_3"
	files := map[string]replay.Recording{
		"LABELLED": made(t, example, label, `{"result":{"status":200,"headers":{},"body":"[{\"name\":\"bug\"}]"}}`),
		"FAILED":   made(t, example, failed, `{"result":{"status":200,"headers":{},"body":"<html>"}}`),
		"ASKED":    made(t, asked, ask, `{"result":"gold"}`),
		"BROKEN":   made(t, runtimetest.Fail("run", "it is broken", 1), ask),
		"PAID":     made(t, runtimetest.Ask("run", "plan_of", others), ask, `{"result":"gold"}`),
	}
	paths := map[string]string{}
	for name, r := range files {
		if name == "LABELLED" || name == "FAILED" {
			r.Module = example
		}
		paths[name] = filepath.Join(dir, name+replay.Extension)
		f, err := os.Create(paths[name])
		if err != nil {
			t.Fatal(err)
		}
		if err := replay.Write(f, r); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for name, module := range map[string][]byte{
		"ASKS": asked, "ASKSOTHERS": runtimetest.Ask("run", "plan_of", others),
		"ASKSMORE": runtimetest.Ask("run", "price_of", asks), "ASKSNOTHING": runtimetest.Outputs(map[string]string{"run": "[]"}),
	} {
		paths[name] = filepath.Join(dir, name+".wasm")
		if err := os.WriteFile(paths[name], module, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return paths
}

// made is the recording of a run that gets answers: it is run again and again, and
// what it asks for next is given the next of them.
func made(t *testing.T, module []byte, r replay.Recording, answers ...string) replay.Recording {
	t.Helper()
	ctx := t.Context()
	functions, err := replay.Functions(module)
	if err != nil {
		t.Fatal(err)
	}
	rt, err := runtime.New(ctx, runtime.Config{Functions: functions, CacheDir: runtimetest.CacheDir(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close(context.WithoutCancel(ctx))
	prepared, err := rt.Prepare(ctx, module, replay.Limits(r))
	if err != nil {
		t.Fatal(err)
	}
	at := func(s int) time.Time { return time.Date(2026, 1, 2, 3, 4, s, 0, time.UTC) }
	r.Outcome, r.RecordedAt = replay.Succeeded, at(59)
	r.World = journal.World{Model: runtime.Model, Module: replay.DigestOf(module), Start: at(0), Attempt: 1}
	r.Entries = []journal.Entry{{Func: "start", Effect: hostfns.Read, Outcome: hostfns.Done, Asked: at(0), Answered: at(0)}}
	for i := 0; ; i++ {
		report, err := replay.Run(ctx, prepared, r, replay.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if d := report.Divergence; d == nil || d.Actual == nil || i == len(answers) {
			expected, err := report.Expecting(r)
			if err != nil {
				t.Fatal(err)
			}
			return expected
		}
		call := report.Divergence.Actual
		r.Entries = append(r.Entries, journal.Entry{
			Ordinal: i + 1, Func: call.Func, Effect: hostfns.Unsafe, Outcome: hostfns.Done, Digest: call.Digest, Request: call.Request,
			Asked: at(2*i + 1), Answered: at(2*i + 2), Answer: json.RawMessage(answers[i]),
		})
	}
}

// TestTheRecordingsOfScriptsAreWhatTheySay holds the scripts' recordings to account:
// a script that expects "same" of an empty run would prove little.
func TestTheRecordingsOfScriptsAreWhatTheySay(t *testing.T) {
	t.Parallel()
	r := made(t, runtimetest.Ask("run", "plan_of", `{"a":1}`), replay.Recording{Export: "run"}, `{"result":"gold"}`)
	if got, want := string(r.Output), `{"result":"gold"}`; got != want || len(r.Entries) != 2 || r.Fuel == 0 {
		t.Errorf("got %s, %d entries and %d units of fuel; want %s", got, len(r.Entries), r.Fuel, want)
	}
	if got, want := fmt.Sprint(r.Outcome), "succeeded"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
