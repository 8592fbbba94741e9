package host

import (
	"context"
	"fmt"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/shadow"
	"github.com/cofferdam-run/cofferdam/host/worker"
)

// recordings gives those of executions, which it reads all at once: one by one, each
// would take eight statements.
func (w *wiring) recordings(ctx context.Context, tenant string, executions []string) (shadow.Recorder, error) {
	read, err := w.c.Store.Recorded(ctx, tenant, executions)
	if err != nil {
		return nil, fmt.Errorf("read recorded executions: %w", err)
	}
	// It runs nothing, so that there is nothing to close.
	return worker.NewSandbox(worker.SandboxConfig{
		Records: recorded{Records: w.c.Store, read: read}, Plugins: w.h.Plugins, Installation: w.c.Store.Installation, Now: w.c.Now,
	}), nil
}

// recorded is a store of which some executions have been read.
type recorded struct {
	worker.Records

	read map[string]shadow.Recorded
}

// Trace implements worker.Records.
func (r recorded) Trace(ctx context.Context, tenant, id string) (execution.Trace, error) {
	if x, ok := r.read[id]; ok {
		return x.Trace, nil
	}
	return r.Records.Trace(ctx, tenant, id)
}

// Journal implements worker.Records.
func (r recorded) Journal(ctx context.Context, tenant, id string) (execution.Recorded, error) {
	if x, ok := r.read[id]; ok {
		return x.Journal, nil
	}
	return r.Records.Journal(ctx, tenant, id)
}
