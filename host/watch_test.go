package host_test

import (
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/guestlog"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

func TestWhoWatchesIsToldWhatTheTraceShows(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var callers []host.Caller
	var steps []hostfns.Step
	var lines []guestlog.Line
	told := func(c host.Caller, tell func()) {
		mu.Lock()
		defer mu.Unlock()
		callers = append(callers, c)
		tell()
	}
	b := runHost(t, host.Config{Store: openStore(t), Watch: host.Watcher{
		Step: func(c host.Caller, s hostfns.Step) { told(c, func() { steps = append(steps, s) }) },
		Line: func(c host.Caller, l guestlog.Line) { told(c, func() { lines = append(lines, l) }) },
	}})
	b.tenant = b.addTenant(t, "acme", tenant.Limits{})
	for name, request := range map[string]string{"tag": `{"name":"order","value":"7"}`, "log": `{"level":"info","message":"hello"}`} {
		i := b.install(t, b.tenant.ID, name, runtimetest.Ask("go", name, request), nil)
		started, err := b.h.Executions.Start(t.Context(), b.tenant.ID, execution.Start{Installation: i.Name, Kind: "action", Name: "go"})
		if err != nil {
			t.Fatal(err)
		}
		if x, err := b.h.Executions.Wait(t.Context(), b.tenant.ID, started.Execution); err != nil || x.State != execution.Succeeded {
			t.Fatalf("it is %s with %v, %v", x.State, x.Error, err)
		}
		trace, err := b.h.Executions.Trace(t.Context(), b.tenant.ID, started.Execution)
		if err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		ran := trace.Attempts[len(trace.Attempts)-1]
		if diff := cmp.Diff(ran.Steps, append([]hostfns.Step{}, steps...)); diff != "" {
			t.Errorf("%s: steps (-trace +told):\n%s", name, diff)
		}
		if diff := cmp.Diff(ran.Logs, append([]guestlog.Line{}, lines...)); diff != "" {
			t.Errorf("%s: lines (-trace +told):\n%s", name, diff)
		}
		want := []host.Caller{{Tenant: b.tenant.ID, Installation: i.ID, Execution: started.Execution}}
		if diff := cmp.Diff(want, callers); diff != "" {
			t.Errorf("%s: callers (-want +got):\n%s", name, diff)
		}
		callers, steps, lines = nil, nil, nil
		mu.Unlock()
	}
}
