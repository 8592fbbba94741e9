package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"

	_ "github.com/jackc/pgx/v5/stdlib" // the peer of the accept rate
	_ "modernc.org/sqlite"             // the peer of the accept rate

	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/postgres"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
)

// database is where stores are opened, each on an empty database of its own.
type database struct {
	name string
	open func(ctx context.Context) (store.Store, error)
	// bare opens a plain database/sql handle for the peer that inserts rows.
	bare func(ctx context.Context) (*sql.DB, error)
	stop func()
}

// openDatabase finds or starts what a database needs. Postgres without a server
// is postgrestest.ErrNoServer.
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
	next := func() string {
		n++
		return filepath.Join(dir, fmt.Sprintf("%d.db", n))
	}
	return &database{
		name: "sqlite",
		open: func(ctx context.Context) (store.Store, error) { return sqlite.Open(ctx, next(), sqlite.Options{}) },
		bare: func(context.Context) (*sql.DB, error) {
			db, err := sql.Open("sqlite", "file:"+next()+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
			if err == nil {
				db.SetMaxOpenConns(1) // SQLite has one lock for writing.
			}
			return db, err
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
		open: func(ctx context.Context) (store.Store, error) {
			dsn, err := postgrestest.Create(ctx, address)
			if err != nil {
				return nil, err
			}
			return postgres.Open(ctx, dsn, postgres.Options{})
		},
		bare: func(ctx context.Context) (*sql.DB, error) {
			dsn, err := postgrestest.Create(ctx, address)
			if err != nil {
				return nil, err
			}
			return sql.Open("pgx", dsn)
		},
		stop: stop,
	}, nil
}

// bareInserts returns how many rows of one body a second the same clients insert
// with nothing around it: one statement, one durable transaction each.
func (s *suite) bareInserts(ctx context.Context, d *database, body []byte) (float64, error) {
	db, err := d.bare(ctx)
	if err != nil {
		return 0, fmt.Errorf("open the peer: %w", err)
	}
	defer db.Close()
	blob := "BLOB"
	if d.name == "postgres" {
		blob = "BYTEA"
	}
	if _, err := db.ExecContext(ctx, "CREATE TABLE bare (id TEXT PRIMARY KEY, body "+blob+" NOT NULL)"); err != nil {
		return 0, fmt.Errorf("make the peer's table: %w", err)
	}
	if d.name == "postgres" {
		db.SetMaxOpenConns(clients)
	}
	return flatOut(clients, s.seconds, func() error {
		_, err := db.ExecContext(ctx, "INSERT INTO bare (id, body) VALUES ($1, $2)", newID(), body)
		return err
	})
}
