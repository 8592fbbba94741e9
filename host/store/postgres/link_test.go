package postgres_test

import (
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/store/postgres"
)

func TestExposed(t *testing.T) { //nolint:paralleltest // It sets the environment.
	// pgx reads these, too.
	for _, name := range []string{"PGSSLMODE", "PGHOST", "PGSSLROOTCERT"} {
		t.Setenv(name, "")
	}
	const plain, unchecked = "without TLS", "does not check whose certificate"
	for dsn, want := range map[string]string{
		"postgres://u@db.example/x":                                              plain, // sslmode=prefer
		"postgres://u@db.example/x?sslmode=disable":                              plain,
		"postgres://u@db.example/x?sslmode=allow":                                plain,
		"postgres://u@db.example/x?sslmode=prefer":                               plain,
		"postgres://u@db.example/x?sslmode=require":                              unchecked,
		"postgres://u@db.example/x?sslmode=verify-full":                          "",
		"postgres://u@10.0.0.5/x?sslmode=require":                                unchecked,
		"postgres://u@localhost,db.example/x?sslmode=disable":                    plain,
		"postgres://u@localhost,127.0.0.1/x?sslmode=disable":                     "",
		"postgres://u@localhost/x?sslmode=disable":                               "",
		"postgres://u@[::1]/x":                                                   "",
		"host=/run/postgresql dbname=x":                                          "",
		"host=db.example dbname=x sslmode=verify-full":                           "",
		"host=localhost.evil.example dbname=x sslmode=disable":                   plain,
		"postgres://u@db.example/x?sslmode=nonsense":                             "",
		"postgres://u@db.example/x?sslmode=verify-ca&sslrootcert=" + "/no/where": "",
	} {
		got := postgres.Exposed(dsn)
		if (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", dsn, got, want)
		}
	}
}
