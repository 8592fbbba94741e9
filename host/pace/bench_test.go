package pace_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/pace"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

// generous is a store that has all tokens that are asked for.
type generous struct{ pace.Store }

func (generous) Pace(_ context.Context, tenant, connection string) (pace.Pace, error) {
	return pace.Pace{Tenant: tenant, Connection: connection, Rate: pace.Rate{PerSecond: 100_000, Burst: 100_000}, Breaker: pace.Breaker{State: pace.Closed}, At: time.Now()}, nil
}

func (g generous) TakeTokens(ctx context.Context, a pace.Ask) (pace.Taken, error) {
	p, err := g.Pace(ctx, a.Tenant, a.Connection)
	return pace.Taken{N: a.N, First: p.At.Add(-time.Second), Pace: p}, err
}

// BenchmarkToken is a token that is leased already, with the check of breaker and pause,
// and the account of what is in flight; and that of a limiter of one process, beside it.
func BenchmarkToken(b *testing.B) {
	b.Run("pace", func(b *testing.B) {
		p := pace.NewPacer(pace.PacerConfig{
			Store: generous{}, Holder: "a", Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler), Now: time.Now, After: time.After,
		})
		run := p.For(pace.Run{Tenant: "ten_1", Execution: "exe_1", Lane: event.Live, Connections: map[string]string{"vendor": "con_1"}})
		b.ReportAllocs()
		for b.Loop() {
			pass, err := run.Enter(b.Context(), "vendor", false)
			if err != nil {
				b.Fatal(err)
			}
			pass.Leave(b.Context(), egress.Ending{Result: egress.Answered})
		}
	})
	b.Run("x/time/rate", func(b *testing.B) {
		l := rate.NewLimiter(1e9, 1<<30)
		b.ReportAllocs()
		for b.Loop() {
			if !l.Allow() {
				b.Fatal("not allowed")
			}
		}
	})
}

func FuzzParseRate(f *testing.F) {
	for _, text := range []string{"10/s", "600/m", "0.5/h", "1e400/s", "NaN/s", "-1/s", "10", "/s", "10/s/s"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := pace.ParseRate(text)
		if err == nil && (r.Check() != nil || r.String() == "") {
			t.Errorf("%q is %+v, which is none", text, r)
		}
	})
}
