package storetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/hostfns/state"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// clients is how many callers a benchmark has, as many as a busy host's.
const clients = 64

// Benchmark measures what the rate of a host hangs on.
func Benchmark(b *testing.B, open Open) {
	b.Helper()
	b.Run("accept", func(b *testing.B) { benchmarkAccept(b, open) })
	b.Run("run", func(b *testing.B) { benchmarkRun(b, open, 100, nil) })
	// All of one installation, whose row of the day's usage they share.
	b.Run("run_of_one", func(b *testing.B) { benchmarkRun(b, open, 1, nil) })
	b.Run("run_with_state", func(b *testing.B) {
		benchmarkRun(b, open, 100, func(i int64) state.Changes {
			return state.Changes{Writes: []state.Write{{Key: fmt.Sprint("n", i%100), Delta: 1}}}
		})
	})
	b.Run("victim", func(b *testing.B) { benchmarkVictim(b, open) })
	b.Run("redeliver", func(b *testing.B) { benchmarkRedeliver(b, open) })
}

// load is a store with some tenants.
type load struct {
	bundle
	places []place
}

func newLoad(b *testing.B, open Open, tenants int) *load {
	b.Helper()
	c := &clock{}
	c.us.Store(time.Now().UnixMicro())
	l := &load{bundle: bundle{Store: open(b, nil), clock: c}}
	for i := range tenants {
		l.places = append(l.places, l.newPlace(b, fmt.Sprint("t", i)))
	}
	return l
}

// accept accepts n events of the places in turn, from all clients at once.
func (l *load) accept(b *testing.B, places []place, n int) {
	b.Helper()
	var next atomic.Int64
	body := make([]byte, 500)
	together(clients, func(int) {
		for {
			i := next.Add(1)
			if i > int64(n) {
				return
			}
			e := l.event(places[int(i)%len(places)])
			e.DedupeKey, e.Body = e.ID, body
			e.Request = &event.Request{Method: "POST", Path: "/hooks/x", Headers: map[string][]string{"user-agent": {"x"}}}
			if _, err := l.Accept(b.Context(), e, &event.Work{Execution: ident.New(ident.Execution, e.ReceivedAt), Lane: event.Live}); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func benchmarkAccept(b *testing.B, open Open) {
	l := newLoad(b, open, 100)
	b.ResetTimer()
	l.accept(b, l.places, b.N)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "accepts/s")
}

// benchmarkRun claims, begins and completes what was accepted before.
func benchmarkRun(b *testing.B, open Open, tenants int, changes func(i int64) state.Changes) {
	l := newLoad(b, open, tenants)
	l.accept(b, l.places, b.N)
	claimed := make(chan execution.Claimed, 256)
	b.ResetTimer()
	go l.claimAll(b, claimed, 64)
	var done atomic.Int64
	together(clients, func(int) {
		for c := range claimed {
			if err := l.Begin(b.Context(), c, begins("plv_1")); err != nil {
				b.Error(err)
			}
			s := success(c)
			s.Attempt, s.Output = []byte(`{"claim":1,"number":1,"outcome":"succeeded"}`), []byte(`{"ok":true}`)
			s.Usage = runtime.Usage{Wall: time.Millisecond, CPU: time.Millisecond, Fuel: 1_000_000, MemoryBytes: 1 << 20, HostCalls: 2}
			i := done.Add(1)
			if changes != nil {
				s.State = changes(i)
			}
			if err := l.Complete(b.Context(), s); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "runs/s")
}

// claimAll claims until b.N executions are claimed, shared evenly.
func (l *load) claimAll(b *testing.B, claimed chan<- execution.Claimed, batch int) {
	b.Helper()
	defer close(claimed)
	if _, err := l.Heartbeat(b.Context(), "w1", time.Hour); err != nil {
		b.Error(err)
		return
	}
	for total := 0; total < b.N; {
		backlogs, err := l.Backlogs(b.Context())
		if err != nil {
			b.Error(err)
			return
		}
		taken, err := l.Claim(b.Context(), "w1", share(backlogs, batch), 1000)
		got := taken.Claimed
		if err != nil {
			b.Error(err)
			return
		}
		total += len(got)
		for _, c := range got {
			claimed <- c
		}
	}
}

func share(backlogs []execution.Backlog, batch int) []execution.Quota {
	var qs []execution.Quota
	for _, t := range backlogs[:min(len(backlogs), batch)] {
		qs = append(qs, execution.Quota{Tenant: t.Tenant, N: max(1, batch/len(backlogs)), Running: 1 << 20})
	}
	return qs
}

// benchmarkVictim measures how long a tenant's event waits for its claim while
// another tenant's 100,000 executions are queued and worked on.
func benchmarkVictim(b *testing.B, open Open) {
	l := newLoad(b, open, 2)
	flood, victim := l.places[0], l.places[1]
	l.accept(b, []place{flood}, 100_000)
	ctx := b.Context()
	if _, err := l.Heartbeat(ctx, "w1", time.Hour); err != nil {
		b.Fatal(err)
	}
	var mu sync.Mutex
	started := map[string]chan struct{}{}
	stop := make(chan struct{})
	var loop sync.WaitGroup
	loop.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			l.serve(b, func(id string) {
				mu.Lock()
				defer mu.Unlock()
				if c := started[id]; c != nil {
					close(c)
				}
			})
		}
	})
	b.ResetTimer()
	for range b.N {
		id := ident.New(ident.Execution, l.clock.now())
		c := make(chan struct{})
		mu.Lock()
		started[id] = c
		mu.Unlock()
		if _, err := l.Accept(ctx, l.event(victim), &event.Work{Execution: id, Lane: event.Live}); err != nil {
			b.Fatal(err)
		}
		<-c
	}
	b.StopTimer()
	close(stop)
	loop.Wait()
}

// serve claims once and completes what was claimed.
func (l *load) serve(b *testing.B, started func(id string)) {
	b.Helper()
	backlogs, err := l.Backlogs(b.Context())
	if err != nil {
		b.Error(err)
		return
	}
	taken, err := l.Claim(b.Context(), "w1", share(backlogs, 32), 1000)
	got := taken.Claimed
	if err != nil {
		b.Error(err)
		return
	}
	var runs sync.WaitGroup
	for _, c := range got {
		started(c.Execution)
		runs.Go(func() {
			if err := l.Complete(b.Context(), success(c)); err != nil {
				b.Error(err)
			}
		})
	}
	runs.Wait()
}
