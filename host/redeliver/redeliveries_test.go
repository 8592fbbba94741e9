package redeliver_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/job"
	"github.com/cofferdam-run/cofferdam/host/redeliver"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/store/storetest"
	"github.com/cofferdam-run/cofferdam/host/tenant"
)

// bundle is a store in a bubble whose clock moves on while all wait.
type bundle struct {
	store                store.Store
	tenant, installation string
	all                  *redeliver.Redeliveries
	jobs                 *job.Jobs
	woken                atomic.Int64
}

func setup(t *testing.T) *bundle {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{})
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	_, _, err = db.Migrate(t.Context())
	must(t, err)
	now := time.Now()
	b := &bundle{store: db, tenant: ident.New(ident.Tenant, now), installation: ident.New(ident.Installation, now)}
	must(t, db.InsertTenant(t.Context(), tenant.Tenant{
		ID: b.tenant, Name: "acme", Limits: tenant.Limits{Running: 1 << 20, Weight: 1}, State: tenant.Active, CreatedAt: now,
	}))
	must(t, db.InsertInstallation(t.Context(), installation.Installation{
		ID: b.installation, Tenant: b.tenant, Name: "hello", Plugin: "plg_1", VersionID: "plv_1", PluginName: "hello", Version: "0.1.0",
		Config: []byte("{}"), State: installation.Active, CreatedAt: now, UpdatedAt: now,
	}))
	b.jobs = job.New(job.Config{Store: db, Now: time.Now})
	b.all = b.redeliveries(db)
	return b
}

