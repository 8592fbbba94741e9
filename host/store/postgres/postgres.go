// Package postgres keeps a store in Postgres 15 or later, which any number of
// processes share.
//
// Accepts, and all that runs write, their intents too, go to the server in groups of
// many callers' calls, which share statements and syncs of the disk. Every group is one
// transaction, durable when its calls return: Open refuses a server that would answer
// earlier.
//
//	db, err := postgres.Open(ctx, "postgres://cofferdam@127.0.0.1/cofferdam", postgres.Options{})
//	...
//	defer db.Close()
//	_, _, err = db.Migrate(ctx)
package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/internal/group"
	"github.com/cofferdam-run/cofferdam/host/store/internal/lane"
	"github.com/cofferdam-run/cofferdam/host/store/internal/schema"
	"github.com/cofferdam-run/cofferdam/host/store/internal/sealing"
)

//go:embed migrations/*.sql
var migrations embed.FS

// The codes of a server that would lose what it has acknowledged, and of an
// address that is none.
const (
	codeNotDurable = "database_not_durable"
	codeBadAddress = "database_address_invalid"
)

const (
	// flushers is how many groups of one kind are under way at once: while one
	// waits for the disk, the next is executed.
	flushers = 3
	// patience is how long what runs write waits for the group of its kind before it: a
	// few times what that takes on a machine that is busy, and little of a lease. A group
	// costs the server a transaction and its statements rather than their rows: 300 us, and
	// 25 us for each of its calls. So it is cheap to have few, and large ones.
	patience = 25 * time.Millisecond
	// groupSize is the most calls of one group; more gain little (facts: 64 calls
	// share a sync for 2 % of its cost each).
	groupSize = 128
	// groupBytes is about the most that the calls of one transaction carry, unless it
	// is one: 128 large ones would be encoded in memory at once, as often
	// as there are flushers, in a statement that takes longer than it may.
	groupBytes = 8 << 20
	// groupTimeout is longer than the server's statement timeout, which speaks first.
	groupTimeout = 45 * time.Second
	// conns is the most connections of a process, unless the address says
	// pool_max_conns: nine of flushers, two claimers, and ten for the API.
	conns = 21
	// soundings is how often the server's clock is read when a database is opened: the
	// quickest answer counts.
	soundings = 3
)

// settings are made on each connection. Every statement of ours finds its rows
// by an index, one by one; nothing else is ever wanted, because a table that was
// empty when a statement was planned grows a hundred thousand rows before its
// statistics say so (a claim that joined by hashing read the whole backlog). A plan is
// made for any tenant: where it expected few rows, a page of them was all that the largest
// tenant had, read in the order of the table and sorted, unless to read by an index costs
// no more than that, as it does of what is in memory.
const settings = `SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off; SET random_page_cost = 1;
 SET statement_timeout = '30s'; SET idle_in_transaction_session_timeout = '30s'`

// Options says how to open a database.
type Options struct {
	// Now is the clock. Defaults to the server's, as measured when the database is
	// opened and at each heartbeat.
	Now func() time.Time
	// Logger hears what nobody else is told. Defaults to none.
	Logger *slog.Logger
}

// Store is a store in Postgres. Close closes its connections.
type Store struct {
	*store.SQL

	driver *driver
	// sealing is the one that SQL has.
	sealing *sealing.Sealing
	logger  *slog.Logger
	files   fs.FS
	turns   lane.Turns
	busy    waiters
	hints   *hints

	accepts     *group.Group[*acceptance]
	writes      *group.Group[*write]
	completions *group.Group[sealing.Completion]
}

// Open opens the database at a URL or keyword string. The schema is Migrate's matter.
func Open(ctx context.Context, dsn string, o Options) (store.Store, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		f := fault.New(fault.InvalidInput, codeBadAddress, "the address of the database is not one of Postgres").
			WithHint("write it as postgres://user:password@host:port/database")
		f.Err = err
		return nil, f
	}
	if !strings.Contains(dsn, "pool_max_conns") {
		cfg.MaxConns = conns
	}
	cfg.ConnConfig.Tracer = lender{}
	cfg.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, settings, pgx.QueryExecModeSimpleProtocol)
		return err
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	s := &Store{files: files, logger: o.Logger, driver: newDriver(pool, o.Now), sealing: &sealing.Sealing{}}
	s.SQL = store.New(s.driver, s.sealing)
	if err := s.check(ctx); err != nil {
		s.driver.close()
		return nil, err
	}
	s.start(ctx, cfg.ConnConfig)
	return s, nil
}

