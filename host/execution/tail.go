package execution

import (
	"context"
	"fmt"
	"time"
)

const (
	// tailPage is how many changes a Tail asks for at a time.
	tailPage = 200
	// tailOverlap is how far a Tail looks back: transactions do not commit in the
	// order of the times that they stamp, so a change may appear behind one that
	// was seen already.
	tailOverlap = 2 * time.Second
	// tailPause is the least time between two looks, so that a busy tenant's
	// every change is not a query.
	tailPause = 100 * time.Millisecond
)

// Tail calls f with each execution of the tenant that changes, until ctx ends
// or f fails, and returns that error. It begins with what has changed in the
// last 2 seconds, so that who starts something and then looks misses nothing. An
// execution that changes often may be seen in its later state only.
func (x *Executions) Tail(ctx context.Context, tenant string, f func(Execution) error) error {
	rung, stop := x.c.Bell.Listen(tenant)
	defer stop()
	t := tail{executions: x, tenant: tenant, f: f, from: x.c.Now().Add(-tailOverlap), seen: map[string]time.Time{}}
	for {
		if err := t.look(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-x.c.After(tailPause):
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-rung:
		case <-x.c.After(lookEvery):
		}
	}
}

// tail is one Tail under way.
type tail struct {
	executions *Executions
	tenant     string
	f          func(Execution) error
	// from is where the next look begins.
	from time.Time
	// seen holds the changes since from that were passed on, by id.
	seen map[string]time.Time
}

// look reads from t.from to the end, and passes on what is new.
func (t *tail) look(ctx context.Context) error {
	newest, page := t.from, tailPage
	for at := t.from; ; {
		changed, err := t.executions.c.Store.Changed(ctx, t.tenant, at, page)
		if err != nil {
			return fmt.Errorf("list changed executions: %w", err)
		}
		if err := t.pass(changed); err != nil {
			return err
		}
		if len(changed) == 0 {
			break
		}
		last := changed[len(changed)-1].ChangedAt
		newest = last
		if len(changed) < page {
			break
		}
		if last.Equal(at) {
			// More than a page has changed at one instant: only a longer one gets past it.
			page *= 2
		}
		at = last
	}
	if back := newest.Add(-tailOverlap); back.After(t.from) {
		t.from = back
	}
	for id, at := range t.seen {
		if at.Before(t.from) {
			delete(t.seen, id)
		}
	}
	return nil
}

func (t *tail) pass(changed []Execution) error {
	for _, e := range changed {
		if at, ok := t.seen[e.ID]; ok && !e.ChangedAt.After(at) {
			continue
		}
		t.seen[e.ID] = e.ChangedAt
		if err := t.f(e); err != nil {
			return err
		}
	}
	return nil
}
