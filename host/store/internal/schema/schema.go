// Package schema brings a database to this program's schema, and says whether
// the two fit. A program works with the schema before and after its own, so that
// nodes can be upgraded one by one.
package schema

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// Migrator migrates one database.
type Migrator struct {
	DB      *sql.DB
	Dialect goose.Dialect
	// Files holds the migrations at its root.
	Files fs.FS
}

// Up applies what is missing and returns the versions before and after.
func (m Migrator) Up(ctx context.Context) (from, to int64, err error) {
	p, err := m.provider()
	if err != nil {
		return 0, 0, err
	}
	to = own(p)
	// A database that cannot be read has no schema yet, or Up says what is wrong.
	if from, _ = m.version(ctx); from >= to {
		return from, from, fits(from, to)
	}
	if _, err := p.Up(ctx); err != nil {
		return from, 0, fmt.Errorf("migrate the schema from version %d to %d: %w", from, to, err)
	}
	return from, to, nil
}

// Check returns a fault if the schema is one that this program does not work with.
func (m Migrator) Check(ctx context.Context) error {
	p, err := m.provider()
	if err != nil {
		return err
	}
	at, err := m.version(ctx)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	return fits(at, own(p))
}

// Empty is the fault of a database that has no schema at all.
func Empty(cause error) error {
	f := fault.New(fault.Platform, fault.CodeSchemaTooOld, "the database has no schema yet").WithHint("run `cofferdam migrate`")
	f.Err = cause
	return f
}

// version is what the database says. It is not asked through the provider, which
// would create the table.
func (m Migrator) version(ctx context.Context) (int64, error) {
	var at sql.NullInt64
	err := m.DB.QueryRowContext(ctx, "SELECT max(version_id) FROM "+goose.DefaultTablename+" WHERE is_applied").Scan(&at)
	return at.Int64, err
}

func (m Migrator) provider() (*goose.Provider, error) {
	opts := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	if m.Dialect == goose.DialectPostgres {
		// Nodes that start together migrate one after the other.
		l, err := lock.NewPostgresSessionLocker()
		if err != nil {
			return nil, fmt.Errorf("make the migration lock: %w", err)
		}
		opts = append(opts, goose.WithSessionLocker(l))
	}
	p, err := goose.NewProvider(m.Dialect, m.DB, m.Files, opts...)
	if err != nil {
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	return p, nil
}

// own is the program's schema version.
func own(p *goose.Provider) int64 {
	var v int64
	for _, s := range p.ListSources() {
		v = max(v, s.Version)
	}
	return v
}

func fits(at, own int64) error {
	switch {
	case at > own+1:
		return fault.New(fault.Platform, fault.CodeSchemaTooNew, "the database has schema %d, and this program works with %d to %d", at, own-1, own+1).
			WithHint("run a newer cofferdam, or give this one another database; schemas never go back")
	case at < own-1 || at == 0:
		return fault.New(fault.Platform, fault.CodeSchemaTooOld, "the database has schema %d, and this program works with %d to %d", at, own-1, own+1).
			WithHint("run `cofferdam migrate`")
	default:
		return nil
	}
}
