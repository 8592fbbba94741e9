package worker

import (
	"container/list"
	"context"
	"errors"
	"sync"

	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// modules keeps prepared modules by their digest, which is all that one depends
// on: those in use, and of the others those that were used last. Preparing one
// compiles it, which takes up to seconds.
type modules struct {
	most    int
	prepare func(ctx context.Context, v registry.Version) (*runtime.Module, error)

	mu   sync.Mutex
	all  map[string]*prepared
	idle list.List // Of *prepared, the one that was used last in front.
}

// prepared is a module, or one that is being prepared.
type prepared struct {
	version registry.Version
	ready   chan struct{}
	module  *runtime.Module
	err     error
	users   int
	idle    *list.Element
}

func newModules(most int, prepare func(ctx context.Context, v registry.Version) (*runtime.Module, error)) *modules {
	return &modules{most: most, prepare: prepare, all: map[string]*prepared{}}
}

// take returns a module that stays open until release is called. Of those who
// ask for one that is not there, one prepares it and the others wait.
func (m *modules) take(ctx context.Context, v registry.Version) (module *runtime.Module, release func(), err error) {
	m.mu.Lock()
	p, there := m.all[v.Digest]
	if !there {
		p = &prepared{version: v, ready: make(chan struct{})}
		m.all[v.Digest] = p
	}
	p.users++
	if p.idle != nil {
		m.idle.Remove(p.idle)
		p.idle = nil
	}
	m.mu.Unlock()
	release = func() { m.release(ctx, p) }
	if there {
		select {
		case <-p.ready:
		case <-ctx.Done():
			release()
			return nil, nil, ctx.Err()
		}
	} else {
		m.fill(ctx, p)
	}
	if p.err != nil {
		release()
		return nil, nil, p.err
	}
	return p.module, release, nil
}

// fill prepares a module for all who wait for it.
func (m *modules) fill(ctx context.Context, p *prepared) {
	defer close(p.ready)
	p.err = errors.New("prepare module: it panicked") // Unless it returns.
	// Whoever waits is not to suffer from this run's being cancelled.
	p.module, p.err = m.prepare(context.WithoutCancel(ctx), p.version)
}

// release gives a module back. What could not be prepared is forgotten, and
// tried anew by whoever asks next.
func (m *modules) release(ctx context.Context, p *prepared) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p.users--
	select {
	case <-p.ready:
	default:
		return // Its preparer is among the users still.
	}
	if p.err != nil {
		if m.all[p.version.Digest] == p {
			delete(m.all, p.version.Digest)
		}
		return
	}
	if p.users > 0 {
		return
	}
	p.idle = m.idle.PushFront(p)
	for len(m.all) > m.most && m.idle.Len() > 0 {
		oldest := m.idle.Back().Value.(*prepared)
		// Closing what nobody uses only frees memory: its error has no reader.
		_ = m.forget(ctx, oldest)
	}
}

// forget closes an idle module. It is called with mu held.
func (m *modules) forget(ctx context.Context, p *prepared) error {
	m.idle.Remove(p.idle)
	delete(m.all, p.version.Digest)
	return p.module.Close(context.WithoutCancel(ctx))
}

// close closes all modules. None may be in use.
func (m *modules) close(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	for m.idle.Len() > 0 {
		errs = append(errs, m.forget(ctx, m.idle.Front().Value.(*prepared)))
	}
	return errors.Join(errs...)
}
