package worker_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/ident"
)

// backfill queues executions of the lane in which much is redelivered.
func (b *bundle) backfill(tenant string, n int) (ids []string) {
	b.t.Helper()
	for range n {
		now := time.Now()
		id := ident.New(ident.Execution, now)
		_, err := b.store.Accept(b.t.Context(), event.Event{
			ID: ident.New(ident.Event, now), Tenant: tenant, Installation: installationOf(tenant), Kind: event.Webhook, ReceivedAt: now,
		}, &event.Work{Execution: id, Lane: event.Backfill})
		if err != nil {
			b.t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// Backfill runs that do not end have three of four slots: live work of their own tenant and of
// others runs beside them. What waits for their slots begins when they end, without a scan.
func TestBackfillLeavesSlotsToLiveWork(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.tenant("ten_a", 8, 1, "plv_1")
	b.tenant("ten_b", 8, 1, "plv_1")
	b.tenant("ten_c", 8, 1, "plv_1")
	waiting := append(b.backfill("ten_a", 5), b.backfill("ten_b", 5)...)
	release, started := make(chan struct{}), make(chan struct{}, len(waiting))
	var mu sync.Mutex
	running, most := 0, 0
	c := b.config(runner(func(_ context.Context, c execution.Claimed) error {
		if c.Lane != event.Backfill {
			return nil
		}
		mu.Lock()
		running++
		most = max(most, running)
		mu.Unlock()
		started <- struct{}{}
		<-release
		mu.Lock()
		running--
		mu.Unlock()
		return nil
	}))
	c.Slots, c.Scan = 4, time.Hour
	w, end := b.run(c)
	defer end()
	for range 3 {
		<-started
	}
	for _, tenant := range []string{"ten_a", "ten_b", "ten_c", "ten_a"} {
		id := b.enqueue(tenant, event.Action, "do", `{}`)
		w.Wake(tenant)
		b.await(tenant, id, execution.Succeeded)
	}
	close(release)
	for i, id := range waiting {
		b.await([]string{"ten_a", "ten_b"}[i/5], id, execution.Succeeded)
	}
	mu.Lock()
	defer mu.Unlock()
	if most != 3 {
		t.Errorf("%d of backfill ran at once, want three of four slots", most)
	}
}
