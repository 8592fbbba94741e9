// Package group lets many callers share one commit: calls that arrive while a
// group is under way make up the next one. A caller learns what became of its
// own call after the group's commit, and not before.
package group

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
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

// Config says how calls are gathered.
type Config struct {
	// Workers is how many groups may be under way at once.
	Workers int
	// Size is the most calls of one group.
	Size int
	// Patience, if there is any, has the next group wait for the one before, but no
	// longer than this, and not if that one was full: groups are then as large as what
	// comes while one is under way, and one that is stuck does not hold up the rest.
	// Defaults to none: a group begins as soon as a worker is free.
	Patience time.Duration
	// Apart, if there is any, is how long after the beginning of a group the next one begins
	// at the earliest, where calls come side by side: that one had more than one, and was not
	// full. What a commit costs is then shared by more of them; who calls alone does not wait.
	// Defaults to none. It is for one worker, or for some with Patience.
	Apart time.Duration
}

// Group gathers calls.
type Group[T any] struct {
	c     Config
	calls chan *Item[T]
	// turn is with the worker that may gather; nil where all may.
	turn chan struct{}
	// begin is when the next group may begin, nil for at once. It belongs to the worker that
	// gathers.
	begin   <-chan time.Time
	closing chan struct{}
	stopped chan struct{}
	once    sync.Once
	running sync.WaitGroup
}

// New starts workers that run groups of calls, under ctx: no caller's context reaches
// them, because one caller's must not end the others' transaction. Close ends them.
func New[T any](ctx context.Context, c Config, run func(ctx context.Context, items []*Item[T])) *Group[T] {
	g := &Group[T]{c: c, calls: make(chan *Item[T], c.Size), closing: make(chan struct{}), stopped: make(chan struct{})}
	if c.Patience > 0 {
		g.turn = make(chan struct{}, 1)
		g.turn <- struct{}{}
	}
	for range c.Workers {
		g.running.Go(func() { g.work(ctx, run) })
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

func (g *Group[T]) work(ctx context.Context, run func(context.Context, []*Item[T])) {
	items := make([]*Item[T], 0, g.c.Size)
	for g.mayGather() {
		select {
		case it := <-g.calls:
			g.await()
			items = g.gather(append(items[:0], it))
			g.later(len(items))
			pass := g.passLater(len(items))
			run(ctx, items)
			pass()
			for _, it := range items {
				close(it.done)
			}
		case <-g.closing:
			return
		}
	}
}

// mayGather waits for the turn; false means that there are no more.
func (g *Group[T]) mayGather() bool {
	if g.turn == nil {
		return true
	}
	select {
	case <-g.turn:
		return true
	case <-g.closing:
		return false
	}
}

// passLater passes the turn on when the patience with a group of n calls is over, or
// pass is called, whichever is first.
func (g *Group[T]) passLater(n int) (pass func()) {
	if g.turn == nil {
		return func() {}
	}
	once := sync.OnceFunc(func() { g.turn <- struct{}{} })
	if n == g.c.Size {
		once()
		return func() {}
	}
	late := time.AfterFunc(g.c.Patience, once)
	return func() {
		late.Stop()
		once()
	}
}

// later notes when the group after one of n calls, which begins now, may begin.
func (g *Group[T]) later(n int) {
	if g.c.Apart == 0 {
		return
	}
	g.begin = nil
	if n > 1 && n < g.c.Size {
		g.begin = time.NewTimer(g.c.Apart).C
	}
}

// await waits until the next group may begin.
func (g *Group[T]) await() {
	if g.begin == nil {
		return
	}
	select {
	case <-g.begin:
	case <-g.closing:
	}
}

// gather adds the calls that are waiting already; it waits for none.
func (g *Group[T]) gather(items []*Item[T]) []*Item[T] {
	for len(items) < g.c.Size {
		select {
		case it := <-g.calls:
			items = append(items, it)
		default:
			return items
		}
	}
	return items
}
