package storetest

import (
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/registry"
)

func testPausing(t *testing.T, open Open) {
	each(t, open, map[string]func(*testing.T, *bundle){
		"a plugin is paused for its installations": pausePlugin,
		"what runs is in flight":                   inFlight,
	})
}

func pausePlugin(t *testing.T, b *bundle) {
	ctx, operator := t.Context(), registry.Viewer{Operator: true}
	v, err := b.InsertVersion(ctx, registry.Publisher{ID: "pub_1", Name: "vendor", CreatedAt: b.clock.now()},
		registry.Plugin{ID: "plg_2", Publisher: "pub_1", Name: "chat", CreatedAt: b.clock.now()},
		registry.Version{ID: "plv_2", Version: "1.0.0", Digest: "sha256:1", CreatedAt: b.clock.now()}, []byte("wasm"))
	must(t, err)
	chat := b.installation(b.acme.tenant, "chat")
	chat.Plugin = v.Plugin
	must(t, b.InsertInstallation(ctx, chat))
	ours := place{b.acme.tenant, chat.ID}

	at := b.clock.now()
	must(t, b.PausePlugin(ctx, v.Plugin, at))
	must(t, b.PausePlugin(ctx, v.Plugin, at.Add(time.Hour)))
	p, _, err := b.Versions(ctx, operator, "chat")
	must(t, err)
	equal(t, at, p.PausedAt)
	for id, want := range map[string]bool{chat.ID: true, b.acme.installation: false} {
		i, err := b.Installation(ctx, b.acme.tenant, id)
		must(t, err)
		if i.PluginPaused != want || i.Runs() == want {
			t.Errorf("the installation %s: its plugin is paused %v, and it runs %v", i.Name, i.PluginPaused, i.Runs())
		}
	}
	theirs := b.end(t, b.acme, waiting(execution.ReasonPaused, time.Time{}))
	parked := b.end(t, ours, waiting(execution.ReasonPaused, time.Time{}))
	retry := b.end(t, ours, waiting(execution.ReasonRetry, b.clock.now().Add(time.Hour)))

	must(t, b.PausePlugin(ctx, v.Plugin, time.Time{}))
	p, _, err = b.Versions(ctx, operator, "chat")
	must(t, err)
	if !p.PausedAt.IsZero() {
		t.Errorf("it was resumed, and is paused since %s", p.PausedAt)
	}
	tenants, err := b.ReleasePlugin(ctx, v.Plugin)
	must(t, err)
	equal(t, []string{b.acme.tenant}, tenants)
	b.wantState(t, b.acme, parked, execution.Queued)
	b.wantState(t, b.acme, theirs, execution.Waiting)
	b.wantState(t, b.acme, retry, execution.Waiting)
	tenants, err = b.ReleasePlugin(ctx, v.Plugin)
	must(t, err)
	equal(t, 0, len(tenants))
	wantRegistry(t, b.PausePlugin(ctx, "plg_none", at), registry.CodeNotFound)
}

func inFlight(t *testing.T, b *bundle) {
	ctx := t.Context()
	begun, before := b.running(t, b.acme), b.running(t, b.other)
	must(t, b.Begin(ctx, begun, begins("plv_1")))
	at := b.clock.now()
	b.clock.advance(time.Second)
	after := b.running(t, b.acme) // It was claimed later, and has not begun.
	b.work(t, b.acme, event.Live)
	for _, test := range []struct {
		of   execution.Flights
		want []string
	}{
		{execution.Flights{At: at}, []string{begun.Execution, before.Execution}},
		{execution.Flights{At: b.clock.now(), Tenant: b.acme.tenant}, []string{begun.Execution, after.Execution}},
		{execution.Flights{At: at, Tenant: b.other.tenant}, []string{before.Execution}},
		{execution.Flights{At: at, Tenant: b.acme.tenant, Installation: b.acme.installation}, []string{begun.Execution}},
		{execution.Flights{At: at, Plugin: "plg_1"}, []string{begun.Execution, before.Execution}},
		{execution.Flights{At: at, Plugin: "plg_none"}, nil},
	} {
		got, err := b.InFlight(ctx, test.of, 9)
		must(t, err)
		var ids []string
		for _, f := range got {
			ids = append(ids, f.Execution)
		}
		equal(t, test.want, ids)
	}
	some, err := b.InFlight(ctx, execution.Flights{At: at}, 1)
	must(t, err)
	equal(t, []execution.Flight{{
		Tenant: b.acme.tenant, Installation: b.acme.installation, Execution: begun.Execution, Kind: event.Webhook, Name: "issues", Since: at,
	}}, some)
}
