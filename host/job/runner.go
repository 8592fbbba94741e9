package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

const (
	// lookEvery is how often a Runner looks for jobs that another process has queued,
	// and lookLeast the least time between two looks, also where clocks differ.
	lookEvery = 2 * time.Second
	lookLeast = 20 * time.Millisecond
	// outagePause is how long a job waits whose step met a database that is away.
	outagePause = 5 * time.Second
	// triesMost is how many processes in a row may die, or lose the job, in one step
	// before it is the step that is blamed.
	triesMost = 5
)

// errStopped is why a step's context ends when its job was cancelled.
var errStopped = errors.New("the job was cancelled")

// Step is what a step of a job has come to.
type Step struct {
	// Progress and Cursor are kept; the next step's Job has them.
	Progress json.RawMessage
	Cursor   string
	// Done says that there is no next step.
	Done bool
	// Wait is how long the next step waits. Meanwhile nobody holds the job.
	Wait time.Duration
}

// Handler does the steps of a kind of job. A step should take seconds at most: it is
// what a pause waits for. Its context ends when the host stops, the job is cancelled
// or the claim is lost; it may then return what it has come to, or the context's
// error. A *fault.Error of a database that is away has the step made again later;
// any other fails the job.
type Handler interface {
	Step(ctx context.Context, j Job) (Step, error)
}

// RunnerConfig configures a Runner.
type RunnerConfig struct {
	Store Store
	// Handlers are those of this process by kind; others' jobs are left alone.
	Handlers map[string]Handler
	// Owner names the process.
	Owner string
	// Slots is how many jobs take a step at once. Defaults to 4.
	Slots int
	// Lease is how long the job of a process that died is left alone. Defaults to 30 s.
	Lease time.Duration
	// Now is the clock, and After what is waited on.
	Now    func() time.Time
	After  func(d time.Duration) <-chan time.Time
	Logger *slog.Logger
}

// Runner runs jobs in this process.
type Runner struct {
	c     RunnerConfig
	kinds []string
	woken chan struct{}
	slots chan struct{}
}

// NewRunner returns a Runner that does not run yet.
func NewRunner(c RunnerConfig) *Runner {
	if c.Slots <= 0 {
		c.Slots = 4
	}
	if c.Lease <= 0 {
		c.Lease = 30 * time.Second
	}
	c.Handlers = maps.Clone(c.Handlers)
	return &Runner{
		c: c, kinds: slices.Sorted(maps.Keys(c.Handlers)),
		woken: make(chan struct{}, 1), slots: make(chan struct{}, c.Slots),
	}
}

// Wake has the Runner look for jobs at once. It never blocks.
func (r *Runner) Wake() {
	select {
	case r.woken <- struct{}{}:
	default: // It is told already.
	}
}

// Run runs jobs until ctx ends, and returns once no step is under way.
func (r *Runner) Run(ctx context.Context) {
	var steps sync.WaitGroup
	defer steps.Wait()
	for ctx.Err() == nil {
		pause := r.look(ctx, &steps)
		select {
		case <-ctx.Done():
		case <-r.woken:
		case <-r.c.After(pause):
		}
	}
}

// look claims what is due, as far as there are slots, and returns when to look again.
func (r *Runner) look(ctx context.Context, steps *sync.WaitGroup) time.Duration {
	free := cap(r.slots) - len(r.slots)
	if free == 0 || len(r.kinds) == 0 {
		return lookEvery // Whoever ends wakes.
	}
	claimed, next, err := r.c.Store.ClaimJobs(ctx, Claiming{Owner: r.c.Owner, Kinds: r.kinds, N: free, Lease: r.c.Lease})
	if err != nil {
		r.warn(ctx, "jobs were not claimed", Job{}, err)
		return lookEvery
	}
	for _, j := range claimed {
		r.slots <- struct{}{}
		steps.Go(func() {
			defer r.Wake()
			defer func() { <-r.slots }()
			r.work(ctx, j)
		})
	}
	if next.IsZero() {
		return lookEvery
	}
	return max(lookLeast, min(lookEvery, next.Sub(r.c.Now())))
}

