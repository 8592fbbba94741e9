package storetest

import (
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/ident"
)

func testAdmissions(t *testing.T, open Open) {
	each(t, open, map[string]func(*testing.T, *bundle){
		"what is due or parked is counted": depthsCount,
		"workers with a lease are counted": workersCount,
	})
}

func depthsCount(t *testing.T, b *bundle) {
	ctx := t.Context()
	want := func(n int, p place, of, webhook string, most int) {
		t.Helper()
		got, err := b.Queued(ctx, p.tenant, of, webhook, most)
		must(t, err)
		if got != n {
			t.Errorf("%s %q %q, up to %d: got %d, want %d", p.tenant, of, webhook, most, got, n)
		}
	}
	want(0, b.acme, "", "", 9)
	for range 5 {
		b.work(t, b.acme, event.Live)
	}
	action := b.event(b.acme)
	action.Kind, action.Name, action.Source = event.Action, "issues", ""
	must2(t)(b.Accept(ctx, action, &event.Work{Execution: ident.New(ident.Execution, b.clock.now())}))
	want(6, b.acme, "", "", 9)
	want(3, b.acme, "", "", 3)
	want(5, b.acme, b.acme.installation, "issues", 9)
	want(0, b.acme, b.acme.installation, "other", 9)
	want(0, b.acme, b.other.installation, "issues", 9)
	want(0, b.other, "", "", 9)

	claimed := b.claim(t, "w1", b.acme, 4)
	want(2, b.acme, "", "", 9)
	for i, reason := range []string{execution.ReasonPaused, execution.ReasonReconnect, execution.ReasonSleep} {
		parked := success(claimed[i])
		parked.Outcome, parked.Reason, parked.Counted = execution.Waiting, reason, false
		if reason == execution.ReasonSleep {
			parked.Until = b.clock.now().Add(time.Hour)
		}
		must(t, b.Complete(ctx, parked))
	}
	want(4, b.acme, "", "", 9)
}

func workersCount(t *testing.T, b *bundle) {
	ctx := t.Context()
	for _, name := range []string{"w1", "w2"} {
		must2(t)(b.Heartbeat(ctx, name, time.Second))
	}
	n, err := b.Workers(ctx)
	must(t, err)
	equal(t, 2, n)
	b.clock.advance(2 * time.Second)
	must2(t)(b.Heartbeat(ctx, "w2", time.Second))
	n, err = b.Workers(ctx)
	must(t, err)
	equal(t, 1, n)
}
