package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
)

// trouble is what a database has while the server works.
type trouble string

// The troubles.
const (
	// restarted is Postgres stopped and started, every few seconds.
	restarted trouble = "restart"
	// terminated is each connection ended twice a second.
	terminated trouble = "terminate"
	// exhausted is no connection left for whoever wants a further one.
	exhausted trouble = "connections"
	// frozen is a server that answers nothing and refuses nothing.
	frozen trouble = "freeze"
	// full is a disk without a byte left, under the database and its log.
	full trouble = "disk"
)

func troubles() []trouble { return []trouble{restarted, terminated, exhausted, frozen, full} }

func (t *trouble) set(name string) error {
	if !slices.Contains(troubles(), trouble(name)) {
		return fmt.Errorf("it may be %s", strings.Trim(fmt.Sprint(troubles()), "[]"))
	}
	*t = trouble(name)
	return nil
}

const (
	// diskBytes hold a cluster whose log is kept short, and what a run writes in minutes.
	diskBytes = 600 << 20
	// smooth is how long a rate is looked at.
	smooth = 2 * time.Second
	// enough is the share of the rate before that counts as being back.
	enough = 0.95
)

// errNotHere is a trouble that this machine cannot make.
var errNotHere = errors.New("it cannot be made here")

// ground is what a database stands on, and what trouble comes from.
type ground struct {
	// address is a server's, empty for a file in dir; cluster is that server, if it is one
	// of its own.
	address string
	cluster *postgrestest.Cluster
	// dir is where the files are, empty for a temporary folder.
	dir string
}

// newGround makes the ground for a trouble. A full disk needs one of its own, which only
// root can make.
func newGround(name string, t trouble) (g ground, remove func(), err error) {
	remove = func() {}
	if t == full {
		if g.dir, remove, err = smallDisk(); err != nil {
			return g, nil, err
		}
	}
	if name != "postgres" {
		return g, remove, nil
	}
	// Its log must be able to fill what is left, and not all of it by itself.
	g.cluster, err = postgrestest.NewCluster(g.dir, "max_wal_size=96MB", "min_wal_size=32MB", "max_connections=120")
	if err != nil {
		remove()
		return g, nil, err
	}
	g.address = g.cluster.Address()
	unmount := remove
	return g, func() { g.cluster.Stop(); unmount() }, nil
}

// make makes trouble for d, and returns when it is over.
func (g ground) make(ctx context.Context, t trouble, d time.Duration) error {
	within, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	switch t {
	case restarted:
		return g.repeat(within, d/3, func(context.Context) error { return g.cluster.Restart() }) //nolint:contextcheck // A test server waits on its own clock.
	case terminated:
		return g.repeat(within, time.Second/2, g.terminate)
	case exhausted:
		return g.exhaust(within)
	case frozen:
		thaw, err := g.cluster.Freeze()
		if err != nil {
			return err
		}
		<-within.Done()
		return thaw()
	default:
		return g.fill(within)
	}
}

