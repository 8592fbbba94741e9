// Package sqlite keeps a store in one SQLite file, for one process.
//
// Writes of all callers go through one goroutine, which commits them in groups:
// each is durable when its call returns (synchronous=FULL), and a sync of the
// disk is shared. Reads have connections of their own and never wait for writes.
//
//	db, err := sqlite.Open(ctx, "data/cofferdam.db", sqlite.Options{})
//	...
//	defer db.Close()
//	_, _, err = db.Migrate(ctx)
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // The driver "sqlite".

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/internal/group"
	"github.com/cofferdam-run/cofferdam/host/store/internal/lane"
	"github.com/cofferdam-run/cofferdam/host/store/internal/schema"
	"github.com/cofferdam-run/cofferdam/host/store/internal/sealing"
)

//go:embed migrations/*.sql
var migrations embed.FS

// codeInUse is the code of a file that another process has locked.
const codeInUse = "database_in_use"

const (
	// readers is how many reads run at once. Each keeps a page cache of 2 MB.
	readers = 8
	// busyTimeout is how long a lock of another process, such as a backup, is waited for.
	busyTimeout = 10 * time.Second
)

// Options says how to open a database.
type Options struct {
	// Now is the clock. Defaults to the system's.
	Now func() time.Time
	// Logger hears what nobody else is told. Defaults to none.
	Logger *slog.Logger
	// Shared opens the file beside a process that serves it, for commands that
	// look or migrate. Defaults to false: the file is locked for this process.
	Shared bool
	// Driver is the name of a driver that database/sql knows and that passes on to
	// "sqlite", such as one that has statements fail in tests. Defaults to "sqlite".
	Driver string
}

// Store is a store in one file. Close closes the file and gives its lock back.
type Store struct {
	*store.SQL

	driver *driver
	// sealing is the one that SQL has.
	sealing *sealing.Sealing
	lock    *os.File
	turns   lane.Turns
	files   fs.FS
}

// Open opens the database at path, which it creates, with its folder, where
// there is none. The schema is Migrate's matter.
func Open(ctx context.Context, path string, o Options) (store.Store, error) {
	if o.Now == nil {
		o.Now = time.Now //nolint:forbidigo // The default clock has to come from somewhere.
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Driver == "" {
		o.Driver = "sqlite"
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, cannotOpen(path, err)
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	s := &Store{files: files, sealing: &sealing.Sealing{}}
	if !o.Shared {
		if s.lock, err = lockFile(path); err != nil {
			return nil, err
		}
	}
	err = create(path)
	if err == nil {
		s.driver, err = openDriver(ctx, path, o)
	}
	if err != nil {
		if s.lock != nil {
			err = errors.Join(err, s.lock.Close())
		}
		return nil, err
	}
	s.SQL = store.New(s.driver, s.sealing)
	return s, nil
}

// Migrate implements store.Lifecycle.
func (s *Store) Migrate(ctx context.Context) (from, to int64, err error) {
	from, to, err = s.migrator().Up(ctx)
	return from, to, store.Fault(s.driver, err, "migrate")
}

// Ready implements store.Lifecycle. It writes, because a disk that is full or a
// file that is read-only shows in no other way.
func (s *Store) Ready(ctx context.Context) error {
	if err := s.migrator().Check(ctx); err != nil {
		if isNoTable(err) {
			return schema.Empty(err)
		}
		return store.Fault(s.driver, err, "check the schema")
	}
	err := s.driver.Write(ctx, func(ctx context.Context, tx store.Conn) error {
		_, err := tx.ExecContext(ctx, `UPDATE sequences SET value = value + 1 WHERE name = 'ready'`)
		return err
	})
	return store.Fault(s.driver, err, "write to the database")
}

// Now implements store.Lifecycle.
func (s *Store) Now(context.Context) (time.Time, error) { return s.driver.Clock(), nil }

// Name implements store.Lifecycle.
func (s *Store) Name() string { return "sqlite" }

// Wake implements store.Hints: there is no other process.
func (s *Store) Wake(context.Context, string) {}

// Woken implements store.Hints: nobody wakes this one.
func (s *Store) Woken() <-chan string { return nil }

// Close finishes the writes that were taken and closes the database.
func (s *Store) Close() error {
	err := s.driver.Close()
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}

func (s *Store) migrator() schema.Migrator {
	return schema.Migrator{DB: s.driver.writeDB, Dialect: goose.DialectSQLite3, Files: s.files}
}

// create makes the file where there is none, for this user's eyes only, and says
// early if it cannot be written. SQLite gives its other files the same mode.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // The operator names the database.
	if err != nil {
		return cannotOpen(path, err)
	}
	return f.Close()
}

// writerCache is the page cache of the writer in KiB, below 0. SQLite splits a full page
// under a page number beyond the file's end, and a commit after that goes through the whole
// cache for more of such pages, so that each commit costs what the cache is large. What it
// has not, the kernel's has.
const writerCache = "cache_size(-8192)"

// openDriver opens the connections and starts the writer.
func openDriver(ctx context.Context, path string, o Options) (_ *driver, err error) {
	d := &driver{now: o.Now}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.closeConns())
		}
	}()
	// The writer holds one connection, and migrations take a second.
	// What is deleted is overwritten: neither a free page nor the rest of a row has
	// anything of somebody who is gone.
	restart := fmt.Sprintf("wal_autocheckpoint(%d)", restartAt)
	if d.writeDB, err = sql.Open(o.Driver, dsn(path, writerCache, restart, "secure_delete(1)")); err != nil {
		return nil, cannotOpen(path, err)
	}
	conn, err := d.writeDB.Conn(ctx)
	if err != nil {
		return nil, cannotOpen(path, err)
	}
	d.tx = &writeConn{cached: cached{prepare: conn.PrepareContext, direct: conn}, conn: conn}
	// The journal mode is the file's, and setting it is the first write.
	if _, err := conn.ExecContext(ctx, "PRAGMA journal_mode = WAL"); err != nil {
		return nil, store.Fault(d, err, "open "+path)
	}
	if d.readDB, err = sql.Open(o.Driver, dsn(path, "query_only(1)")); err != nil {
		return nil, cannotOpen(path, err)
	}
	d.readDB.SetMaxOpenConns(readers)
	d.readDB.SetMaxIdleConns(readers)
	d.reads = &cached{prepare: d.readDB.PrepareContext, direct: d.readDB}
	if d.checkpoints, err = newCheckpointer(ctx, path, o.Logger); err != nil {
		return nil, cannotOpen(path, err)
	}
	// Callers' contexts must not reach the writer, nor the one that opened it.
	d.group = group.New(context.WithoutCancel(ctx), group.Config{Workers: 1, Size: groupSize, Apart: groupsApart}, d.commit)
	return d, nil
}

func dsn(path string, pragmas ...string) string {
	q := url.Values{"_pragma": append(pragmas,
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()), "synchronous(FULL)", "foreign_keys(1)")}
	q.Set("_txlock", "immediate")
	return (&url.URL{Scheme: "file", Opaque: escape(path), RawQuery: q.Encode()}).String()
}

// escape keeps the characters of a path that mean something in a URI.
func escape(path string) string {
	return (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath()
}

func cannotOpen(path string, err error) error {
	f := fault.New(fault.Platform, store.CodeUnreachable, "the database file %s cannot be opened", path).
		WithHint("check that its folder exists and that this user may write there")
	if errors.Is(err, fs.ErrPermission) {
		f.Code = store.CodeReadOnly
	}
	f.Err = err
	return f
}
