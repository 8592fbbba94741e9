package tck_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/cofferdam-run/cofferdam/sdk/build/buildtest"
	"github.com/cofferdam-run/cofferdam/sdk/tck"
)

// faultsVariable makes the tests below, which fail, run: TestFaultsAreFound reads what
// they say.
const faultsVariable = "COFFERDAM_TCK_FAULTS"

func needFaults(t *testing.T) {
	t.Helper()
	if os.Getenv(faultsVariable) == "" {
		t.Skip("it is run by TestFaultsAreFound")
	}
}

func TestFaultsAreFound(t *testing.T) {
	t.Parallel()
	buildtest.Need(t, "clang")
	tests := map[string][]string{
		"TestFaultyGuest": {
			`does not export "poll"`, `does not export "confirm"`, `does not export "verify"`,
			"/actions/0/input: ", "/config refuses {}", "/actions/0/output marks as secret", "the manifest differs",
			"TestFaultyGuest/vectors/action/label", "got the error trapped",
			"host call 1: got none, want http",
			"output: got not JSON, which is not JSON",
			"malformed_input_is_an_error/action/cut_off", "malformed_input_is_an_error/webhook/nothing",
			`_initialize asks the host for tag {"name":"a","value":"b"}`,
			"with no memory to grow into",
		},
		"TestFaultyVectors": {
			"wrong/output", "output differs (-want +got)",
			"wrong/request", "host call 1, tag differs", "another",
			"wrong/order", "host call 1: got tag",
			"wrong/too-few", "host call 2: got tag", "want none",
			"wrong/too-many", "host call 6: got none, want sleep",
			"wrong/answer", "host call 3, the answer of state_add differs",
			"wrong/logs", "logs differs",
			"wrong/records", "records differs", "wrong/tags", "tags differs", "wrong/state", "state differs",
			"wrong/success", "want the error auth",
			"wrong/code", "got the error invalid_input, ", "want the error auth",
			"wrong/failure", "want the output {}",
			"wrong/says", `and lacks "nonsense"`,
			"wrong/wait", "retry_after_ms: got 0, want 5",
			"wrong/details", "details.status differs",
			"wrong/until", "want it to wait until 2026-03-02",
			"wrong/about", "What is wrong here.",
			"wrong/deep", "output differs: got {",
		},
		"TestNoVectors":      {"there are none among"},
		"TestUnknownMembers": {`unknown field "outptu"`},
		"TestTwoOfOneName":   {"there are two of wrong/a"},
		"TestNoEnd":          {"one of output, error and until"},
		"TestNoModule":       {"the module is refused: "},
		"TestNoConnector":    {`does not export "describe"`},
	}
	for name, wants := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			program, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			c := exec.CommandContext(t.Context(), program, "-test.run=^"+name+"$", "-test.v")
			c.Env = append(c.Environ(), faultsVariable+"=1")
			out, err := c.CombinedOutput()
			if err == nil {
				t.Errorf("nothing was found:\n%s", out)
			}
			for _, want := range wants {
				if !strings.Contains(string(out), want) {
					t.Errorf("it was not said: %s", want)
				}
			}
			if t.Failed() {
				t.Logf("it said:\n%s", out)
			}
		})
	}
}

func TestFaultyGuest(t *testing.T) {
	t.Parallel()
	needFaults(t)
	out := filepath.Join(t.TempDir(), "faulty.wasm")
	c := exec.CommandContext(t.Context(), "clang", "--target=wasm32", "-Os", "-nostdlib", "-Wl,--no-entry", "-o", out, "testdata/faulty.c")
	if said, err := c.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, said)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	tck.Run(t, wasm, tck.Options{})
}

