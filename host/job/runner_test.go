package job_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/job"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
)

// counting is a handler that counts up to N, a step for each number, and keeps the
// cursors that its steps began with.
type counting struct {
	n    int
	wait time.Duration
	// hook is called within each step.
	hook func(ctx context.Context, j job.Job) error

	mu    sync.Mutex
	began []string
}

// Step implements job.Handler.
func (c *counting) Step(ctx context.Context, j job.Job) (job.Step, error) {
	c.mu.Lock()
	c.began = append(c.began, j.Cursor)
	c.mu.Unlock()
	if c.hook != nil {
		if err := c.hook(ctx, j); err != nil {
			return job.Step{}, err
		}
	}
	at := 0
	if j.Cursor != "" {
		var err error
		if at, err = strconv.Atoi(j.Cursor); err != nil {
			return job.Step{}, err
		}
	}
	at++
	return job.Step{
		Progress: json.RawMessage(fmt.Sprintf(`{"at":%d}`, at)), Cursor: strconv.Itoa(at), Done: at >= c.n, Wait: c.wait,
	}, nil
}

func (c *counting) cursors() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.began, ",")
}

// bundle is a store in a bubble, with its clock.
type bundle struct {
	store job.Store
	jobs  *job.Jobs
}

// setup makes a bundle in a bubble whose clock moves on while all wait.
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
	return &bundle{store: db, jobs: job.New(job.Config{Store: db, Now: time.Now})}
}

// run runs a Runner until what it returns is called.
func (b *bundle) run(t *testing.T, h job.Handler, change func(*job.RunnerConfig)) (r *job.Runner, stop func()) {
	t.Helper()
	c := job.RunnerConfig{
		Store: b.store, Handlers: map[string]job.Handler{"count": h}, Owner: "w1",
		Now: time.Now, After: time.After, Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&c)
	}
	r = job.NewRunner(c)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Run(ctx)
	}()
	return r, func() {
		cancel()
		<-ended
	}
}

func (b *bundle) create(t *testing.T) job.Job {
	t.Helper()
	j, err := b.jobs.Create(t.Context(), "ten_a", "count", map[string]int{"a": 1})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// await waits until a job is in a state, for at most ten minutes of the bubble's.
func (b *bundle) await(t *testing.T, j job.Job, want job.State) job.Job {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		got, err := b.jobs.Get(t.Context(), j.Tenant, j.ID)
		if err != nil {
			t.Fatal(err)
		}
		if got.State == want {
			return got
		}
		if time.Now().After(deadline) {
			t.Fatalf("the job is %s, want %s: %+v", got.State, want, got)
		}
	}
}

func TestJobIsDoneStepByStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		h := &counting{n: 5, wait: 7 * time.Second}
		j, began := b.create(t), time.Now()
		_, stop := b.run(t, h, nil)
		defer stop()
		got := b.await(t, j, job.Done)
		if took := time.Since(began); took < 28*time.Second || took > 40*time.Second {
			t.Errorf("five steps took %v, want four pauses of 7 s", took)
		}
		if diff := cmp.Diff(",1,2,3,4", h.cursors()); diff != "" {
			t.Errorf("cursors (-want +got):\n%s", diff)
		}
		if string(got.Progress) != `{"at":5}` || got.FinishedAt.IsZero() {
			t.Errorf("it ended as %+v", got)
		}
	})
}

func TestWakeFindsItAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		h := &counting{n: 3}
		r, stop := b.run(t, h, nil)
		defer stop()
		time.Sleep(time.Second)
		j, began := b.create(t), time.Now()
		r.Wake()
		synctest.Wait()
		if got := b.await(t, j, job.Done); time.Since(began) > 0 {
			t.Errorf("it took %v: %+v", time.Since(began), got)
		}
	})
}

// lost is a store whose process has died: nothing that it writes arrives.
type lost struct {
	job.Store
	dead *atomic.Bool
}

var errDead = errors.New("the process is dead")

func (l lost) ClaimJobs(ctx context.Context, c job.Claiming) ([]job.Job, time.Time, error) {
	if l.dead.Load() {
		return nil, time.Time{}, errDead
	}
	return l.Store.ClaimJobs(ctx, c)
}

func (l lost) SaveJob(ctx context.Context, j job.Job, s job.Saved) (job.State, error) {
	if l.dead.Load() {
		return "", errDead
	}
	return l.Store.SaveJob(ctx, j, s)
}

func (l lost) RenewJob(ctx context.Context, j job.Job, lease time.Duration) (job.State, error) {
	if l.dead.Load() {
		return "", errDead
	}
	return l.Store.RenewJob(ctx, j, lease)
}

