package golden_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/golden"
	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/trial"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// example is a connector that labels issues at GitHub, and its project's folder.
func example(t *testing.T) (*trial.Bench, string) {
	t.Helper()
	dir := filepath.Join("..", "..", "..", "..", "examples", "hello-go")
	return open(t, runtimetest.BuildGo(t, dir)), dir
}

func open(t *testing.T, wasm []byte) *trial.Bench {
	t.Helper()
	b, err := trial.Open(t.Context(), wasm, trial.Options{CacheDir: runtimetest.CacheDir(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return b
}

func parse(t *testing.T, content string) golden.Test {
	t.Helper()
	test, err := golden.Parse([]byte(content))
	if err != nil {
		t.Fatal(err)
	}
	return test
}

func run(t *testing.T, b *trial.Bench, project, content string) *golden.Result {
	t.Helper()
	r, err := golden.Run(t.Context(), b, golden.Subject{Project: project, Name: t.Name(), Test: parse(t, content)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// opened is a test that passes; what $MORE and $EXPECT stand for can be put in.
const opened = `{
  "webhook": "issues",
  "fixture": "issues.opened.json",
  "config": {"label": "bug"},
  "state": {"issues/octo-org/lighthouse": 41},
  "http": [{
    "request": {
      "method": "POST", "url": "https://api.github.com/repos/octo-org/lighthouse/issues/42/labels", "connection": "github",
      "headers": {"Authorization": "Bearer credential-of-github"}, "body": {"labels": ["bug"]}
    },
    "response": {"body": [{"name": "bug"}]}
  }],
  "expect": {
    "output": {"count": 42.0, "repo": "octo-org/lighthouse", "issue": 42, "label": "bug"},
    "records": [{"name": "issue.labelled", "key": "octo-org/lighthouse#42", "data": {"repo": "octo-org/lighthouse", "issue": 42, "label": "bug", "count": 42}}],
    "tags": {"repo": ["octo-org/lighthouse"], "issue": ["42"]},
    "state": {"issues/octo-org/lighthouse": 42},
    "logs": ["info labelled {\"count\":42,\"issue\":42,\"repo\":\"octo-org/lighthouse\"}"]
  }
}`

func TestATestThatPasses(t *testing.T) {
	t.Parallel()
	b, project := example(t)
	first := run(t, b, project, opened)
	if !first.Passed() {
		t.Fatalf("%+v", first.Problems)
	}
	if again := run(t, b, project, opened); again.Report.Usage.Fuel != first.Report.Usage.Fuel || !cmp.Equal(again.Report.Output, first.Report.Output) {
		t.Error("the same test again is another run")
	}
}

func TestATestFailsWithWhatDiffers(t *testing.T) {
	t.Parallel()
	b, project := example(t)
	for name, tt := range map[string]struct {
		from, to string
		// What, and what of it in the difference.
		want, line string
	}{
		"output":              {`"count": 42.0`, `"count": 1`, "the output differs", `-   "count": 1`},
		"records":             {`"key": "octo-org/lighthouse#42"`, `"key": "x"`, "the records differ", `-     "key": "x"`},
		"tags":                {`"issue": ["42"]`, `"issue": ["43"]`, "the tags differ", `-     "43"`},
		"state":               {`"state": {"issues/octo-org/lighthouse": 42}`, `"state": {}`, "the state differs", `+   "issues/octo-org/lighthouse": 42`},
		"logs":                {`"info labelled`, `"info labeled`, "the logs differ", "- "},
		"a request's body":    {`{"labels": ["bug"]}`, `{"labels": ["x"]}`, "request 1 differs", `-       "x"`},
		"a request's URL":     {`issues/42/labels", "conn`, `issues/43/labels", "conn`, "request 1 differs", "issues/43/labels"},
		"a request's method":  {`"method": "POST"`, `"method": "PUT"`, "request 1 differs", `-   "method": "PUT"`},
		"a connection":        {`"connection": "github"`, `"connection": "none"`, "request 1 differs", `+   "connection": "github"`},
		"a header":            {`Bearer credential`, `Basic credential`, "request 1 differs", "Basic"},
		"a request too many":  {`"http": [{`, `"http": [{"response": {"body": []}}, {`, "request 2 was not made", "labels"},
		"one that is missing": {`"http": [{`, `"functions": [], "http": [{`, "", ""},
		"a failure":           {`"response": {"body": [{"name": "bug"}]}`, `"response": {"status": 404}`, "it failed: invalid_input", ""},
		"a config":            {`{"label": "bug"}`, `{"label": 7}`, "the config does not fit the plugin's schema", ""},
		"a fixture":           {`issues.opened.json`, `issues.closed.json`, "fixtures/issues.closed.json", ""},
		"a name":              {`"webhook": "issues"`, `"webhook": "pulls"`, `the plugin has no webhook "pulls": it has issues`, ""},
		"connections":         {`"config": {"label": "bug"}`, `"connections": {"gitlab": {}}`, `the plugin has no connection "gitlab"`, ""},
		"none granted":        {`"config": {"label": "bug"}`, `"connections": {}`, "it failed: no_connection", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(t, b, project, strings.Replace(opened, tt.from, tt.to, 1))
			if tt.want == "" {
				if !r.Passed() {
					t.Errorf("%+v", r.Problems)
				}
				return
			}
			var all strings.Builder
			for _, p := range r.Problems {
				all.WriteString(p.What + "\n" + strings.Join(golden.Diff(p.Want, p.Got), "\n") + "\n")
			}
			if got := all.String(); !strings.Contains(got, tt.want) || !strings.Contains(got, tt.line) {
				t.Errorf("got:\n%swant %q and %q", got, tt.want, tt.line)
			}
		})
	}
}

func TestAnExpectedErrorIsHeldToWhatIsWritten(t *testing.T) {
	t.Parallel()
	b, project := example(t)
	const label = `{"action": "label", "input": {"repo": "o/r", "number": 7, "label": "x"}, "http": [{"response": $ANSWER}], "expect": $EXPECT}`
	for name, tt := range map[string]struct {
		answer, expect string
		passes         bool
	}{
		"its code":          {`{"status": 429, "headers": {"retry-after": "7"}}`, `{"error": {"code": "rate_limited"}}`, true},
		"its wait":          {`{"status": 429, "headers": {"retry-after": "7"}}`, `{"error": {"retry_after_ms": 7000}}`, true},
		"another wait":      {`{"status": 429, "headers": {"retry-after": "7"}}`, `{"error": {"retry_after_ms": 1}}`, false},
		"any":               {`{"status": 401}`, `{"error": {}}`, true},
		"none":              {`{"status": 200, "body": []}`, `{"error": {}}`, false},
		"no network":        {`{"error": "network"}`, `{"error": {"code": "network"}}`, true},
		"no answer":         {`{"error": "timeout"}`, `{"error": {"code": "timeout"}}`, true},
		"an output as well": {`{"status": 200, "body": []}`, `{"output": {"labels": []}}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(t, b, project, strings.NewReplacer("$ANSWER", tt.answer, "$EXPECT", tt.expect).Replace(label))
			if r.Passed() != tt.passes {
				t.Errorf("passes: %t, want %t: %+v", r.Passed(), tt.passes, r.Problems)
			}
		})
	}
	r := run(t, b, project, `{"action": "label", "input": {"repo": 7}, "expect": {}}`)
	if r.Passed() || !strings.Contains(r.Problems[0].What, "a server would not run it") {
		t.Errorf("an input that does not fit: %+v", r.Problems)
	}
}

func TestUpdateWritesTheTestThatPasses(t *testing.T) {
	t.Parallel()
	b, project := example(t)
	begun := parse(t, `{
	  "about": "begun", "webhook": "issues", "fixture": "issues.opened.json",
	  "http": [{"request": {"method": "GET", "url": "https://elsewhere.example"}, "response": {"body": [{"name": "triage"}]}}], "expect": {"error": {}}
	}`)
	s := golden.Subject{Project: project, Name: "a", Test: begun}
	updated, r, err := golden.Update(t.Context(), b, s)
	if err != nil || !r.Passed() {
		t.Fatalf("%v %+v", err, r.Problems)
	}
	got, err := golden.Encode(updated)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join("testdata", "updated.test.json"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s.Test = updated
	if r, err := golden.Run(t.Context(), b, s); err != nil || !r.Passed() {
		t.Errorf("what was written does not pass: %v %+v", err, r.Problems)
	}
	// An answer that nobody has cannot be written.
	s.Test = parse(t, `{"webhook": "issues", "fixture": "issues.opened.json", "expect": {}}`)
	kept, r, err := golden.Update(t.Context(), b, s)
	if err != nil || r.Passed() || !strings.Contains(r.Problems[0].What, "request 1 is not among those of the test's http") || kept.HTTP != nil {
		t.Errorf("got %+v, %v, %+v", kept, err, r.Problems)
	}
}

func TestPlainPluginsAndHostFunctions(t *testing.T) {
	t.Parallel()
	echo := open(t, runtimetest.Echo("back"))
	for content, passes := range map[string]bool{
		`{"export": "back", "input": {"$text": "Hi"}, "expect": {"output": {"$text": "Hi"}}}`:         true,
		`{"export": "back", "input": {"$text": "Hi"}, "expect": {"output": {"$text": "Ho"}}}`:         false,
		`{"export": "back", "input": {"$base64": "/wA="}, "expect": {"output": {"$base64": "/wA="}}}`: true,
		`{"export": "front", "expect": {}}`: false,
	} {
		if r := run(t, echo, ".", content); r.Passed() != passes {
			t.Errorf("%s: %+v", content, r.Problems)
		}
	}
	asks := open(t, runtimetest.Ask("ask", "plan_of", `{"tenant":"acme"}`))
	for content, want := range map[string]string{
		`{"export": "ask", "functions": [{"function": "plan_of", "request": {"tenant": "acme"}, "result": "pro"}], "expect": {"output": {"result": "pro"}}}`:                            "",
		`{"export": "ask", "functions": [{"function": "plan_of", "error": {"code": "denied", "message": "no"}}], "expect": {"output": {"error": {"code": "denied", "message": "no"}}}}`: "",
		`{"export": "ask", "functions": [{"function": "plan_of", "request": {"tenant": "x"}, "result": "pro"}], "expect": {}}`:                                                          "call 1 of a host app's function differs",
		`{"export": "ask", "expect": {}}`: "call 1 of a host app's function is not among the test's functions",
		`{"export": "ask", "functions": [{"function": "plan_of", "result": 1}, {"function": "plan_of", "result": 2}], "expect": {}}`: "call 2 of a host app's function was not made",
	} {
		r := run(t, asks, ".", content)
		if r.Passed() != (want == "") || want != "" && r.Problems[0].What != want {
			t.Errorf("%s: got %+v, want %q", content, r.Problems, want)
		}
	}
}
