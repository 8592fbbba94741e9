package main

import (
	"database/sql"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
)

// These take a database back to the schema that the program before this one left: nobody
// else can.
const (
	unmigrateSQLite = `DROP TRIGGER executions_line_joined; DROP TRIGGER executions_line_joined_again; DROP TRIGGER executions_line_lane;
 DROP INDEX executions_line_lane; DELETE FROM goose_db_version WHERE version_id = 19`
	unmigratePostgres = `DROP FUNCTION executions_line_lane CASCADE; DROP INDEX executions_line_lane; DELETE FROM goose_db_version WHERE version_id = 19`
)

// migrate runs the verb and returns what it said.
func migrate(t *testing.T, db string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), "cofferdam", "migrate", "--db", db)
	c.Dir = t.TempDir()
	said, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("migrate: %v: %s", err, said)
	}
	return strings.TrimSpace(string(said))
}

// beside runs statements on a SQLite file that nobody serves.
func beside(t *testing.T, path, statements string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), statements); err != nil {
		t.Fatal(err)
	}
}

func TestMigrateBringsAFileToTheSchema(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "data", "cofferdam.db")
	for _, tt := range []struct{ before, says string }{
		{"", "migrated the schema from version 0 to 19"},
		{"", "the schema is at version 19 already"},
		{unmigrateSQLite, "migrated the schema from version 18 to 19"},
	} {
		if tt.before != "" {
			beside(t, path, tt.before)
		}
		if got := migrate(t, path); got != tt.says {
			t.Errorf("got %q, want %q", got, tt.says)
		}
	}
	// An embedded database belongs to its server, which migrates it.
	beside(t, path, unmigrateSQLite)
	p := startServer(t, dir)
	c := clientOf(t, p, p)
	if err := c.call(t.Context(), http.MethodPost, "/v1/tenants", map[string]any{"name": "acme"}, nil); err != nil {
		t.Error(err)
	}
}

// A server works on the schema before its own until somebody migrates it, and goes on
// without being started again.
func TestServerOnTheSchemaBefore(t *testing.T) {
	t.Parallel()
	dsn, dir := postgrestest.DSN(t), t.TempDir()
	within(t, dsn, unmigratePostgres)
	p := startServer(t, dir, "COFFERDAM_DB="+dsn, "COFFERDAM_KEY_FILE="+filepath.Join(dir, "key.json"))
	c := clientOf(t, p, p)
	if err := c.call(t.Context(), http.MethodPost, "/v1/tenants", map[string]any{"name": "acme"}, nil); err != nil {
		t.Fatal(err)
	}
	if got, want := migrate(t, dsn), "migrated the schema from version 18 to 19"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := c.call(t.Context(), http.MethodGet, "/v1/tenants/acme/destinations", nil, nil); err != nil {
		t.Error(err)
	}
}
