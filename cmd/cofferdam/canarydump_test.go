package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/postgres"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
)

// inTheClear are all columns that have something in the clear that a tenant or its
// plugin has named or configured: what the database has to find things by, and what is
// no secret.
func inTheClear() []string {
	return []string{
		"connections.fields", "events.dedupe_key", "execution_tags.value", "executions.tags", "idempotency_keys.key",
		"installations.config", "state_values.key", "tenants.title",
	}
}

// database searches the whole database, and each column alone.
func (c *canaries) database(t *testing.T) {
	t.Helper()
	if !isPostgres(c.db) {
		c.files(t)
	}
	var open []string
	for column, all := range c.columns(t) {
		c.credential.none(t, column, all)
		c.payload.none(t, column, all)
		if bytes.Contains(all, []byte(c.open.word)) {
			open = append(open, column)
		}
	}
	slices.Sort(open)
	if diff := cmp.Diff(inTheClear(), open); diff != "" {
		t.Errorf("columns with something in the clear (-want +got):\n%s", diff)
	}
}

// files searches all that a server keeps in its folder, byte by byte: the database,
// its write-ahead log and the keys.
func (c *canaries) files(t *testing.T) {
	t.Helper()
	var all []byte
	err := filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		c.credential.none(t, d.Name(), b)
		c.payload.none(t, d.Name(), b)
		all = append(all, b...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	c.open.some(t, "the folder", all)
}

// columns are all values of all columns, as bytes.
func (c *canaries) columns(t *testing.T) map[string][]byte {
	t.Helper()
	if isPostgres(c.db) {
		return postgresColumns(t, c.db)
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(c.dir, "data", "cofferdam.db")+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	all := map[string][]byte{}
	for _, named := range scanned(t, db, `SELECT m.name || '.' || c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'`) {
		table, column, _ := bytes.Cut(named, []byte("."))
		query := `SELECT CAST("` + string(column) + `" AS BLOB) FROM "` + string(table) + `"`
		all[string(named)] = bytes.Join(scanned(t, db, query), []byte("\n"))
	}
	return all
}

func scanned(t *testing.T, db *sql.DB, query string) (all [][]byte) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	for rows.Next() {
		var b []byte
		if err := rows.Scan(&b); err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func postgresColumns(t *testing.T, dsn string) map[string][]byte {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	rows, err := conn.Query(t.Context(), `SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()`)
	if err != nil {
		t.Fatal(err)
	}
	type column struct{ Table, Name string }
	named, err := pgx.CollectRows(rows, pgx.RowToStructByPos[column])
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, n := range named {
		var b bytes.Buffer
		query := `COPY (SELECT ` + pgx.Identifier{n.Name}.Sanitize() + ` FROM ` + pgx.Identifier{n.Table}.Sanitize() + `) TO STDOUT (FORMAT binary)`
		if _, err := conn.PgConn().CopyTo(t.Context(), &b, query); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		all[n.Table+"."+n.Name] = b.Bytes()
	}
	return all
}

// openStore opens the database beside the server.
func (c *canaries) openStore(t *testing.T) (s store.Store) {
	t.Helper()
	var err error
	if isPostgres(c.db) {
		s, err = postgres.Open(t.Context(), c.db, postgres.Options{})
	} else {
		s, err = sqlite.Open(t.Context(), filepath.Join(c.dir, "data", "cofferdam.db"), sqlite.Options{Shared: true})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// shredding deletes a tenant: with its key goes all that it sealed. What somebody has
// copied of its rows before opens neither with the keys that are left nor in the place
// of what another tenant has.
func (c *canaries) shredding(t *testing.T) {
	t.Helper()
	const gone, left = 7, 8
	s := c.openStore(t)
	var was, other tenant.Tenant
	for into, i := range map[*tenant.Tenant]int{&was: gone, &other: left} {
		if err := json.Unmarshal(c.get(t, c.path(i, "")), into); err != nil {
			t.Fatal(err)
		}
	}
	copied := copySealed(t, s, was.ID)
	keeper, err := keyfile.Open(filepath.Join(c.dir, "data", "key-2.json"))
	if err != nil {
		t.Fatal(err)
	}
	opens := func(v *vault.Vault, rename string) (n int) {
		for place, rows := range copied {
			for i := range rows {
				rows[i].Tenant = rename
			}
			for _, b := range must2(v.Reseal(t.Context(), place, rows)) {
				if b != nil {
					n++
				}
			}
		}
		return n
	}
	if n := opens(c.vault(s, keeper), was.ID); n < 50 {
		t.Fatalf("%d of the tenant's rows open, which is to be seen to end", n)
	}
	c.post(t, c.path(gone, "/pause"), nil, nil)
	if err := c.api.call(t.Context(), http.MethodDelete, c.path(gone, ""), nil, nil); err != nil {
		t.Fatal(err)
	}
	word := []byte(c.payload.of(gone, ""))
	c.watch.also.Store(&word)
	if _, err := s.Key(t.Context(), was.ID); err == nil {
		t.Error("the tenant's key is still there")
	}
	var all []tenant.Tenant
	for i := range canaryTenants {
		var ten tenant.Tenant
		if err := json.Unmarshal(c.get(t, c.path(i, "")), &ten); err == nil && i != gone {
			all = append(all, ten)
		}
	}
	for _, ten := range all {
		if n := opens(c.vault(s, keeper), ten.ID); n > 0 {
			t.Errorf("%d rows open with the key of %s", n, ten.Name)
		}
	}
	c.deletedShowsNothing(t, gone)
	for _, x := range c.executions {
		if x.tenant == left {
			c.payload.some(t, "another tenant's trace", c.get(t, c.path(left, "/executions/"+x.id+"/trace")))
		}
	}
	c.act(t, left, script{Steps: c.everything(left)}, execution.Succeeded)
	c.database(t)
}

func (c *canaries) vault(s store.Store, k vault.Keeper) *vault.Vault {
	return vault.Configured(vault.Config{Store: s, Keeper: k, Auditor: nobody{}, Logger: slog.New(slog.DiscardHandler)})
}

// nobody is told of openings.
type nobody struct{}

// Opened implements vault.Auditor.
func (nobody) Opened(context.Context, vault.Opening) error { return nil }

// copySealed is all that a tenant has sealed.
func copySealed(t *testing.T, s store.Store, id string) map[vault.Place][]vault.Sealed {
	t.Helper()
	all := map[vault.Place][]vault.Sealed{}
	for _, p := range s.SealedPlaces() {
		for after := ""; ; {
			some, err := s.StaleRecords(t.Context(), id, p, []byte("no header"), after, 100)
			if err != nil {
				t.Fatal(err)
			}
			if len(some) == 0 {
				break
			}
			all[p] = append(all[p], some...)
			after = some[len(some)-1].Record
		}
	}
	return all
}

// deletedShowsNothing asks the API for all that a deleted tenant had: no answer shows
// what was private; see watching.
func (c *canaries) deletedShowsNothing(t *testing.T, gone int) {
	t.Helper()
	paths := []string{"/executions", "/events", "/dead-letters", "/audit", "/audit/export", "/redrives", "/installations/canary"}
	for _, x := range c.executions {
		if x.tenant == gone {
			paths = append(paths, "/executions/"+x.id, "/executions/"+x.id+"/trace", "/executions/"+x.id+"/recording")
		}
	}
	for _, path := range paths {
		resp, err := c.api.open(t.Context(), http.MethodGet, c.path(gone, path), "", nil)
		if err == nil {
			resp.Body.Close()
		}
	}
}

func must2[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
