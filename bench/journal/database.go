package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	_ "github.com/jackc/pgx/v5/stdlib" // looks at what lies in Postgres
	_ "modernc.org/sqlite"             // looks at what lies in SQLite

	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/postgres"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
)

// database is where stores are opened, each on an empty database of its own.
type database struct {
	name string
	open func(ctx context.Context) (store.Store, *sql.DB, error)
	stop func()
}

// openDatabase finds or starts what a database needs. Postgres without a server is
// postgrestest.ErrNoServer.
func openDatabase(name string) (*database, error) {
	if name == "sqlite" {
		return sqliteDatabase()
	}
	return postgresDatabase()
}

func sqliteDatabase() (*database, error) {
	dir, err := os.MkdirTemp("", "cofferdam-bench")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	n := 0
	return &database{
		name: "sqlite",
		open: func(ctx context.Context) (store.Store, *sql.DB, error) {
			n++
			path := filepath.Join(dir, fmt.Sprintf("%d.db", n))
			db, err := sqlite.Open(ctx, path, sqlite.Options{})
			if err != nil {
				return nil, nil, err
			}
			look, err := sql.Open("sqlite", "file:"+path+"?mode=ro&_pragma=busy_timeout(10000)")
			return db, look, err
		},
		stop: func() { _ = os.RemoveAll(dir) },
	}, nil
}

func postgresDatabase() (*database, error) {
	address, stop, err := postgrestest.Start()
	if err != nil {
		return nil, err
	}
	return &database{
		name: "postgres",
		open: func(ctx context.Context) (store.Store, *sql.DB, error) {
			dsn, err := postgrestest.Create(ctx, address)
			if err != nil {
				return nil, nil, err
			}
			db, err := postgres.Open(ctx, dsn, postgres.Options{})
			if err != nil {
				return nil, nil, err
			}
			look, err := sql.Open("pgx", dsn)
			return db, look, err
		},
		stop: stop,
	}, nil
}

// lies is what a database holds.
type lies struct {
	executions, rows, journal, total float64
}

// measure looks how large everything is: the journal's own bytes, without what the
// database keeps around them, and the whole database.
func (s *side) measure(ctx context.Context) (l lies, err error) {
	total := `SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()`
	if s.database == "postgres" {
		total = `SELECT pg_database_size(current_database())`
	}
	for query, to := range map[string]*float64{
		`SELECT COUNT(*) FROM executions`:                    &l.executions,
		`SELECT COUNT(*) FROM journal`:                       &l.rows,
		`SELECT COALESCE(SUM(LENGTH(body)), 0) FROM journal`: &l.journal,
		total: &l.total,
	} {
		err = errors.Join(err, s.look.QueryRowContext(ctx, query).Scan(to))
	}
	if err != nil {
		err = fmt.Errorf("look at the database: %w", err)
	}
	return l, err
}