// work takes steps of a claimed job until it waits or ends.
func (r *Runner) work(ctx context.Context, j Job) {
	if j.Tries > triesMost {
		f := fault.New(fault.Platform, "job_crashes", "%d processes in a row have not ended its next step", j.Tries-1).
			WithHint("The operator's log may say why. Resume it once the cause is gone: it goes on from where it was.")
		r.save(ctx, j, Saved{Progress: j.Progress, Cursor: j.Cursor, To: Failed, Error: f})
		return
	}
	for {
		step, err := r.step(ctx, j)
		saved, ok := r.outcome(ctx, j, step, err)
		if !ok {
			return
		}
		state := r.save(ctx, j, saved)
		if err != nil || state != Running || step.Wait > 0 || ctx.Err() != nil {
			return
		}
		j.Progress, j.Cursor, j.Tries = saved.Progress, saved.Cursor, 0
	}
}

// outcome is what to save of a step; ok is false if nothing is.
func (r *Runner) outcome(ctx context.Context, j Job, step Step, err error) (saved Saved, ok bool) {
	saved = Saved{Progress: j.Progress, Cursor: j.Cursor}
	f := fault.From(err)
	switch {
	case errors.Is(err, ErrFenced), errors.Is(err, errStopped):
		return saved, false
	case err == nil && step.Done:
		return Saved{Progress: step.Progress, Cursor: step.Cursor, To: Done}, true
	case err == nil:
		saved = Saved{Progress: step.Progress, Cursor: step.Cursor, Due: step.Wait}
		if step.Wait <= 0 && ctx.Err() == nil {
			saved.Due = r.c.Lease // It goes on under the same claim.
		}
	case ctx.Err() != nil: // It is given back, as it was.
	case isOutage(f):
		r.warn(ctx, "a job waits for the database", j, err)
		saved.Due = outagePause
	default:
		r.warn(ctx, "a job has failed", j, err)
		saved.To, saved.Error = Failed, f
	}
	return saved, true
}

// isOutage says that the same step may work later.
func isOutage(f *fault.Error) bool {
	status := fault.Status(f)
	return f.Class == fault.Platform && (status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout)
}

// save returns the state that the job is in then, empty if nothing was saved: who
// claims the job next makes the step again.
func (r *Runner) save(ctx context.Context, j Job, s Saved) State {
	state, err := r.c.Store.SaveJob(context.WithoutCancel(ctx), j, s)
	if err != nil && !errors.Is(err, ErrFenced) {
		r.warn(ctx, "a job's progress was not saved", j, err)
	}
	return state
}

// step makes one step, during which the lease is kept. A panic is an error of it.
func (r *Runner) step(ctx context.Context, j Job) (s Step, err error) {
	ctx, stop := context.WithCancelCause(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() { r.renew(ctx, j, stop) })
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a step of a job of kind %s panicked: %v\n%s", j.Kind, p, debug.Stack())
		}
		if cause := context.Cause(ctx); errors.Is(cause, ErrFenced) || errors.Is(cause, errStopped) && err != nil {
			err = cause
		}
		stop(nil)
		renewing.Wait()
	}()
	return r.c.Handlers[j.Kind].Step(ctx, j)
}

// renew keeps a lease until ctx ends, and ends it if the claim is lost or the job
// was cancelled.
func (r *Runner) renew(ctx context.Context, j Job, stop context.CancelCauseFunc) {
	until := r.c.Now().Add(r.c.Lease)
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.c.After(r.c.Lease / 3):
		}
		state, err := r.c.Store.RenewJob(ctx, j, r.c.Lease)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, ErrFenced), err != nil && !r.c.Now().Before(until):
			stop(ErrFenced)
			return
		case err != nil:
			r.warn(ctx, "a job's lease was not extended", j, err)
		case state == Cancelled:
			stop(errStopped)
			return
		default:
			until = r.c.Now().Add(r.c.Lease)
		}
	}
}

func (r *Runner) warn(ctx context.Context, what string, j Job, err error) {
	if ctx.Err() != nil {
		return
	}
	r.c.Logger.LogAttrs(ctx, slog.LevelWarn, "jobs do not go on as they should",
		slog.String("what", what), slog.String("job", j.ID), slog.String("kind", j.Kind), slog.Any("error", err))
}
