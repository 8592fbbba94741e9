package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cofferdam-run/cofferdam/runtime/sourcemap"
)

// Module is a module that can be called. It is safe for concurrent use: every
// Call has a sandbox of its own.
//
// A module that nobody has called for a while is unloaded: its code, its image
// and its sandboxes are given back, and come again, from Config.CacheDir, with
// its next call.
type Module struct {
	runtime *Runtime
	limits  Limits
	source  source
	facts   Facts
	exports []string
	imports []string
	maps    *sourcemap.Mapper

	// loading lets one caller load what many wait for, each as long as it will.
	loading turns

	mu       sync.Mutex
	live     *loaded // nil while the module is unloaded.
	inFlight int
	used     time.Time // When the last call ended.
	closed   bool
}

// errClosed is what the callers of a closed Module get.
var errClosed = errors.New("call module: it is closed")

// Exports names the functions of type () -> i32 or () -> (), sorted: those that
// can be called.
func (m *Module) Exports() []string { return slices.Clone(m.exports) }

// Imports names what the module imports from extism:host/user, sorted.
func (m *Module) Imports() []string { return slices.Clone(m.imports) }

// Close releases the module once the calls in flight have ended; it does not
// wait for them. Later calls give an error.
func (m *Module) Close(ctx context.Context) error {
	m.mu.Lock()
	first := !m.closed
	m.closed = true
	m.mu.Unlock()
	if first {
		m.runtime.forget(m)
	}
	return m.unload(ctx, func() bool { return true })
}

// take counts a call in and returns a sandbox for it, clean and its own; for a module
// that cannot be reset it is an empty one.
func (m *Module) take(ctx context.Context) (*sandbox, error) {
	live, s, err := m.enter()
	if err != nil || s != nil {
		return s, err
	}
	if live == nil {
		live, err = m.load(ctx)
	}
	if err == nil && live.plan.Fresh != "" {
		return live.emptySandbox(), nil // The call furnishes it, at its own cost.
	}
	if err == nil {
		s, err = live.newSandbox(ctx)
	}
	if err != nil {
		return nil, joined(err, m.leave(ctx, nil))
	}
	return s, nil
}

func (m *Module) enter() (*loaded, *sandbox, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, nil, errClosed
	}
	m.inFlight++
	if m.live == nil {
		return nil, nil, nil
	}
	s := m.live.idle.pop()
	if s != nil {
		m.runtime.held.Add(-s.bytes())
	}
	return m.live, s, nil
}

// leave counts a call out and keeps its sandbox, if it is one to keep.
func (m *Module) leave(ctx context.Context, s *sandbox) error {
	now := m.runtime.now()
	m.mu.Lock()
	m.inFlight--
	m.used = now
	closing := m.closed && m.inFlight == 0
	if s != nil && !m.closed {
		s.idleSince = now
		m.live.idle.push(s)
		m.runtime.held.Add(s.bytes())
		s = nil
	}
	m.mu.Unlock()
	var err error
	if s != nil {
		err = s.close(ctx)
	}
	if closing {
		return joined(err, m.unload(ctx, func() bool { return true }))
	}
	// What is given back now is others': its error is not this call's.
	_ = m.runtime.relieve(ctx)
	return err
}

// load makes the module ready again. The caller has entered, so that nobody
// unloads it meanwhile.
func (m *Module) load(ctx context.Context) (*loaded, error) {
	done, err := m.loading.take(ctx, m.source.sum)
	if err != nil {
		return nil, fmt.Errorf("wait for another to load the module: %w", err)
	}
	defer done()
	m.mu.Lock()
	live := m.live
	m.mu.Unlock()
	if live != nil {
		return live, nil
	}
	binary, err := m.source.read(m.runtime.now())
	if err != nil {
		return nil, fmt.Errorf("load module again: %w", err)
	}
	if live, _, err = m.runtime.build(ctx, binary, m.limits); err != nil {
		return nil, fmt.Errorf("load module again: %w", err)
	}
	live.maps = m.maps
	m.mu.Lock()
	m.live = live
	m.mu.Unlock()
	m.runtime.held.Add(live.bytes)
	return live, nil
}

// unload gives everything back if no call is in flight and wanted says so.
func (m *Module) unload(ctx context.Context, wanted func() bool) error {
	m.mu.Lock()
	live := m.live
	if live == nil || m.inFlight > 0 || !wanted() {
		m.mu.Unlock()
		return nil
	}
	m.live = nil
	m.mu.Unlock()
	held := live.bytes
	for _, s := range live.idle.all {
		held += s.bytes()
	}
	m.runtime.held.Add(-held)
	return live.close(ctx)
}

// idlers are sandboxes that wait for a call, the one that was used last at the
// end: it is the one whose memory the processor still knows.
type idlers struct{ all []*sandbox }

func (i *idlers) push(s *sandbox) { i.all = append(i.all, s) }

func (i *idlers) pop() *sandbox {
	last := len(i.all) - 1
	if last < 0 {
		return nil
	}
	s := i.all[last]
	i.all[last] = nil
	i.all = i.all[:last]
	return s
}

// dropBefore takes out those that have waited since before t.
func (i *idlers) dropBefore(t time.Time) []*sandbox {
	n := 0
	for n < len(i.all) && i.all[n].idleSince.Before(t) {
		n++
	}
	dropped := slices.Clone(i.all[:n])
	i.all = slices.Delete(i.all, 0, n)
	return dropped
}
