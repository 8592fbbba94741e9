package fairshare_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/cofferdam-run/cofferdam/runtime/fairshare"
)

func ExampleTicket() {
	ctx := context.Background()
	scheduler := fairshare.New(2)
	ticket := scheduler.NewTicket()
	for _, tenant := range []string{"ten_a", "ten_b"} {
		if err := ticket.Enter(ctx, tenant, 1); err != nil {
			fmt.Println(err)
			return
		}
		// The guest runs for a slice, and may have to wait for the next.
		if err := ticket.Pause(ctx, 100_000); err != nil {
			fmt.Println(err)
		}
		ticket.Exit(20_000)
		fmt.Println(tenant, "ran")
	}
	// Output:
	// ten_a ran
	// ten_b ran
}

//nolint:paralleltest // Allocations of other tests would be counted.
func TestTicketsAllocateNothing(t *testing.T) {
	s := fairshare.New(1)
	ticket, ctx := s.NewTicket(), t.Context()
	allocs := testing.AllocsPerRun(100, func() {
		_ = ticket.Enter(ctx, "a", 1)
		_ = ticket.Pause(ctx, 1000)
		ticket.Leave()
		_ = ticket.Rejoin(ctx)
		ticket.Exit(10)
	})
	if allocs != 0 {
		t.Errorf("a call makes %v allocations, want 0", allocs)
	}
}

func BenchmarkScheduler(b *testing.B) {
	b.Run("enter and exit", func(b *testing.B) {
		ticket, ctx := fairshare.New(2).NewTicket(), b.Context()
		b.ReportAllocs()
		for b.Loop() {
			_ = ticket.Enter(ctx, "ten_00000000000000000000000000", 1)
			ticket.Exit(1000)
		}
	})
	b.Run("pause alone", func(b *testing.B) {
		ticket, ctx := fairshare.New(2).NewTicket(), b.Context()
		_ = ticket.Enter(ctx, "ten_00000000000000000000000000", 1)
		for b.Loop() {
			_ = ticket.Pause(ctx, 1000)
		}
	})
	b.Run("contended", func(b *testing.B) {
		s, n := fairshare.New(2), atomic.Int64{}
		b.ReportAllocs()
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			ticket, ctx, key := s.NewTicket(), b.Context(), fmt.Sprint(n.Add(1))
			_ = ticket.Enter(ctx, key, 1)
			for pb.Next() {
				_ = ticket.Pause(ctx, 1000)
			}
			ticket.Exit(0)
		})
	})
}
