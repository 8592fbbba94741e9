package alert_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/alert"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/notice"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/postgres"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/tenant"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const (
	acme     = "ten_01J00000000000000000000000"
	shop     = "ins_01J00000000000000000000000"
	issues   = "end_01J00000000000000000000000"
	nightly  = "sch_01J00000000000000000000000"
	workerID = "wrk_01J00000000000000000000000"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// bundle is a store with a tenant, and a process that looks. Nothing passes but what a test
// advances.
type bundle struct {
	store.Store
	*alert.Alerts

	us   atomic.Int64
	idle atomic.Bool
	gone atomic.Bool
	// deaf makes telling fail after the notice was kept.
	deaf atomic.Bool
}

func (b *bundle) now() time.Time { return time.UnixMicro(b.us.Load()).UTC() }

func onBoth(t *testing.T, test func(t *testing.T, b *bundle)) {
	t.Helper()
	for name, open := range map[string]func(now func() time.Time) (store.Store, error){
		"sqlite": func(now func() time.Time) (store.Store, error) {
			return sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{Now: now})
		},
		"postgres": func(now func() time.Time) (store.Store, error) {
			return postgres.Open(t.Context(), postgrestest.DSN(t), postgres.Options{Now: now})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &bundle{}
			b.us.Store(noon.UnixMicro())
			s, err := open(b.now)
			must(t, err)
			t.Cleanup(func() { must(t, s.Close()) })
			_, _, err = s.Migrate(t.Context())
			must(t, err)
			b.Store = s
			must(t, s.InsertTenant(t.Context(), tenant.Tenant{ID: acme, Name: "acme", Limits: tenant.Limits{Running: 100, Weight: 1}, State: tenant.Active, CreatedAt: noon}))
			must(t, s.InsertInstallation(t.Context(), installation.Installation{
				ID: shop, Tenant: acme, Name: "shop", Plugin: "plg_1", VersionID: "plv_1", PluginName: "shop", Version: "1.0.0",
				Config: []byte(`{}`), State: installation.Active, CreatedAt: noon, UpdatedAt: noon,
			}))
			_, err = s.Heartbeat(t.Context(), workerID, 365*24*time.Hour)
			must(t, err)
			b.Alerts = b.process("wrk_1")
			test(t, b)
		})
	}
}

