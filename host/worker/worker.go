// Package worker is the loop that puts executions through the sandbox: claim,
// run, complete.
//
//	sandbox := worker.NewSandbox(worker.SandboxConfig{...})
//	w := worker.New(worker.Config{Store: store, Runner: sandbox, ...})
//	go w.Run(ctx)
//	w.Wake(tenant) // something was queued
//
// One goroutine claims, fairly by tenant (package queue), as many executions as
// there are free slots; each claimed one runs in a goroutine of its own. Of backfill it
// takes a few, and another goroutine more, for which live work does not wait. A quarter of the
// slots is never backfill's: live work finds one, however long what is redelivered runs.
// Three more goroutines keep the lease, promote what has waited long enough and reap
// the claims of dead workers, and take the hints of other processes.
//
// # The lease
//
// A worker heartbeats under a name every quarter of a lease. When a heartbeat
// says that the lease was lost, or none has succeeded for a lease, every run
// under that name is ended: somebody else may run it by now. What such a run
// would still write is fenced by its claim's number.
//
// A claim whose answer did not arrive may have been made: its executions would
// run nowhere, kept by our own heartbeats. Therefore a name under which a claim
// has failed is not used for further claims, and not heartbeaten once its last
// run has ended: its lease lapses, and its orphans are reaped.
//
// Nobody reaps before it has itself seen the database up for one lease: after
// an outage every lease looks lapsed, and the workers behind them are alive.
//
// # What is made again
//
// A run begins at the start of its guest each time. What an earlier run was
// answered, its journal answers (package journal), and only what was not done is
// asked again. What follows a run that did not succeed is decided at its end, or,
// where nobody lived to do so, at the beginning of the next.
//
// # Nothing is lost
//
// A completion that the database does not take is tried again until it does, or
// is fenced. When the worker's context ends it claims nothing more, lets runs
// finish for Config.Drain, then hands back the rest, uncounted. A run that ends
// for nothing is left behind after one more lease: it is claimed again once the
// lease that its worker no longer keeps has run out.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/queue"
	"github.com/cofferdam-run/cofferdam/host/telemetry"
)

// Store is what a Worker needs of the store.
type Store interface {
	execution.Claims
	// Complete ends a run: execution.Runs.
	Complete(ctx context.Context, c execution.Completion) error
	// Woken receives the tenants for whom other processes have queued work. It may be nil.
	Woken() <-chan string
}

// Runner puts one claimed execution through its run.
type Runner interface {
	// Run runs until the end, or until ctx ends. A nil error is success. The error
	// is a *runtime.Failure or *runtime.InvalidModule when the plugin is to blame,
	// a *ParkedError when it must wait, ErrRemoved when there is nothing to run any
	// more, execution.ErrFenced when the claim is stale, and the host's own
	// otherwise. What it returns beside an error is kept for the trace.
	//
	// A *hostfns.Suspended waits, an *AmbiguousError wants a person, and an
	// *UnconfirmedError asks the plugin again later. Held says whether the claim is
	// certainly held still: nothing is sent after it says no.
	Run(ctx context.Context, c execution.Claimed, held func() bool) (Ended, error)
}

// Ended is what a run left behind.
type Ended struct {
	VersionID string
	// Plugin and Version are what people call it.
	Plugin, Version string
	// Attempt is the run's trace; the Worker adds its own name and the outcome.
	Attempt execution.Attempt
	// Effects are committed if the run succeeded, or came to a checkpoint: only the
	// fields of a Completion that are applied then, and its Output.
	Effects execution.Completion
	// Kept is the run's journal, nil if it had none.
	Kept *Kept
}

// Config configures a Worker.
type Config struct {
	Store  Store
	Runner Runner
	// Name returns a new name for this worker, which no other has ever had.
	Name func() string
	// Slots is how many executions run at once, of which backfill is given no more than
	// execution.Reserve leaves. Defaults to 32.
	Slots int
	// Lease is how long a dead worker keeps its executions. Defaults to 8 s.
	Lease time.Duration
	// Drain is how long runs in flight may go on once Run's context has ended.
	// Defaults to 30 s.
	Drain time.Duration
	// Scan is how often the store is asked who has work. Defaults to 1 s.
	Scan time.Duration
	// Attempts is how often an execution is tried before it is dead. Defaults to 8.
	Attempts int
	// Parked is told of each execution that waits because something is paused, or for a
	// connection, once that is stored: it may have been resumed meanwhile. Defaults to
	// nobody.
	Parked func(ctx context.Context, tenant, execution string) error
	// Broken says whether a connection is known not to work before somebody mends it, who
	// will then queue what waits for it. Defaults to no.
	Broken func(ctx context.Context, tenant, connection string) (bool, error)
	// Changed is told the tenant of each execution that changes. Defaults to nobody.
	Changed func(tenant string)
	// Tracer is told of each run. Defaults to nobody.
	Tracer *telemetry.Tracer
	// Registerer takes the metrics. Defaults to nobody.
	Registerer prometheus.Registerer
	// Logger takes what operators should know. Defaults to none.
	Logger *slog.Logger
	// Now and After are the clock. They must be set.
	Now   func() time.Time
	After func(d time.Duration) <-chan time.Time
}

