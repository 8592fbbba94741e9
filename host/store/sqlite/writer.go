package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	modernc "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/host/store/internal/group"
	"github.com/cofferdam-run/cofferdam/host/tenant"
)

// groupSize is the most calls of one commit. At 50 us each a group of 128 takes
// about 6 ms, which is what a caller may wait for those before it.
const groupSize = 128

// groupsApart is how long after one group the next begins where writes come side by side:
// where 64 executions run, commits without it cost the processor as much as all statements.
const groupsApart = 2 * time.Millisecond

// call is what a caller of the writer wants: to accept an event, which most do, or what a
// function does.
type call struct {
	accept *acceptance
	write  func(ctx context.Context, tx store.Conn) error
}

// driver implements store.Driver.
type driver struct {
	now         func() time.Time
	writeDB     *sql.DB
	readDB      *sql.DB
	reads       *cached
	tx          *writeConn
	checkpoints *checkpointer
	group       *group.Group[call]
}

// Reader implements store.Driver.
func (d *driver) Reader() store.Conn { return d.reads }

// Write implements store.Driver.
func (d *driver) Write(ctx context.Context, fn func(ctx context.Context, tx store.Conn) error) error {
	return d.group.Do(ctx, call{write: fn})
}

// Clock implements store.Driver.
func (d *driver) Clock() time.Time { return d.now() }

// Pick implements store.Dialect. There is one writer, so no row is held by another.
func (d *driver) Pick(from string) string { return "rowid IN (SELECT rowid " + from + ")" }

// In implements store.Dialect.
func (d *driver) In(column, query string) string { return column + " IN (" + query + ")" }

// Each implements store.Dialect.
func (d *driver) Each(param string) string { return "SELECT value FROM json_each(" + param + ")" }

// Pairs implements store.Dialect.
func (d *driver) Pairs(param string) string { return "SELECT key, value FROM json_each(" + param + ")" }

// ExecAll implements store.Driver. There is no way to save between statements here.
func (d *driver) ExecAll(ctx context.Context, tx store.Conn, all []store.Statement) (int, error) {
	changed := int64(0)
	for _, s := range all {
		r, err := tx.ExecContext(ctx, s.Query, s.Args...)
		if err != nil {
			return 0, err
		}
		n, err := r.RowsAffected()
		if err != nil {
			return 0, err
		}
		changed += n
	}
	return int(changed), nil
}

// Problem implements store.Driver.
func (d *driver) Problem(err error) store.Problem {
	var e *modernc.Error
	if errors.Is(err, group.ErrClosed) || errors.Is(err, sql.ErrConnDone) {
		return store.Unreachable
	}
	if !errors.As(err, &e) {
		return store.Other
	}
	if isNoTable(err) && isMissing(e.Error()) {
		return store.Outdated
	}
	switch e.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return store.Duplicate
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return store.Dangling
	}
	switch e.Code() & 0xff { // The primary code of an extended one.
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
		return store.ReadOnly
	case sqlite3.SQLITE_FULL:
		return store.Full
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED,
		sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return store.Unreachable
	default:
		return store.Other
	}
}

// emptyFor is how long the log's emptying may hold up the writer, who waits meanwhile.
const emptyFor = 500 * time.Millisecond

// Residue implements store.Residue: it brings the log into the file and empties it.
func (d *driver) Residue(ctx context.Context) []tenant.Remain {
	all := []tenant.Remain{{
		Where: "the SQLite file", Until: "each is used anew, or somebody runs VACUUM",
		What: "of deleted rows nothing: they are overwritten (secure_delete). Pages that a version of this program from before that has freed may have some of them",
	}}
	wal := tenant.Remain{
		Where: "the SQLite file's log (-wal)", What: "nothing: it was brought into the file and emptied after the last row was gone",
		Until: "the file system uses its blocks anew",
	}
	if err := d.checkpoints.empty(ctx, d.writeDB); err != nil {
		wal.What = "pages as they were before they were overwritten: it could not be emptied while somebody was reading"
		wal.Until = "it is emptied, when the program ends, or is overwritten by what comes next"
	}
	return append(all, wal)
}

