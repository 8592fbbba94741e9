package hostfns_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

func TestTheSinkIsToldEachStepAtOnce(t *testing.T) {
	t.Parallel()
	var told []hostfns.Step
	quiet := answering("log", nil, nil)
	quiet.Quiet = true
	g := hostfns.NewGate(hostfns.GateConfig{
		Funcs: []hostfns.Func{answering("f", 1, nil), quiet}, Quota: hostfns.Quota{Calls: 2},
		Sink: func(s hostfns.Step) { told = append(told, s) }, Now: clock(),
	})
	for i, name := range []string{"f", "log", "f"} {
		call(t, g, name, `{}`)
		if diff := cmp.Diff(g.Steps(), told); diff != "" {
			t.Fatalf("after call %d (-trace +told):\n%s", i, diff)
		}
	}
	// What the trace has no room for, nobody is told.
	for range 3 {
		call(t, g, "f", `{}`)
	}
	if len(told) != 3 || len(g.Steps()) != 3 {
		t.Errorf("told %d of %d steps, want 3 of 3", len(told), len(g.Steps()))
	}
}
