package retention_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cofferdam-run/cofferdam/host/retention"
	"github.com/cofferdam-run/cofferdam/host/tenant"
)

// shelf is a Store in memory, of executions that hold ten bytes each.
type shelf struct {
	mu      sync.Mutex
	tenants []tenant.Tenant
	// ended is when the executions of a tenant finished, the oldest first.
	ended   map[string][]time.Time
	answers int
	// rows are those of tenants that are being deleted, waits what they wait for.
	rows   map[string]int
	waits  map[string]string
	buried []string
	// destroyed are those whose keys are.
	destroyed []string
	// noted is what was noted that a deletion waits for.
	noted  []string
	holder map[string]string
	fail   map[string]error
	// each is called at each step.
	each func()
}

const executionBytes = 10

func (s *shelf) Tenants(_ context.Context, after string, limit int) ([]tenant.Tenant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rest := slices.DeleteFunc(slices.Clone(s.tenants), func(t tenant.Tenant) bool { return t.ID <= after })
	return rest[:min(limit, len(rest))], s.fail["tenants"]
}

func (s *shelf) TakeTurn(_ context.Context, t retention.Turn) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.holder[t.Name] == "" || s.holder[t.Name] == t.Holder, s.fail["turn"]
}

func (s *shelf) Retained(_ context.Context, id string) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(len(s.ended[id])) * executionBytes, s.fail[id]
}

func (s *shelf) Purge(_ context.Context, id string, b retention.Batch) (retention.Purged, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.each != nil {
		s.each()
	}
	var got retention.Purged
	for len(s.ended[id]) > 0 && s.ended[id][0].Before(b.Before) && got.Executions < b.Executions && (b.Bytes == 0 || got.Bytes < b.Bytes) {
		s.ended[id] = s.ended[id][1:]
		got.Executions++
		got.Bytes += executionBytes
	}
	return got, s.fail[id]
}

func (s *shelf) Forget(context.Context, string, time.Time, time.Time) (retention.Purged, error) {
	return retention.Purged{}, nil
}

func (s *shelf) Sweep(context.Context, time.Time) (retention.Purged, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := retention.Purged{Answers: min(s.answers, 2)}
	s.answers -= got.Answers
	return got, s.fail["sweep"]
}

func (s *shelf) DestroyKey(_ context.Context, id string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.tenants, func(t tenant.Tenant) bool { return t.ID == id })
	if s.fail[id] == nil && s.waits[id] != "others" {
		s.tenants[i].State = tenant.Deleting
		s.destroyed = append(s.destroyed, id)
	}
	return s.tenants[i].State == tenant.Deleting, s.fail[id]
}

func (s *shelf) Needed(_ context.Context, id string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waits[id] == "others", nil
}

func (s *shelf) NoteWait(_ context.Context, id, what string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noted = append(s.noted, id+" waits for "+what)
	return s.fail["note"]
}

func (s *shelf) Erase(_ context.Context, id string) (retention.Erased, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := retention.Erased{Rows: min(s.rows[id], 3)}
	if got.Rows == 0 {
		got.Waits = s.waits[id]
	}
	s.rows[id] -= got.Rows
	return got, s.fail[id]
}

func (s *shelf) Bury(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tenants = slices.DeleteFunc(s.tenants, func(t tenant.Tenant) bool { return t.ID == id })
	s.buried = append(s.buried, id)
	return nil
}

// asked is something that is waited for.
type asked struct {
	d    time.Duration
	fire chan time.Time
}

type testBundle struct {
	*retention.Purger

	store   *shelf
	metrics *prometheus.Registry
	waits   chan asked

	mu   sync.Mutex
	now  time.Time
	logs strings.Builder
	// leave is asked what is left; nil is nothing.
	leave func() (int, error)
}

// Write implements io.Writer, for logs.
func (b *testBundle) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.logs.Write(p)
}

func (b *testBundle) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *testBundle) advance(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

func (b *testBundle) logged() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.logs.String()
}

func setup(t *testing.T) *testBundle {
	t.Helper()
	b := &testBundle{
		now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), waits: make(chan asked, 100), metrics: prometheus.NewRegistry(),
		store: &shelf{
			ended: map[string][]time.Time{}, rows: map[string]int{}, waits: map[string]string{},
			holder: map[string]string{}, fail: map[string]error{},
		},
	}
	b.Purger = retention.New(retention.Config{
		Store: b.store, Default: tenant.Retention{Days: 30, Bytes: 1 << 30}, Holder: "me", Registerer: b.metrics,
		Leave: func(context.Context, string) (int, error) {
			if b.leave == nil {
				return 0, nil
			}
			return b.leave()
		},
		Logger: slog.New(slog.NewTextHandler(io.Writer(b), nil)), Now: b.clock,
		After: func(d time.Duration) <-chan time.Time {
			a := asked{d, make(chan time.Time, 1)}
			b.waits <- a
			return a.fire
		},
	})
	return b
}