// Close finishes what was taken and closes the connections.
func (d *driver) Close() error {
	d.group.Close()
	return d.closeConns()
}

// closeConns closes those that are open.
func (d *driver) closeConns() error {
	var errs []error
	if d.checkpoints != nil {
		errs = append(errs, d.checkpoints.close())
	}
	if d.tx != nil {
		errs = append(errs, d.tx.close())
	}
	if d.reads != nil {
		errs = append(errs, d.reads.close())
	}
	for _, db := range []*sql.DB{d.readDB, d.writeDB} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// commit runs one group in one transaction, the accepts first. What fails is undone
// alone. If the transaction itself fails, every one has failed.
func (d *driver) commit(ctx context.Context, items []*group.Item[call]) {
	slices.SortStableFunc(items, func(a, b *group.Item[call]) int { return acceptsFirst(a.Value) - acceptsFirst(b.Value) })
	// Where one could not be rolled back it may be open still.
	err := d.tx.run(ctx, "BEGIN IMMEDIATE")
	if err == nil {
		err = d.runAll(ctx, items)
	}
	if err == nil {
		err = d.tx.run(ctx, "COMMIT")
	}
	if err != nil {
		d.abandon(ctx, items, err)
		return
	}
	d.checkpoints.committed()
}

func acceptsFirst(c call) int {
	if c.accept != nil {
		return 0
	}
	return 1
}

// runAll runs the calls of a group without a savepoint for each, which would have SQLite
// keep every page as it was: hardly a call fails after it has changed something. Where one
// does, the transaction is begun anew, and each gets a savepoint then. It returns an error
// if the whole transaction is lost.
func (d *driver) runAll(ctx context.Context, items []*group.Item[call]) error {
	in := d.accepting()
	for _, it := range items {
		d.tx.wrote = false
		if it.Err = d.do(ctx, in, it.Value); it.Err != nil && (d.tx.wrote || isSQLite(it.Err)) {
			return d.runApart(ctx, items, it.Err)
		}
	}
	return nil
}

// isSQLite says that an error is the database's. Some end the transaction, also when a
// statement has only read: what comes after would be committed statement by statement.
func isSQLite(err error) bool {
	_, ok := errors.AsType[*modernc.Error](err)
	return ok
}

// runApart runs the calls of a group again, each so that it can be undone alone.
func (d *driver) runApart(ctx context.Context, items []*group.Item[call], failed error) error {
	for _, again := range []string{"ROLLBACK", "BEGIN IMMEDIATE"} {
		if err := d.tx.run(ctx, again); err != nil {
			return errors.Join(failed, err) // The transaction has ended by itself, as on a full disk.
		}
	}
	for _, it := range items {
		if err := d.savepoint(ctx, it); err != nil {
			return err
		}
	}
	return nil
}

func (d *driver) accepting() *accepting {
	return &accepting{tx: d.tx, now: column.Micros(d.now()), open: map[string]bool{}}
}

// do makes one call.
func (d *driver) do(ctx context.Context, in *accepting, c call) error {
	if c.accept != nil {
		return in.accept(ctx, c.accept)
	}
	return c.write(ctx, d.tx)
}

// savepoint runs one write. It returns an error if the whole transaction is lost.
func (d *driver) savepoint(ctx context.Context, it *group.Item[call]) error {
	if err := d.tx.run(ctx, "SAVEPOINT one"); err != nil {
		return err
	}
	if it.Err = d.do(ctx, d.accepting(), it.Value); it.Err != nil {
		// A full disk or a failed read ends the transaction by itself: then there
		// is no savepoint to go back to, and this fails.
		if err := d.tx.run(ctx, "ROLLBACK TO one"); err != nil {
			return errors.Join(it.Err, err)
		}
	}
	return d.tx.run(ctx, "RELEASE one")
}

// abandon rolls the transaction back, which is gone already after some errors.
func (d *driver) abandon(ctx context.Context, items []*group.Item[call], err error) {
	_ = d.tx.run(ctx, "ROLLBACK")
	failAll(items, err)
}

// failAll tells those that believe to have succeeded.
func failAll(items []*group.Item[call], err error) {
	for _, it := range items {
		if it.Err == nil {
			it.Err = err
		}
	}
}

// writeConn is the writer's connection.
type writeConn struct {
	cached
	conn *sql.Conn
	// wrote says that a statement since it was unset may have changed something.
	wrote bool
}

// ExecContext implements store.Conn. A statement that fails may have changed some rows.
func (c *writeConn) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	r, err := c.cached.ExecContext(ctx, query, args...)
	if err == nil {
		var n int64
		if n, err = r.RowsAffected(); err == nil && n == 0 {
			return r, nil
		}
	}
	c.wrote = true
	return r, err
}

