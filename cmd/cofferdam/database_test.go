package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/test/processtest"
)

// statement runs one on the server of a database, beside it: from the database
// that is always there.
func statement(t *testing.T, dsn, format string) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	u.Path = "/postgres"
	c, err := pgx.Connect(t.Context(), u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.WithoutCancel(t.Context())) }()
	if _, err := c.Exec(t.Context(), fmt.Sprintf(format, name)); err != nil {
		t.Fatal(err)
	}
}

// within runs a statement inside a database.
func within(t *testing.T, dsn, query string) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.WithoutCancel(t.Context())) }()
	if _, err := c.Exec(t.Context(), query); err != nil {
		t.Fatal(err)
	}
}

const (
	cutOff    = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s'`
	newer     = `INSERT INTO goose_db_version (version_id, is_applied) SELECT max(version_id) + 1, true FROM goose_db_version`
	readOnly  = `ALTER DATABASE %s SET default_transaction_read_only = on`
	readWrite = `ALTER DATABASE %s RESET default_transaction_read_only`
)

// Servers do not start on a database that they cannot use, and say what to do.
func TestServerRefusesDatabases(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(file, []byte(strings.Repeat("these are notes and no database\n", 200)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		db   func(t *testing.T) string
		says []string
	}{
		"that is down": {
			func(*testing.T) string { return "postgres://nobody:pass-word@127.0.0.1:1/none?connect_timeout=2" },
			[]string{"the database does not answer [database_unreachable]", "127.0.0.1:1", "connection refused", "hint: check that it runs"},
		},
		"that is read-only": {func(t *testing.T) string {
			t.Helper()
			dsn := postgrestest.DSN(t)
			statement(t, dsn, readOnly)
			return dsn
		}, []string{"the database takes no writes [database_read_only]", "hint: "}},
		"without a schema": {postgresEmpty, []string{"no schema yet [schema_too_old]", "hint: run `cofferdam migrate`"}},
		"of a newer schema": {func(t *testing.T) string {
			t.Helper()
			dsn := postgrestest.DSN(t)
			within(t, dsn, newer)
			within(t, dsn, newer)
			return dsn
		}, []string{"the database has schema ", ", and this program works with ", "[schema_too_new]", "hint: run a newer cofferdam"}},
		"at an address that is none": {
			func(*testing.T) string { return "postgres://:port" }, []string{"[database_address_invalid]", "postgres://user:password@host"},
		},
		"that is a file of another kind": {func(*testing.T) string { return file }, []string{"[database_unreachable]", "notes.txt", "hint: "}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			c := exec.CommandContext(ctx, "cofferdam", "serve", "--log", "json", "--addr", "127.0.0.1:0")
			c.Dir = t.TempDir()
			c.Env = append(os.Environ(), "COFFERDAM_DB="+test.db(t), "COFFERDAM_KEY_FILE="+filepath.Join(c.Dir, "key.json"))
			said, err := c.CombinedOutput()
			if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() <= 0 {
				t.Errorf("it ended with %v, want an exit code that is not 0", err)
			}
			t.Logf("it says: %s", said)
			for _, want := range test.says {
				if !strings.Contains(string(said), want) {
					t.Errorf("got %s, want %q in it", said, want)
				}
			}
			if strings.Contains(string(said), "pass-word") {
				t.Errorf("it shows the password: %s", said)
			}
			if _, err := os.Stat(filepath.Join(c.Dir, "key.json")); err == nil {
				t.Error("it made a key file")
			}
		})
	}
}

func postgresEmpty(t *testing.T) string {
	t.Helper()
	return postgrestest.Empty(t)
}

// A server whose database goes away says so, and goes on when it is back. A
// schema that is newer by one is none of its troubles.
func TestServerOutlivesItsDatabase(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ breaks, mends, code string }{
		"that was down":      {`ALTER DATABASE %s ALLOW_CONNECTIONS false`, `ALTER DATABASE %s ALLOW_CONNECTIONS true`, "database_unreachable"},
		"that was read-only": {readOnly, readWrite, "database_read_only"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn, dir := postgrestest.DSN(t), t.TempDir()
			within(t, dsn, newer)
			p := startServer(t, dir, "COFFERDAM_DB="+dsn, "COFFERDAM_KEY_FILE="+filepath.Join(dir, "key.json"))
			c := clientOf(t, p, p)
			create := func(name string) *fault.Error {
				err := c.call(t.Context(), http.MethodPost, "/v1/tenants", map[string]any{"name": name}, nil)
				f, _ := errors.AsType[*fault.Error](err)
				if err != nil && f == nil {
					t.Fatal(err)
				}
				return f
			}
			if f := create("before"); f != nil {
				t.Fatal(f)
			}
			statement(t, dsn, test.breaks)
			statement(t, dsn, cutOff)
			var told *fault.Error
			processtest.Eventually(t, "the server to notice", func() bool {
				told = create("during")
				return told != nil && told.Code == test.code
			})
			if told.Hint == "" || told.Message == "" || strings.Contains(told.Message, dsn) {
				t.Errorf("it says %q, hint %q, want what is wrong and what to do", told.Message, told.Hint)
			}
			if err := c.call(t.Context(), http.MethodGet, "/readyz", nil, nil); err == nil {
				t.Error("it calls itself ready")
			}
			if err := c.call(t.Context(), http.MethodGet, "/healthz", nil, nil); err != nil {
				t.Errorf("healthz: %v, want well: a restart would mend nothing", err)
			}
			statement(t, dsn, test.mends)
			statement(t, dsn, cutOff)
			processtest.Eventually(t, "the server to recover", func() bool { return create("after") == nil })
		})
	}
}
