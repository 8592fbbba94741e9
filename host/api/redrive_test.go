package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
)

// grave puts a dead execution into the store, as a worker that left these entries
// would have, and returns its id. The tenant must be paused, so that nobody runs it.
func (b *bundle) grave(t *testing.T, tenant, installation string, died *fault.Error, entries ...journal.Entry) string {
	t.Helper()
	ctx, s := t.Context(), b.h.Store
	now := time.Now()
	id := ident.New(ident.Execution, now)
	_, err := s.Accept(ctx, event.Event{
		ID: ident.New(ident.Event, now), Tenant: tenant, Installation: installation,
		Kind: event.Action, Name: "greet", Body: []byte("{}"), ReceivedAt: now,
	}, &event.Work{Execution: id, Lane: event.Live})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Heartbeat(ctx, "wrk_grave", time.Hour); err != nil {
		t.Fatal(err)
	}
	taken, err := s.Claim(ctx, "wrk_grave", []execution.Quota{{Tenant: tenant, N: 1, Running: 100}}, 1000)
	claimed := taken.Claimed
	if err != nil || len(claimed) != 1 || claimed[0].Execution != id {
		t.Fatalf("claimed %+v and %v", claimed, err)
	}
	end := execution.Completion{
		Tenant: tenant, Execution: id, Claim: claimed[0].Claim, Outcome: execution.Dead, Counted: true,
		Fingerprint: fault.Fingerprint(died),
	}
	if end.Error, err = json.Marshal(died); err != nil {
		t.Fatal(err)
	}
	if len(entries) > 0 {
		start := journal.Entry{Func: "start", Effect: hostfns.Read, Outcome: hostfns.Done, Asked: now, Answered: now}
		segment, err := journal.NewSegment(1, 0, append([]journal.Entry{start}, entries...))
		if err != nil {
			t.Fatal(err)
		}
		end.Journal = &segment
	}
	if err := s.Complete(ctx, end); err != nil {
		t.Fatal(err)
	}
	return id
}

// unclear is a POST that was sent and never answered.
func unclear() journal.Entry {
	return journal.Entry{
		Ordinal: 1, Func: "http", Effect: hostfns.Unsafe, Asked: time.Now(),
		Request: []byte(`{"method":"POST","url":"https://api.github.com/orders"}`),
	}
}

// graveyard is a server with a tenant that is paused and has an installation.
func graveyard(t *testing.T) (b *bundle, tenant, installation string) {
	t.Helper()
	b = setup(t, api.Options{})
	tenant, _ = b.tenant(t, "acme")
	installation = b.installed(t, "acme")
	b.do(t, 200, "pauseTenant", map[string]any{"tenant": "acme"}, nil)
	return b, tenant, installation
}

func upstream(message string) *fault.Error {
	return fault.New(fault.Upstream, "http_500", "%s", message)
}

