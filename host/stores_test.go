package host_test

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/postgres"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/usage"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

func openPostgres(t *testing.T) store.Store {
	t.Helper()
	db, err := postgres.Open(t.Context(), postgrestest.DSN(t), postgres.Options{})
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	return db
}

// TestHostOnEachStore runs what a Host promises with real guests on each store.
func TestHostOnEachStore(t *testing.T) {
	t.Parallel()
	for db, open := range map[string]func(*testing.T) store.Store{"sqlite": openStore, "postgres": openPostgres} {
		for name, test := range map[string]func(*testing.T, store.Store){
			"guests that run away fail alone":            runawaysFailAlone,
			"a success commits what the guest did":       successCommits,
			"a failure is tried again":                   failureIsTriedAgain,
			"a dead letter can be redriven":              deadLetterIsRedriven,
			"a conflict runs again and loses no update":  conflictLosesNothing,
			"a failure that no retry helps leaves state": failureCommitsNothing,
		} {
			t.Run(db+"/"+name, func(t *testing.T) {
				t.Parallel()
				test(t, open(t))
			})
		}
	}
}

// begin starts an execution for a tenant, whose installation is named as it is.
func (b *bundle) begin(t *testing.T, tenant, installation, action, input string) string {
	t.Helper()
	start := execution.Start{Installation: installation, Kind: event.Action, Name: action, Input: json.RawMessage(input)}
	accepted, err := b.h.Executions.Start(t.Context(), tenant, start)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	return accepted.Execution
}

// end waits for an execution's end.
func (b *bundle) end(t *testing.T, tenant, id string, want execution.State) execution.Execution {
	t.Helper()
	got, err := b.h.Executions.Wait(t.Context(), tenant, id)
	if err != nil || got.State != want {
		t.Fatalf("it is %s with %v and %v, want %s", got.State, got.Error, err, want)
	}
	return got
}

