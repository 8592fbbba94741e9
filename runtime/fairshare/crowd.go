package fairshare

import "runtime/metrics"

// crowd asks whether goroutines wait for a processor. While there is a slot there
// should be a processor that takes them, and then to yield is worse than useless:
// Go wakes a thread on that processor, which finds the yielding guest and takes it
// away, 30 us of CPU for nothing. The question costs 0.15 us.
//
// When every processor has a guest nobody asks: they yield each time, because the
// garbage collector's workers are in no queue.
type crowd struct{ sample [1]metrics.Sample }

func (c *crowd) waits() bool {
	c.sample[0].Name = "/sched/goroutines/runnable:goroutines"
	metrics.Read(c.sample[:])
	return c.sample[0].Value.Kind() == metrics.KindUint64 && c.sample[0].Value.Uint64() > 0
}
