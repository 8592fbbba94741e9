package worker_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/worker"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// plugins finds plugins in the store.
type plugins struct{ store store.Store }

// Resolve implements worker.Plugins.
func (p plugins) Resolve(ctx context.Context, v registry.Viewer, id string) (registry.Version, error) {
	return p.store.Version(ctx, v, id)
}

// Wasm implements worker.Plugins.
func (p plugins) Wasm(ctx context.Context, v registry.Version) ([]byte, error) {
	return p.store.Blob(ctx, v.Digest)
}

// publish stores a plugin, without the registry's checks, and returns its version.
func (b *bundle) publish(name string, wasm []byte, m manifest.Manifest) string {
	b.t.Helper()
	digest := sha256.Sum256(wasm)
	now := time.Now()
	m.Name, m.Version = name, "1.0.0"
	publisher := registry.Publisher{ID: "pub_1", Name: "operator", Kind: registry.Operator, CreatedAt: now}
	plugin := registry.Plugin{ID: ident.Plugin + name, Publisher: publisher.ID, Name: name, Shared: []string{"*"}, CreatedAt: now}
	version := registry.Version{
		ID: ident.PluginVersion + name, Plugin: plugin.ID, Name: name, Version: m.Version,
		Digest: "sha256:" + hex.EncodeToString(digest[:]), Size: int64(len(wasm)), Manifest: m, CreatedAt: now,
	}
	v, err := b.store.InsertVersion(b.t.Context(), publisher, plugin, version, wasm)
	if err != nil {
		b.t.Fatalf("publish %s: %v", name, err)
	}
	return v.ID
}

// sandbox is a Sandbox over the bundle's store.
func (b *bundle) sandbox(limits runtime.Limits, functions ...hostfns.Func) *worker.Sandbox {
	b.t.Helper()
	rt, err := runtime.New(b.t.Context(), runtime.Config{Functions: worker.Functions(functions), CacheDir: compiled})
	if err != nil {
		b.t.Fatalf("start runtime: %v", err)
	}
	way := egress.New(egress.Config{})
	s := worker.NewSandbox(worker.SandboxConfig{
		Records: b.store, Plugins: plugins{b.store}, Runtime: rt, Tenant: b.store.Tenant, Installation: b.store.Installation,
		Credentials: func(string, map[string]string) egress.Credentials { return nil },
		Egress:      way, Functions: functions, Limits: limits,
		Seed: func(_ context.Context, tenant, execution string) ([32]byte, error) {
			return sha256.Sum256([]byte(tenant + execution)), nil
		},
		Modules: 2, Now: time.Now, After: time.After,
	})
	b.t.Cleanup(func() {
		ctx := context.WithoutCancel(b.t.Context())
		if err := s.Close(ctx); err != nil {
			b.t.Errorf("close sandbox: %v", err)
		}
		if err := rt.Close(ctx); err != nil {
			b.t.Errorf("close runtime: %v", err)
		}
		way.Close()
	})
	return s
}

// warm compiles the guest once for all tests, whose runtimes share a folder.
var warm sync.Once

// guest builds the guest in testdata, which does what its input says.
func guest(t *testing.T) []byte {
	t.Helper()
	_, file, _, _ := goruntime.Caller(0)
	wasm := runtimetest.BuildGo(t, filepath.Join(filepath.Dir(file), "testdata", "guest"))
	warm.Do(func() {
		rt, err := runtime.New(t.Context(), runtime.Config{Functions: worker.Functions([]hostfns.Func{probe(quiet)}), CacheDir: compiled})
		if err != nil {
			t.Fatalf("start runtime: %v", err)
		}
		if _, err := rt.Prepare(t.Context(), wasm, runtime.Limits{}); err != nil {
			t.Fatalf("prepare guest: %v", err)
		}
		if err := rt.Close(t.Context()); err != nil {
			t.Fatalf("close runtime: %v", err)
		}
	})
	return wasm
}

// probe is a host function of the host app's.
func probe(f func(ctx context.Context) error) hostfns.Func {
	return hostfns.Func{Name: "probe", Granted: true, Effect: hostfns.Always(hostfns.Read), Answer: func(ctx context.Context, _ json.RawMessage) (any, error) {
		return map[string]string{"tenant": worker.CallerOf(ctx).Tenant, "installation": worker.CallerOf(ctx).Installation}, f(ctx)
	}}
}

func quiet(context.Context) error { return nil }