func TestCrashIsResumedAtTheLastCursor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		dead := &atomic.Bool{}
		died := make(chan time.Time, 1)
		first := &counting{n: 5, hook: func(_ context.Context, j job.Job) error {
			if j.Cursor == "2" {
				dead.Store(true)
				died <- time.Now()
			}
			return nil
		}}
		j := b.create(t)
		_, stopFirst := b.run(t, first, func(c *job.RunnerConfig) { c.Store = lost{b.store, dead} })
		at := <-died
		second := &counting{n: 5}
		_, stopSecond := b.run(t, second, func(c *job.RunnerConfig) { c.Owner = "w2" })
		defer stopSecond()
		got := b.await(t, j, job.Done)
		if took := time.Since(at); took < 20*time.Second || took > 40*time.Second {
			t.Errorf("it was taken over after %v, want a lease of 30 s", took)
		}
		if string(got.Progress) != `{"at":5}` || second.cursors() != "2,3,4" {
			t.Errorf("the second began at %q, and it ended as %s", second.cursors(), got.Progress)
		}
		stopFirst()
	})
}

func TestWhoLostItsClaimIsStopped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		dead, stopped := &atomic.Bool{}, make(chan error, 1)
		stuck := &counting{n: 2, hook: func(ctx context.Context, _ job.Job) error {
			dead.Store(true) // From here on the database does not hear of it.
			<-ctx.Done()
			dead.Store(false)
			stopped <- context.Cause(ctx)
			return nil // It believes that it has done its step.
		}}
		j := b.create(t)
		_, stop := b.run(t, stuck, func(c *job.RunnerConfig) { c.Store = lost{b.store, dead} })
		defer stop()
		time.Sleep(time.Second)
		second := &counting{n: 2}
		_, stopSecond := b.run(t, second, func(c *job.RunnerConfig) { c.Owner = "w2" })
		defer stopSecond()
		b.await(t, j, job.Done)
		if err := <-stopped; !errors.Is(err, job.ErrFenced) {
			t.Errorf("its context ended with %v, want %v", err, job.ErrFenced)
		}
		if second.cursors() != ",1" {
			t.Errorf("the second did %q, want all of it", second.cursors())
		}
	})
}

func TestNoJobRunsTwiceAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		var mu sync.Mutex
		busy, steps := map[string]int{}, map[string]int{}
		h := &counting{n: 6, wait: time.Second, hook: func(_ context.Context, j job.Job) error {
			mu.Lock()
			busy[j.ID]++
			steps[j.ID+" at "+j.Cursor]++
			if busy[j.ID] > 1 {
				t.Errorf("%s runs twice at once", j.ID)
			}
			mu.Unlock()
			time.Sleep(time.Minute) // Longer than a lease.
			mu.Lock()
			busy[j.ID]--
			mu.Unlock()
			return nil
		}}
		var all []job.Job
		for range 6 {
			all = append(all, b.create(t))
		}
		for i := range 3 {
			_, stop := b.run(t, h, func(c *job.RunnerConfig) { c.Owner, c.Slots = fmt.Sprint("w", i), 2 })
			defer stop()
		}
		for _, j := range all {
			b.await(t, j, job.Done)
		}
		for step, n := range steps {
			if n != 1 {
				t.Errorf("%s was made %d times", step, n)
			}
		}
		if len(steps) != 36 {
			t.Errorf("%d steps, want 36", len(steps))
		}
	})
}

func TestPauseLetsTheStepEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		in, out := make(chan struct{}), make(chan struct{})
		h := &counting{n: 3, hook: func(_ context.Context, j job.Job) error {
			if j.Cursor == "1" {
				in <- struct{}{}
				<-out
			}
			return nil
		}}
		j := b.create(t)
		_, stop := b.run(t, h, nil)
		defer stop()
		<-in
		if got, err := b.jobs.Pause(t.Context(), "ten_a", j.ID); err != nil || got.State != job.Paused {
			t.Fatalf("paused: %s and %v", got.State, err)
		}
		out <- struct{}{}
		time.Sleep(time.Hour)
		got := b.await(t, j, job.Paused)
		if got.Cursor != "2" || h.cursors() != ",1" {
			t.Errorf("it is at %q after %q, want the step in hand done and no more", got.Cursor, h.cursors())
		}
		if _, err := b.jobs.Resume(t.Context(), "ten_a", j.ID); err != nil {
			t.Fatal(err)
		}
		b.await(t, j, job.Done)
		if h.cursors() != ",1,2" {
			t.Errorf("the steps were %q", h.cursors())
		}
	})
}

func TestCancelEndsTheStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		in := make(chan struct{})
		h := &counting{n: 3, hook: func(ctx context.Context, _ job.Job) error {
			in <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		}}
		j := b.create(t)
		_, stop := b.run(t, h, nil)
		defer stop()
		<-in
		if _, err := b.jobs.Cancel(t.Context(), "ten_a", j.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if got := b.await(t, j, job.Cancelled); got.Error != nil || h.cursors() != "" {
			t.Errorf("it ended as %+v after %q", got, h.cursors())
		}
	})
}

func TestShutdownGivesTheJobBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		in := make(chan struct{}, 1)
		h := &counting{n: 2, hook: func(ctx context.Context, _ job.Job) error {
			in <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		}}
		j := b.create(t)
		_, stop := b.run(t, h, nil)
		<-in
		stop()
		began := time.Now()
		_, stopSecond := b.run(t, &counting{n: 2}, nil)
		defer stopSecond()
		if got := b.await(t, j, job.Done); time.Since(began) > time.Second || got.Error != nil {
			t.Errorf("it was taken over after %v, and is %+v", time.Since(began), got)
		}
	})
}

func TestSteps(t *testing.T) {
	t.Parallel()
	outage := fault.New(fault.Platform, fault.CodeDatabaseUnreachable, "the database does not answer")
	tests := map[string]struct {
		fails map[int]error // By the number of the step.
		panic bool
		state job.State
		code  string
		steps int
	}{
		"an error fails the job":                {fails: map[int]error{2: errors.New("boom")}, state: job.Failed, code: fault.CodeInternal, steps: 2},
		"a fault keeps its words":               {fails: map[int]error{1: fault.New(fault.InvalidInput, "bad", "it is bad")}, state: job.Failed, code: "bad", steps: 1},
		"a database that is away is waited for": {fails: map[int]error{1: outage, 2: outage, 3: outage}, state: job.Done, steps: 6},
		"a panic fails the job":                 {panic: true, state: job.Failed, code: fault.CodeInternal, steps: 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t)
				steps := 0
				h := &counting{n: 3, hook: func(context.Context, job.Job) error {
					steps++
					if test.panic {
						panic("boom")
					}
					return test.fails[steps]
				}}
				j := b.create(t)
				_, stop := b.run(t, h, nil)
				defer stop()
				got := b.await(t, j, test.state)
				code := ""
				if got.Error != nil {
					code = got.Error.Code
				}
				if code != test.code || steps != test.steps {
					t.Errorf("it ended with %q after %d steps, want %q after %d", code, steps, test.code, test.steps)
				}
				if test.state == job.Failed {
					test.fails, test.panic = nil, false
					if _, err := b.jobs.Resume(t.Context(), "ten_a", j.ID); err != nil {
						t.Fatal(err)
					}
					if got := b.await(t, j, job.Done); got.Cursor != "3" || got.Error != nil {
						t.Errorf("resumed it ended as %+v", got)
					}
				}
			})
		})
	}
}

func TestStepThatKillsProcessesIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		j := b.create(t)
		for range 5 {
			claimed, _, err := b.store.ClaimJobs(t.Context(), job.Claiming{Owner: "w", Kinds: []string{"count"}, N: 1, Lease: time.Second})
			if err != nil || len(claimed) != 1 {
				t.Fatalf("claimed %d and %v", len(claimed), err)
			}
			time.Sleep(2 * time.Second)
		}
		h := &counting{n: 1}
		_, stop := b.run(t, h, nil)
		defer stop()
		if got := b.await(t, j, job.Failed); got.Error.Code != "job_crashes" || got.Error.Hint == "" || len(h.began) != 0 {
			t.Errorf("it ended with %+v after %d steps", got.Error, len(h.began))
		}
	})
}

func TestKindsOfOthersAreLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		j, err := b.jobs.Create(t.Context(), "", "unheard_of", nil)
		if err != nil {
			t.Fatal(err)
		}
		_, stop := b.run(t, &counting{n: 1}, nil)
		defer stop()
		time.Sleep(time.Minute)
		b.await(t, j, job.Queued)
		all, err := b.jobs.List(t.Context(), "", job.Filter{})
		if err != nil || !slices.ContainsFunc(all, func(got job.Job) bool { return got.ID == j.ID }) {
			t.Errorf("listed %+v and %v", all, err)
		}
	})
}

func TestSpecThatIsNoJSON(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		if _, err := b.jobs.Create(t.Context(), "ten_a", "count", func() {}); err == nil {
			t.Error("it was created")
		}
	})
}
