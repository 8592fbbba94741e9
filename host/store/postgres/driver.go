package postgres

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/cofferdam-run/cofferdam/host/skew"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/internal/group"
	"github.com/cofferdam-run/cofferdam/host/tenant"
)

// SQLSTATEs, from https://www.postgresql.org/docs/15/errcodes-appendix.html.
const (
	uniqueViolation     = "23505"
	foreignKeyViolation = "23503"
	undefinedTable      = "42P01"
	undefinedColumn     = "42703"
	readOnlyTransaction = "25006"
	badCharacters       = "22021"
	untranslatable      = "22P05"
	diskFull            = "53100"
	queryCanceled       = "57014"
	deadlock            = "40P01"
	serialization       = "40001"
)

// tries is how often a transaction that lost to another is made again.
const tries = 3

// driver implements store.Driver.
type driver struct {
	pool *pgxpool.Pool
	db   *sql.DB
	// now is the clock, and offset what is added to it: the server's minus ours.
	now    func() time.Time
	server bool
	offset atomic.Int64
	theirs skew.Clock
}

func newDriver(pool *pgxpool.Pool, now func() time.Time) *driver {
	d := &driver{pool: pool, db: stdlib.OpenDBFromPool(pool), now: now}
	if now == nil {
		d.now, d.server = time.Now, true //nolint:forbidigo // The offset to the server's clock is measured from it.
	}
	return d
}

// Reader implements store.Driver.
func (d *driver) Reader() store.Conn { return d.db }

// Write implements store.Driver.
func (d *driver) Write(ctx context.Context, fn func(ctx context.Context, tx store.Conn) error) error {
	return again(func() error { return d.write(ctx, fn) })
}

// Clock implements store.Driver.
func (d *driver) Clock() time.Time { return d.now().Add(time.Duration(d.offset.Load())) }

// Pick implements store.Dialect. A join on what was locked would be planned as a
// scan of the whole table; the rows' places are exact. A row that moves
// meanwhile is left out, as one that is locked is.
func (d *driver) Pick(from string) string {
	return "ctid = ANY(ARRAY(SELECT ctid " + from + " FOR UPDATE SKIP LOCKED))"
}

// In implements store.Dialect. A join with the query would be planned as a scan.
func (d *driver) In(column, query string) string { return column + " = ANY(ARRAY(" + query + "))" }

// Each implements store.Dialect.
func (d *driver) Each(param string) string {
	return "SELECT json_array_elements_text(" + param + "::json)"
}

// Pairs implements store.Dialect.
func (d *driver) Pairs(param string) string {
	return "SELECT key, value FROM json_each_text(" + param + "::json)"
}

// transaction is a store.Conn with the connection that it is on.
type transaction struct {
	*sql.Tx
	conn *sql.Conn
}

// ExecAll implements store.Driver: in one round trip.
func (d *driver) ExecAll(ctx context.Context, tx store.Conn, all []store.Statement) (int, error) {
	b := &pgx.Batch{}
	changed := int64(0)
	for _, s := range all {
		b.Queue(s.Query, s.Args...).Exec(func(tag pgconn.CommandTag) error {
			changed += tag.RowsAffected()
			return nil
		})
	}
	t := tx.(transaction) //nolint:forcetypeassert // Write has made it.
	err := t.conn.Raw(func(c any) error {
		return c.(*stdlib.Conn).Conn().SendBatch(ctx, b).Close() //nolint:forcetypeassert // The pool is of these.
	})
	return int(changed), err
}

// Problem implements store.Driver.
func (d *driver) Problem(err error) store.Problem {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return problem(pgErr.Code)
	}
	var connect *pgconn.ConnectError
	var op *net.OpError
	switch {
	case errors.As(err, &connect), errors.As(err, &op), errors.Is(err, group.ErrClosed), errors.Is(err, errLost),
		// A server that takes longer than anyone waits does not answer.
		errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, sql.ErrConnDone), errors.Is(err, sqldriver.ErrBadConn),
		strings.Contains(err.Error(), "closed pool"), strings.Contains(err.Error(), "conn closed"):
		return store.Unreachable
	default:
		return store.Other
	}
}

