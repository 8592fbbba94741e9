// Package database has the benchmarks' figures measured on both databases.
package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	_ "github.com/jackc/pgx/v5/stdlib" // a plain handle on Postgres
	_ "modernc.org/sqlite"             // a plain handle on SQLite

	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/postgres"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
)

// The names of the databases.
const (
	SQLite   = "sqlite"
	Postgres = "postgres"
)

// Database is where stores are opened, each on an empty database of its own.
type Database struct {
	Name string
	// Create makes an empty database, and returns its address.
	Create func(ctx context.Context) (address string, err error)
	stop   func()
}

// Store opens the store at an address.
func (d *Database) Store(ctx context.Context, address string) (store.Store, error) {
	if d.Name == SQLite {
		return sqlite.Open(ctx, address, sqlite.Options{})
	}
	return postgres.Open(ctx, address, postgres.Options{})
}

// Plain opens a database/sql handle at an address. The options are SQLite's.
func (d *Database) Plain(address, options string) (*sql.DB, error) {
	if d.Name == SQLite {
		return sql.Open("sqlite", "file:"+address+"?"+options)
	}
	return sql.Open("pgx", address)
}

// open finds or starts what a database needs. Postgres without a server is
// postgrestest.ErrNoServer.
func open(name string) (*Database, error) {
	if name == Postgres {
		address, stop, err := postgrestest.Start()
		if err != nil {
			return nil, err
		}
		create := func(ctx context.Context) (string, error) { return postgrestest.Create(ctx, address) }
		return &Database{Name: name, Create: create, stop: stop}, nil
	}
	dir, err := os.MkdirTemp("", "cofferdam-bench")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	n := 0
	create := func(context.Context) (string, error) {
		n++
		return filepath.Join(dir, fmt.Sprintf("%d.db", n)), nil
	}
	return &Database{Name: name, Create: create, stop: func() { _ = os.RemoveAll(dir) }}, nil
}

// Figure is something to measure on a database. Measure prints what comes of it.
type Figure struct {
	Name    string
	Measure func(ctx context.Context, d *Database) error
}

// Only is what alone is measured: all where it is empty.
type Only struct{ Database, Figure string }

// Measure measures figures on each database, in turn. Of a database that is not
// there, it says so on out.
func Measure(ctx context.Context, out io.Writer, only Only, figures ...Figure) error {
	databases := []string{SQLite, Postgres}
	var names []string
	for _, f := range figures {
		names = append(names, f.Name)
	}
	if err := errors.Join(known("-db", only.Database, databases), known("-figure", only.Figure, names)); err != nil {
		return err
	}
	for _, name := range databases {
		if only.Database != "" && only.Database != name {
			continue
		}
		if err := measure(ctx, out, name, only.Figure, figures); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func known(flag, name string, names []string) error {
	if name == "" || slices.Contains(names, name) {
		return nil
	}
	return fmt.Errorf("%s is %q: it may be %s, or empty for all", flag, name, strings.Join(names, ", "))
}

func measure(ctx context.Context, out io.Writer, name, only string, figures []Figure) error {
	d, err := open(name) //nolint:contextcheck // A test server waits on its own clock.
	if errors.Is(err, postgrestest.ErrNoServer) {
		fmt.Fprintf(out, "NOT MEASURED: %v\n", err)
		return nil
	}
	if err != nil {
		return err
	}
	defer d.stop()
	for _, f := range figures {
		if only != "" && only != f.Name {
			continue
		}
		if err := f.Measure(ctx, d); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return nil
}