func (b *bundle) process(holder string) *alert.Alerts {
	notices := notice.New(notice.Config{Store: b.Store, Now: b.now})
	return alert.New(alert.Config{
		Store: b.Store, Holder: holder, Now: b.now, After: func(time.Duration) <-chan time.Time { return nil }, Logger: slog.New(slog.DiscardHandler),
		Tell: func(ctx context.Context, n notice.Notice) (bool, error) {
			first, err := notices.Tell(ctx, n)
			if b.deaf.Load() {
				err = errors.New("nobody knows whether that was kept")
			}
			return first, err
		},
		Find: func(_ context.Context, _, object string) (alert.Subject, error) {
			if b.gone.Load() {
				return alert.Subject{}, fault.NotFound("endpoint", object)
			}
			if object == "nightly" {
				object = nightly
			}
			return alert.Subject{ID: object, Name: "its name", Installation: shop, Idle: b.idle.Load()}, nil
		},
	})
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// pass lets time pass, and looks now and then.
func (b *bundle) pass(tb testing.TB, d time.Duration) {
	tb.Helper()
	for until := b.now().Add(d); b.now().Before(until); {
		b.us.Add(min(max(time.Minute, d/10), until.Sub(b.now())).Microseconds())
		must(tb, b.Look(tb.Context()))
	}
}

func (b *bundle) put(tb testing.TB, object string, within time.Duration) {
	tb.Helper()
	_, err := b.Put(tb.Context(), acme, object, within)
	must(tb, err)
}

// told are the notices' kinds, the oldest first.
func (b *bundle) told(tb testing.TB) []string {
	tb.Helper()
	kinds := []string{}
	for _, n := range b.notices(tb) {
		kinds = append(kinds, string(n.Kind))
	}
	return kinds
}

func (b *bundle) notices(tb testing.TB) []notice.Notice {
	tb.Helper()
	all, err := b.Notices(tb.Context(), acme, "", 100)
	must(tb, err)
	for i, j := 0, len(all)-1; i < j; i, j = i+1, j-1 {
		all[i], all[j] = all[j], all[i]
	}
	return all
}

func (b *bundle) want(tb testing.TB, want ...string) {
	tb.Helper()
	if diff := cmp.Diff(append([]string{}, want...), b.told(tb)); diff != "" {
		tb.Errorf("what was told (-want +got):\n%s", diff)
	}
}

// queue stores an event with an execution.
func (b *bundle) queue(tb testing.TB, source string) string {
	tb.Helper()
	e := event.Event{
		ID: ident.New(ident.Event, b.now()), Tenant: acme, Installation: shop, Kind: event.Webhook, Name: "issues", Source: source, ReceivedAt: b.now(), Body: []byte("{}"),
	}
	w := event.Work{Execution: ident.New(ident.Execution, b.now()), Lane: event.Live}
	_, err := b.Accept(tb.Context(), e, &w)
	must(tb, err)
	return w.Execution
}

// die has what is queued end as dead, for one reason.
func (b *bundle) die(tb testing.TB, n int, fingerprint string) {
	tb.Helper()
	for range n {
		b.queue(tb, "")
	}
	taken, err := b.Claim(tb.Context(), workerID, []execution.Quota{{Tenant: acme, N: n, Running: 1000}}, 1000)
	claimed := taken.Claimed
	must(tb, err)
	for _, c := range claimed {
		err := b.Complete(tb.Context(), execution.Completion{
			Tenant: acme, Execution: c.Execution, Claim: c.Claim, Outcome: execution.Dead, Counted: true, Fingerprint: fingerprint,
			Error: []byte(`{"class":"plugin_bug","code":"trapped","message":"out of range"}`),
		})
		must(tb, err)
	}
	if len(claimed) != n {
		tb.Fatalf("%d died, want %d", len(claimed), n)
	}
}

func TestOneNoticeForAllThatDieForOneReason(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.die(t, 3, "aaa")
		b.pass(t, time.Minute)
		b.want(t, "execution_dead")
		b.die(t, 4, "aaa")
		b.pass(t, 59*time.Minute)
		b.die(t, 5, "aaa")
		b.pass(t, 30*time.Minute)
		b.want(t, "execution_dead")
		b.pass(t, 31*time.Minute)
		b.want(t, "execution_dead", "execution_quiet")
		b.die(t, 1, "aaa")
		b.pass(t, time.Minute)
		b.want(t, "execution_dead", "execution_quiet", "execution_dead")

		all := b.notices(t)
		first, quiet := all[0], all[1]
		if first.Count != 3 || first.Fingerprint != "aaa" || first.Installation != shop || first.Name != "its name" || first.Error == nil || first.Error.Code != "trapped" || first.Execution == "" {
			t.Errorf("got %+v", first)
		}
		if quiet.Count != 12 || !quiet.FirstAt.Equal(noon) || !quiet.LastAt.Equal(noon.Add(time.Hour)) {
			t.Errorf("got %+v", quiet)
		}
	})
}

// Each reason has a notice of its own, and whoever has died after telling tells nothing twice.
func TestTellingIsNotRepeated(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.die(t, 1, "aaa")
		b.deaf.Store(true)
		if err := b.Look(t.Context()); err == nil {
			t.Error("nobody said that telling failed")
		}
		b.deaf.Store(false)
		b.Alerts = b.process("wrk_2")
		must(t, b.Look(t.Context())) // It is not its turn.
		b.pass(t, 2*time.Minute)
		b.want(t, "execution_dead")
		b.die(t, 1, "bbb")
		b.pass(t, time.Minute)
		b.want(t, "execution_dead", "execution_dead")
	})
}

func TestSilence(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.put(t, issues, 2*time.Hour)
		b.put(t, "nightly", 26*time.Hour)
		b.pass(t, time.Hour)
		b.queue(t, issues)
		b.pass(t, 119*time.Minute)
		b.want(t)
		b.pass(t, 2*time.Minute)
		b.want(t, "endpoint_silent")
		b.pass(t, 3*time.Hour)
		b.want(t, "endpoint_silent")
		b.queue(t, "end_01J0000000000000000000000X") // Another one.
		b.pass(t, time.Minute)
		b.want(t, "endpoint_silent")
		b.queue(t, issues)
		b.pass(t, time.Minute)
		b.want(t, "endpoint_silent", "endpoint_heard")
		b.pass(t, 20*time.Hour)
		b.want(t, "endpoint_silent", "endpoint_heard", "endpoint_silent", "schedule_silent")
		n := b.notices(t)
		if n[0].Endpoint != issues || n[0].Installation != shop || !n[0].At.Equal(noon.Add(3*time.Hour)) || n[3].Schedule != nightly || n[3].Endpoint != "" {
			t.Errorf("got %+v", n)
		}
	})
}

