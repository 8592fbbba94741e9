// Command workloads is a guest with an export for each workload that metering is
// measured with. Each takes how often to do its work and returns a sum of the
// results, so that nothing is optimized away and that two engines can be
// compared.
package main

func main() {}

// rng is a xorshift generator: workloads must be the same in every run.
type rng uint64

func (r *rng) next() uint64 {
	*r ^= *r << 13
	*r ^= *r >> 7
	*r ^= *r << 17
	return uint64(*r)
}
