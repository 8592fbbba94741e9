package redrive_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/job"
	"github.com/cofferdam-run/cofferdam/host/redrive"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/store/storetest"
	"github.com/cofferdam-run/cofferdam/host/tenant"
)

// bundle is a store in a bubble whose clock moves on while all wait.
type bundle struct {
	store    store.Store
	tenant   string
	redrives *redrive.Redrives
	jobs     *job.Jobs
	// before is called before each redrive of one.
	before func(id string) error

	mu  sync.Mutex
	log []time.Time
}

// RedriveBehind implements redrive.Executions with the real ones.
func (b *bundle) RedriveBehind(ctx context.Context, tenant, id string, mode execution.Mode) (execution.Execution, error) {
	b.mu.Lock()
	b.log = append(b.log, time.Now())
	b.mu.Unlock()
	if b.before != nil {
		if err := b.before(id); err != nil {
			return execution.Execution{}, err
		}
	}
	return b.executions().RedriveBehind(ctx, tenant, id, mode)
}

// Redrivable implements redrive.Executions.
func (b *bundle) Redrivable(ctx context.Context, tenant, id string, mode execution.Mode) error {
	return b.executions().Redrivable(ctx, tenant, id, mode)
}

func (b *bundle) executions() *execution.Executions {
	return execution.New(execution.Config{Store: b.store, Events: b.store, Now: time.Now, After: time.After})
}

