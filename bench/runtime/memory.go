package main

import (
	"context"
	"errors"
	"fmt"
	goruntime "runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/command"
	"github.com/cofferdam-run/cofferdam/runtime"
)

const (
	// batch is how many sandboxes are started at once.
	batch = 250
	// reserveKB is the memory that the machine is left with.
	reserveKB = 4 << 20
)

// memory measures what sandboxes cost that are alive: Go guests in the middle of
// a call, which wait for their host.
func (s *suite) memory(ctx context.Context) (err error) {
	binary, err := s.golang(ctx, "mapper")
	if err != nil {
		return err
	}
	m, err := newSandbox(ctx, binary, runtime.Limits{Deadline: time.Hour})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.close(ctx)) }()
	if _, err := m.call(ctx, "transform"); err != nil {
		return err
	}
	before, heapBefore, err := private()
	if err != nil {
		return err
	}
	crowd := newCrowd(m)
	defer crowd.disperse()
	for crowd.size < s.sandboxes {
		free, err := command.Kilobytes("/proc/meminfo", "MemAvailable:")
		if err != nil {
			return err
		}
		if free < reserveKB {
			break
		}
		if err := crowd.join(ctx, min(batch, s.sandboxes-crowd.size)); err != nil {
			return err
		}
	}
	after, heapAfter, err := private()
	if err != nil {
		return err
	}
	if crowd.size == 0 {
		return fmt.Errorf("%w: less than %d MiB of memory are free", command.ErrSkip, reserveKB>>10)
	}
	s.print("sandbox_private_kb", (after-before)/float64(crowd.size), "KiB",
		peer("heap_kb", (heapAfter-heapBefore)/float64(crowd.size)), fmt.Sprintf("sandboxes=%d", crowd.size))
	return nil
}

// crowd is calls that wait for their host.
type crowd struct {
	sandbox *sandbox
	size    int
	// arrived counts the calls that wait, and gone those that ended.
	arrived, gone atomic.Int64
	release       chan struct{}
	calls         sync.WaitGroup
	failed        atomic.Pointer[error]
}

func newCrowd(s *sandbox) *crowd {
	c := &crowd{release: make(chan struct{})}
	c.sandbox = &sandbox{runtime: s.runtime, module: s.module, host: c}
	return c
}

// Call implements runtime.Host: it lets the guest wait.
func (c *crowd) Call(ctx context.Context, _ runtime.Crossing) (runtime.Answer, error) {
	c.arrived.Add(1)
	select {
	case <-c.release:
		return runtime.Answer{Response: []byte(`{"result":{}}`)}, nil
	case <-ctx.Done():
		return runtime.Answer{}, ctx.Err()
	}
}

// join starts n more, and returns when they wait.
func (c *crowd) join(ctx context.Context, n int) error {
	for range n {
		c.calls.Go(func() {
			if _, err := c.sandbox.call(ctx, "hold"); err != nil {
				c.failed.Store(&err)
			}
			c.gone.Add(1)
		})
	}
	c.size += n
	for c.arrived.Load() < int64(c.size) {
		if c.gone.Load() > 0 {
			if err := c.failed.Load(); err != nil {
				return *err
			}
			return errors.New("a call ended that was to wait")
		}
		if err := until(ctx, time.Now().Add(time.Millisecond)); err != nil {
			return err
		}
	}
	return nil
}

func (c *crowd) disperse() {
	close(c.release)
	c.calls.Wait()
}

// private is the memory that this process shares with nobody, garbage left out,
// and how much of it is Go's heap, in KiB.
func private() (all, heap float64, err error) {
	goruntime.GC()
	debug.FreeOSMemory()
	var m goruntime.MemStats
	goruntime.ReadMemStats(&m)
	clean, err := command.Kilobytes("/proc/self/smaps_rollup", "Private_Clean:")
	if err != nil {
		return 0, 0, err
	}
	dirty, err := command.Kilobytes("/proc/self/smaps_rollup", "Private_Dirty:")
	return clean + dirty, float64(m.HeapAlloc) / 1024, err
}