func (b *bundle) redeliveries(s redeliver.Store) *redeliver.Redeliveries {
	return redeliver.New(redeliver.Config{
		Store: s, Jobs: b.jobs, Now: time.Now, After: time.After, Wake: func(context.Context, string) { b.woken.Add(1) },
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// arrive puts n deliveries into the store whose executions end as they say.
func (b *bundle) arrive(t *testing.T, n int, outcome execution.State, body func(i int) string) []string {
	t.Helper()
	var events []string
	for i := range n {
		time.Sleep(time.Millisecond) // So that ids have an order.
		e := delivery(body(i))
		e.ID, e.Tenant, e.Installation, e.Source, e.ReceivedAt = ident.New(ident.Event, time.Now()), b.tenant, b.installation, "end_1", time.Now()
		e.DedupeKey = e.ID
		_, err := b.store.Accept(t.Context(), e, &event.Work{Execution: ident.New(ident.Execution, time.Now()), Lane: event.Live})
		must(t, err)
		events = append(events, e.ID)
	}
	b.end(t, n, outcome)
	return events
}

func (b *bundle) end(t *testing.T, n int, outcome execution.State) {
	t.Helper()
	_, err := b.store.Heartbeat(t.Context(), "wrk_1", 24*time.Hour)
	must(t, err)
	for n > 0 {
		taken, err := storetest.Claim(t.Context(), b.store, "wrk_1", []execution.Quota{{Tenant: b.tenant, N: min(n, 100), Running: 1 << 20}}, 100)
		must(t, err)
		if len(taken.Claimed) == 0 {
			t.Fatalf("%d are missing", n)
		}
		for _, c := range taken.Claimed {
			end := execution.Completion{Tenant: c.Tenant, Execution: c.Execution, Claim: c.Claim, Outcome: outcome, Counted: true}
			if outcome == execution.Dead {
				end.Fingerprint, end.Error = "f", []byte(`{"class":"upstream","code":"http_500","message":"it broke"}`)
			}
			must(t, b.store.Complete(t.Context(), end))
		}
		n -= len(taken.Claimed)
	}
}

func same(text string) func(int) string { return func(int) string { return text } }

// run runs redeliveries until what it returns is called.
func (b *bundle) run(t *testing.T, h job.Handler, s job.Store) (stop func()) {
	t.Helper()
	r := job.NewRunner(job.RunnerConfig{
		Store: s, Handlers: map[string]job.Handler{redeliver.Kind: h}, Owner: "w1",
		Now: time.Now, After: time.After, Logger: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Run(ctx)
	}()
	return func() {
		cancel()
		<-ended
	}
}

func (b *bundle) start(t *testing.T, s redeliver.Spec) redeliver.Redelivery {
	t.Helper()
	r, err := b.all.Start(t.Context(), b.tenant, s)
	must(t, err)
	return r
}

func (b *bundle) await(t *testing.T, id string, want job.State) redeliver.Redelivery {
	t.Helper()
	for deadline := time.Now().Add(time.Hour); ; time.Sleep(100 * time.Millisecond) {
		got, err := b.all.Get(t.Context(), b.tenant, id)
		must(t, err)
		if got.State == want {
			return got
		}
		if time.Now().After(deadline) {
			t.Fatalf("the redelivery is %s, want %s: %+v", got.State, want, got)
		}
	}
}

// outcomes are all that a redelivery has made, by event.
func (b *bundle) outcomes(t *testing.T, id string) map[string]execution.State {
	t.Helper()
	all := map[string]execution.State{}
	for after := ""; ; {
		page, err := b.all.Outcomes(t.Context(), b.tenant, id, redeliver.OutcomeFilter{After: after, Limit: 7})
		must(t, err)
		for _, o := range page {
			if _, twice := all[o.Event]; twice {
				t.Errorf("%s has two executions", o.Event)
			}
			all[o.Event], after = o.State, o.Execution
		}
		if len(page) == 0 {
			return all
		}
	}
}

func TestPacedOnceEach(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		events := b.arrive(t, 60, execution.Dead, same("{}"))
		done := b.arrive(t, 3, execution.Succeeded, same("{}"))
		stop := b.run(t, b.all, b.store)
		defer stop()
		began := time.Now()
		r := b.start(t, redeliver.Spec{Installation: b.installation, Pace: 20})
		got := b.await(t, r.ID, job.Done)
		if took := time.Since(began); took < 2*time.Second || took > 8*time.Second {
			t.Errorf("60 at 20 in a second took %v", took)
		}
		want := redeliver.Tally{Looked: 63, Matched: 63, Redelivered: 60, Skipped: redeliver.Skipped{Succeeded: 3}, At: got.Progress.At}
		if diff := cmp.Diff(want, got.Progress); diff != "" {
			t.Errorf("(-want +got) %s", diff)
		}
		last, _ := ident.Time(done[2])
		if !got.Progress.At.Equal(last) || b.woken.Load() == 0 {
			t.Errorf("it came to %v, want %v, and woke %d times", got.Progress.At, last, b.woken.Load())
		}
		all := b.outcomes(t, r.ID)
		for _, e := range events {
			if all[e] != execution.Queued {
				t.Errorf("%s is %q", e, all[e])
			}
		}
		// What goes on is left alone, even if it is forced; then it is redelivered, and so
		// is what has succeeded.
		r = b.start(t, redeliver.Spec{Endpoint: "end_1", Force: true, Pace: 1000})
		if got = b.await(t, r.ID, job.Done); got.Progress.Redelivered != 3 || got.Progress.Skipped.Unfinished != 60 {
			t.Errorf("forced: %+v", got.Progress)
		}
		b.end(t, 63, execution.Succeeded)
		r = b.start(t, redeliver.Spec{Endpoint: "end_1", Force: true, Pace: 1000})
		if got = b.await(t, r.ID, job.Done); got.Progress.Redelivered != 63 {
			t.Errorf("forced again: %+v", got.Progress)
		}
	})
}

func TestFilterOfMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		large := strings.Repeat("x", 1<<20+1)
		events := b.arrive(t, 10, execution.Dead, func(i int) string {
			switch i {
			case 3:
				return `{"other":1}`
			case 4:
				return large
			default:
				return fmt.Sprintf(`{"n":%d}`, i)
			}
		})
		s := redeliver.Spec{Installation: b.installation, Filter: "body.n >= 5", Pace: 3}
		plan, err := b.all.Plan(t.Context(), b.tenant, s)
		must(t, err)
		want := redeliver.Plan{Complete: true, Tally: redeliver.Tally{
			Looked: 10, Matched: 5, Redelivered: 5, Undecided: 2, At: plan.At,
			Example: &redeliver.Undecided{Event: events[3], Reason: "no such key: n"},
		}}
		if diff := cmp.Diff(want, plan); diff != "" {
			t.Errorf("(-want +got) %s", diff)
		}
		if all, err := b.all.List(t.Context(), b.tenant, "", 0); err != nil || len(all) > 0 {
			t.Errorf("a plan has started %v, and %v", all, err)
		}
		stop := b.run(t, b.all, b.store)
		defer stop()
		r := b.start(t, s)
		got := b.await(t, r.ID, job.Done)
		if diff := cmp.Diff(want.Tally, got.Progress); diff != "" {
			t.Errorf("(-want +got) %s", diff)
		}
		if all := b.outcomes(t, r.ID); len(all) != 5 || all[events[9]] == "" || all[events[4]] != "" {
			t.Errorf("it made %v", all)
		}
		// Now those go on, which the plan knows, too.
		plan, err = b.all.Plan(t.Context(), b.tenant, s)
		if must(t, err); plan.Redelivered != 0 || plan.Skipped.Unfinished != 5 {
			t.Errorf("the plan is %+v", plan)
		}
	})
}

