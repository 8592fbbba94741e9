package storetest

import (
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/alert"
	"github.com/cofferdam-run/cofferdam/host/notice"
)

func watchesKept(t *testing.T, b *bundle) {
	ctx, now := t.Context(), b.clock.now()
	w := alert.Watch{Tenant: b.acme.tenant, Object: alert.Queue, WithinS: 3600, Since: now, LookedAt: now, CreatedAt: now}
	must(t, b.PutWatch(ctx, w))
	b.clock.advance(time.Minute)
	w.WithinS = 7200
	later := w
	later.CreatedAt, later.Since = b.clock.now(), b.clock.now()
	must(t, b.PutWatch(ctx, later))
	got, err := b.Watch(ctx, b.acme.tenant, alert.Queue)
	must(t, err)
	equal(t, w, got)
	due, err := b.DueWatches(ctx, b.clock.now(), 10)
	must(t, err)
	equal(t, 0, len(due)) // Of two hours a sixtieth is two minutes.
	b.clock.advance(time.Minute)
	due, err = b.DueWatches(ctx, b.clock.now(), 10)
	must(t, err)
	equal(t, []alert.Watch{w}, due)
	w.Since, w.ToldAt, w.LookedAt = b.clock.now(), b.clock.now(), b.clock.now()
	must(t, b.SaveWatch(ctx, w))
	all, err := b.Watches(ctx, b.acme.tenant)
	must(t, err)
	equal(t, []alert.Watch{w}, all)
	wantNotFound(t, "another's", b.DeleteWatch(ctx, b.other.tenant, alert.Queue))
	must(t, b.DeleteWatch(ctx, b.acme.tenant, alert.Queue))
	_, err = b.Watch(ctx, b.acme.tenant, alert.Queue)
	wantNotFound(t, "one that is gone", err)
	wantNotFound(t, "of no tenant", b.PutWatch(ctx, alert.Watch{Tenant: "ten_none", Object: alert.Queue}))
}

func failingsCounted(t *testing.T, b *bundle) {
	ctx := t.Context()
	stirring := func() bool {
		is, err := b.Stirring(ctx, b.clock.now().Add(-time.Hour))
		must(t, err)
		return is
	}
	equal(t, false, stirring())
	from := b.clock.now()
	b.dies(t, b.acme, "a")
	equal(t, true, stirring())
	b.clock.advance(time.Second)
	last := b.dies(t, b.acme, "a")
	b.dies(t, b.other, "a")
	for n := range 3 {
		got, err := b.GatherDead(ctx, 2)
		must(t, err)
		equal(t, []int{2, 1, 0}[n], got)
	}
	untold, err := b.UntoldFailings(ctx, 10)
	must(t, err)
	equal(t, 2, len(untold))
	for _, f := range untold {
		if f.Tenant == b.acme.tenant {
			equal(t, alert.Failing{Tenant: b.acme.tenant, Failing: notice.Failing{
				Installation: b.acme.installation, Fingerprint: "a", Count: 2, FirstAt: from, LastAt: from.Add(time.Second), Execution: last.Execution,
			}}, f)
		}
		must(t, b.FailingTold(ctx, f, b.clock.now()))
	}
	equal(t, false, stirring())
	b.clock.advance(2 * time.Hour)
	equal(t, true, stirring())
	quiet, err := b.QuietFailings(ctx, b.clock.now().Add(-time.Hour), 10)
	must(t, err)
	equal(t, 2, len(quiet))
	b.dies(t, b.acme, "a") // Meanwhile.
	must2(t)(b.GatherDead(ctx, 10))
	for _, f := range quiet {
		must(t, b.EndFailing(ctx, f))
	}
	b.clock.advance(2 * time.Hour)
	quiet, err = b.QuietFailings(ctx, b.clock.now(), 10)
	must(t, err)
	equal(t, 1, len(quiet))
	equal(t, int64(3), quiet[0].Count)
}