func setup(t *testing.T) *bundle {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := &bundle{store: db, tenant: ident.New(ident.Tenant, time.Now())}
	err = db.InsertTenant(t.Context(), tenant.Tenant{
		ID: b.tenant, Name: "acme", Limits: tenant.Limits{Running: 1 << 20, Weight: 1}, State: tenant.Active, CreatedAt: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	b.jobs = job.New(job.Config{Store: db, Now: time.Now})
	b.redrives = redrive.New(redrive.Config{Store: db, Jobs: b.jobs, Executions: b, Now: time.Now})
	return b
}

// bury puts n executions into the store that died of something, and returns their ids.
func (b *bundle) bury(t *testing.T, n int, died *fault.Error) []string {
	t.Helper()
	var ids []string
	for range n {
		time.Sleep(time.Millisecond) // So that ids have an order.
		id := ident.New(ident.Execution, time.Now())
		_, err := b.store.Accept(t.Context(), event.Event{
			ID: ident.New(ident.Event, time.Now()), Tenant: b.tenant, Installation: "ins_1",
			Kind: event.Action, Name: "greet", Body: []byte("{}"), ReceivedAt: time.Now(),
		}, &event.Work{Execution: id, Lane: event.Live})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	b.end(t, n, func(c *execution.Completion) {
		doc, err := json.Marshal(died)
		if err != nil {
			t.Fatal(err)
		}
		c.Outcome, c.Error, c.Fingerprint = execution.Dead, doc, fault.Fingerprint(died)
	})
	return ids
}

// end claims n executions and ends them.
func (b *bundle) end(t *testing.T, n int, change func(*execution.Completion)) {
	t.Helper()
	if _, err := b.store.Heartbeat(t.Context(), "wrk_1", 24*time.Hour); err != nil {
		t.Fatal(err)
	}
	for n > 0 {
		taken, err := storetest.Claim(t.Context(), b.store, "wrk_1", []execution.Quota{{Tenant: b.tenant, N: min(n, 100), Running: 1 << 20}}, 1000)
		claimed := taken.Claimed
		if err != nil || len(claimed) == 0 {
			t.Fatalf("claimed %d and %v", len(claimed), err)
		}
		for _, c := range claimed {
			end := execution.Completion{Tenant: c.Tenant, Execution: c.Execution, Claim: c.Claim, Outcome: execution.Succeeded, Counted: true}
			if change != nil {
				change(&end)
			}
			if err := b.store.Complete(t.Context(), end); err != nil {
				t.Fatal(err)
			}
		}
		n -= len(claimed)
	}
}

// run runs the redrives until what it returns is called.
func (b *bundle) run(t *testing.T) (stop func()) {
	t.Helper()
	r := job.NewRunner(job.RunnerConfig{
		Store: b.store, Handlers: map[string]job.Handler{redrive.Kind: b.redrives}, Owner: "w1",
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

func (b *bundle) start(t *testing.T, s redrive.Spec) redrive.Redrive {
	t.Helper()
	r, err := b.redrives.Start(t.Context(), b.tenant, s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (b *bundle) await(t *testing.T, id string, want job.State) redrive.Redrive {
	t.Helper()
	for deadline := time.Now().Add(time.Hour); ; time.Sleep(100 * time.Millisecond) {
		got, err := b.redrives.Get(t.Context(), b.tenant, id)
		if err != nil {
			t.Fatal(err)
		}
		if got.State == want {
			return got
		}
		if time.Now().After(deadline) {
			t.Fatalf("the redrive is %s, want %s: %+v", got.State, want, got)
		}
	}
}

// count is how many executions are in a state.
func (b *bundle) count(t *testing.T, state execution.State) int {
	t.Helper()
	n, before := 0, ""
	for {
		page, err := b.store.Executions(t.Context(), b.tenant, execution.Filter{State: state, Before: before, Limit: 200})
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return n
		}
		n, before = n+len(page), page[len(page)-1].ID
	}
}

func broken() *fault.Error { return fault.New(fault.Upstream, "http_500", "it broke") }

func TestThousandAtARate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.bury(t, 1000, broken())
		defer b.run(t)()
		r := b.start(t, redrive.Spec{All: true, Rate: 25})
		began := time.Now()
		got := b.await(t, r.ID, job.Done)
		if took := time.Since(began); took < 38*time.Second || took > 45*time.Second {
			t.Errorf("a thousand at 25 in a second took %v, want 40 s", took)
		}
		want := redrive.Progress{Matched: 1000, Redriven: 1000, Refusals: []redrive.Refusal{}}
		if diff := cmp.Diff(want, got.Progress); diff != "" {
			t.Errorf("progress (-want +got):\n%s", diff)
		}
		if n := b.count(t, execution.Queued); n != 1000 {
			t.Errorf("%d are queued, want 1000", n)
		}
		for i := 50; i < len(b.log); i++ {
			if gap := b.log[i].Sub(b.log[i-50]); gap < time.Second {
				t.Fatalf("redrives %d to %d came within %v", i-50, i, gap)
			}
		}
	})
}

func TestOneThatSucceededMeanwhileIsSkipped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		ids := b.bury(t, 3, broken())
		b.before = func(id string) error {
			if id != ids[1] {
				return nil
			}
			// Somebody else redrives it, and it succeeds, between look and redrive.
			if _, err := b.executions().Redrive(t.Context(), b.tenant, id, execution.Force); err != nil {
				return err
			}
			if _, err := b.executions().Cancel(t.Context(), b.tenant, ids[0]); err != nil {
				return err
			}
			b.end(t, 1, nil)
			return nil
		}
		defer b.run(t)()
		got := b.await(t, b.start(t, redrive.Spec{All: true}).ID, job.Done)
		if p := got.Progress; p.Redriven != 2 || p.Skipped != 1 || p.Refused != 0 {
			t.Errorf("progress %+v, want two redriven and one skipped", p)
		}
		if e, err := b.store.Execution(t.Context(), b.tenant, ids[1]); err != nil || e.State != execution.Succeeded {
			t.Errorf("it is %s and %v, want succeeded", e.State, err)
		}
	})
}

func TestWhatDiesAgainIsNotTakenAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.bury(t, 5, broken())
		r := b.start(t, redrive.Spec{All: true, Rate: 1})
		time.Sleep(time.Second)
		b.bury(t, 2, broken()) // After it has begun.
		defer b.run(t)()
		got := b.await(t, r.ID, job.Done)
		if got.Progress.Redriven != 5 || got.Progress.Matched != 5 {
			t.Errorf("progress %+v, want five", got.Progress)
		}
		if n := b.count(t, execution.Dead); n != 2 {
			t.Errorf("%d are dead, want the two that died after", n)
		}
	})
}

func TestCrashDoesNotRedriveTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		ids := b.bury(t, 30, broken())
		r := b.start(t, redrive.Spec{All: true, Rate: 10})
		// A process takes a step, saves it, takes the next, and dies before it saves that.
		j := b.claim(t)
		step := b.step(t, j)
		if _, err := b.store.SaveJob(t.Context(), j, job.Saved{Progress: step.Progress, Cursor: step.Cursor}); err != nil {
			t.Fatal(err)
		}
		j = b.claim(t)
		b.step(t, j)
		b.end(t, 20, nil) // They succeed.
		defer b.run(t)()
		got := b.await(t, r.ID, job.Done)
		if p := got.Progress; p.Redriven != 20 || p.Skipped != 0 || p.Matched != 30 {
			t.Errorf("progress %+v, want the 10 that were saved and the last 10", p)
		}
		for i, id := range ids {
			e, err := b.store.Execution(t.Context(), b.tenant, id)
			if err != nil {
				t.Fatal(err)
			}
			if want := int64(2); i < 20 && e.Claim != want || i >= 20 && e.State != execution.Queued {
				t.Errorf("execution %d is %s with claim %d", i, e.State, e.Claim)
			}
		}
	})
}

func (b *bundle) claim(t *testing.T) job.Job {
	t.Helper()
	claimed, _, err := b.store.ClaimJobs(t.Context(), job.Claiming{Owner: "w0", Kinds: []string{redrive.Kind}, N: 1, Lease: 10 * time.Second})
	if err != nil || len(claimed) != 1 {
		t.Fatalf("claimed %d and %v", len(claimed), err)
	}
	return claimed[0]
}

func (b *bundle) step(t *testing.T, j job.Job) job.Step {
	t.Helper()
	step, err := b.redrives.Step(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	return step
}

func TestPauseAndCancelStopTheRedrives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.bury(t, 100, broken())
		defer b.run(t)()
		r := b.start(t, redrive.Spec{All: true, Rate: 10})
		time.Sleep(3500 * time.Millisecond)
		if _, err := b.redrives.Pause(t.Context(), b.tenant, r.ID); err != nil {
			t.Fatal(err)
		}
		paused := len(b.log)
		time.Sleep(time.Hour)
		if len(b.log) != paused || paused < 10 || paused > 50 {
			t.Errorf("%d were redriven before the pause and %d after", paused, len(b.log)-paused)
		}
		if _, err := b.redrives.Resume(t.Context(), b.tenant, r.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Second)
		got, err := b.redrives.Cancel(t.Context(), b.tenant, r.ID)
		if err != nil {
			t.Fatal(err)
		}
		cancelled := len(b.log)
		time.Sleep(time.Hour)
		if len(b.log) != cancelled || cancelled <= paused || got.Progress.Redriven != cancelled || got.State != job.Cancelled {
			t.Errorf("%d after the pause, %d after the end, counted %+v", cancelled-paused, len(b.log)-cancelled, got)
		}
	})
}

func TestFilters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.bury(t, 250, broken())
		gone := fault.New(fault.Auth, "upstream_auth", "the credential was refused")
		b.bury(t, 3, gone)
		for name, test := range map[string]struct {
			f    redrive.Filter
			want int
		}{
			"a class":       {redrive.Filter{Class: fault.Auth}, 3},
			"a code":        {redrive.Filter{Code: "http_500"}, 250},
			"both":          {redrive.Filter{Class: fault.Auth, Code: "http_500"}, 0},
			"a fingerprint": {redrive.Filter{Fingerprint: fault.Fingerprint(gone)}, 3},
			"nothing":       {redrive.Filter{Installation: "ins_2"}, 0},
		} {
			plan, err := b.redrives.Plan(t.Context(), b.tenant, redrive.Spec{Filter: test.f})
			if err != nil {
				t.Fatal(err)
			}
			if plan.Matched != test.want || plan.Checked != min(test.want, 100) || plan.Refused != 0 {
				t.Errorf("%s: the plan is %+v, want %d", name, plan, test.want)
			}
		}
		// Those of the class lie behind more than a page of others.
		defer b.run(t)()
		got := b.await(t, b.start(t, redrive.Spec{Filter: redrive.Filter{Class: fault.Auth}}).ID, job.Done)
		if got.Progress.Redriven != 3 || b.count(t, execution.Dead) != 250 {
			t.Errorf("progress %+v", got.Progress)
		}
	})
}

