package execution_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// memory keeps executions in memory: what Executions need of a store.
type memory struct {
	execution.Store

	mu   sync.Mutex
	all  map[string]execution.Execution
	now  time.Time
	work []event.Work
	// journals are by execution, redriven is what was asked for, and looked is called
	// when a journal is read.
	journals map[string][]journal.Segment
	redriven []execution.Redriving
	looked   func()
}

func newMemory() *memory {
	return &memory{all: map[string]execution.Execution{}, journals: map[string][]journal.Segment{}, now: epoch}
}

func (m *memory) Execution(ctx context.Context, tenant, id string) (execution.Execution, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return execution.Execution{}, err
	}
	e, ok := m.all[id]
	if !ok || e.Tenant != tenant {
		return execution.Execution{}, fault.NotFound("execution", id)
	}
	return e, nil
}

func (m *memory) Executions(_ context.Context, _ string, f execution.Filter) ([]execution.Execution, error) {
	return make([]execution.Execution, f.Limit), nil
}

func (m *memory) Changed(_ context.Context, tenant string, since time.Time, limit int) ([]execution.Execution, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var changed []execution.Execution
	for _, e := range m.all {
		if e.Tenant == tenant && !e.ChangedAt.Before(since) {
			changed = append(changed, e)
		}
	}
	slices.SortFunc(changed, func(a, b execution.Execution) int {
		return cmp.Or(a.ChangedAt.Compare(b.ChangedAt), strings.Compare(a.ID, b.ID))
	})
	return changed[:min(limit, len(changed))], nil
}

func (m *memory) Cancel(_ context.Context, _, id string) (execution.State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.all[id]
	if e.State == execution.Running {
		e.CancelRequested = true
	} else {
		e.State = execution.Cancelled
	}
	m.all[id] = e
	return e.State, nil
}

func (m *memory) Redrive(_ context.Context, _, id string, r execution.Redriving) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.all[id]
	if e.State != execution.Dead && e.State != execution.Cancelled || r.Claim != 0 && r.Claim != e.Claim {
		return fault.New(fault.Conflict, execution.CodeNotRedrivable, "it is %s", e.State)
	}
	e.State, e.Mode = execution.Queued, r.Mode
	m.all[id] = e
	if r.Journal != nil {
		m.journals[id] = append(m.journals[id], *r.Journal)
	}
	m.redriven = append(m.redriven, r)
	return nil
}

func (m *memory) Journal(_ context.Context, _, id string) (execution.Recorded, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.looked != nil {
		m.looked()
	}
	return execution.Recorded{Segments: slices.Clone(m.journals[id])}, nil
}

// change puts an execution at a later time than all before.
func (m *memory) change(e execution.Execution) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = m.now.Add(time.Millisecond)
	e.ChangedAt = m.now
	m.all[e.ID] = e
}

// events is the memory as a store of events.
type events struct {
	event.Store
	memory *memory
}

func (s events) Accept(_ context.Context, e event.Event, w *event.Work) (event.Accepted, error) {
	m := s.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all[w.Execution] = execution.Execution{
		ID: w.Execution, Tenant: e.Tenant, Installation: e.Installation, Event: e.ID, Kind: e.Kind, Name: e.Name, State: execution.Queued,
	}
	m.work = append(m.work, *w)
	return event.Accepted{Event: e.ID, Execution: w.Execution}, nil
}

type bundle struct {
	store      *memory
	executions *execution.Executions
	bell       *execution.Bell
	woken      chan string
	stopped    chan string
	// tick is received from by whoever waits on the clock.
	tick chan time.Time
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{
		store: newMemory(), bell: &execution.Bell{},
		woken: make(chan string, 10), stopped: make(chan string, 10), tick: make(chan time.Time),
	}
	b.executions = execution.New(execution.Config{
		Store:  b.store,
		Events: events{memory: b.store},
		Callable: func(_ context.Context, _, installation string, _ event.Kind, name string, _ json.RawMessage) (string, error) {
			if name == "missing" {
				return "", fault.NotFound("action", name)
			}
			return "ins_of_" + installation, nil
		},
		Wake:  func(_ context.Context, tenant string) { b.woken <- tenant },
		Stop:  func(id string) { b.stopped <- id },
		Bell:  b.bell,
		Now:   func() time.Time { return epoch },
		After: func(time.Duration) <-chan time.Time { return b.tick },
	})
	return b
}

func TestStartQueuesWhatIsCallable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	start := execution.Start{Installation: "shop", Kind: event.Action, Name: "label", Input: json.RawMessage(`{"n":1}`), Lane: event.Live}
	accepted, err := b.executions.Start(t.Context(), "ten_a", start)
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.executions.Get(t.Context(), "ten_a", accepted.Execution)
	if err != nil {
		t.Fatal(err)
	}
	want := execution.Execution{
		ID: accepted.Execution, Tenant: "ten_a", Installation: "ins_of_shop", Event: accepted.Event,
		Kind: event.Action, Name: "label", State: execution.Queued,
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("execution (-want +got):\n%s", diff)
	}
	if got := <-b.woken; got != "ten_a" {
		t.Errorf("woke %q, want ten_a", got)
	}
	if got := b.store.work[0].Lane; got != event.Live {
		t.Errorf("lane is %d, want %d", got, event.Live)
	}
}

func TestStartOfWhatIsNotCallableStoresNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.executions.Start(t.Context(), "ten_a", execution.Start{Installation: "shop", Kind: event.Action, Name: "missing"})
	if got := fault.From(err).Code; got != fault.CodeNotFound {
		t.Errorf("code is %q, want %q", got, fault.CodeNotFound)
	}
	if len(b.store.all) != 0 || len(b.woken) != 0 {
		t.Errorf("stored %v and woke %d, want nothing", b.store.all, len(b.woken))
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	done := execution.Execution{ID: "exe_1", Tenant: "ten_a", State: execution.Succeeded}
	tests := map[string]struct {
		wake func(*bundle)
	}{
		"hears the bell": {wake: func(b *bundle) { b.bell.Ring("ten_a") }},
		"looks again, for the bell is not heard far": {wake: func(b *bundle) { b.tick <- epoch }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.store.change(execution.Execution{ID: "exe_1", Tenant: "ten_a", State: execution.Running})
			states := make(chan execution.State, 1)
			go func() {
				e, err := b.executions.Wait(t.Context(), "ten_a", "exe_1")
				if err != nil {
					t.Errorf("wait: %v", err)
				}
				states <- e.State
			}()
			b.tick <- epoch // It waits now.
			b.store.change(done)
			test.wake(b)
			if got := <-states; got != execution.Succeeded {
				t.Errorf("state is %s, want succeeded", got)
			}
		})
	}
}

func TestWaitGivesWhatStandsWhenItsTimeIsUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.store.change(execution.Execution{ID: "exe_1", Tenant: "ten_a", State: execution.Running})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	type result struct {
		e   execution.Execution
		err error
	}
	results := make(chan result, 1)
	go func() {
		e, err := b.executions.Wait(ctx, "ten_a", "exe_1")
		results <- result{e, err}
	}()
	b.tick <- epoch
	cancel()
	got := <-results
	if !errors.Is(got.err, context.Canceled) || got.e.State != execution.Running {
		t.Errorf("got %s and %v, want running and context canceled", got.e.State, got.err)
	}
}

func TestWaitForAnotherTenantsExecutionFindsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.store.change(execution.Execution{ID: "exe_1", Tenant: "ten_a", State: execution.Running})
	_, err := b.executions.Wait(t.Context(), "ten_b", "exe_1")
	if got := fault.From(err).Code; got != fault.CodeNotFound {
		t.Errorf("code is %q, want %q", got, fault.CodeNotFound)
	}
}

func TestTailGivesEachChangeOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	errEnough := errors.New("enough")
	var got []string
	seen := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- b.executions.Tail(t.Context(), "ten_a", func(e execution.Execution) error {
			got = append(got, e.ID+" "+string(e.State))
			seen <- struct{}{}
			if e.State == execution.Succeeded {
				return errEnough
			}
			return nil
		})
	}()
	next := func(e execution.Execution) {
		b.tick <- epoch // The pause after a look.
		b.store.change(e)
		b.tick <- epoch
		<-seen
	}
	next(execution.Execution{ID: "exe_1", Tenant: "ten_a", State: execution.Queued})
	b.store.change(execution.Execution{ID: "exe_9", Tenant: "ten_b", State: execution.Queued})
	next(execution.Execution{ID: "exe_2", Tenant: "ten_a", State: execution.Queued})
	next(execution.Execution{ID: "exe_1", Tenant: "ten_a", State: execution.Running})
	next(execution.Execution{ID: "exe_2", Tenant: "ten_a", State: execution.Succeeded})
	if err := <-ended; !errors.Is(err, errEnough) {
		t.Errorf("tail ended with %v, want the error of its function", err)
	}
	want := []string{"exe_1 queued", "exe_2 queued", "exe_1 running", "exe_2 succeeded"}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

func TestTailGetsPastMoreChangesThanAPage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const many = 950
	for i := range many {
		e := execution.Execution{ID: string(rune('a'+i%26)) + time.Duration(i).String(), Tenant: "ten_a"}
		b.store.change(e)
		if i%2 == 0 { // Half of them at one instant.
			e.ChangedAt = epoch.Add(time.Hour)
			b.store.all[e.ID] = e
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := map[string]int{}
	err := b.executions.Tail(ctx, "ten_a", func(e execution.Execution) error {
		if got[e.ID]++; len(got) == many {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("tail ended with %v, want context canceled", err)
	}
	for id, n := range got {
		if n != 1 {
			t.Errorf("%s came %d times, want once", id, n)
		}
	}
}

func TestCancelStopsARunOfThisProcessAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.store.change(execution.Execution{ID: "exe_1", Tenant: "ten_a", State: execution.Running})
	b.store.change(execution.Execution{ID: "exe_2", Tenant: "ten_a", State: execution.Queued})
	rung, stop := b.bell.Listen("ten_a")
	defer stop()
	for id, want := range map[string]execution.State{"exe_1": execution.Running, "exe_2": execution.Cancelled} {
		e, err := b.executions.Cancel(t.Context(), "ten_a", id)
		if err != nil || e.State != want {
			t.Errorf("cancel %s gave %s and %v, want %s", id, e.State, err, want)
		}
		<-rung
	}
	if got := <-b.stopped; got != "exe_1" || len(b.stopped) != 0 {
		t.Errorf("stopped %s and %d more, want exe_1 alone", got, len(b.stopped))
	}
}

func TestListIsBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for limit, want := range map[int]int{-1: 50, 0: 50, 7: 7, 200: 200, 5000: 200} {
		got, err := b.executions.List(t.Context(), "ten_a", execution.Filter{Limit: limit})
		if err != nil || len(got) != want {
			t.Errorf("a limit of %d listed %d and %v, want %d", limit, len(got), err, want)
		}
	}
}

func TestBellHammer(t *testing.T) {
	t.Parallel()
	var bell execution.Bell
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				rung, stop := bell.Listen("a")
				bell.Ring("a")
				<-rung // Its own, or that of another.
				stop()
				bell.Ring("a")
				bell.Ring("b")
			}
		})
	}
	wg.Wait()
}