// What is stored long after it was received is heard all the same.
func TestWhatComesLateIsHeard(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.put(t, issues, time.Hour)
		b.pass(t, 59*time.Minute)
		e := event.Event{
			ID: ident.New(ident.Event, b.now().Add(-80*time.Second)), Tenant: acme, Installation: shop, Kind: event.Webhook, Source: issues,
			ReceivedAt: b.now().Add(-80 * time.Second),
		}
		_, err := b.Accept(t.Context(), e, nil)
		must(t, err)
		b.pass(t, 30*time.Minute)
		b.want(t)
	})
}

func TestWhatIsDisabledIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.put(t, issues, time.Hour)
		b.idle.Store(true)
		b.pass(t, 5*time.Hour)
		b.idle.Store(false)
		b.pass(t, 59*time.Minute)
		b.want(t)
		b.pass(t, 2*time.Minute)
		b.want(t, "endpoint_silent")
		b.gone.Store(true)
		b.pass(t, time.Minute)
		if all, err := b.List(t.Context(), acme); err != nil || len(all) > 0 {
			t.Errorf("of what is gone are left %v, %v", all, err)
		}
	})
}

func TestTheQueueIsLate(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.put(t, alert.Queue, 10*time.Minute)
		b.pass(t, time.Hour)
		b.queue(t, "")
		b.pass(t, 9*time.Minute)
		b.want(t)
		b.pass(t, 3*time.Minute)
		b.want(t, "queue_late")
		_, err := b.Claim(t.Context(), workerID, []execution.Quota{{Tenant: acme, N: 10, Running: 1000}}, 0)
		must(t, err)
		b.pass(t, 2*time.Minute)
		b.want(t, "queue_late", "queue_caught_up")
		if n := b.notices(t)[0]; !n.FirstAt.Equal(noon.Add(time.Hour)) {
			t.Errorf("got %+v", n)
		}
	})
}

func TestTheDigest(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.put(t, alert.Digest, time.Hour)
		b.put(t, issues, 30*time.Minute)
		b.pass(t, 10*time.Minute)
		b.die(t, 3, "aaa")
		b.die(t, 1, "bbb")
		b.pass(t, 49*time.Minute)
		b.pass(t, 10*time.Minute)
		var digests []*notice.Digest
		for _, n := range b.notices(t) {
			if n.Digest != nil {
				digests = append(digests, n.Digest)
			}
		}
		if len(digests) != 1 {
			t.Fatalf("%d digests, and %v", len(digests), b.told(t))
		}
		d := digests[0]
		if !d.From.Equal(noon) || !d.To.Equal(noon.Add(time.Hour)) || len(d.Dead) != 2 || d.Dead[0].Count != 3 || d.Dead[0].Fingerprint != "aaa" || d.Dead[0].Error.Code != "trapped" {
			t.Errorf("got %+v", d)
		}
		if diff := cmp.Diff(map[notice.Kind]int{"execution_dead": 2, "endpoint_silent": 1}, d.Told); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{issues}, d.Silent); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		must(t, b.Delete(t.Context(), acme, issues))
		before := len(b.told(t))
		b.pass(t, 5*time.Hour) // One more: that executions die no more was told.
		if got := len(b.told(t)) - before; got != 3 {
			t.Errorf("of quiet hours came %v", b.told(t)[before:])
		}
	})
}

func TestWatchesThatAreNone(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bundle) {
		t.Helper()
		for object, within := range map[string]time.Duration{alert.Queue: time.Second, alert.Digest: 2 * time.Hour, issues: 91 * 24 * time.Hour, shop: time.Hour} {
			if _, err := b.Put(t.Context(), acme, object, within); err == nil {
				t.Errorf("%s within %s was taken", object, within)
			}
		}
		if err := b.Delete(t.Context(), acme, alert.Queue); err == nil || !strings.Contains(err.Error(), "not_found") {
			t.Errorf("got %v", err)
		}
	})
}
