package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	goruntime "runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

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
		free, err := kilobytes("/proc/meminfo", "MemAvailable:")
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
		return fmt.Errorf("%w: less than %d MiB of memory are free", errSkip, reserveKB>>10)
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
	clean, err := kilobytes("/proc/self/smaps_rollup", "Private_Clean:")
	if err != nil {
		return 0, 0, err
	}
	dirty, err := kilobytes("/proc/self/smaps_rollup", "Private_Dirty:")
	return clean + dirty, float64(m.HeapAlloc) / 1024, err
}

// kilobytes reads a line of a file of the kernel's.
func kilobytes(path, name string) (float64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("%w: this needs Linux: %w", errSkip, err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) >= 2 && fields[0] == name {
			return strconv.ParseFloat(fields[1], 64)
		}
	}
	if err := lines.Err(); err != nil {
		return 0, fmt.Errorf("read %s: %w", path, err)
	}
	return 0, fmt.Errorf("%w: %s has no line %q", errSkip, path, name)
}
