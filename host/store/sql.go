package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/store/internal/sealing"
	"github.com/cofferdam-run/cofferdam/host/vault"
)

// SQL is the part of a Store that is the same text for every database. The
// folders of the databases embed it and add their own: the hot paths (Accept,
// Claim, Begin, Complete), the schema and the hints.
type SQL struct {
	d Driver
	// sealing seals payloads for the driver's part, too.
	sealing *sealing.Sealing
}

// Dialect is what differs between databases in the text of statements.
type Dialect interface {
	// Pick is the condition "is one of these rows", given the part of a SELECT
	// that begins with FROM. Rows that another transaction holds are left out.
	Pick(from string) string
	// In is the condition that a column has one of the values that a query of one
	// column gives. The query is run once, and the column's index used.
	In(column, query string) string
	// Each is a query of the texts in a parameter that is a JSON array of them.
	Each(param string) string
	// Pairs is a query of the names and texts in a parameter that is a JSON object of them.
	Pairs(param string) string
}

// Driver is what differs between databases for SQL.
type Driver interface {
	Dialect
	// Reader runs statements that only read.
	Reader() Conn
	// Write runs fn in one durable transaction and returns after its commit. If
	// ctx ends first the error is ctx's, though fn may still take effect: what fn
	// set must not be read then. Fn may be called again, after what it did was undone:
	// it sets anew whatever it sets outside.
	Write(ctx context.Context, fn func(ctx context.Context, tx Conn) error) error
	// Clock is the database's time.
	Clock() time.Time
	// ExecAll runs statements of one transaction, and returns how many rows all have
	// changed.
	ExecAll(ctx context.Context, tx Conn, all []Statement) (changed int, err error)
	// Problem says what an error of the driver means.
	Problem(err error) Problem
}

// Statement is a statement with its parameters.
type Statement struct {
	Query string
	Args  []any
}

// Conn runs statements with parameters $1, $2, ...: a pool or a transaction.
type Conn interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Problem is what an error of a driver means to whoever asked.
type Problem int

// The problems.
const (
	// Other is anything else.
	Other Problem = iota
	// Duplicate is a unique key that is taken.
	Duplicate
	// Dangling is a reference to a row that does not exist.
	Dangling
	// BadText is text that the database does not take.
	BadText
	// Unreachable is a database that does not answer.
	Unreachable
	// ReadOnly is a database that takes no writes.
	ReadOnly
	// Full is a disk without room.
	Full
	// Outdated is a table or column that the schema does not have yet.
	Outdated
)

// The codes of a database that cannot be used now; see Unavailable.
const (
	CodeUnreachable = fault.CodeDatabaseUnreachable
	CodeReadOnly    = fault.CodeDatabaseReadOnly
	CodeFull        = "database_full"
)

// New returns the shared part over a driver, which seals payloads as the driver's own
// part does.
func New(d Driver, s *sealing.Sealing) *SQL { return &SQL{d: recorded{d}, sealing: s} }

// SealWith implements Lifecycle.
func (s *SQL) SealWith(v *vault.Vault) { s.sealing.With(v) }

// Unavailable says that err comes from a database that is down, read-only or
// full, so that the same call may work later.
func Unavailable(err error) bool {
	var f *fault.Error
	if !errors.As(err, &f) || f.Class != fault.Platform {
		return false
	}
	return f.Code == CodeUnreachable || f.Code == CodeReadOnly || f.Code == CodeFull
}

// Fault wraps an error with what was being done, and with a fault that says what
// to do if the database itself is the trouble. Faults pass as they are.
func Fault(d interface{ Problem(err error) Problem }, err error, doing string) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	err = fmt.Errorf("%s: %w", doing, err)
	var f *fault.Error
	switch d.Problem(err) {
	case Unreachable:
		f = fault.New(fault.Platform, CodeUnreachable, "the database does not answer").
			WithHint("check that it runs and that its address is right; the call can be made again")
	case ReadOnly:
		f = fault.New(fault.Platform, CodeReadOnly, "the database takes no writes").
			WithHint("check the permissions of the database file and its folder, or that the server is a primary")
	case Full:
		f = fault.New(fault.Platform, CodeFull, "the database's disk is full").WithHint("free some room; nothing was written")
	case Outdated:
		f = fault.New(fault.Platform, fault.CodeSchemaTooOld, "the database's schema is older than this program's, and does not have this yet").
			WithHint("run `cofferdam migrate`")
	case BadText:
		f = fault.New(fault.InvalidInput, "text_invalid", "a text is not UTF-8, or has a NUL in it")
	case Duplicate:
		f = fault.New(fault.Conflict, "exists", "a thing with this id exists already")
	default:
		return err
	}
	f.Err = err
	return f
}

