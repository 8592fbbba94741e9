package notice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/retention"
)

const (
	// every is how often it is looked whether there is something to tell, which another
	// process may have found out.
	every = 10 * time.Second
	// backOffMost is how long whoever does not take notices is left alone.
	backOffMost = 10 * time.Minute
	// turnFor is how long a process has the turn to tell: longer than one telling takes.
	turnFor = time.Minute
	// tellFor is how long one may take.
	tellFor = 20 * time.Second
	// batch is how many are read at a time.
	batch = 100
	// stale is how old a notice is that nobody took, before it is left to be read.
	stale = 3 * 24 * time.Hour
)

// Config configures Notices.
type Config struct {
	Store Store
	// Notify passes a notice on. It is told again of one for which it returned an error,
	// and may be told again of any. Defaults to nobody.
	Notify func(ctx context.Context, n Notice) error
	// Holder names this process among those of a database.
	Holder string
	Logger *slog.Logger
	// Now and After are the clock. They must be set.
	Now   func() time.Time
	After func(d time.Duration) <-chan time.Time
}

// Notices are what tenants and the operator are told.
type Notices struct {
	c      Config
	nudged chan struct{}
}

// New returns Notices.
func New(c Config) *Notices {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Notices{c: c, nudged: make(chan struct{}, 1)}
}

// Tell keeps a notice, unless there is one of its subject already, and has it passed on.
// It says whether it is the first.
func (s *Notices) Tell(ctx context.Context, n Notice) (bool, error) {
	now := s.c.Now()
	n.ID, n.CreatedAt, n.ToldAt = ident.New(ident.Notice, now), now, time.Time{}
	if n.At.IsZero() {
		n.At = now
	}
	first, err := s.c.Store.InsertNotice(ctx, n)
	if err != nil {
		return false, fmt.Errorf("keep a notice: %w", err)
	}
	if first {
		s.c.Logger.InfoContext(ctx, "notice", slog.String("kind", string(n.Kind)), slog.String("tenant", n.Tenant),
			slog.String("subject", n.Subject), slog.String("notice", n.ID))
		select {
		case s.nudged <- struct{}{}:
		default:
		}
	}
	return first, nil
}

// List lists those of a tenant, or of all for an empty one, the newest first, before an id.
func (s *Notices) List(ctx context.Context, tenant, before string, limit int) ([]Notice, error) {
	all, err := s.c.Store.Notices(ctx, tenant, before, limit)
	if err != nil {
		return nil, fmt.Errorf("list notices: %w", err)
	}
	return all, nil
}

// Run passes notices on until ctx ends. Without a Notify it returns at once.
func (s *Notices) Run(ctx context.Context) {
	if s.c.Notify == nil {
		return
	}
	wait := every
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.nudged:
		case <-s.c.After(wait):
		}
		err := s.pass(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			wait = every
		default:
			s.c.Logger.WarnContext(ctx, "notices were not passed on; they are again later", slog.Duration("in", wait), slog.Any("error", err))
			wait = min(2*wait, backOffMost)
		}
	}
}

// pass tells what there is to tell, if it is this process's turn. One that is not taken
// holds up no other, and neither do many.
func (s *Notices) pass(ctx context.Context) error {
	since, after := s.c.Now().Add(-stale), Notice{}
	var failed error
	for {
		untold, err := s.c.Store.UntoldNotices(ctx, since, after, batch)
		if err != nil || len(untold) == 0 {
			return errors.Join(failed, err)
		}
		for _, n := range untold {
			mine, err := s.c.Store.TakeTurn(ctx, retention.Turn{Name: "notices", Holder: s.c.Holder, For: turnFor})
			if err != nil || !mine {
				return err
			}
			if err := s.tell(ctx, n); err != nil {
				failed = err
			}
		}
		after = untold[len(untold)-1]
	}
}

func (s *Notices) tell(ctx context.Context, n Notice) error {
	telling, done := context.WithTimeout(ctx, tellFor)
	err := s.c.Notify(telling, n)
	done()
	if err != nil {
		return fmt.Errorf("pass on notice %s: %w", n.ID, err)
	}
	return s.c.Store.NoticeTold(ctx, n.Tenant, n.ID, s.c.Now())
}
