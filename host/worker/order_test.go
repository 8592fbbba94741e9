package worker_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/ident"
)

// What waits for the end of another begins at once, and not with a scan that never comes.
func TestWhatWaitsForAnotherBeginsWhenThatEnds(t *testing.T) {
	t.Parallel()
	for name, queue := range map[string]func(b *bundle) (ids []string){
		"in the order of a key": func(b *bundle) (ids []string) {
			for range 5 {
				now := time.Now()
				id := ident.New(ident.Execution, now)
				_, err := b.store.Accept(t.Context(), event.Event{
					ID: ident.New(ident.Event, now), Tenant: "ten_a", Installation: installationOf("ten_a"), Kind: event.Webhook, ReceivedAt: now,
				}, &event.Work{Execution: id, Lane: event.Live, OrderKey: event.KeyOf("end_1", "a")})
				if err != nil {
					t.Fatal(err)
				}
				ids = append(ids, id)
			}
			return ids
		},
		"under an installation's cap": func(b *bundle) (ids []string) {
			i, err := b.store.Installation(t.Context(), "ten_a", installationOf("ten_a"))
			if err != nil {
				t.Fatal(err)
			}
			since := i.UpdatedAt
			i.MaxRunning, i.UpdatedAt = 1, since.Add(time.Millisecond)
			if err := b.store.UpdateInstallation(t.Context(), i, since); err != nil {
				t.Fatal(err)
			}
			for range 5 {
				ids = append(ids, b.enqueue("ten_a", event.Action, "do", `{}`))
				time.Sleep(2 * time.Millisecond) // For their order.
			}
			return ids
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.tenant("ten_a", 8, 1, "plv_1")
			ids := queue(b)
			var mu sync.Mutex
			var ran []string
			running := 0
			c := b.config(runner(func(_ context.Context, c execution.Claimed) error {
				mu.Lock()
				if running++; running > 1 {
					t.Errorf("%d run at once", running)
				}
				ran = append(ran, c.Execution)
				mu.Unlock()
				time.Sleep(2 * time.Millisecond) // For others to come beside it, if they could.
				mu.Lock()
				defer mu.Unlock()
				running--
				return nil
			}))
			c.Scan = time.Hour
			b.run(c)
			for _, id := range ids {
				b.await("ten_a", id, execution.Succeeded)
			}
			if !slices.Equal(ran, ids) {
				t.Errorf("ran %v, want %v", ran, ids)
			}
		})
	}
}