// Residue implements store.Residue. Nothing is done: autovacuum is the server's matter,
// and what it frees is not overwritten either.
func (*driver) Residue(context.Context) []tenant.Remain {
	return []tenant.Remain{
		{
			Where: "the Postgres data files", Until: "VACUUM frees them, and the room is used anew; VACUUM FULL writes a table anew without them",
			What: "deleted rows, which no query sees, in tables, indexes and TOAST; those of sealed columns do not open",
		},
		{
			Where: "the Postgres write-ahead log, its archive and the replicas", Until: "segments are recycled and archives expire",
			What: "the changes that made and deleted the rows; those of sealed columns do not open, unless the wrapped key is among them and the key that wrapped it exists",
		},
	}
}

// errLost means that the fate of a transaction is not known.
var errLost = errors.New("the connection was lost before the commit was confirmed")

func (d *driver) write(ctx context.Context, fn func(ctx context.Context, tx store.Conn) error) error {
	conn, err := d.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // It goes back to the pool.
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := fn(ctx, transaction{tx, conn}); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	return tx.Commit()
}

// measure compares the server's clock with ours. Steps of ours have to show, so it is read
// without what does not step.
func (d *driver) measure(ctx context.Context) error {
	if !d.server {
		return d.pool.Ping(ctx)
	}
	asked := d.now().Round(0)
	var us int64
	if err := d.pool.QueryRow(ctx, `SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint`).Scan(&us); err != nil {
		return err
	}
	d.theirs.Learn(time.UnixMicro(us), asked, d.now().Round(0))
	d.offset.Store(int64(d.theirs.Ahead()))
	return nil
}

func (d *driver) close() {
	// The pool would wait for connections that database/sql has not given back.
	_ = d.db.Close()
	d.pool.Close()
}

// transact runs fn on a connection, whose batches begin and commit a
// transaction; what fn leaves open is rolled back.
func (d *driver) transact(ctx context.Context, fn func(c *pgxpool.Conn) error) error {
	c, err := d.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer c.Release()
	err = fn(c)
	if c.Conn().PgConn().TxStatus() != 'I' && !c.Conn().IsClosed() {
		if _, rollback := c.Exec(ctx, "ROLLBACK"); rollback != nil {
			err = errors.Join(err, rollback)
		}
	}
	return err
}

// again repeats what lost to another transaction and was rolled back for it.
func again(fn func() error) error {
	var err error
	for range tries {
		err = fn()
		pgErr, ok := errors.AsType[*pgconn.PgError](err)
		if !ok || (pgErr.Code != deadlock && pgErr.Code != serialization) {
			return err
		}
	}
	return err
}

// send runs a batch in one round trip.
func send(ctx context.Context, c *pgxpool.Conn, b *pgx.Batch) error {
	err := c.SendBatch(ctx, b).Close()
	if err != nil && c.Conn().IsClosed() {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	return err
}

func problem(code string) store.Problem {
	switch code {
	case uniqueViolation:
		return store.Duplicate
	case foreignKeyViolation:
		return store.Dangling
	case undefinedTable, undefinedColumn:
		return store.Outdated
	case badCharacters, untranslatable:
		return store.BadText
	case readOnlyTransaction:
		return store.ReadOnly
	case diskFull:
		return store.Full
	case queryCanceled:
		return store.Other
	}
	switch code[:min(2, len(code))] {
	// Connection trouble, an operator's intervention, too few resources, a login
	// or database that is not there.
	case "08", "57", "53", "28", "3D":
		return store.Unreachable
	default:
		return store.Other
	}
}

// ignoreDone drops the error of a transaction that is over already.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}