// install gives the tenant an installation of the guest, which may use all that it asks for.
func (b *bundle) guest(tenant string) {
	b.t.Helper()
	id := b.publish("guest", guest(b.t), manifest.Manifest{Level: 1, Functions: []string{"probe"}})
	b.tenant(tenant, 8, 1, id)
	b.change(tenant, func(i *installation.Installation) { i.Grants.Functions = []string{"probe"} })
}

func (b *bundle) change(tenant string, change func(*installation.Installation)) {
	b.t.Helper()
	i, err := b.store.Installation(b.t.Context(), tenant, installationOf(tenant))
	if err != nil {
		b.t.Fatal(err)
	}
	change(&i)
	if err := b.store.UpdateInstallation(b.t.Context(), i, i.UpdatedAt); err != nil {
		b.t.Fatalf("change installation: %v", err)
	}
}

// runNow starts a worker that looks for work all the time, for tests on the real clock.
func (b *bundle) runNow(c worker.Config) (w *worker.Worker, end func()) {
	b.t.Helper()
	c.Scan = 20 * time.Millisecond
	return b.run(c)
}

// outcome of an execution that is run to its end.
func (b *bundle) outcome(tenant string, kind event.Kind, name, input string, want execution.State) execution.Execution {
	b.t.Helper()
	return b.await(tenant, b.enqueue(tenant, kind, name, input), want)
}

