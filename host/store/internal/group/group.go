// Package group lets many callers share one commit: calls that arrive while a
// group is under way make up the next one. A caller learns what became of its
// own call after the group's commit, and not before.
package group

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// ErrClosed means that the database is being closed: the call was not made.
var ErrClosed = errors.New("the database is closed")

// Item is a call in a group. Whoever runs the group sets Err.
type Item[T any] struct {
	Value T
	Err   error
	done  chan struct{}
}

// afterStop is the fate of a call when all workers have ended: a call that one
// of them took is done, and no other was made.
func (it *Item[T]) afterStop() error {
	select {
	case <-it.done:
		return it.Err
	default:
		return ErrClosed
	}
}

// Group gathers calls.
type Group[T any] struct {
	calls   chan *Item[T]
	closing chan struct{}
	stopped chan struct{}
	once    sync.Once
	running sync.WaitGroup
}

// New starts workers that run groups of at most size calls, under ctx: no
// caller's context reaches them, because one caller's must not end the others'
// transaction. Close ends them.
func New[T any](ctx context.Context, workers, size int, run func(ctx context.Context, items []*Item[T])) *Group[T] {
	g := &Group[T]{calls: make(chan *Item[T], size), closing: make(chan struct{}), stopped: make(chan struct{})}
	for range workers {
		g.running.Go(func() { g.work(ctx, size, run) })
	}
	return g
}

// Do makes a call and waits until its group has ended. If ctx ends first the
// call may take effect or not: the error is ctx's, never nil.
func (g *Group[T]) Do(ctx context.Context, v T) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	it := &Item[T]{Value: v, done: make(chan struct{})}
	select {
	case <-g.closing:
		return ErrClosed
	default:
	}
	select {
	case g.calls <- it:
	case <-g.closing:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-it.done:
		return it.Err
	case <-g.stopped:
		return it.afterStop()
	case <-ctx.Done():
		return fmt.Errorf("wait for the commit, whose outcome is unknown: %w", ctx.Err())
	}
}

// Close refuses new calls, finishes those that were taken and waits for the workers.
func (g *Group[T]) Close() {
	g.once.Do(func() {
		close(g.closing)
		g.running.Wait()
		close(g.stopped)
	})
	<-g.stopped
}

func (g *Group[T]) work(ctx context.Context, size int, run func(context.Context, []*Item[T])) {
	items := make([]*Item[T], 0, size)
	for {
		select {
		case it := <-g.calls:
			items = g.gather(append(items[:0], it), size)
			run(ctx, items)
			for _, it := range items {
				close(it.done)
			}
		case <-g.closing:
			return
		}
	}
}

// gather adds the calls that are waiting already; it waits for none.
func (g *Group[T]) gather(items []*Item[T], size int) []*Item[T] {
	for len(items) < size {
		select {
		case it := <-g.calls:
			items = append(items, it)
		default:
			return items
		}
	}
	return items
}