func TestRedriveNamesItsMode(t *testing.T) {
	t.Parallel()
	b, tenant, installation := graveyard(t)
	id := b.grave(t, tenant, installation, fault.New(fault.AmbiguousEffect, execution.CodeAmbiguousEffect, "nobody knows"), unclear())
	in := map[string]any{"tenant": "acme", "execution": id}
	for body, want := range map[string]string{
		"":                    execution.CodeAmbiguousEffect,
		"{}":                  execution.CodeAmbiguousEffect,
		`{"mode":"resume"}`:   execution.CodeAmbiguousEffect,
		`{"mode":"restart"}`:  execution.CodeWouldRepeat,
		`{"mode":"sideways"}`: "invalid_request",
		`{"speed":1}`:         "invalid_request",
	} {
		a := b.raw(t, http.MethodPost, "/v1/tenants/acme/executions/"+id+"/redrive", b.operator, body)
		p := a.problem(t)
		if p["code"] != want {
			t.Errorf("%q: got %d %v, want %s", body, a.status, p, want)
		}
		if want == execution.CodeWouldRepeat && (a.status != 409 || !strings.Contains(string(a.body), "POST https://api.github.com/orders")) {
			t.Errorf("%d %s: it does not name the effect", a.status, a.body)
		}
	}
	got := b.do(t, 200, "redriveExecution", in, map[string]any{"mode": "force"})
	if got["state"] == "dead" || got["mode"] != "force" {
		t.Errorf("it is %v by %v, want queued by force", got["state"], got["mode"])
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	b, tenant, installation := graveyard(t)
	died := fault.New(fault.AmbiguousEffect, execution.CodeAmbiguousEffect, "nobody knows")
	path := func(id string) string { return "/v1/tenants/acme/executions/" + id + "/resolve" }
	id, again := b.grave(t, tenant, installation, died, unclear()), b.grave(t, tenant, installation, died, unclear())
	known := b.grave(t, tenant, installation, upstream("it broke")) // All before any is queued again.
	for body, want := range map[string]string{
		`{"choice":"maybe"}`:                                   "/choice",
		`{"choice":"answer"}`:                                  "/answer",
		`{"choice":"answer","answer":{"status":"ok"}}`:         "/answer/status",
		`{"choice":"answer","answer":{"status":7}}`:            "/answer/status",
		`{"choice":"answer","answer":{"status":200,"x":1}}`:    "/answer/x",
		`{"choice":"send_again","answer":{"status":200}}`:      "/choice",
		`{"choice":"answer","answer":{"status":200,"body":1}}`: "/answer/body",
	} {
		a := b.raw(t, http.MethodPost, path(id), b.operator, body)
		if p := a.problem(t); a.status != 422 || p["where"] != want {
			t.Errorf("%s: got %d at %v, want 422 at %s", body, a.status, p["where"], want)
		}
	}
	for id, choice := range map[string]map[string]any{
		id:    {"choice": "answer", "answer": map[string]any{"status": 201, "body": "{}"}},
		again: {"choice": "send_again"},
	} {
		if got := b.do(t, 200, "resolveExecution", map[string]any{"tenant": "acme", "execution": id}, choice); got["state"] == "dead" || got["mode"] != nil {
			t.Errorf("%v: it is %v by %v, want it to go on as it was", choice, got["state"], got["mode"])
		}
		b.do(t, 409, "resolveExecution", map[string]any{"tenant": "acme", "execution": id}, choice)
		recorded, err := b.h.Store.Journal(t.Context(), tenant, id)
		if err != nil {
			t.Fatal(err)
		}
		entries, err := journal.Join(recorded.Segments)
		if err != nil {
			t.Fatal(err)
		}
		if last := entries[1]; last.Again != (id == again) || (last.Outcome == hostfns.Done) == (id == again) {
			t.Errorf("%v: the entry is %+v", choice, last)
		}
	}
	if p := b.do(t, 409, "resolveExecution", map[string]any{"tenant": "acme", "execution": known}, map[string]any{"choice": "send_again"}); p["code"] != "not_ambiguous" {
		t.Errorf("what is known: %v", p)
	}
}

func TestRedrivesOfMany(t *testing.T) {
	t.Parallel()
	b, tenant, installation := graveyard(t)
	in := map[string]any{"tenant": "acme"}
	var broken []string
	for i := range 5 {
		broken = append(broken, b.grave(t, tenant, installation, upstream(fmt.Sprint("it broke after ", i))))
	}
	stuck := b.grave(t, tenant, installation, fault.New(fault.AmbiguousEffect, execution.CodeAmbiguousEffect, "nobody knows"), unclear())

	for body, want := range map[string]string{
		`{}`:                               "/filter",
		`{"filter":{}}`:                    "/filter",
		`{"all":true,"mode":"sideways"}`:   "/mode",
		`{"all":true,"rate":5000}`:         "/rate",
		`{"filter":{"tag":"x"}}`:           "/filter/tag",
		`{"filter":{"class":"bad luck"}}`:  "/filter/class",
		`{"filter":{"since":"yesterday"}}`: "/filter/since",
		`{"filter":{"since":"2026-02-01T00:00:00Z","until":"2026-01-01T00:00:00Z"}}`: "/filter/until",
	} {
		a := b.raw(t, http.MethodPost, "/v1/tenants/acme/redrives", b.operator, body)
		if p := a.problem(t); a.status != 422 || p["where"] != want {
			t.Errorf("%s: got %d at %v, want 422 at %s: %s", body, a.status, p["where"], want, a.body)
		}
	}
	b.do(t, 404, "startRedrive", in, map[string]any{"filter": map[string]any{"installation": "nobody"}})

	plan := b.do(t, 200, "startRedrive", in, map[string]any{"all": true, "dry_run": true})["plan"].(map[string]any)
	groups := plan["groups"].([]any)
	if plan["matched"] != 6.0 || plan["checked"] != 6.0 || plan["refused"] != 1.0 || len(groups) != 2 {
		t.Errorf("the plan is %v", plan)
	}
	largest := groups[0].(map[string]any)
	if largest["count"] != 5.0 || largest["sample"] != broken[4] {
		t.Errorf("the largest group is %v", largest)
	}
	if got := b.do(t, 200, "listRedrives", in, nil)["items"].([]any); len(got) != 0 {
		t.Errorf("a dry run has started %v", got)
	}

	fingerprint := map[string]any{"fingerprint": largest["fingerprint"], "installation": "hello", "code": "http_500", "class": "upstream"}
	started := b.do(t, 201, "startRedrive", in, map[string]any{"filter": fingerprint, "rate": 1000})["redrive"].(map[string]any)
	got := b.awaitRedrive(t, started["id"].(string), "done")
	if p := got["progress"].(map[string]any); p["matched"] != 5.0 || p["redriven"] != 5.0 || p["refused"] != 0.0 {
		t.Errorf("its progress is %v", p)
	}
	for _, id := range broken {
		if got := b.do(t, 200, "getExecution", map[string]any{"tenant": "acme", "execution": id}, nil)["state"]; got == "dead" {
			t.Errorf("%s is dead still", id)
		}
	}
	started = b.do(t, 201, "startRedrive", in, map[string]any{"all": true, "rate": 1000})["redrive"].(map[string]any)
	got = b.awaitRedrive(t, started["id"].(string), "done")
	refusal := got["progress"].(map[string]any)["refusals"].([]any)[0].(map[string]any)
	if refusal["execution"] != stuck || refusal["code"] != execution.CodeAmbiguousEffect {
		t.Errorf("it refused %v", refusal)
	}
}

func TestRedeliveriesOfMany(t *testing.T) {
	t.Parallel()
	b, tenant, installation := graveyard(t)
	in := map[string]any{"tenant": "acme"}
	var events []string
	for range 5 {
		id := b.grave(t, tenant, installation, upstream("it broke"))
		events = append(events, b.do(t, 200, "getExecution", map[string]any{"tenant": "acme", "execution": id}, nil)["event"].(string))
	}
	for body, want := range map[string]string{
		`{}`: "/endpoint", `{"since":"2026-02-01T00:00:00Z"}`: "/endpoint",
		`{"installation":"hello","pace":20000}`:                                                  "/pace",
		`{"installation":"hello","since":"yesterday"}`:                                           "/since",
		`{"installation":"hello","since":"2026-02-01T00:00:00Z","until":"2026-01-01T00:00:00Z"}`: "/until",
		`{"installation":"hello","filter":"nme == \"greet\""}`:                                   "/filter",
		`{"installation":"hello","where":"true"}`:                                                "/where",
	} {
		a := b.raw(t, http.MethodPost, "/v1/tenants/acme/redeliveries", b.operator, body)
		if p := a.problem(t); a.status != 422 || p["where"] != want {
			t.Errorf("%s: got %d at %v, want 422 at %s: %s", body, a.status, p["where"], want, a.body)
		}
	}
	b.do(t, 404, "startRedelivery", in, map[string]any{"installation": "nobody"})
	b.do(t, 404, "startRedelivery", in, map[string]any{"event": "evt_none"})
	spec := map[string]any{"installation": "hello", "kind": "action", "filter": `name == "greet" && body != "x"`, "pace": 1000, "dry_run": true}
	plan := b.do(t, 200, "startRedelivery", in, spec)["plan"].(map[string]any)
	if plan["redelivered"] != 5.0 || plan["looked"] != 5.0 || plan["complete"] != true {
		t.Errorf("the plan is %v", plan)
	}
	if got := b.do(t, 200, "listRedeliveries", in, nil)["items"].([]any); len(got) != 0 {
		t.Errorf("a dry run has started %v", got)
	}
	delete(spec, "dry_run")
	started := b.do(t, 201, "startRedelivery", in, spec)["redelivery"].(map[string]any)
	one := map[string]any{"tenant": "acme", "redelivery": started["id"]}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		got := b.do(t, 200, "getRedelivery", one, nil)
		if got["state"] == "done" {
			if p := got["progress"].(map[string]any); p["redelivered"] != 5.0 || p["matched"] != 5.0 {
				t.Errorf("its progress is %v", p)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the redelivery is %v", got)
		}
	}
	b.wantOutcomes(t, one, events)
	if p := b.do(t, 409, "pauseRedelivery", one, nil); p["code"] != "job_done" {
		t.Errorf("to pause what is done: %v", p)
	}
	b.do(t, 409, "cancelRedelivery", one, nil)
	b.do(t, 404, "resumeRedrive", map[string]any{"tenant": "acme", "redrive": started["id"]}, nil)
}

// wantOutcomes pages through what a redelivery has made.
func (b *bundle) wantOutcomes(t *testing.T, one map[string]any, events []string) {
	t.Helper()
	made := map[string]string{}
	for cursor := ""; ; {
		p := b.do(t, 200, "listRedeliveryOutcomes", map[string]any{"tenant": "acme", "redelivery": one["redelivery"], "limit": 2, "cursor": cursor}, nil)
		for _, i := range p["items"].([]any) {
			o := i.(map[string]any)
			made[o["event"].(string)] = o["execution"].(string)
		}
		if cursor = p["next_cursor"].(string); cursor == "" {
			break
		}
	}
	for _, e := range events {
		trace := b.do(t, 200, "traceExecution", map[string]any{"tenant": "acme", "execution": made[e]}, nil)
		if r, _ := trace["redelivery"].(map[string]any); r["job"] != one["redelivery"] || r["follows"] == "" {
			t.Errorf("the trace of %s says %v", made[e], r)
		}
	}
	if dead := b.do(t, 200, "listRedeliveryOutcomes", map[string]any{"tenant": "acme", "redelivery": one["redelivery"], "state": "dead"}, nil); len(dead["items"].([]any)) != 0 {
		t.Errorf("dead are %v", dead)
	}
}

func (b *bundle) awaitRedrive(t *testing.T, id, state string) map[string]any {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		got := b.do(t, 200, "getRedrive", map[string]any{"tenant": "acme", "redrive": id}, nil)
		if got["state"] == state {
			return got
		}
		if time.Now().After(deadline) {
			t.Fatalf("the redrive is %v, want %s", got, state)
		}
	}
}

