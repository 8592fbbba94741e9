package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cofferdam-run/cofferdam/host/execution"
)

// tenure is the time for which a worker has one name; see the package comment.
// The Worker's mutex guards it.
type tenure struct {
	name string
	// beat is when the last heartbeat that the store has taken was begun.
	beat time.Time
	// doubtful says that a claim has failed: there may be orphans under the name.
	doubtful bool
	lost     bool
	runs     map[run]context.CancelCauseFunc
}

// run is one run in flight.
type run struct {
	execution string
	claim     int64
}

func (t *tenure) stop(id string, why error) {
	for r, cancel := range t.runs {
		if r.execution == id {
			cancel(why)
		}
	}
}

func (t *tenure) stopAll(why error) {
	for _, cancel := range t.runs {
		cancel(why)
	}
}

// enlist returns the tenure to claim under, beginning one if there is none. A
// tenure begins with a heartbeat, which registers its name.
func (w *Worker) enlist(ctx context.Context) (*tenure, error) {
	w.mu.Lock()
	current := w.current
	w.mu.Unlock()
	if current != nil {
		return current, nil
	}
	t := &tenure{name: w.c.Name(), beat: w.c.Now(), runs: map[run]context.CancelCauseFunc{}}
	if _, err := w.c.Store.Heartbeat(ctx, t.name, w.c.Lease); err != nil {
		return nil, fmt.Errorf("register worker: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.current = t
	w.tenures[t] = struct{}{}
	return t, nil
}

// doubt ends the use of a tenure for claims.
func (w *Worker) doubt(t *tenure) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t.doubtful = true
	w.leave(t)
}

// lose ends a tenure whose lease is gone, and its runs.
func (w *Worker) lose(t *tenure) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t.lost = true
	t.stopAll(execution.ErrFenced)
	w.leave(t)
}

// leave is called with mu held.
func (w *Worker) leave(t *tenure) {
	if w.current == t {
		w.current = nil
		signal(w.nudge)
	}
	if len(t.runs) == 0 || t.lost {
		delete(w.tenures, t)
	}
}

// beat heartbeats until ctx ends.
func (w *Worker) beat(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.c.After(w.c.Lease / 4):
		}
		w.mu.Lock()
		tenures := make([]*tenure, 0, len(w.tenures))
		for t := range w.tenures {
			tenures = append(tenures, t)
		}
		w.mu.Unlock()
		for _, t := range tenures {
			w.beatOnce(ctx, t)
		}
	}
}

func (w *Worker) beatOnce(ctx context.Context, t *tenure) {
	at := w.c.Now()
	// A heartbeat that hangs must not hide that the lease is running out.
	bounded, cancel := context.WithTimeout(ctx, w.c.Lease/4)
	defer cancel()
	cancelled, err := w.c.Store.Heartbeat(bounded, t.name, w.c.Lease)
	if ctx.Err() != nil {
		return
	}
	if errors.Is(err, execution.ErrFenced) {
		w.c.Logger.WarnContext(ctx, "lease lost", slog.String("worker", t.name))
		w.lose(t)
		return
	}
	w.health.report(ctx, "heartbeat", err)
	w.mu.Lock()
	if err == nil {
		t.beat = at
		for _, id := range cancelled {
			t.stop(id, errCancelled)
		}
	}
	lapsed := w.c.Now().Sub(t.beat) >= w.c.Lease
	w.mu.Unlock()
	if lapsed {
		w.c.Logger.WarnContext(ctx, "lease lapsed without a heartbeat", slog.String("worker", t.name))
		w.lose(t)
	}
}

// holds says whether the executions of a tenure are certainly this worker's still:
// a quarter of the lease is left for clocks that differ and for what is on its way.
func (w *Worker) holds(t *tenure) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !t.lost && w.c.Now().Sub(t.beat) < w.c.Lease-w.c.Lease/4
}

// retire takes the worker's row away, so that nobody waits for its lease. A
// doubtful tenure's row stays: its orphans are found by it.
func (w *Worker) retire(ctx context.Context) {
	w.mu.Lock()
	t := w.current
	w.mu.Unlock()
	if t == nil || ctx.Err() != nil {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, w.c.Lease)
	defer cancel()
	if err := w.c.Store.Retire(bounded, t.name); err != nil {
		w.c.Logger.WarnContext(ctx, "worker not retired: its lease will lapse", slog.String("worker", t.name), slog.Any("error", err))
	}
}
