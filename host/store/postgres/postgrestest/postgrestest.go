// Package postgrestest gives tests a database of their own, on the server that
// COFFERDAM_TEST_POSTGRES names, or else on a temporary one that the first test
// starts if it finds initdb. A package that uses it has
//
//	func TestMain(m *testing.M) { postgrestest.Main(m) }
//
// and a test calls DSN. Without a server the test is skipped, and says so.
package postgrestest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/cofferdam-run/cofferdam/host/store/postgres"
)

// Variable names the server to use: a superuser's URL, or one that may create databases.
const Variable = "COFFERDAM_TEST_POSTGRES"

// Required makes a missing server a failure instead of a skip, if it is not empty.
const Required = "COFFERDAM_TEST_REQUIRE_POSTGRES"

const skipped = `
*******************************************************************************
*  THE POSTGRES SUITES DID NOT RUN: no server. Either install PostgreSQL 15   *
*  (initdb is looked for on the PATH and in /usr/lib/postgresql/*/bin), or    *
*  set ` + Variable + `=postgres://user:password@host/database        *
*******************************************************************************
`

// server is one per test binary.
type server struct {
	once    sync.Once
	address string
	cluster *cluster
	err     error

	// creating makes one database at a time, as Postgres copies a template only
	// when nobody else does.
	creating sync.Mutex
	template string
}

//nolint:gochecknoglobals // One cluster per test binary is what it is for.
var shared server

// Main runs the tests, which are a *testing.M or what stands around one, and
// stops the temporary server, if there is one.
func Main(m interface{ Run() int }) {
	code := m.Run()
	shared.stop()
	os.Exit(code)
}

// DSN returns the URL of a fresh database that has the schema. It is gone when
// the tests end.
func DSN(t testing.TB) string {
	t.Helper()
	return shared.database(t, true)
}

// Empty returns the URL of a fresh database without a schema.
func Empty(t testing.TB) string {
	t.Helper()
	return shared.database(t, false)
}

func (s *server) database(t testing.TB, migrated bool) string {
	t.Helper()
	s.once.Do(s.find)
	if s.err != nil {
		t.Fatal(s.err)
	}
	if s.address == "" && os.Getenv(Required) != "" {
		t.Fatal(skipped)
	}
	if s.address == "" {
		t.Skip(skipped)
	}
	s.creating.Lock()
	defer s.creating.Unlock()
	template := ""
	if migrated {
		if s.template == "" {
			s.template = s.migrate(t)
		}
		template = " TEMPLATE " + s.template
	}
	name := "cofferdam_" + strings.ToLower(rand.Text()[:12])
	s.admin(t.Context(), t, "CREATE DATABASE "+name+template)
	t.Cleanup(func() {
		if s.cluster != nil {
			// It goes with its cluster; dropping it would force a checkpoint.
			return
		}
		s.admin(context.WithoutCancel(t.Context()), t, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
	})
	return s.url(t, name)
}

// find takes the server that was named, or starts one.
func (s *server) find() {
	if s.address = os.Getenv(Variable); s.address != "" {
		return
	}
	bin, ok := programs()
	if !ok {
		fmt.Fprint(os.Stderr, skipped)
		return
	}
	if s.cluster, s.err = start(bin, ""); s.err == nil {
		s.address = s.cluster.address
	}
}

// migrate makes the database that others are copied from.
func (s *server) migrate(t testing.TB) string {
	t.Helper()
	name := "cofferdam_template_" + strings.ToLower(rand.Text()[:12])
	s.admin(t.Context(), t, "CREATE DATABASE "+name)
	db, err := postgres.Open(t.Context(), s.url(t, name), postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}

// admin runs a statement on the database that the address names.
func (s *server) admin(ctx context.Context, t testing.TB, statement string) {
	t.Helper()
	c, err := pgx.Connect(ctx, s.address)
	if err != nil {
		t.Fatalf("connect to the test server: %v%s", err, s.cluster.panicked())
	}
	defer func() { _ = c.Close(ctx) }()
	if _, err := c.Exec(ctx, statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// url is the address with another database.
func (s *server) url(t testing.TB, name string) string {
	t.Helper()
	u, err := url.Parse(s.address)
	if err != nil || u.Scheme == "" {
		t.Fatalf("%s must be a URL, postgres://user:password@host/database", Variable)
	}
	u.Path = "/" + name
	return u.String()
}

// stop drops the template, or the whole cluster that it is in.
func (s *server) stop() {
	if s.cluster != nil {
		s.cluster.stop()
		return
	}
	if s.template == "" {
		return
	}
	ctx := context.Background()
	c, err := pgx.Connect(ctx, s.address)
	if err != nil {
		return
	}
	_, _ = c.Exec(ctx, "DROP DATABASE IF EXISTS "+s.template)
	_ = c.Close(ctx)
}