func TestRedrivesArePausedResumedAndCancelled(t *testing.T) {
	t.Parallel()
	b, tenant, installation := graveyard(t)
	in := map[string]any{"tenant": "acme"}
	for range 8 {
		b.grave(t, tenant, installation, upstream("it broke"))
	}
	start := func() map[string]any {
		r := b.do(t, 201, "startRedrive", in, map[string]any{"all": true, "rate": 1})["redrive"].(map[string]any)
		return map[string]any{"tenant": "acme", "redrive": r["id"]}
	}
	one := start()
	b.do(t, 200, "pauseRedrive", one, nil)
	b.awaitRedrive(t, one["redrive"].(string), "paused")
	b.do(t, 200, "resumeRedrive", one, nil)
	b.do(t, 200, "cancelRedrive", one, nil)
	if p := b.do(t, 409, "resumeRedrive", one, nil); p["code"] != "job_cancelled" {
		t.Errorf("to resume what was cancelled: %v", p)
	}
	two := start()
	b.do(t, 200, "cancelRedrive", two, nil)
	items := b.do(t, 200, "listRedrives", map[string]any{"tenant": "acme", "limit": 1}, nil)
	if got := items["items"].([]any)[0].(map[string]any); got["state"] != "cancelled" || items["next_cursor"] == "" {
		t.Errorf("listed %v", items)
	}
	next := b.do(t, 200, "listRedrives", map[string]any{"tenant": "acme", "cursor": items["next_cursor"]}, nil)
	if len(next["items"].([]any)) != 1 {
		t.Errorf("the rest is %v", next)
	}
	b.do(t, 404, "getRedrive", map[string]any{"tenant": "acme", "redrive": "job_none"}, nil)
	left := b.do(t, 200, "listExecutions", map[string]any{"tenant": "acme", "state": "dead"}, nil)["items"].([]any)
	if len(left) < 5 {
		t.Errorf("%d are dead still; a second of it redrives one", len(left))
	}
}