func TestEnvelopes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.guest("ten_a")
	b.change("ten_a", func(i *installation.Installation) {
		i.Config = json.RawMessage(`{"label":"triage"}`)
		i.Grants.Connections = map[string]string{"github": "con_1", "a": "con_2"}
	})
	b.runNow(b.config(b.sandbox(runtime.Limits{}, probe(quiet))))
	common := `,"attempt":1,"config":{"label":"triage"},"connections":{"a":{},"github":{}},`
	received := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	deliver := func(body string) string {
		accepted, err := b.store.Accept(t.Context(), event.Event{
			ID: ident.New(ident.Event, received), Tenant: "ten_a", Installation: installationOf("ten_a"), Kind: event.Webhook, Name: "issues",
			Source: "end_1", DedupeKey: "delivery-" + body, Body: []byte(body), ReceivedAt: received,
			Request: &event.Request{Method: "POST", Path: "/hooks/end_1", Query: "a=b", Headers: map[string][]string{"x-github-event": {"issues"}}},
		}, &event.Work{Execution: ident.New(ident.Execution, received)})
		if err != nil {
			t.Fatal(err)
		}
		return accepted.Execution
	}
	delivery := `"webhook":"issues","request":{"received_at":"2026-11-01T12:00:00Z","method":"POST","path":"/hooks/end_1","query":"a=b","headers":{"x-github-event":["issues"]},`
	tests := map[string]struct{ execution, want string }{
		"action": {
			b.enqueue("ten_a", event.Action, "echo", `{"n":[1,2]}`), common + `"action":"echo","input":{"n":[1,2]}`,
		},
		"action without input": {
			b.enqueue("ten_a", event.Action, "echo", ``), common + `"action":"echo","input":{}`,
		},
		"webhook": {
			deliver(`{"action":"opened"}`), common + delivery + `"id":"delivery-{\"action\":\"opened\"}","body":"{\"action\":\"opened\"}"}`,
		},
		"webhook with a body that is not text": {
			deliver("\xff\xfe"), common + delivery + `"id":"delivery-\ufffd\ufffd","body_base64":"//4="}`,
		},
		"an action by a schedule": {
			b.tick("ten_a", "echo", `{"n":3}`, received),
			common + `"action":"echo","input":{"n":3},"scheduled_at":"2026-11-01T12:00:00Z"`,
		},
		"test": {
			b.enqueue("ten_a", event.Test, "", ``), common,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := b.await("ten_a", test.execution, execution.Succeeded)
			var gotDoc, wantDoc any
			if err := json.Unmarshal(got.Output, &gotDoc); err != nil {
				t.Fatal(err)
			}
			want := `{"execution":"` + test.execution + `"` + strings.TrimSuffix(test.want, ",") + `}`
			if err := json.Unmarshal([]byte(want), &wantDoc); err != nil {
				t.Fatalf("%v: %s", err, want)
			}
			if diff := cmp.Diff(wantDoc, gotDoc); diff != "" {
				t.Errorf("envelope (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSuccessCommitsAllThatTheGuestDid(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.guest("ten_a")
	b.runNow(b.config(b.sandbox(runtime.Limits{}, probe(quiet))))
	calls := `{"calls":[
		{"func":"state_set","request":{"key":"a","value":{"n":1}}},
		{"func":"state_add","request":{"key":"b","delta":5}},
		{"func":"emit","request":{"name":"order","key":"1001","data":{"total":7}}},
		{"func":"tag","request":{"name":"order","value":"1001"}},
		{"func":"log","request":{"level":"info","message":"hello"}},
		{"func":"probe","request":{}}
	]}`
	got := b.outcome("ten_a", event.Action, "do", calls, execution.Succeeded)
	if len(got.Tags) != 1 || got.Tags[0].Value != "1001" || got.VersionID != "plv_guest" {
		t.Errorf("tags are %v and the version is %q, want order=1001 and plv_guest", got.Tags, got.VersionID)
	}
	var answers []struct{ Result map[string]any }
	if err := json.Unmarshal(got.Output, &answers); err != nil {
		t.Fatal(err)
	}
	if caller := answers[5].Result; caller["tenant"] != "ten_a" || caller["installation"] != installationOf("ten_a") {
		t.Errorf("the host app's function was called for %v, want ten_a and its installation", caller)
	}
	reader := b.store.State("ten_a", installationOf("ten_a"))
	for key, want := range map[string]string{"a": `{"n":1}`, "b": `5`} {
		if e, err := reader.Get(t.Context(), key); err != nil || string(e.Value) != want {
			t.Errorf("state %q is %s and %v, want %s", key, e.Value, err, want)
		}
	}
	trace, err := b.store.Trace(t.Context(), "ten_a", got.ID)
	if err != nil {
		t.Fatal(err)
	}
	if len(trace.Emitted) != 1 || len(trace.Attempts) != 1 {
		t.Fatalf("the trace has %d records and %d attempts, want one each", len(trace.Emitted), len(trace.Attempts))
	}
	record, err := b.store.Event(t.Context(), "ten_a", trace.Emitted[0])
	if err != nil || record.Kind != event.Record || record.Name != "order" || record.DedupeKey != "1001" || string(record.Body) != `{"total":7}` {
		t.Errorf("the record is %+v and %v", record, err)
	}
	a := trace.Attempts[0]
	if len(a.Logs) != 1 || a.Logs[0].Message != "hello" || len(a.Steps) == 0 || a.Usage.HostCalls != 6 {
		t.Errorf("the trace has logs %v, steps %v, usage %+v", a.Logs, a.Steps, a.Usage)
	}
	want := []execution.StateWrite{{Key: "a", Op: "set", Value: json.RawMessage(`{"n":1}`)}, {Key: "b", Op: "add", Value: json.RawMessage(`5`)}}
	if diff := cmp.Diff(want, a.State); diff != "" {
		t.Errorf("state in the trace (-want +got):\n%s", diff)
	}
}

func TestFailureCommitsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.guest("ten_a")
	b.runNow(b.config(b.sandbox(runtime.Limits{}, probe(quiet))))
	input := `{"calls":[{"func":"state_set","request":{"key":"a","value":1}},{"func":"emit","request":{"name":"order","data":1}}],
		"fail":{"code":"auth","message":"the token was revoked"}}`
	got := b.outcome("ten_a", event.Action, "do", input, execution.Dead)
	if got.Error.Code != "auth" || got.Error.Message != "the token was revoked" {
		t.Errorf("its error is %v", got.Error)
	}
	if e, err := b.store.State("ten_a", installationOf("ten_a")).Get(t.Context(), "a"); err != nil || e.Version != 0 {
		t.Errorf("the state is %s and %v, want none", e.Value, err)
	}
	trace, err := b.store.Trace(t.Context(), "ten_a", got.ID)
	if err != nil || len(trace.Emitted) != 0 || len(trace.Attempts[0].State) != 0 || len(trace.Attempts[0].Steps) == 0 {
		t.Errorf("the trace is %+v and %v, want steps, no records and no state", trace, err)
	}
}

func TestConcurrentCountsLoseNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.guest("ten_a")
	// The first two read before either writes.
	var entered atomic.Int64
	both := make(chan struct{})
	b.runNow(b.config(b.sandbox(runtime.Limits{}, probe(func(ctx context.Context) error {
		switch entered.Add(1) {
		case 1:
			select {
			case <-both:
			case <-ctx.Done():
			}
		case 2:
			close(both)
		}
		return nil
	}))))
	const n = 12
	var ids []string
	for range n {
		ids = append(ids, b.enqueue("ten_a", event.Action, "count", `{"count":"n"}`))
	}
	conflicts := 0
	for _, id := range ids {
		if got := b.await("ten_a", id, execution.Succeeded); got.Attempt != 1 {
			t.Errorf("it took %d attempts, want 1: a conflict is not counted", got.Attempt)
		}
		conflicts += len(b.attempts("ten_a", id)) - 1
	}
	if conflicts == 0 {
		t.Error("nothing conflicted, which this test is about")
	}
	if e, err := b.store.State("ten_a", installationOf("ten_a")).Get(t.Context(), "n"); err != nil || string(e.Value) != "12" {
		t.Errorf("the count is %s and %v, want %d", e.Value, err, n)
	}
}

func TestPollCommitsRecordsAndCursorTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.guest("ten_a")
	b.runNow(b.config(b.sandbox(runtime.Limits{}, probe(quiet))))
	for range 3 {
		b.outcome("ten_a", event.Poll, "issues", ``, execution.Succeeded)
	}
	cursor, err := b.store.Cursor(t.Context(), "ten_a", installationOf("ten_a"), "issues")
	if err != nil || string(cursor) != "3" {
		t.Errorf("the cursor is %s and %v, want 3", cursor, err)
	}
	records, err := b.store.Events(t.Context(), "ten_a", event.Filter{Kind: event.Record, Limit: 50})
	if err != nil || len(records) != 4 {
		t.Errorf("there are %d records and %v, want 4: each key once", len(records), err)
	}
	if got := b.outcome("ten_a", event.Poll, "broken", ``, execution.Dead); got.Error.Code != "plugin_bug" || !strings.Contains(got.Error.Message, "record 0") {
		t.Errorf("a poll with a broken record gave %v, want a plugin_bug that names it", got.Error)
	}
}

func TestGuestsThatRunAwayFailAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	guests := map[string]struct {
		wasm []byte
		code runtime.Code
	}{
		"loops":    {runtimetest.Loop("go"), runtime.CodeDeadlineExceeded},
		"grows":    {runtimetest.Grow("go"), runtime.CodeMemoryExceeded},
		"recurses": {runtimetest.Recurse("go"), runtime.CodeStackExhausted},
		"traps":    {runtimetest.Trap("go"), runtime.CodeTrapped},
	}
	b.tenant("ten_good", 4, 1, b.publish("echo", runtimetest.Echo("go"), manifest.Manifest{}))
	c := b.config(b.sandbox(runtime.Limits{Deadline: 300 * time.Millisecond, MemoryBytes: 4 << 20}))
	b.runNow(c)
	ids := map[string]string{}
	for name, g := range guests {
		b.tenant("ten_"+name, 4, 1, b.publish(name, g.wasm, manifest.Manifest{}))
		ids[name] = b.enqueue("ten_"+name, event.Action, "go", ``)
	}
	if got := b.outcome("ten_good", event.Action, "go", `"hello"`, execution.Succeeded); string(got.Output) != `"hello"` {
		t.Errorf("the other tenant's output is %s, want hello", got.Output)
	}
	for name, g := range guests {
		if got := b.await("ten_"+name, ids[name], execution.Dead); got.Error.Code != string(g.code) || got.Attempt != 1 {
			t.Errorf("%s: it is dead of %s after %d attempts, want %s after 1", name, got.Error.Code, got.Attempt, g.code)
		}
	}
}

func TestPlainPluginsGetAndGiveBytes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.tenant("ten_a", 4, 1, b.publish("echo", runtimetest.Echo("shout"), manifest.Manifest{}))
	b.runNow(b.config(b.sandbox(runtime.Limits{})))
	for input, want := range map[string]string{
		`{"a": 1}`:     `{"a": 1}`,
		"no json":      `"bm8ganNvbg=="`,
		"\"\xff\"":     `"Iv8i"`,
		"":             ``,
		"\x00\x01\xfe": `"AAH+"`,
	} {
		if got := b.outcome("ten_a", event.Action, "shout", input, execution.Succeeded); string(got.Output) != want {
			t.Errorf("the output of %q is %s, want %s", input, got.Output, want)
		}
	}
	if got := b.outcome("ten_a", event.Action, "whisper", ``, execution.Dead); got.Error.Code != "no_export" {
		t.Errorf("an export that is missing gave %v, want no_export", got.Error)
	}
}

