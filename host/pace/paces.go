package pace

import (
	"context"
	"fmt"

	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/execution"
)

// Config configures Paces.
type Config struct {
	Store Store
	// Connection finds a tenant's connection by id or name.
	Connection func(ctx context.Context, tenant, idOrName string) (connection.Connection, error)
	// Released is told how many executions of a tenant were queued.
	Released func(ctx context.Context, tenant string, n int)
}

// Paces are what people see and say of how requests go.
type Paces struct{ c Config }

// New returns Paces.
func New(c Config) *Paces { return &Paces{c: c} }

// Standing is a connection's pace, and what waits for it.
type Standing struct {
	Pace
	// Waiting is how many executions wait, by reason.
	Waiting map[string]int `json:"waiting"`
	// Drain is of a connection that is paused.
	Drain *Drain `json:"drain,omitempty"`
}

// Get shows a connection's pace, found by id or name.
func (s *Paces) Get(ctx context.Context, tenant, idOrName string) (Standing, error) {
	id, err := s.find(ctx, tenant, idOrName)
	if err != nil {
		return Standing{}, err
	}
	return s.standing(ctx, tenant, id)
}

// SetRate says how many requests there may be; a zero rate leaves it to plugins'
// manifests. What waits goes on by the new rate.
func (s *Paces) SetRate(ctx context.Context, tenant, idOrName string, r Rate) (Standing, error) {
	if !r.IsZero() {
		if err := r.Check(); err != nil {
			return Standing{}, err
		}
	}
	return s.change(ctx, tenant, idOrName, execution.ReasonRateLimited, func(id string) error {
		return s.c.Store.SetRate(ctx, tenant, id, r)
	})
}

// Pause has nothing more be sent with a connection: what asks for it waits.
func (s *Paces) Pause(ctx context.Context, tenant, idOrName string) (Standing, error) {
	id, err := s.find(ctx, tenant, idOrName)
	if err != nil {
		return Standing{}, err
	}
	if err := s.c.Store.SetPaused(ctx, tenant, id, true); err != nil {
		return Standing{}, fmt.Errorf("pause a connection: %w", err)
	}
	return s.standing(ctx, tenant, id)
}

// Resume has what waits for a connection that was paused go on.
func (s *Paces) Resume(ctx context.Context, tenant, idOrName string) (Standing, error) {
	return s.change(ctx, tenant, idOrName, execution.ReasonConnectionPaused, func(id string) error {
		return s.c.Store.SetPaused(ctx, tenant, id, false)
	})
}

// Reset closes a connection's breaker.
func (s *Paces) Reset(ctx context.Context, tenant, idOrName string) (Standing, error) {
	return s.change(ctx, tenant, idOrName, execution.ReasonCircuitOpen, func(id string) error {
		_, err := s.c.Store.CloseBreaker(ctx, tenant, id, "")
		return err
	})
}

// Crossed queues an execution again that was stored to wait for a paused connection after
// that was resumed.
func (s *Paces) Crossed(ctx context.Context, tenant, connection string) error {
	now, err := s.c.Store.Pace(ctx, tenant, connection)
	if err != nil || !now.PausedAt.IsZero() {
		return err
	}
	return s.release(ctx, tenant, connection, execution.ReasonConnectionPaused)
}

func (s *Paces) change(ctx context.Context, tenant, idOrName, reason string, change func(id string) error) (Standing, error) {
	id, err := s.find(ctx, tenant, idOrName)
	if err != nil {
		return Standing{}, err
	}
	if err := change(id); err != nil {
		return Standing{}, fmt.Errorf("change the pace of a connection: %w", err)
	}
	if err := s.release(ctx, tenant, id, reason); err != nil {
		return Standing{}, err
	}
	return s.standing(ctx, tenant, id)
}

func (s *Paces) release(ctx context.Context, tenant, id, reason string) error {
	n, err := s.c.Store.ReleasePaced(ctx, tenant, id, reason)
	if err != nil {
		return fmt.Errorf("queue what waited: %w", err)
	}
	s.c.Released(ctx, tenant, n)
	return nil
}

func (s *Paces) find(ctx context.Context, tenant, idOrName string) (string, error) {
	c, err := s.c.Connection(ctx, tenant, idOrName)
	return c.ID, err
}

func (s *Paces) standing(ctx context.Context, tenant, id string) (Standing, error) {
	var at Standing
	var err error
	if at.Pace, err = s.c.Store.Pace(ctx, tenant, id); err != nil {
		return at, fmt.Errorf("read the pace of a connection: %w", err)
	}
	if at.Waiting, err = s.c.Store.PaceWaits(ctx, tenant, id); err != nil {
		return at, fmt.Errorf("count what waits for a connection: %w", err)
	}
	if at.PausedAt.IsZero() {
		return at, nil
	}
	drain, err := s.c.Store.Drained(ctx, tenant, id)
	if err != nil {
		return at, fmt.Errorf("look what is in flight: %w", err)
	}
	at.Drain = &drain
	return at, nil
}