func TestRefusalsAreCountedAndTheFirstNamed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		ids := b.bury(t, 30, broken())
		b.before = func(id string) error {
			if id == ids[29] {
				return nil
			}
			return fault.New(fault.Conflict, execution.CodeWouldRepeat, "no")
		}
		defer b.run(t)()
		got := b.await(t, b.start(t, redrive.Spec{All: true, Rate: 1000, Mode: execution.Restart}).ID, job.Done)
		p := got.Progress
		if p.Refused != 29 || p.Redriven != 1 || len(p.Refusals) != 20 || p.Refusals[0] != (redrive.Refusal{Execution: ids[0], Code: execution.CodeWouldRepeat}) {
			t.Errorf("progress %+v", p)
		}
	})
}

func TestErrorsOfOursAreNoRefusals(t *testing.T) {
	t.Parallel()
	outage := fault.New(fault.Platform, fault.CodeDatabaseUnreachable, "the database does not answer")
	for name, test := range map[string]struct {
		err   error
		times int
		want  job.State
		after int
	}{
		"an outage is waited for":   {outage, 3, job.Done, 5},
		"any other fails the whole": {errors.New("boom"), 1 << 20, job.Failed, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t)
				ids := b.bury(t, 5, broken())
				times := 0
				b.before = func(id string) error {
					if id == ids[2] && times < test.times {
						times++
						return test.err
					}
					return nil
				}
				defer b.run(t)()
				got := b.await(t, b.start(t, redrive.Spec{All: true, Rate: 1000}).ID, test.want)
				if got.Progress.Redriven != test.after || got.Progress.Refused != 0 {
					t.Errorf("progress %+v, want %d redriven", got.Progress, test.after)
				}
			})
		})
	}
}

func TestSpecs(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	r := redrive.New(redrive.Config{})
	for name, test := range map[string]struct {
		s           redrive.Spec
		code, where string
	}{
		"no filter":          {redrive.Spec{}, "filter_missing", "/filter"},
		"no such mode":       {redrive.Spec{All: true, Mode: "sideways"}, "mode_unknown", "/mode"},
		"too fast":           {redrive.Spec{All: true, Rate: 1001}, "rate_invalid", "/rate"},
		"backwards":          {redrive.Spec{All: true, Rate: -1}, "rate_invalid", "/rate"},
		"an empty period":    {redrive.Spec{Filter: redrive.Filter{Since: now, Until: now}}, "period_empty", "/filter/until"},
		"a period backwards": {redrive.Spec{Filter: redrive.Filter{Since: now, Until: now.Add(-1)}}, "period_empty", "/filter/until"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, planned := r.Plan(t.Context(), "ten_a", test.s)
			_, started := r.Start(t.Context(), "ten_a", test.s)
			for _, err := range []error{planned, started} {
				if f := fault.From(err); f == nil || f.Code != test.code || f.Where != test.where {
					t.Errorf("got %v, want %s at %s", err, test.code, test.where)
				}
			}
		})
	}
}

func TestJobsOfOtherKindsAreNoRedrives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		j, err := b.jobs.Create(t.Context(), b.tenant, "shadow", map[string]int{})
		if err != nil {
			t.Fatal(err)
		}
		for what, do := range map[string]func(context.Context, string, string) (redrive.Redrive, error){
			"get": b.redrives.Get, "pause": b.redrives.Pause, "resume": b.redrives.Resume, "cancel": b.redrives.Cancel,
		} {
			if _, err := do(t.Context(), b.tenant, j.ID); err == nil || fault.From(err).Code != fault.CodeNotFound {
				t.Errorf("%s: got %v, want not_found", what, err)
			}
		}
		all, err := b.redrives.List(t.Context(), b.tenant, "", 0)
		if err != nil || len(all) != 0 {
			t.Errorf("listed %+v and %v", all, err)
		}
		r := b.start(t, redrive.Spec{Filter: redrive.Filter{Code: "x"}})
		if all, err = b.redrives.List(t.Context(), b.tenant, "", 0); err != nil || fmt.Sprint(all) != fmt.Sprint([]redrive.Redrive{r}) {
			t.Errorf("listed %+v and %v, want %+v", all, err, r)
		}
	})
}