// tenant adds a tenant with executions that finished some days ago.
func (b *testBundle) tenant(id string, keep tenant.Retention, days ...int) {
	b.store.tenants = append(b.store.tenants, tenant.Tenant{ID: id, State: tenant.Active, Retention: keep})
	for _, d := range days {
		b.store.ended[id] = append(b.store.ended[id], b.now.Add(-time.Duration(d)*24*time.Hour))
	}
}

func (b *testBundle) left() map[string]int {
	n := make(map[string]int)
	for id, ended := range b.store.ended {
		n[id] = len(ended)
	}
	return n
}

// counted is what the metrics say.
func (b *testBundle) counted(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := b.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := "bytes"
			for _, l := range m.GetLabel() {
				name = l.GetValue()
			}
			got[name] = m.GetCounter().GetValue()
		}
	}
	return got
}

func TestARoundPurgesWhatIsTooOldAndTooMuch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.tenant("a default", tenant.Retention{}, 40, 31, 29, 1)
	b.tenant("b week", tenant.Retention{Days: 7}, 40, 29, 8, 6)
	b.tenant("c bytes", tenant.Retention{Bytes: 2 * executionBytes}, 20, 10, 5, 2)
	b.tenant("d both", tenant.Retention{Days: 15, Bytes: 1 * executionBytes}, 20, 10, 5)
	b.tenant("e fresh", tenant.Retention{Bytes: 1}, 0, 0)
	b.store.answers = 5
	got, err := b.Round(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"a default": 2, "b week": 1, "c bytes": 2, "d both": 1, "e fresh": 2}
	if diff := cmp.Diff(want, b.left()); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if want := (retention.Purged{Executions: 9, Bytes: 90, Answers: 5}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	counted := map[string]float64{"bytes": 90, "execution": 9, "event": 0, "dedupe_key": 0, "answer": 5, "job": 0}
	if diff := cmp.Diff(counted, b.counted(t)); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	if again, err := b.Round(t.Context()); err != nil || again != (retention.Purged{}) {
		t.Errorf("a second round: got %+v, %v, want nothing", again, err)
	}
}

func TestARoundIsOneProcessesAtATime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.tenant("a", tenant.Retention{}, 40)
	b.store.holder["retention"] = "another"
	if got, err := b.Round(t.Context()); err != nil || got != (retention.Purged{}) || b.left()["a"] != 1 {
		t.Errorf("got %+v, %v beside another's round", got, err)
	}
	// A round that takes longer than its turn ends where another has begun.
	b.store.holder["retention"] = ""
	b.tenant("b", tenant.Retention{}, 40)
	b.store.each = func() {
		b.advance(time.Hour)
		b.store.holder["retention"] = "another"
	}
	go func() { (<-b.waits).fire <- time.Time{} }()
	got, err := b.Round(t.Context())
	if err == nil || got.Executions != 1 || b.left()["b"] != 1 {
		t.Errorf("got %+v, %v, want it to end after the first step", got, err)
	}
}

func TestAStepIsFollowedByARestOfItsLength(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.tenant("a", tenant.Retention{})
	for range 150 {
		b.store.ended["a"] = append(b.store.ended["a"], b.now.Add(-1000*time.Hour))
	}
	b.store.each = func() { b.advance(20 * time.Millisecond) }
	var rests []time.Duration
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 2 {
			a := <-b.waits
			rests = append(rests, a.d)
			a.fire <- time.Time{}
		}
	}()
	got, err := b.Round(t.Context())
	if err != nil || got.Executions != 150 {
		t.Errorf("got %+v, %v", got, err)
	}
	<-done
	if diff := cmp.Diff([]time.Duration{20 * time.Millisecond, 20 * time.Millisecond}, rests); diff != "" {
		t.Errorf("rests (-want +got):\n%s", diff)
	}
	// Who ends it does not wait for the rest.
	b.store.ended["a"] = []time.Time{b.now.Add(-1000 * time.Hour)}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-b.waits
		cancel()
	}()
	if _, err := b.Round(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was cancelled", err)
	}
}

func TestOneTenantsTroubleIsNotAnothers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	broken := errors.New("broken")
	for i := range 5 {
		b.tenant(fmt.Sprint("t", i), tenant.Retention{}, 40)
	}
	b.store.fail["t0"], b.store.fail["t2"] = broken, broken
	got, err := b.Round(t.Context())
	if !errors.Is(err, broken) || got.Executions != 3 || strings.Count(err.Error(), "broken") != 2 || !strings.Contains(err.Error(), "t2") {
		t.Errorf("got %+v, %v, want three purged and two named", got, err)
	}
	// If it is everybody's, it need not be found out for each.
	for i := range 5 {
		b.store.fail[fmt.Sprint("t", i)] = broken
	}
	if _, err := b.Round(t.Context()); strings.Count(err.Error(), "broken") != 3 {
		t.Errorf("got %v, want it to end after three", err)
	}
	for _, step := range []string{"turn", "tenants", "sweep"} {
		other := setup(t)
		other.store.fail[step] = broken
		if _, err := other.Round(t.Context()); !errors.Is(err, broken) {
			t.Errorf("%s: got %v", step, err)
		}
	}
}

