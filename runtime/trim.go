package runtime

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Trim gives back the sandboxes and modules that nobody has used for
// Config.Idle, and the code that Freeze has left. Call it now and then, once a minute say; calls do it by
// themselves only when more than Config.HeldBytes is held. The first time, and then
// each hour, it also removes from Config.CacheDir the modules that no process has
// had open for a week.
func (r *Runtime) Trim(ctx context.Context) error {
	return joined(r.trim(ctx, r.now().Add(-r.idle)), r.sweepSources())
}

// relieve brings what is held below the budget, oldest first.
func (r *Runtime) relieve(ctx context.Context) error {
	if r.held.Load() <= r.heldMost || !r.relieving.TryLock() {
		return nil // Somebody is at it.
	}
	defer r.relieving.Unlock()
	// Down to three quarters, so that not every call from now on comes here.
	for _, at := range r.ages() {
		if r.held.Load() <= r.heldMost/4*3 {
			return nil
		}
		if err := r.trim(ctx, at.Add(1)); err != nil {
			return err
		}
	}
	return nil
}

// ages are points in time that part what is idle into tenths, oldest first.
func (r *Runtime) ages() []time.Time {
	since := r.codes.ages()
	for _, m := range r.all() {
		m.mu.Lock()
		if m.live != nil {
			since = append(since, m.used)
			for _, s := range m.live.idle.all {
				since = append(since, s.idleSince)
			}
		}
		m.mu.Unlock()
	}
	slices.SortFunc(since, time.Time.Compare)
	const parts = 10
	var ages []time.Time
	for i := 1; i <= parts && len(since) > 0; i++ {
		ages = append(ages, since[(len(since)*i-1)/parts])
	}
	return ages
}

// trim gives back what has been idle since before t.
func (r *Runtime) trim(ctx context.Context, t time.Time) error {
	var errs []error
	for _, m := range r.all() {
		m.mu.Lock()
		var dropped []*sandbox
		if m.live != nil {
			dropped = m.live.idle.dropBefore(t)
		}
		m.mu.Unlock()
		for _, s := range dropped {
			r.held.Add(-s.bytes())
			errs = append(errs, s.close(ctx))
		}
		errs = append(errs, m.unload(ctx, func() bool { return m.used.Before(t) }))
	}
	errs = append(errs, r.drop(ctx, r.codes.dropBefore(t)...))
	return errors.Join(errs...)
}

// all are the modules that are open, in no order.
func (r *Runtime) all() []*Module {
	r.mu.Lock()
	modules := make([]*Module, 0, len(r.modules))
	for m := range r.modules {
		modules = append(modules, m)
	}
	r.mu.Unlock()
	return modules
}

func (r *Runtime) remember(m *Module) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.modules[m] = struct{}{}
}

func (r *Runtime) forget(m *Module) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.modules, m)
}
