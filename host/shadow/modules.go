package shadow

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// idleMost is how many prepared modules wait for the next step: two runs' pairs. What
// of them is in memory, the Runtime decides.
const idleMost = 4

// modules keeps prepared modules by their digest.
type modules struct {
	prepare func(ctx context.Context, v registry.Version) (*runtime.Module, error)

	mu  sync.Mutex
	all map[string]*prepared
	// idle are those without users, the one that was used last at the end.
	idle []*prepared
}

// prepared is a module, or one that is being prepared.
type prepared struct {
	digest string
	users  int

	mu     sync.Mutex
	module *runtime.Module
}

// take returns a module that stays open until release is called.
func (m *modules) take(ctx context.Context, v registry.Version) (module *runtime.Module, release func(), err error) {
	m.mu.Lock()
	p := m.all[v.Digest]
	if p == nil {
		p = &prepared{digest: v.Digest}
		m.all[v.Digest] = p
	}
	p.users++
	m.idle = slices.DeleteFunc(m.idle, func(o *prepared) bool { return o == p })
	m.mu.Unlock()
	release = func() { m.release(ctx, p) }
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.module == nil {
		if p.module, err = m.prepare(ctx, v); err != nil {
			p.module = nil
			defer release() // After p is free again.
			return nil, nil, err
		}
	}
	return p.module, release, nil
}

// release gives a module back. One that could not be prepared is forgotten.
func (m *modules) release(ctx context.Context, p *prepared) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p.users--; p.users > 0 {
		return
	}
	if p.module == nil {
		delete(m.all, p.digest)
		return
	}
	m.idle = append(m.idle, p)
	for len(m.idle) > idleMost {
		// Closing what nobody uses only frees memory: its error has no reader.
		_ = m.forget(ctx, m.idle[0])
	}
}

// forget closes an idle module. It is called with mu held.
func (m *modules) forget(ctx context.Context, p *prepared) error {
	m.idle = slices.DeleteFunc(m.idle, func(o *prepared) bool { return o == p })
	delete(m.all, p.digest)
	return p.module.Close(context.WithoutCancel(ctx))
}

// close closes all modules. None may be in use.
func (m *modules) close(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	for len(m.idle) > 0 {
		errs = append(errs, m.forget(ctx, m.idle[0]))
	}
	return errors.Join(errs...)
}