// Each bad tenant has a few executions that run away, one after the other, each
// up to small limits of its own. A victim's succeed all the while.
func runawaysFailAlone(t *testing.T, db store.Store) {
	t.Helper()
	b := runHost(t, host.Config{Store: db})
	victim := b.addTenant(t, "victim", tenant.Limits{})
	b.install(t, victim.ID, "healthy", runtimetest.Echo("go"), nil)
	small := &installation.Grants{Limits: manifest.Limits{MemoryMiB: 4, TimeoutMS: 1000}}
	codes := map[string]runtime.Code{}
	var runs, loops []execution.Execution
	for _, guest := range []struct {
		name string
		wasm []byte
		code runtime.Code
	}{
		{"grows", runtimetest.Grow("go"), runtime.CodeMemoryExceeded},
		{"recurses", runtimetest.Recurse("go"), runtime.CodeStackExhausted},
		{"loops", runtimetest.Loop("go"), runtime.CodeDeadlineExceeded},
	} {
		bad := b.addTenant(t, guest.name, tenant.Limits{Running: 1})
		b.install(t, bad.ID, guest.name, guest.wasm, small)
		codes[bad.ID] = guest.code
		for range 3 {
			runs = append(runs, execution.Execution{ID: b.begin(t, bad.ID, guest.name, "go", `1`), Tenant: bad.ID})
		}
		loops = runs[len(runs)-3:]
	}
	var well []execution.Execution
	for last := loops[2]; !last.State.Done(); {
		got := b.end(t, victim.ID, b.begin(t, victim.ID, "healthy", "go", `"well"`), execution.Succeeded)
		if string(got.Output) != `"well"` || got.Attempt != 1 {
			t.Fatalf("the victim's output is %s after %d attempts, want its input after 1", got.Output, got.Attempt)
		}
		well = append(well, got)
		var err error
		if last, err = b.h.Executions.Get(t.Context(), last.Tenant, last.ID); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range runs {
		got := b.end(t, r.Tenant, r.ID, execution.Dead)
		if want := string(codes[r.Tenant]); got.Error.Code != want || got.Error.Class != fault.LimitExceeded || got.Attempt != 1 {
			t.Errorf("it is dead of %v after %d attempts, want %s after 1", got.Error, got.Attempt, want)
		}
	}
	for _, l := range loops {
		l = b.end(t, l.Tenant, l.ID, execution.Dead)
		if slices.ContainsFunc(well, func(w execution.Execution) bool {
			return w.StartedAt.After(l.StartedAt) && w.FinishedAt.Before(l.FinishedAt)
		}) {
			return
		}
	}
	t.Errorf("none of the victim's %d executions began and ended while a guest looped", len(well))
}

// probe is a function of the host app's, which guests may ask.
func probe(answer func(ctx context.Context) error) []hostfns.Func {
	return []hostfns.Func{{Name: "probe", Granted: true, Effect: hostfns.Always(hostfns.Read), Answer: func(ctx context.Context, _ json.RawMessage) (any, error) {
		return map[string]bool{"asked": true}, answer(ctx)
	}}}
}

func quiet(context.Context) error { return nil }

// scripted installs a guest that does what its input says.
func (b *bundle) scripted(t *testing.T) (owner string, i installation.Installation) {
	t.Helper()
	owner = b.addTenant(t, "acme", tenant.Limits{}).ID
	return owner, b.install(t, owner, "scripted", runtimetest.BuildGo(t, filepath.Join("worker", "testdata", "guest")), nil)
}

const writes = `{"func":"state_set","request":{"key":"a","value":{"n":1}}},{"func":"state_add","request":{"key":"b","delta":5}},
	{"func":"emit","request":{"name":"order","key":"1001","data":{"total":7}}},{"func":"tag","request":{"name":"order","value":"1001"}}`

func successCommits(t *testing.T, db store.Store) {
	t.Helper()
	b := runHost(t, host.Config{Store: db, Functions: probe(quiet)})
	owner, i := b.scripted(t)
	id := b.begin(t, owner, i.ID, "action", `{"input":{"calls":[`+writes+`]}}`)
	if got := b.end(t, owner, id, execution.Succeeded); len(got.Tags) != 1 || got.Tags[0].Value != "1001" {
		t.Errorf("its tags are %v, want order=1001", got.Tags)
	}
	for key, want := range map[string]string{"a": `{"n":1}`, "b": `5`} {
		e, err := db.State(owner, i.ID).Get(t.Context(), key)
		if got := strings.ReplaceAll(string(e.Value), " ", ""); err != nil || got != want {
			t.Errorf("state %q is %s and %v, want %s", key, got, err, want)
		}
	}
	if records, err := db.Events(t.Context(), owner, event.Filter{Kind: event.Record, Limit: 9}); err != nil || len(records) != 1 {
		t.Errorf("there are %d records and %v, want 1", len(records), err)
	}
}

func failureCommitsNothing(t *testing.T, db store.Store) {
	t.Helper()
	b := runHost(t, host.Config{Store: db, Functions: probe(quiet)})
	owner, i := b.scripted(t)
	id := b.begin(t, owner, i.ID, "action", `{"input":{"calls":[`+writes+`],"fail":{"code":"invalid_input","message":"revoked"}}}`)
	if got := b.end(t, owner, id, execution.Dead); got.Error.Code != "invalid_input" || got.Attempt != 1 {
		t.Errorf("it is dead of %v after %d attempts, want invalid_input after 1", got.Error, got.Attempt)
	}
	if e, err := db.State(owner, i.ID).Get(t.Context(), "a"); err != nil || e.Version != 0 {
		t.Errorf("the state is %s and %v, want none", e.Value, err)
	}
	if records, err := db.Events(t.Context(), owner, event.Filter{Kind: event.Record, Limit: 9}); err != nil || len(records) != 0 {
		t.Errorf("there are %d records and %v, want none", len(records), err)
	}
}

func failureIsTriedAgain(t *testing.T, db store.Store) {
	t.Helper()
	var asked atomic.Int64
	b := runHost(t, host.Config{Store: db, Functions: probe(func(context.Context) error {
		if asked.Add(1) == 1 {
			return errors.New("the first call fails")
		}
		return nil
	})})
	owner := b.addTenant(t, "acme", tenant.Limits{}).ID
	b.install(t, owner, "asking", runtimetest.Ask("go", "probe", `{}`), nil)
	id := b.begin(t, owner, "asking", "go", ``)
	if got := b.end(t, owner, id, execution.Succeeded); got.Attempt != 2 {
		t.Errorf("it took %d attempts, want 2", got.Attempt)
	}
	trace, err := b.h.Executions.Trace(t.Context(), owner, id)
	if err != nil || len(trace.Attempts) != 2 || trace.Attempts[0].Outcome != execution.Waiting || trace.Attempts[0].Error == nil {
		t.Errorf("the trace is %+v and %v, want two attempts, the first of which failed", trace.Attempts, err)
	}
	// The attempt that failed has cost as well.
	days, err := b.h.Usage.Installations(t.Context(), owner, "", usage.Range{From: "2000-01-01", To: "9999-12-31"})
	if err != nil || len(days) != 1 || days[0].Attempts != 2 || days[0].Executions != 1 ||
		days[0].Wall != trace.Attempts[0].Usage.Wall+trace.Attempts[1].Usage.Wall {
		t.Errorf("the usage is %+v and %v, want that of both attempts", days, err)
	}
}

func deadLetterIsRedriven(t *testing.T, db store.Store) {
	t.Helper()
	var healed atomic.Bool
	b := runHost(t, host.Config{Store: db, Attempts: 2, Functions: probe(func(context.Context) error {
		if healed.Load() {
			return nil
		}
		return errors.New("not yet")
	})})
	owner := b.addTenant(t, "acme", tenant.Limits{}).ID
	b.install(t, owner, "asking", runtimetest.Ask("go", "probe", `{}`), nil)
	id := b.begin(t, owner, "asking", "go", ``)
	dead := b.end(t, owner, id, execution.Dead)
	if dead.Attempt != 2 || dead.Fingerprint == "" || strings.Contains(dead.Error.Message, "not yet") {
		t.Errorf("it is dead after %d attempts with %v, want 2, a fingerprint, and not the host's own words", dead.Attempt, dead.Error)
	}
	letters, err := b.h.Executions.DeadLetters(t.Context(), owner)
	if err != nil || len(letters) != 1 || letters[0].Count != 1 || letters[0].Sample != id {
		t.Errorf("dead letters are %+v and %v, want one group with this one", letters, err)
	}
	healed.Store(true)
	if _, err := b.h.Executions.Redrive(t.Context(), owner, id, execution.Resume); err != nil {
		t.Fatal(err)
	}
	b.end(t, owner, id, execution.Succeeded)
	if letters, err := b.h.Executions.DeadLetters(t.Context(), owner); err != nil || len(letters) != 0 {
		t.Errorf("dead letters are %+v and %v, want none", letters, err)
	}
}

func conflictLosesNothing(t *testing.T, db store.Store) {
	t.Helper()
	// The first two read before either writes.
	var asked atomic.Int64
	both := make(chan struct{})
	b := runHost(t, host.Config{Store: db, Functions: probe(func(ctx context.Context) error {
		switch asked.Add(1) {
		case 1:
			select {
			case <-both:
			case <-ctx.Done():
			}
		case 2:
			close(both)
		}
		return nil
	})})
	owner, i := b.scripted(t)
	const n = 10
	var ids []string
	for range n {
		ids = append(ids, b.begin(t, owner, i.ID, "action", `{"input":{"count":"n"}}`))
	}
	runs := 0
	for _, id := range ids {
		if got := b.end(t, owner, id, execution.Succeeded); got.Attempt != 1 {
			t.Errorf("it took %d attempts, want 1: a conflict is not counted", got.Attempt)
		}
		trace, err := b.h.Executions.Trace(t.Context(), owner, id)
		if err != nil {
			t.Fatal(err)
		}
		runs += len(trace.Attempts)
	}
	if runs == n {
		t.Error("nothing conflicted, which this test is about")
	}
	if e, err := db.State(owner, i.ID).Get(t.Context(), "n"); err != nil || string(e.Value) != "10" {
		t.Errorf("the count is %s and %v, want %d", e.Value, err, n)
	}
}
