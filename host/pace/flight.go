package pace

import (
	"context"
	"log/slog"
	"time"
)

// Flight is what a process has in flight with a connection that is paused.
type Flight struct {
	Key
	// Worker is the process's, as leases know it.
	Worker   string
	Requests int
	// Executions are whose they are, some of them.
	Executions []string
}

// Drain is what is still in flight with a connection that is paused.
type Drain struct {
	// Done says that nothing is, as far as leases tell.
	Done bool `json:"done"`
	// Requests are in flight, and Executions are whose they are, some of them.
	Requests   int      `json:"requests"`
	Executions []string `json:"executions"`
	// Silent is how many workers that live have not said yet what they have in flight.
	Silent int `json:"silent"`
}

// Flights are what processes say of connections that are paused.
type Flights interface {
	// Paused lists the connections that are paused since a time, or longer ago if
	// somebody has something in flight with them.
	Paused(ctx context.Context, since time.Duration) ([]Key, error)
	// ReportFlight keeps what a process says.
	ReportFlight(ctx context.Context, f Flight) error
	// Drained sums up what processes whose worker lives have said since the pause.
	Drained(ctx context.Context, tenant, connection string) (Drain, error)
}

// reportEvery is how often this process says what it has in flight with connections that
// are paused, and drainedAfter for how long after the pause at least.
const (
	reportEvery  = time.Second
	drainedAfter = 5 * time.Minute
	reported     = 20
)

// Run says what this process has in flight with connections that are paused, until ctx
// ends.
func (p *Pacer) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.c.After(reportEvery):
		}
		p.Report(ctx)
	}
}

// Report says it once.
func (p *Pacer) Report(ctx context.Context) {
	worker := p.c.Worker()
	if worker == "" {
		return // It runs nothing.
	}
	bounded, cancel := context.WithTimeout(ctx, storeWithin)
	defer cancel()
	paused, err := p.c.Store.Paused(bounded, drainedAfter)
	p.read(ctx, err)
	for _, k := range paused {
		g := p.gate(k)
		g.stale() // From here on nothing new begins.
		p.row(bounded, g)
		n, executions := g.inFlight()
		f := Flight{Key: k, Worker: worker, Requests: n, Executions: executions[:min(len(executions), reported)]}
		if err := p.c.Store.ReportFlight(bounded, f); err != nil && ctx.Err() == nil {
			p.c.Logger.WarnContext(ctx, "say what is in flight with a connection that is paused", slog.String("connection", k.Connection), slog.Any("error", err))
		}
	}
}