func TestPausedInstallationsAndTenantsWait(t *testing.T) {
	t.Parallel()
	pauses := map[string]func(*bundle, bool){
		"installation": func(b *bundle, on bool) {
			b.change("ten_a", func(i *installation.Installation) {
				if i.State = installation.Active; on {
					i.State = installation.Paused
				}
			})
		},
		"tenant": func(b *bundle, on bool) {
			owner, err := b.store.Tenant(b.t.Context(), "ten_a")
			if err != nil {
				b.t.Fatal(err)
			}
			was := owner
			if owner.State = tenant.Active; on {
				owner.State = tenant.Paused
			}
			if err := b.store.UpdateTenant(b.t.Context(), owner, was); err != nil {
				b.t.Fatal(err)
			}
		},
	}
	for name, pause := range pauses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.tenant("ten_a", 4, 1, b.publish("echo", runtimetest.Echo("go"), manifest.Manifest{}))
			pause(b, true)
			w, _ := b.runNow(b.config(b.sandbox(runtime.Limits{})))
			id := b.enqueue("ten_a", event.Action, "go", `1`)
			w.Wake("ten_a")
			if got := b.await("ten_a", id, execution.Waiting); got.Reason != execution.ReasonPaused {
				t.Errorf("it waits for %q, want paused", got.Reason)
			}
			pause(b, false)
			if _, err := b.store.Release(t.Context(), "ten_a", "", execution.ReasonPaused); err != nil {
				t.Fatal(err)
			}
			w.Wake("ten_a")
			if got := b.await("ten_a", id, execution.Succeeded); got.Attempt != 1 {
				t.Errorf("it took %d attempts, want 1", got.Attempt)
			}
		})
	}
}

func TestExecutionStaysOnTheVersionThatItBeganWith(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const retry = `{"code":"retry","message":"not yet","retry_after_ms":200}`
	first := b.publish("first", runtimetest.Fail("go", retry, 1), manifest.Manifest{})
	second := b.publish("second", runtimetest.Echo("go"), manifest.Manifest{})
	b.tenant("ten_a", 4, 1, first)
	c := b.config(b.sandbox(runtime.Limits{}))
	c.Attempts = 3
	b.runNow(c)
	id := b.enqueue("ten_a", event.Action, "go", `1`)
	b.await("ten_a", id, execution.Waiting)
	b.change("ten_a", func(i *installation.Installation) { i.VersionID = second })
	if got := b.await("ten_a", id, execution.Dead); got.VersionID != first || got.Attempt != 3 {
		t.Errorf("it ended on %s after %d attempts, want %s after 3", got.VersionID, got.Attempt, first)
	}
	if got := b.outcome("ten_a", event.Action, "go", `1`, execution.Succeeded); got.VersionID != second {
		t.Errorf("the next one ran on %s, want %s", got.VersionID, second)
	}
}

func TestGrantedFunctionsNeedManifestAndGrant(t *testing.T) {
	t.Parallel()
	const input = `{"calls":[{"func":"probe","request":{}}]}`
	for name, test := range map[string]struct {
		wanted, granted []string
		denied          bool
	}{
		"asked for and granted": {[]string{"probe"}, []string{"probe"}, false},
		"asked for":             {[]string{"probe"}, nil, true},
		"granted":               {nil, []string{"probe"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.tenant("ten_a", 4, 1, b.publish("guest", guest(t), manifest.Manifest{Level: 1, Functions: test.wanted}))
			b.change("ten_a", func(i *installation.Installation) { i.Grants.Functions = test.granted })
			b.runNow(b.config(b.sandbox(runtime.Limits{}, probe(quiet))))
			got := b.outcome("ten_a", event.Action, "do", input, execution.Succeeded)
			if denied := strings.Contains(string(got.Output), `"denied"`); denied != test.denied {
				t.Errorf("the answer is %s, want denied to be %t", got.Output, test.denied)
			}
		})
	}
}

func TestUnknownKindsAreParked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.tenant("ten_a", 4, 1, b.publish("echo", runtimetest.Echo("go"), manifest.Manifest{}))
	b.runNow(b.config(b.sandbox(runtime.Limits{})))
	got := b.outcome("ten_a", "of_the_future", "go", ``, execution.Waiting)
	if got.Reason != execution.ReasonUnknownKind || got.Attempt != 0 || !got.Until.After(time.Now()) {
		t.Errorf("it waits for %q until %s after %d attempts, want unknown_kind, later, after none", got.Reason, got.Until, got.Attempt)
	}
}

func TestCancelKillsAGuest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.tenant("ten_a", 4, 1, b.publish("loops", runtimetest.Loop("go"), manifest.Manifest{}))
	w, _ := b.runNow(b.config(b.sandbox(runtime.Limits{})))
	id := b.enqueue("ten_a", event.Action, "go", ``)
	b.await("ten_a", id, execution.Running)
	if _, err := b.store.Cancel(t.Context(), "ten_a", id); err != nil {
		t.Fatal(err)
	}
	w.Stop(id)
	b.await("ten_a", id, execution.Cancelled)
}