// QueryContext implements store.Conn.
func (c *writeConn) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	c.wrote = c.wrote || returns(query)
	return c.cached.QueryContext(ctx, query, args...)
}

// QueryRowContext implements store.Conn.
func (c *writeConn) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	c.wrote = c.wrote || returns(query)
	return c.cached.QueryRowContext(ctx, query, args...)
}

func (c *writeConn) run(ctx context.Context, query string) error {
	_, err := c.cached.ExecContext(ctx, query)
	return err
}

// returns says that a query changes something and says what.
func returns(query string) bool { return strings.Contains(query, "RETURNING") }

func (c *writeConn) close() error { return errors.Join(c.cached.close(), c.conn.Close()) }

// cached prepares each statement once, which is most of the cost of a small one.
// It translates $1, which SQLite reads as a name.
type cached struct {
	prepare    func(ctx context.Context, query string) (*sql.Stmt, error)
	direct     store.Conn
	statements sync.Map // string to *sql.Stmt
}

// ExecContext implements store.Conn.
func (c *cached) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	st, err := c.statement(ctx, query) //nolint:sqlclosecheck // It is kept, and closed with the rest.
	if err != nil {
		return nil, err
	}
	return st.ExecContext(ctx, args...)
}

// QueryContext implements store.Conn.
func (c *cached) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	st, err := c.statement(ctx, query) //nolint:sqlclosecheck // It is kept, and closed with the rest.
	if err != nil {
		return nil, err
	}
	return st.QueryContext(ctx, args...)
}

// QueryRowContext implements store.Conn.
func (c *cached) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	st, err := c.statement(ctx, query) //nolint:sqlclosecheck // It is kept, and closed with the rest.
	if err != nil {
		// The same error again, because a *sql.Row cannot be made from one.
		return c.direct.QueryRowContext(ctx, translate(query), args...)
	}
	return st.QueryRowContext(ctx, args...)
}

func (c *cached) statement(ctx context.Context, query string) (*sql.Stmt, error) {
	if st, ok := c.statements.Load(query); ok {
		return st.(*sql.Stmt), nil
	}
	// The statement outlives the call, so its context must not.
	st, err := c.prepare(context.WithoutCancel(ctx), translate(query))
	if err != nil {
		return nil, err
	}
	if first, raced := c.statements.LoadOrStore(query, st); raced {
		return first.(*sql.Stmt), st.Close() //nolint:sqlclosecheck // Deferring would close the one that is returned.
	}
	return st, nil
}

func (c *cached) close() error {
	var err error
	c.statements.Range(func(_, st any) bool {
		err = errors.Join(err, st.(*sql.Stmt).Close())
		return true
	})
	return err
}

// translate makes $1 to ?1, and a LIMIT an expression: for a bare parameter the
// planner looks at its value, and prepares the statement again when that changes.
// It is called once per statement text, so that compiling the pattern there costs
// nothing.
func translate(query string) string {
	query = regexp.MustCompile(`\$([0-9]+)`).ReplaceAllString(query, "?$1")
	return regexp.MustCompile(`LIMIT (\?[0-9]+)`).ReplaceAllString(query, "LIMIT $1 + 0")
}

// isMissing says that an error is about a table or column that is not there.
func isMissing(said string) bool {
	return strings.Contains(said, "no such table") || strings.Contains(said, "no such column") || strings.Contains(said, "has no column named")
}

// isNoTable says that the database has no schema.
func isNoTable(err error) bool {
	var e *modernc.Error
	return errors.As(err, &e) && e.Code() == sqlite3.SQLITE_ERROR
}
