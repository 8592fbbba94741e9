package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	// checkpointEvery is how many pages of the log (4 MB) are brought into the file at
	// once, beside the writer.
	checkpointEvery = 1000
	// restartAt is how many pages (16 MB) the log has when the writer itself brings in the
	// rest, so that the log begins anew: while others write it cannot. That rest is what
	// came since the last time, which takes the writer some milliseconds.
	restartAt = 4000
)

// checkpointer brings the log into the file beside the writer, who would wait for it: with
// each page that is copied, and for two syncs of the disk.
type checkpointer struct {
	db     *sql.DB
	conn   *sql.Conn
	logger *slog.Logger
	wake   chan struct{}
	// one is held by whoever brings the log into the file.
	one     sync.Mutex
	running sync.WaitGroup
	stop    context.CancelFunc
}

// newCheckpointer starts one. Its connection is its own, and always of the driver itself:
// its statements are not those of a caller.
func newCheckpointer(ctx context.Context, path string, logger *slog.Logger) (*checkpointer, error) {
	db, err := sql.Open("sqlite", dsn(path))
	if err != nil {
		return nil, err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	c := &checkpointer{db: db, conn: conn, logger: logger, wake: make(chan struct{}, 1), stop: stop}
	c.running.Go(func() { c.work(ctx) })
	return c, nil
}

// committed tells it that the log is longer.
func (c *checkpointer) committed() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// close waits for a checkpoint that is under way.
func (c *checkpointer) close() error {
	c.stop()
	c.running.Wait()
	return errors.Join(c.conn.Close(), c.db.Close())
}

// work ends with ctx. What fails is tried again with the next commit, and SQLite tells
// nobody when the writer's own try fails: the log would grow without a word.
func (c *checkpointer) work(ctx context.Context) {
	for {
		select {
		case <-c.wake:
		case <-ctx.Done():
			return
		}
		// Statements are not cut off: one that is under way is waited for.
		if err := c.checkpoint(context.WithoutCancel(ctx)); err != nil && !errors.Is(err, errBusy) {
			c.logger.LogAttrs(ctx, slog.LevelError, "checkpoint_failed", slog.String("error", err.Error()))
		}
	}
}

func (c *checkpointer) checkpoint(ctx context.Context) error {
	log, done, err := checkpoint(ctx, c.conn, "NOOP") // It only looks.
	if err != nil || log-done < checkpointEvery {
		return err
	}
	c.one.Lock()
	defer c.one.Unlock()
	_, _, err = checkpoint(ctx, c.conn, "PASSIVE")
	return err
}

// empty brings the whole log into the file and empties it, on a connection for which
// readers are waited.
func (c *checkpointer) empty(ctx context.Context, db *sql.DB) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.ExecContext(ctx, pragmaBusy(emptyFor)); err != nil {
		return err
	}
	defer func() { _, _ = conn.ExecContext(context.WithoutCancel(ctx), pragmaBusy(busyTimeout)) }()
	c.one.Lock()
	defer c.one.Unlock()
	_, _, err = checkpoint(ctx, conn, "TRUNCATE")
	return err
}

func pragmaBusy(d time.Duration) string {
	return fmt.Sprintf("PRAGMA busy_timeout = %d", d.Milliseconds())
}

// errBusy means that readers kept the log from being brought in.
var errBusy = errors.New("the log is being read")

// checkpoint returns how many pages the log has, and how many of them the file
// (https://sqlite.org/pragma.html#pragma_wal_checkpoint).
func checkpoint(ctx context.Context, conn *sql.Conn, mode string) (log, done int, err error) {
	var busy bool
	err = conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint("+mode+")").Scan(&busy, &log, &done)
	if err == nil && busy {
		err = errBusy
	}
	return log, done, err
}