// slow is a store whose windows take a second.
type slow struct{ redeliver.Store }

func (s slow) Deliveries(ctx context.Context, tenant string, spec redeliver.Spec, after string, _ int) (redeliver.Window, error) {
	time.Sleep(time.Second)
	return s.Store.Deliveries(ctx, tenant, spec, after, 1)
}

// counting is a store that notes how large its windows are.
type counting struct {
	redeliver.Store
	windows *[]int
}

func (c counting) Deliveries(ctx context.Context, tenant string, spec redeliver.Spec, after string, limit int) (redeliver.Window, error) {
	*c.windows = append(*c.windows, limit)
	return c.Store.Deliveries(ctx, tenant, spec, after, limit)
}

// TestAStepLooksAtWhatItNeeds: it redelivers what a tenth of a second of its pace has, piece
// by piece. It reads no thousand events for the few of a piece, nor those one by one that a
// filter leaves out.
func TestAStepLooksAtWhatItNeeds(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		pace    int
		filter  string
		windows []int
		made    int
		done    bool
	}{
		"one piece":             {50, "", []int{5}, 5, false},
		"many are left out":     {50, "body.n >= 25", []int{5, 10, 20}, 5, false},
		"a fast pace has more":  {500, "", []int{50}, 50, false},
		"pieces share a window": {500, "body.n >= 10", []int{50, 50}, 48, true},
		"the last are not full": {1000, "", []int{100}, 58, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t)
				b.arrive(t, 58, execution.Dead, func(i int) string { return fmt.Sprintf(`{"n":%d}`, i) })
				var windows []int
				all := b.redeliveries(counting{b.store, &windows})
				r := b.start(t, redeliver.Spec{Installation: b.installation, Pace: tt.pace, Filter: tt.filter})
				j, err := b.jobs.Get(t.Context(), b.tenant, r.ID)
				must(t, err)
				began := time.Now()
				step, err := all.Step(t.Context(), j)
				must(t, err)
				if diff := cmp.Diff(tt.windows, windows); diff != "" {
					t.Errorf("(-want +got) %s", diff)
				}
				if made, err := all.Outcomes(t.Context(), b.tenant, r.ID, redeliver.OutcomeFilter{Limit: 200}); err != nil || len(made) != tt.made || step.Done != tt.done {
					t.Errorf("it made %d and %v, want %d, and is done: %v", len(made), err, tt.made, step.Done)
				}
				if took, due := time.Since(began)+step.Wait, time.Duration(tt.made)*time.Second/time.Duration(tt.pace); took != due {
					t.Errorf("the next one is after %v, want %v", took, due)
				}
			})
		})
	}
}

func TestPlanSaysThatItStoppedEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		events := b.arrive(t, 20, execution.Dead, same("{}"))
		plan, err := b.redeliveries(slow{b.store}).Plan(t.Context(), b.tenant, redeliver.Spec{Installation: b.installation})
		must(t, err)
		if at, _ := ident.Time(events[plan.Looked-1]); plan.Complete || plan.Looked > 6 || !plan.At.Equal(at) {
			t.Errorf("the plan is %+v", plan)
		}
	})
}

func TestOneEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		e := b.arrive(t, 3, execution.Succeeded, same("{}"))[1]
		stop := b.run(t, b.all, b.store)
		defer stop()
		r := b.start(t, redeliver.Spec{Event: e})
		if got := b.await(t, r.ID, job.Done); got.Progress.Skipped.Succeeded != 1 || got.Progress.Redelivered != 0 {
			t.Errorf("not forced: %+v", got.Progress)
		}
		r = b.start(t, redeliver.Spec{Event: e, Force: true})
		b.await(t, r.ID, job.Done)
		if diff := cmp.Diff(map[string]execution.State{e: execution.Queued}, b.outcomes(t, r.ID)); diff != "" {
			t.Errorf("(-want +got) %s", diff)
		}
	})
}

func TestWhatArrivesLaterIsLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.arrive(t, 5, execution.Dead, same("{}"))
		r := b.start(t, redeliver.Spec{Installation: b.installation})
		time.Sleep(time.Second)
		b.arrive(t, 5, execution.Dead, same("{}"))
		stop := b.run(t, b.all, b.store)
		defer stop()
		if got := b.await(t, r.ID, job.Done); got.Progress.Looked != 5 || got.Progress.Redelivered != 5 {
			t.Errorf("it did %+v", got.Progress)
		}
	})
}

// dying is a process that dies: what its steps do arrives, and nothing that it saves.
type dying struct {
	job.Store
	dead *atomic.Bool
}

var errDead = errors.New("the process is dead")

func (d dying) SaveJob(ctx context.Context, j job.Job, s job.Saved) (job.State, error) {
	if d.dead.Load() {
		return "", errDead
	}
	return d.Store.SaveJob(ctx, j, s)
}

func (d dying) ClaimJobs(ctx context.Context, c job.Claiming) ([]job.Job, time.Time, error) {
	if d.dead.Load() {
		return nil, time.Time{}, errDead
	}
	return d.Store.ClaimJobs(ctx, c)
}

// striking has its process die with a step.
type striking struct {
	*redeliver.Redeliveries
	at   int
	dead *atomic.Bool
}

func (s *striking) Step(ctx context.Context, j job.Job) (job.Step, error) {
	s.at--
	if s.at == 0 {
		s.dead.Store(true)
	}
	return s.Redeliveries.Step(ctx, j)
}

func TestDiesInMidStepThreeTimes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		events := b.arrive(t, 45, execution.Dead, same("{}"))
		r := b.start(t, redeliver.Spec{Installation: b.installation, Pace: 5})
		for range 3 {
			dead := &atomic.Bool{}
			stop := b.run(t, &striking{Redeliveries: b.all, at: 3, dead: dead}, dying{b.store, dead})
			for !dead.Load() {
				time.Sleep(100 * time.Millisecond)
			}
			stop()
		}
		stop := b.run(t, b.all, b.store)
		defer stop()
		if got := b.await(t, r.ID, job.Done); got.Progress.Redelivered != 45 || got.Progress.Looked != 45 || got.Progress.Skipped != (redeliver.Skipped{}) {
			t.Errorf("it did %+v", got.Progress)
		}
		if all := b.outcomes(t, r.ID); len(all) != len(events) {
			t.Errorf("it made %d", len(all))
		}
		waits, err := b.store.Executions(t.Context(), b.tenant, execution.Filter{State: execution.Queued})
		if must(t, err); len(waits) != 45 {
			t.Errorf("%d are queued", len(waits))
		}
	})
}

func TestPausedResumedCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.arrive(t, 50, execution.Dead, same("{}"))
		stop := b.run(t, b.all, b.store)
		defer stop()
		r := b.start(t, redeliver.Spec{Installation: b.installation, Pace: 5})
		time.Sleep(4 * time.Second)
		_, err := b.all.Pause(t.Context(), b.tenant, r.ID)
		must(t, err)
		time.Sleep(2 * time.Second)
		paused := b.await(t, r.ID, job.Paused).Progress.Redelivered
		time.Sleep(time.Minute)
		if got := b.await(t, r.ID, job.Paused).Progress.Redelivered; got != paused || got == 0 || got > 30 {
			t.Errorf("paused at %d, and is at %d", paused, got)
		}
		_, err = b.all.Resume(t.Context(), b.tenant, r.ID)
		must(t, err)
		time.Sleep(3 * time.Second)
		_, err = b.all.Cancel(t.Context(), b.tenant, r.ID)
		must(t, err)
		time.Sleep(time.Minute)
		got := b.await(t, r.ID, job.Cancelled).Progress.Redelivered
		if got <= paused || got >= 50 || len(b.outcomes(t, r.ID)) != got {
			t.Errorf("cancelled at %d, with %d made", got, len(b.outcomes(t, r.ID)))
		}
	})
}

func TestSpecsThatAreWrong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		for name, tt := range map[string]struct {
			s           redeliver.Spec
			code, where string
		}{
			"nothing is meant":      {redeliver.Spec{Since: time.Now()}, "selection_missing", "/endpoint"},
			"too fast":              {redeliver.Spec{Endpoint: "end_1", Pace: 10_001}, "pace_invalid", "/pace"},
			"backwards":             {redeliver.Spec{Endpoint: "end_1", Pace: -1}, "pace_invalid", "/pace"},
			"ends before it begins": {redeliver.Spec{Endpoint: "end_1", Since: time.Now(), Until: time.Now()}, "period_empty", "/until"},
			"a filter that is none": {redeliver.Spec{Endpoint: "end_1", Filter: "name ="}, "filter_invalid", "/filter"},
		} {
			_, planned := b.all.Plan(t.Context(), b.tenant, tt.s)
			_, started := b.all.Start(t.Context(), b.tenant, tt.s)
			for _, err := range []error{planned, started} {
				if f, ok := errors.AsType[*fault.Error](err); !ok || f.Code != tt.code || f.Where != tt.where {
					t.Errorf("%s: got %v, want %s at %s", name, err, tt.code, tt.where)
				}
			}
		}
		_, err := b.all.Outcomes(t.Context(), b.tenant, "job_none", redeliver.OutcomeFilter{})
		if f := fault.From(err); err == nil || f.Code != fault.CodeNotFound || !strings.Contains(f.Message, "redelivery") {
			t.Errorf("got %v, want that there is no such redelivery", err)
		}
	})
}

// TestPiecesOfAPace: what comes at once is little where live work runs beside it, and no pace
// has more than ninety pieces a second.
func TestPiecesOfAPace(t *testing.T) {
	t.Parallel()
	for pace, want := range map[int]int{1: 1, 9: 1, 50: 5, 100: 10, 250: 25, 500: 25, 719: 25, 1000: 25, 2000: 25, 4000: 50, 8000: 100, 16_000: 200, 20_000: 200} {
		if got := redeliver.PieceOf(pace); got != want {
			t.Errorf("a pace of %d has pieces of %d events, want %d", pace, got, want)
		}
		if pieces := pace / redeliver.PieceOf(pace); pieces > 90 && pace <= 16_000 {
			t.Errorf("a pace of %d has %d pieces a second", pace, pieces)
		}
	}
}