// Migrate implements store.Lifecycle. Processes that migrate at once do so one
// after the other.
func (s *Store) Migrate(ctx context.Context) (from, to int64, err error) {
	// A migration may take longer than the settings of the pool allow.
	db := stdlib.OpenDB(*s.driver.pool.Config().ConnConfig)
	defer func() { err = errors.Join(err, db.Close()) }()
	from, to, err = s.migrator(db).Up(ctx)
	return from, to, store.Fault(s.driver, err, "migrate")
}

// Ready implements store.Lifecycle.
func (s *Store) Ready(ctx context.Context) error {
	if err := s.migrator(s.driver.db).Check(ctx); err != nil {
		if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.Code == undefinedTable {
			return schema.Empty(err)
		}
		return store.Fault(s.driver, err, "check the schema")
	}
	var readOnly bool
	err := s.driver.pool.QueryRow(ctx, `SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'`).Scan(&readOnly)
	if err == nil && readOnly {
		err = &pgconn.PgError{Code: readOnlyTransaction, Message: "the server or the session is read-only"}
	}
	return store.Fault(s.driver, err, "ask the database whether it takes writes")
}

// Now implements store.Lifecycle.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	if err := s.driver.measure(ctx); err != nil {
		return time.Time{}, store.Fault(s.driver, err, "read the database's clock")
	}
	return s.driver.Clock(), nil
}

// Name implements store.Lifecycle.
func (s *Store) Name() string { return "postgres" }

// Heartbeat implements execution.Claims, and measures the server's clock again.
func (s *Store) Heartbeat(ctx context.Context, worker string, lease time.Duration) ([]string, error) {
	if err := s.driver.measure(ctx); err != nil {
		return nil, store.Fault(s.driver, err, "read the database's clock")
	}
	return s.SQL.Heartbeat(ctx, worker, lease)
}

// Wake implements store.Hints.
func (s *Store) Wake(_ context.Context, tenant string) { s.hints.wake(tenant) }

// Woken implements store.Hints. An empty name means any tenant: hints may have
// been lost.
func (s *Store) Woken() <-chan string { return s.hints.woken }

// Close finishes the calls that were taken and closes the connections.
func (s *Store) Close() error {
	s.accepts.Close()
	s.writes.Close()
	s.completions.Close()
	s.hints.close()
	s.driver.close()
	return nil
}

// start starts what runs until Close. No caller's context reaches it.
func (s *Store) start(ctx context.Context, cfg *pgx.ConnConfig) {
	ctx = context.WithoutCancel(ctx)
	c := group.Config{Workers: flushers, Size: groupSize}
	s.accepts = group.New(ctx, c, limited(s.accept))
	c.Patience = patience
	s.writes = group.New(ctx, c, limited(s.write))
	s.completions = group.New(ctx, c, limited(s.complete))
	s.hints = newHints(ctx, s.driver.pool, cfg, s.logger)
}

// limited ends a group that takes too long: a server that has vanished from the
// network would hold its callers for ever.
func limited[T any](run func(context.Context, []T)) func(context.Context, []T) {
	return func(ctx context.Context, items []T) {
		ctx, cancel := context.WithTimeout(ctx, groupTimeout)
		defer cancel()
		run(ctx, items)
	}
}

// check refuses a server that acknowledges what it may lose, and measures its clock.
func (s *Store) check(ctx context.Context) error {
	var commit, fsync string
	err := s.driver.pool.QueryRow(ctx, `SELECT current_setting('synchronous_commit'), current_setting('fsync')`).Scan(&commit, &fsync)
	if err != nil {
		return store.Fault(s.driver, err, "open the database")
	}
	if commit == "off" {
		return fault.New(fault.Platform, codeNotDurable, "the server has synchronous_commit = off: it acknowledges what it may lose").
			WithHint("run ALTER DATABASE ... SET synchronous_commit = on, or remove the setting from the role or the server")
	}
	if fsync != "on" {
		return fault.New(fault.Platform, codeNotDurable, "the server has fsync = %s: it may lose or corrupt everything when it crashes", fsync).
			WithHint("set fsync = on in postgresql.conf")
	}
	for range soundings {
		if err := s.driver.measure(ctx); err != nil {
			return store.Fault(s.driver, err, "read the database's clock")
		}
	}
	return nil
}

func (s *Store) migrator(db *sql.DB) schema.Migrator {
	return schema.Migrator{DB: db, Dialect: goose.DialectPostgres, Files: s.files}
}