// repeat does something again and again until ctx ends.
func (g ground) repeat(ctx context.Context, every time.Duration, do func(context.Context) error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := do(ctx); err != nil && !ended(ctx) {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// ended says whether ctx is over, or about to say so: a dial looks at the time by itself.
func ended(ctx context.Context) bool {
	at, bounded := ctx.Deadline()
	return ctx.Err() != nil || bounded && !time.Now().Before(at)
}

// terminate ends all connections but its own.
func (g ground) terminate(ctx context.Context) error {
	c, err := pgx.Connect(ctx, g.address)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	_, err = c.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'`)
	return err
}

// exhaust ends all connections and takes their places, until ctx ends.
func (g ground) exhaust(ctx context.Context) error {
	var held []*pgx.Conn
	defer func() {
		for _, c := range held {
			_ = c.Close(context.WithoutCancel(ctx))
		}
	}()
	if err := g.terminate(ctx); err != nil {
		return err
	}
	for tick := time.NewTicker(time.Millisecond); ; {
		// A superuser may have the places that are reserved, too.
		c, err := pgx.Connect(ctx, g.address)
		if err == nil {
			held = append(held, c)
			continue
		}
		select {
		case <-ctx.Done():
			tick.Stop()
			return nil
		case <-tick.C:
		}
	}
}

// fill leaves no byte on the disk, until ctx ends. A server that did not survive that is
// started again by whoever made room: its operator.
func (g ground) fill(ctx context.Context) error {
	path := filepath.Join(g.dir, "ballast")
	ballast, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("fill the disk: %w", err)
	}
	defer func() { _ = ballast.Close() }()
	piece := make([]byte, 1<<16)
	err = g.repeat(ctx, 50*time.Millisecond, func(context.Context) error {
		for size := len(piece); size > 0; {
			n, err := ballast.Write(piece[:size])
			if err != nil && !errors.Is(err, syscall.ENOSPC) {
				return fmt.Errorf("fill the disk: %w", err)
			}
			if n < size {
				size /= 2
			}
		}
		return nil
	})
	if err := errors.Join(err, os.Remove(path), ballast.Truncate(0)); err != nil {
		return err
	}
	if g.cluster == nil {
		return nil
	}
	return g.cluster.Restart() //nolint:contextcheck // A test server waits on its own clock.
}

// meter counts what is done, by its time. It is safe for concurrent use.
type meter struct {
	mu   sync.Mutex
	done []time.Time
}

func (m *meter) count(at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done = append(m.done, at)
}

// rate is how much was done in a second, from one time to another.
func (m *meter) rate(from, to time.Time) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, at := range m.done {
		if at.After(from) && !at.After(to) {
			n++
		}
	}
	return float64(n) / to.Sub(from).Seconds()
}

// back is how long after a time the rate was again what it should be, for as long as it
// is looked at; false for not before the end.
func (m *meter) back(from, end time.Time, want float64) (time.Duration, bool) {
	for at := from; !at.Add(smooth).After(end); at = at.Add(100 * time.Millisecond) {
		if m.rate(at, at.Add(smooth)) >= want {
			return at.Add(smooth).Sub(from), true
		}
	}
	return 0, false
}

// suffering is what a trouble did to the work.
type suffering struct {
	trouble trouble
	// accepted and completed are per second before, while and after.
	accepted, completed [3]float64
	// back is how long it took after the end until both were as before, if they were.
	back time.Duration
	well bool
}

func (s suffering) print(out io.Writer, name string) {
	fmt.Fprintf(out, "chaos %s trouble=%s accepted_per_s before=%.1f during=%.1f after=%.1f\n", name, s.trouble, s.accepted[0], s.accepted[1], s.accepted[2])
	fmt.Fprintf(out, "chaos %s trouble=%s completed_per_s before=%.1f during=%.1f after=%.1f\n", name, s.trouble, s.completed[0], s.completed[1], s.completed[2])
	if !s.well {
		fmt.Fprintf(out, "chaos %s trouble=%s back_after never\n", name, s.trouble)
		return
	}
	fmt.Fprintf(out, "chaos %s trouble=%s back_after %s\n", name, s.trouble, s.back.Round(100*time.Millisecond))
}

// suffer has a server work before, while and after its database has trouble.
func (s *scene) suffer(ctx context.Context) (n int, err error) {
	v, err := start(ctx, s.place, s.pulse.hear)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, v.stop()) }()
	working, stop := context.WithCancel(ctx)
	worked := make(chan struct{})
	go func() {
		defer close(worked)
		s.vendor.work(working)
	}()
	defer func() {
		stop()
		<-worked
	}()
	s.vendor.turn(v.addr)
	s.await(ctx, v, s.o.around/4) // The first deliveries find everything cold.
	began := time.Now()
	s.await(ctx, v, s.o.around)
	struck := time.Now()
	if err := s.place.ground.make(ctx, s.o.trouble, s.o.during); err != nil {
		return 0, fmt.Errorf("make trouble: %w", err)
	}
	over := time.Now()
	s.await(ctx, v, s.o.around)
	end := time.Now()
	s.suffered = suffering{trouble: s.o.trouble}
	for i, at := range [][2]time.Time{{began, struck}, {struck, over}, {over, end}} {
		s.suffered.accepted[i] = s.acceptances.rate(at[0], at[1])
		s.suffered.completed[i] = s.completions.rate(at[0], at[1])
	}
	a, accepts := s.acceptances.back(over, end, enough*s.suffered.accepted[0])
	c, completes := s.completions.back(over, end, enough*s.suffered.completed[0])
	s.suffered.back, s.suffered.well = max(a, c), accepts && completes
	return 1, ctx.Err()
}