// run runs the purger until the test ends, and returns the wait for its first round.
func (b *testBundle) run(t *testing.T) asked {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return <-b.waits
}

func TestRunMakesRounds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.tenant("a", tenant.Retention{}, 40)
	first := b.run(t)
	if first.d < time.Minute || first.d > 3*time.Minute {
		t.Errorf("the first round is in %v", first.d)
	}
	first.fire <- b.clock()
	next := <-b.waits
	if next.d < 9*time.Minute || next.d > 11*time.Minute {
		t.Errorf("the next round is in %v", next.d)
	}
	if logs := b.logged(); strings.Count(logs, "\n") != 1 || !strings.Contains(logs, "executions=1") {
		t.Errorf("logs:\n%s\nwant one line that says what is gone", logs)
	}
	// Nothing to do is nothing to say.
	next.fire <- b.clock()
	next = <-b.waits
	b.store.mu.Lock()
	b.store.fail["tenants"] = errors.New("disk gone")
	b.store.mu.Unlock()
	next.fire <- b.clock()
	<-b.waits
	if logs := b.logged(); !strings.Contains(logs, "disk gone") || strings.Contains(logs, "executions=0") {
		t.Errorf("logs:\n%s", logs)
	}
}

func TestRunDeletesTenants(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.store.tenants = []tenant.Tenant{{ID: "a", State: tenant.Deleting}, {ID: "b", State: tenant.Paused}, {ID: "c", State: tenant.Deleting}}
	// What a process that died had begun, found by the next one.
	b.store.rows["a"], b.store.rows["c"], b.store.waits["c"] = 10, 5, "runs in flight"
	b.run(t)
	again := <-b.waits
	look := func(after time.Duration) {
		t.Helper()
		b.advance(after)
		again.fire <- b.clock()
		again = <-b.waits
		if again.d > time.Minute {
			t.Fatalf("it looks again in %v", again.d)
		}
	}
	if b.store.rows["a"]+b.store.rows["c"] > 0 || len(b.store.buried) > 0 {
		t.Fatalf("%v are left, %v are gone", b.store.rows, b.store.buried)
	}
	look(time.Second)
	look(58 * time.Second)
	if len(b.store.buried) > 0 {
		t.Fatalf("%v are gone before what was under way can have come", b.store.buried)
	}
	// What comes late is taken away, and begins the minute anew.
	b.store.rows["a"] = 1
	look(time.Second)
	look(59 * time.Second)
	if len(b.store.buried) > 0 {
		t.Fatalf("%v are gone though something has just come", b.store.buried)
	}
	look(time.Second)
	if diff := cmp.Diff([]string{"a"}, b.store.buried); diff != "" {
		t.Fatalf("gone (-want +got):\n%s", diff)
	}
	delete(b.store.waits, "c")
	look(time.Second)
	b.advance(time.Minute)
	again.fire <- b.clock()
	// There is nothing more to look at; a new one is nudged.
	b.store.mu.Lock()
	b.store.tenants = append(b.store.tenants, tenant.Tenant{ID: "d", State: tenant.Deleting})
	b.store.mu.Unlock()
	b.Nudge()
	b.Nudge()
	<-b.waits
	logs := b.logged()
	for _, want := range []string{"tenant=a rows=10", "tenant=c rows=5 waits_for=\"runs in flight\"", "deleted\" tenant=a", "deleted\" tenant=c"} {
		if !strings.Contains(logs, want) {
			t.Errorf("logs:\n%s\nwant %s", logs, want)
		}
	}
	if n := strings.Count(logs, "runs in flight"); n != 1 {
		t.Errorf("what it waits for is said %d times", n)
	}
}

func TestADeletionThatFailsIsTriedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	// The second one keeps it looking, and is emptied though the first is not.
	b.store.tenants = []tenant.Tenant{{ID: "a", State: tenant.Deleting}, {ID: "b", State: tenant.Deleting}}
	b.store.rows["b"], b.store.waits["b"] = 5, "runs in flight"
	b.store.fail["a"] = errors.New("disk gone")
	b.run(t)
	again := <-b.waits
	if !strings.Contains(b.logged(), "disk gone") || again.d != time.Minute {
		t.Errorf("it looks again in %v, logs:\n%s", again.d, b.logged())
	}
	if n := b.store.rows["b"]; n > 0 {
		t.Errorf("%d rows of another tenant are left", n)
	}
	look := func() {
		t.Helper()
		b.advance(time.Minute)
		again.fire <- b.clock()
		again = <-b.waits
	}
	delete(b.store.fail, "a")
	look()
	b.store.holder["erase"] = "another"
	look()
	if len(b.store.buried) != 0 {
		t.Error("two processes delete one tenant")
	}
	b.store.holder["erase"] = ""
	look()
	if diff := cmp.Diff([]string{"a"}, b.store.buried); diff != "" {
		t.Errorf("gone (-want +got):\n%s", diff)
	}
}