func (c Config) withDefaults() Config {
	if c.Slots <= 0 {
		c.Slots = 32
	}
	if c.Lease <= 0 {
		c.Lease = 8 * time.Second
	}
	if c.Drain <= 0 {
		c.Drain = 30 * time.Second
	}
	if c.Scan <= 0 {
		c.Scan = time.Second
	}
	if c.Attempts <= 0 {
		c.Attempts = 8
	}
	if c.Parked == nil {
		c.Parked = func(context.Context, string, string) error { return nil }
	}
	if c.Broken == nil {
		c.Broken = func(context.Context, string, string) (bool, error) { return false, nil }
	}
	if c.Changed == nil {
		c.Changed = func(string) {}
	}
	if c.Registerer == nil {
		c.Registerer = prometheus.NewRegistry()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Why a run's context ends before the run does.
var (
	errCancelled = errors.New("its cancellation was asked for")
	errHandBack  = errors.New("the worker is shutting down")
)

// Worker claims executions and runs them. It is safe for concurrent use.
type Worker struct {
	c       Config
	ring    *queue.Ring
	metrics *metrics
	health  *health
	// nudge says that there may be something to claim, due that the next
	// promotion may be earlier. Each merges what was not received yet.
	nudge, due chan struct{}
	// runs are the goroutines of the runs in flight.
	runs sync.WaitGroup

	mu sync.Mutex
	// slots are those that are free.
	slots slots
	// behind says that backfill is being claimed, and behindFailures how often in a row that
	// has failed: only who claims it uses that.
	behind         bool
	behindFailures int
	// handingBack says that what begins now is handed back at once.
	handingBack bool

	current *tenure
	tenures map[*tenure]struct{}
	// running are the runs in flight, those of lost tenures too.
	running map[run]struct{}
	nextDue time.Time
	// lanes keep apart what workers may have died of.
	lanes lanes
	// conflicts counts the conflicts of executions that will run again.
	conflicts map[string]int
}

// New returns a Worker that does nothing until Run.
func New(c Config) *Worker {
	c = c.withDefaults()
	return &Worker{
		c:         c,
		ring:      queue.NewRing(),
		metrics:   newMetrics(c.Registerer),
		health:    &health{logger: c.Logger, down: map[string]bool{}},
		nudge:     make(chan struct{}, 1),
		due:       make(chan struct{}, 1),
		slots:     slots{free: c.Slots, backfill: c.Slots - execution.Reserve(c.Slots)},
		tenures:   map[*tenure]struct{}{},
		running:   map[run]struct{}{},
		conflicts: map[string]int{},
	}
}

// Wake says that something of a tenant was queued. It never blocks.
func (w *Worker) Wake(tenant string) {
	w.ring.Hint(tenant)
	signal(w.nudge)
}

// Stop ends the run of an execution whose cancellation was asked for, if it runs here.
func (w *Worker) Stop(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for t := range w.tenures {
		t.stop(id, errCancelled)
	}
}

// Run claims and runs executions until ctx ends, then drains. It returns once
// every goroutine that it started has ended, or with an error that names the
// executions whose runs could not be ended. It may be called once.
func (w *Worker) Run(ctx context.Context) error {
	// What goes on while the worker drains.
	alive, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	var upkeep sync.WaitGroup
	upkeep.Go(func() { w.beat(alive) })
	upkeep.Go(func() { w.listen(ctx) })
	upkeep.Go(func() { w.keepHouse(ctx) })

	w.claim(ctx, alive)
	err := w.drain(end)
	if err == nil {
		w.retire(alive)
	} // Else the row's lease is what has the executions claimed again.
	end()
	upkeep.Wait()
	return err
}

// drain waits for the runs in flight: for Drain, then for at most a lease to
// hand them back, of which the last quarter is for those whose completion could
// not be written, and was given up. The error names those that are left.
func (w *Worker) drain(end context.CancelFunc) error {
	done := make(chan struct{})
	go func() {
		w.runs.Wait()
		close(done)
	}()
	if w.within(done, w.c.Drain) {
		return nil
	}
	w.mu.Lock()
	w.handingBack = true
	for t := range w.tenures {
		t.stopAll(errHandBack)
	}
	w.mu.Unlock()
	last := w.c.Lease / 4
	if w.within(done, w.c.Lease-last) {
		return nil
	}
	end()
	if w.within(done, last) {
		return nil
	}
	return w.leftBehind()
}

// within says whether done is closed within d.
func (w *Worker) within(done <-chan struct{}, d time.Duration) bool {
	select {
	case <-done:
		return true
	case <-w.c.After(d):
		return false
	}
}

// leftBehind names the executions whose runs did not end, nil if there are none.
func (w *Worker) leftBehind() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	left := make([]string, 0, len(w.running))
	for r := range w.running {
		left = append(left, r.execution)
	}
	if len(left) == 0 {
		return nil
	}
	slices.Sort(left)
	return fmt.Errorf("drain worker: %d runs did not end within %s of being cancelled, and are claimed again when the lease has run out: %s",
		len(left), w.c.Lease, strings.Join(left, ", "))
}

// listen takes the hints of other processes.
func (w *Worker) listen(ctx context.Context) {
	woken := w.c.Store.Woken()
	for {
		select {
		case <-ctx.Done():
			return
		case tenant, open := <-woken:
			if !open {
				woken = nil // A nil channel is never ready.
				continue
			}
			w.Wake(tenant)
		}
	}
}

// signal leaves a signal for whoever receives from c, unless one is there.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// fullJitter returns a duration from 0 to base*2^n, at most most: the spread
// that empties a crowd of retries fastest.
func fullJitter(base, most time.Duration, n int) time.Duration {
	ceiling := base
	for range n {
		if ceiling *= 2; ceiling >= most {
			ceiling = most
			break
		}
	}
	return time.Duration(rand.Int64N(int64(min(ceiling, most)) + 1)) //nolint:gosec // Spread, no secret.
}
