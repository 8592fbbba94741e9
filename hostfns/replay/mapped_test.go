package replay_test

import (
	"testing"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// TestAReplayNamesLinesOfTheSources: what was recorded names them, too, so that equal
// runs stay equal.
func TestAReplayNamesLinesOfTheSources(t *testing.T) {
	t.Parallel()
	module, err := runtime.WithSections(
		runtimetest.PassOn("action", "log", `{"level":"error","message":"at connector.js:2:9","fields":{"at":"connector.js:1"}}`, "thrown at connector.js:2:9"),
		map[string][]byte{"cofferdam.sourcemap": []byte(`{"version":3,"sources":["src/shop.ts"],"names":[],"mappings":"AAAA;AAWI"}`)},
	)
	if err != nil {
		t.Fatal(err)
	}
	m := prepare(t, module)
	r := newLab(t).record(t, m, "action", nil, `{}`)
	if got, want := r.Error.Message, "thrown at src/shop.ts:12:5"; got != want {
		t.Errorf("recorded was %q, want %q", got, want)
	}
	report := wantSame(t, m, r)
	if got, want := report.Error.Message, "thrown at src/shop.ts:12:5"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(report.Logs) != 1 || report.Logs[0].Message != "at src/shop.ts:12:5" || string(report.Logs[0].Fields) != `{"at":"src/shop.ts:1"}` {
		t.Errorf("got the lines %+v", report.Logs)
	}
}
