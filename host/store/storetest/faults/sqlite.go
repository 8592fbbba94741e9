package faults

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"fmt"
)

// errAway is what a statement fails with: that of a connection that is gone.
var errAway = fmt.Errorf("a fault was planned here: %w", sql.ErrConnDone)

// SQLite registers a driver that passes on to the driver "sqlite", and returns its
// name.
func SQLite(p *Plan) string {
	name := "sqlite-faults-" + rand.Text()
	sql.Register(name, &faulty{p})
	return name
}

// do runs a statement, or fails it.
func do[T any](p *Plan, run func() (T, error)) (T, error) {
	var none T
	fails, when := p.next()
	if !fails {
		return run()
	}
	if when == After {
		done, err := run()
		if rows, ok := any(done).(driver.Rows); ok && err == nil {
			// A statement ends with its rows.
			end(rows)
		}
	}
	return none, errAway
}

func end(rows driver.Rows) {
	row := make([]driver.Value, len(rows.Columns()))
	for rows.Next(row) == nil {
		continue
	}
	_ = rows.Close()
}

type faulty struct{ plan *Plan }

// Open implements driver.Driver.
func (d *faulty) Open(dsn string) (driver.Conn, error) {
	// Opened for its driver alone: no connection is made.
	db, err := sql.Open("sqlite", "")
	if err != nil {
		return nil, err
	}
	c, err := db.Driver().Open(dsn)
	if err != nil {
		return nil, err
	}
	return &conn{c.(whole), d.plan}, db.Close()
}

// whole is what the driver's connections can do.
type whole interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
}

type conn struct {
	whole

	plan *Plan
}

// ExecContext implements driver.ExecerContext.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return do(c.plan, func() (driver.Result, error) { return c.whole.ExecContext(ctx, query, args) })
}

// QueryContext implements driver.QueryerContext.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return do(c.plan, func() (driver.Rows, error) { return c.whole.QueryContext(ctx, query, args) })
}

// PrepareContext implements driver.ConnPrepareContext.
func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s, err := c.whole.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return &stmt{s.(runner), c.plan}, nil
}

// runner is what the driver's statements can do.
type runner interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type stmt struct {
	runner

	plan *Plan
}

// ExecContext implements driver.StmtExecContext.
func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return do(s.plan, func() (driver.Result, error) { return s.runner.ExecContext(ctx, args) })
}

// QueryContext implements driver.StmtQueryContext.
func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return do(s.plan, func() (driver.Rows, error) { return s.runner.QueryContext(ctx, args) })
}
