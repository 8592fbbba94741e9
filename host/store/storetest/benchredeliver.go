package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/ident"
)

// pieceOf is how many events a piece of a redelivery has.
const pieceOf = 25

// benchmarkRedeliver redelivers pieces of two tenants in turns, of which one has twenty times
// the other's events: what a piece takes is to depend on its own.
func benchmarkRedeliver(b *testing.B, open Open) {
	l := newLoad(b, open, 2)
	var events [2][]string
	for i, n := range []int{1_000, 20_000} {
		events[i] = l.cancelled(b, l.places[i], n)
	}
	var took [2]time.Duration
	for n := 0; b.Loop(); n++ {
		for i, p := range l.places {
			from := n * pieceOf % len(events[i])
			o := l.ordered(fmt.Sprint("job_", n), events[i][from:from+pieceOf]...)
			began := time.Now()
			made, _, err := l.Redeliver(b.Context(), p.tenant, o)
			took[i] += time.Since(began)
			if err != nil || made != pieceOf {
				b.Fatalf("redelivered %d of %d events and %v", made, pieceOf, err)
			}
			b.StopTimer()
			for _, id := range o.Each {
				l.cancel(b, p, id)
			}
			b.StartTimer()
		}
	}
	b.ReportMetric(took[1].Seconds()/took[0].Seconds(), "of_20000/of_1000")
}

// cancelled accepts events of a place whose executions are cancelled, and returns their ids.
func (l *load) cancelled(b *testing.B, p place, n int) []string {
	b.Helper()
	ids := make([]string, n)
	together(clients, func(client int) {
		for i := client; i < n; i += clients {
			e, execution := l.event(p), ident.New(ident.Execution, l.clock.now())
			if _, err := l.Accept(b.Context(), e, &event.Work{Execution: execution, Lane: event.Live}); err != nil {
				b.Error(err)
				return
			}
			l.cancel(b, p, execution)
			ids[i] = e.ID
		}
	})
	return ids
}

func (l *load) cancel(b *testing.B, p place, id string) {
	b.Helper()
	if _, err := l.Cancel(b.Context(), p.tenant, id); err != nil {
		b.Error(err)
	}
}
