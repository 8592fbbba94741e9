package token

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// useEvery is how often uses are written down, and so how exact they are.
const useEvery = time.Minute

// usesMost bounds the tokens whose last use is remembered: beyond it some are written
// down more often than they need be.
const usesMost = 16384

// uses are the last uses of tokens. What is on the way of a request is a map.
type uses struct {
	mu sync.Mutex
	// noted is when a use of a token was put down last, due what is not in the store yet.
	noted, due map[string]time.Time
}

func (u *uses) note(t Token, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	last := u.noted[t.ID]
	if t.UsedAt.After(last) {
		last = t.UsedAt // By another process.
	}
	if now.Sub(last) < useEvery || len(u.due) >= usesMost {
		return
	}
	if len(u.noted) >= usesMost {
		clear(u.noted)
	}
	u.noted[t.ID], u.due[t.ID] = now, now
}

// take returns what is not in the store yet.
func (u *uses) take() map[string]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	due := u.due
	u.due = map[string]time.Time{}
	return due
}

// Run writes down when tokens were used, once a minute and once more when ctx ends:
// those that were used since, in one transaction.
func (t *Tokens) Run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-t.c.After(useEvery):
		}
		t.flush(context.WithoutCancel(ctx))
	}
}

// flush writes down what is due. What cannot be written is lost: the next use comes.
func (t *Tokens) flush(ctx context.Context) {
	due := t.used.take()
	if len(due) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := t.c.Store.UseTokens(ctx, due); err != nil {
		t.c.Logger.WarnContext(ctx, "the last uses of tokens were not written down", slog.Int("tokens", len(due)), slog.Any("error", err))
	}
}
