package worker

import (
	"context"
	"log/slog"
	"sync"
)

// health is whether the database answers. It says so in the log when that changes.
type health struct {
	logger *slog.Logger
	mu     sync.Mutex
	// down names who was not answered when they asked last.
	down map[string]bool
}

// report takes what came of the asking of who.
func (h *health) report(ctx context.Context, who string, err error) {
	if ctx.Err() != nil {
		return // What fails now fails because the worker is ending.
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	before := len(h.down)
	if err == nil {
		delete(h.down, who)
	} else {
		h.down[who] = true
	}
	switch after := len(h.down); {
	case before == 0 && after > 0:
		h.logger.ErrorContext(ctx, "database does not answer: the worker waits for it", slog.String("asked_to", who), slog.Any("error", err))
	case before > 0 && after == 0:
		h.logger.InfoContext(ctx, "database answers again")
	}
}

func (h *health) well() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.down) == 0
}