// exec runs one statement in a transaction of its own and returns how many rows
// it changed.
func (s *SQL) exec(ctx context.Context, doing, query string, args ...any) (int64, error) {
	var n int64
	err := s.write(ctx, doing, func(ctx context.Context, tx Conn) error {
		var err error
		n, err = execOn(ctx, tx, query, args...)
		if err == nil && n == 0 {
			return errUnchanged
		}
		return err
	})
	if errors.Is(err, errUnchanged) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return n, nil
}

// errUnchanged undoes a transaction that has changed nothing, so that nobody writes
// down that it did.
var errUnchanged = errors.New("nothing was changed")

func (s *SQL) write(ctx context.Context, doing string, fn func(ctx context.Context, tx Conn) error) error {
	return Fault(s.d, s.d.Write(ctx, fn), doing)
}

// insert runs an INSERT. A unique key that is taken becomes taken, and a missing
// parent missing; either may be nil.
func (s *SQL) insert(ctx context.Context, doing string, taken, missing *fault.Error, query string, args ...any) error {
	err := s.d.Write(audit.Made(ctx, idIn(args)), func(ctx context.Context, tx Conn) error {
		_, err := execOn(ctx, tx, query, args...)
		return err
	})
	return s.refused(err, doing, taken, missing)
}

// idIn is the first id among the values of a row, a tenant's only if there is no other.
func idIn(args []any) string {
	found := ""
	for _, a := range args {
		s, ok := a.(string)
		if !ok || len(s) != idLength || s[3] != '_' {
			continue
		}
		if !strings.HasPrefix(s, ident.Tenant) {
			return s
		}
		if found == "" {
			found = s
		}
	}
	return found
}

// idLength is that of a prefix of 4 and a ULID.
const idLength = 30

// refused is the fault of a write that broke a key.
func (s *SQL) refused(err error, doing string, taken, missing *fault.Error) error {
	if err == nil {
		return nil
	}
	switch p := s.d.Problem(err); {
	case p == Duplicate && taken != nil:
		taken.Err = err
		return taken
	case p == Dangling && missing != nil:
		missing.Err = err
		return missing
	default:
		return Fault(s.d, err, doing)
	}
}

// scanner is a *sql.Row or *sql.Rows.
type scanner interface {
	Scan(dest ...any) error
}

// find reads one row. No row is the fault none.
func find[T any](ctx context.Context, s *SQL, none error, scan func(scanner) (T, error), query string, args ...any) (T, error) {
	v, err := scan(s.d.Reader().QueryRowContext(ctx, query, args...))
	if errors.Is(err, sql.ErrNoRows) {
		return v, none
	}
	return v, Fault(s.d, err, "read the database")
}

// list reads all rows of a query. It returns an empty slice for none, which is
// how JSON shows an empty list.
func list[T any](ctx context.Context, s *SQL, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	vs, err := listOn(ctx, s.d.Reader(), scan, query, args...)
	return vs, Fault(s.d, err, "read the database")
}

func listOn[T any](ctx context.Context, c Conn, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	vs := []T{}
	rows, err := c.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		vs = append(vs, v)
	}
	return vs, rows.Err()
}

func execOn(ctx context.Context, c Conn, query string, args ...any) (int64, error) {
	r, err := c.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// scanString reads rows of one text.
func scanString(r scanner) (string, error) {
	var v string
	err := r.Scan(&v)
	return v, err
}

// conflict is the fault of a name that is taken.
func conflict(code, format string, args ...any) *fault.Error {
	return fault.New(fault.Conflict, code, format, args...)
}
