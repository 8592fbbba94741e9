package api_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

func decode(t *testing.T, b []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
}

func TestAPlainPluginTakesAnyBytes(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{CallTimeout: 20 * time.Second})
	b.tenant(t, "acme")
	b.installed(t, "acme")
	b.do(t, 201, "publishPlugin", map[string]any{"name": "echo", "version": "1.0.0"}, runtimetest.Echo("back"))
	b.do(t, 201, "createInstallation", map[string]any{"tenant": "acme"}, map[string]any{"plugin": "echo"})
	call := map[string]any{"tenant": "acme", "installation": "echo", "action": "back"}
	for input, want := range map[string]string{"Hello, World!": "SGVsbG8sIFdvcmxkIQ==", "\xff\x00": "/wA=", `"text"`: "text"} {
		if got := b.do(t, 200, "callAction", call, []byte(input)); got["output"] != want {
			t.Errorf("%q: got %v, want %s", input, got["output"], want)
		}
	}
	if got := b.do(t, 200, "callAction", call, map[string]any{"n": 1}); got["output"].(map[string]any)["n"] != 1.0 {
		t.Errorf("JSON: got %v", got)
	}
	typed := map[string]any{"tenant": "acme", "installation": "hello", "action": "greet"}
	if p := b.do(t, 422, "callAction", typed, []byte("Hello")); p["code"] != "input_invalid" {
		t.Errorf("bytes to a typed connector: %v", p)
	}
}

func TestCalls(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{CallTimeout: 20 * time.Second})
	b.tenant(t, "acme")
	b.installed(t, "acme")
	in := func(more map[string]any) map[string]any {
		p := map[string]any{"tenant": "acme", "installation": "hello"}
		maps.Copy(p, more)
		return p
	}
	t.Run("an action answers with its output", func(t *testing.T) {
		t.Parallel()
		got := b.do(t, 200, "callAction", in(map[string]any{"action": "greet"}), map[string]any{})
		if out, _ := got["output"].(map[string]any); got["state"] != "succeeded" || out["greeting"] != "hello" || got["execution"] == "" {
			t.Errorf("got %v", got)
		}
	})
	t.Run("a test and a poll do too", func(t *testing.T) {
		t.Parallel()
		for id, params := range map[string]map[string]any{"testInstallation": in(nil), "callPoll": in(map[string]any{"poll": "news"})} {
			if got := b.do(t, 200, id, params, nil); got["state"] != "succeeded" {
				t.Errorf("%s: %v", id, got)
			}
		}
	})
	t.Run("an asynchronous one answers at once", func(t *testing.T) {
		t.Parallel()
		for _, more := range []map[string]any{{"mode": "async"}, {"Prefer": "respond-async"}} {
			more["action"] = "greet"
			got := b.do(t, 202, "callAction", in(more), map[string]any{})
			b.do(t, 200, "getExecution", map[string]any{"tenant": "acme", "execution": got["execution"]}, nil)
		}
	})
	t.Run("a timeout that is none is refused", func(t *testing.T) {
		t.Parallel()
		for _, timeout := range []string{"soon", "-1s", "21s"} {
			p := b.do(t, 422, "callAction", in(map[string]any{"action": "greet", "timeout": timeout}), map[string]any{})
			if p["where"] != "timeout" {
				t.Errorf("%s: %v", timeout, p)
			}
		}
	})
	t.Run("an action that is not there is named", func(t *testing.T) {
		t.Parallel()
		p := b.do(t, 422, "callAction", in(map[string]any{"action": "dance"}), map[string]any{})
		if detail, _ := p["detail"].(string); !strings.Contains(detail, "dance") {
			t.Errorf("detail %q does not name it", detail)
		}
	})
	t.Run("an input that breaks the schema is refused", func(t *testing.T) {
		t.Parallel()
		b.do(t, 422, "callAction", in(map[string]any{"action": "greet"}), []string{"not an object"})
	})
}

func TestCallThatIsNotDoneInTime(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	b.tenant(t, "acme")
	b.installed(t, "acme")
	in := map[string]any{"tenant": "acme", "installation": "hello"}
	b.do(t, 200, "pauseInstallation", in, nil)
	call := map[string]any{"tenant": "acme", "installation": "hello", "action": "greet", "timeout": "100ms"}
	code, raw, err := b.c.Do(t.Context(), "callAction", call, map[string]any{})
	if err != nil {
		t.Fatal(err)
	}
	// A paused installation either keeps the call or says that it is paused.
	if code != 202 && code != 409 {
		t.Errorf("%d %s, want 202 or 409", code, raw)
	}
	b.do(t, 200, "resumeInstallation", in, nil)
	if got := b.do(t, 200, "callAction", map[string]any{"tenant": "acme", "installation": "hello", "action": "greet"}, map[string]any{}); got["state"] != "succeeded" {
		t.Errorf("after resuming: %v", got)
	}
}

func TestFailedCallIsADeadLetter(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	b.tenant(t, "acme")
	wasm := runtimetest.Fail("run", `{"code":"invalid_input","message":"no such order"}`, 1)
	if a := b.publish(t, b.operator, wasm, map[string][]string{"name": {"failing"}, "version": {"1.0.0"}}); a.status != 201 {
		t.Fatalf("publish: %d %s", a.status, a.body)
	}
	tenant := map[string]any{"tenant": "acme"}
	b.do(t, 201, "createInstallation", tenant, map[string]any{"plugin": "failing"})
	got := b.do(t, 200, "callAction", map[string]any{"tenant": "acme", "installation": "failing", "action": "run"}, map[string]any{})
	if e, _ := got["error"].(map[string]any); got["state"] != "dead" || e["message"] != "no such order" {
		t.Fatalf("got %v", got)
	}
	letters := b.do(t, 200, "listDeadLetters", tenant, nil)["items"].([]any)
	if len(letters) != 1 {
		t.Fatalf("%d groups of dead letters, want 1", len(letters))
	}
	group := letters[0].(map[string]any)
	found := b.do(t, 200, "listExecutions", map[string]any{"tenant": "acme", "fingerprint": group["fingerprint"], "state": "dead"}, nil)["items"].([]any)
	if len(found) != 1 {
		t.Errorf("%d executions have the fingerprint, want 1", len(found))
	}
	one := map[string]any{"tenant": "acme", "execution": got["execution"]}
	b.do(t, 200, "redriveExecution", one, nil)
	trace := b.do(t, 200, "traceExecution", one, nil)
	if trace["event"].(map[string]any)["id"] != got["event"] {
		t.Errorf("trace = %v", trace)
	}
}