// vectorOf is a vector of the hello connectors, as anybody reads it.
func vectorOf(t *testing.T, file, name string) map[string]any {
	t.Helper()
	text, err := os.ReadFile("../testdata/hello/" + file + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var all struct{ Vectors []map[string]any }
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	for _, v := range all.Vectors {
		if v["name"] == name {
			return v
		}
	}
	t.Fatalf("there is no vector %s/%s", file, name)
	return nil
}

func runWrong(t *testing.T, vectors ...map[string]any) {
	t.Helper()
	text, err := json.Marshal(map[string]any{"vectors": vectors})
	if err != nil {
		t.Fatal(err)
	}
	tck.Run(t, built(t, examples+"hello-c"), tck.Options{Vectors: fstest.MapFS{"wrong.json": {Data: text}}})
}

// TestFaultyVectors holds a guest that is right against vectors of which each is wrong
// in one way.
func TestFaultyVectors(t *testing.T) {
	t.Parallel()
	needFaults(t)
	opened := func(name string, change func(v map[string]any, calls []any)) map[string]any {
		v := vectorOf(t, "webhook", "opened")
		v["name"] = name
		v["about"] = "What is wrong here."
		change(v, v["calls"].([]any))
		return v
	}
	failed := func(name string, change func(e map[string]any)) map[string]any {
		v := vectorOf(t, "errors", "404")
		v["name"] = name
		change(v["error"].(map[string]any))
		return v
	}
	left := func(name string) map[string]any {
		return opened(name, func(v map[string]any, _ []any) {
			change := map[string]any{"records": []any{}, "tags": []any{}, "state": map[string]any{"a": 1}}
			v["left"].(map[string]any)[name] = change[name]
		})
	}
	runWrong(t,
		opened("output", func(v map[string]any, _ []any) { v["output"] = 5 }),
		opened("request", func(_ map[string]any, calls []any) {
			calls[0].(map[string]any)["request"] = map[string]any{"name": "repo", "value": "another"}
		}),
		opened("order", func(_ map[string]any, calls []any) { calls[0], calls[2] = calls[2], calls[0] }),
		opened("too-few", func(v map[string]any, calls []any) { v["calls"] = calls[:1] }),
		opened("too-many", func(v map[string]any, calls []any) {
			v["calls"] = append(calls, map[string]any{"func": "sleep", "request": map[string]any{"ms": 1}})
		}),
		opened("answer", func(_ map[string]any, calls []any) {
			calls[2].(map[string]any)["answer"] = map[string]any{"result": map[string]any{"value": 2}}
		}),
		opened("logs", func(v map[string]any, _ []any) { v["logs"] = []any{} }),
		left("records"), left("tags"), left("state"),
		opened("success", func(v map[string]any, _ []any) {
			delete(v, "output")
			v["error"] = map[string]any{"code": "auth"}
		}),
		opened("until", func(v map[string]any, _ []any) {
			delete(v, "output")
			v["until"] = "2026-03-02T09:00:00Z"
		}),
		failed("code", func(e map[string]any) { e["code"] = "auth" }),
		failed("says", func(e map[string]any) { e["says"] = []any{"nonsense"} }),
		failed("wait", func(e map[string]any) { e["retry_after_ms"] = 5 }),
		failed("details", func(e map[string]any) { e["details"] = map[string]any{"status": 405} }),
		func() map[string]any {
			v := vectorOf(t, "errors", "404")
			v["name"], v["output"] = "failure", map[string]any{}
			delete(v, "error")
			return v
		}(),
		opened("about", func(v map[string]any, _ []any) { v["output"] = 5 }),
		opened("deep", func(v map[string]any, _ []any) {
			v["output"] = json.RawMessage(strings.Repeat("[", 300) + strings.Repeat("]", 300))
		}),
	)
}

func TestUnknownMembers(t *testing.T) {
	t.Parallel()
	needFaults(t)
	runWrong(t, map[string]any{"name": "a", "export": "test", "input": 1, "outptu": 1})
}

func TestTwoOfOneName(t *testing.T) {
	t.Parallel()
	needFaults(t)
	one := map[string]any{"name": "a", "export": "test", "input": 1, "output": 1}
	runWrong(t, one, one)
}

func TestNoEnd(t *testing.T) {
	t.Parallel()
	needFaults(t)
	runWrong(t, map[string]any{"name": "a", "export": "test", "input": 1})
}

func TestNoVectors(t *testing.T) {
	t.Parallel()
	needFaults(t)
	tck.Run(t, built(t, examples+"hello-c"), tck.Options{Vectors: fstest.MapFS{"README.md": {}}})
}

func TestNoModule(t *testing.T) {
	t.Parallel()
	needFaults(t)
	tck.Run(t, []byte("text"), tck.Options{})
}

func TestNoConnector(t *testing.T) {
	t.Parallel()
	needFaults(t)
	tck.Run(t, []byte("\x00asm\x01\x00\x00\x00"), tck.Options{})
}
