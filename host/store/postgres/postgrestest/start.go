package postgrestest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"
)

// ErrNoServer means that no server was named and no initdb was found.
var ErrNoServer = errors.New("no Postgres: set " + Variable + " or install PostgreSQL 15")

// Start gives a program that is no test, such as a benchmark, the address of
// the same kind of server. Stop stops it if it was started here.
func Start() (address string, stop func(), err error) {
	if address := os.Getenv(Variable); address != "" {
		return address, func() {}, nil
	}
	bin, ok := programs()
	if !ok {
		return "", nil, ErrNoServer
	}
	c, err := start(bin, "")
	if err != nil {
		return "", nil, err
	}
	return c.address, c.stop, nil
}

// Create makes an empty database on the server at an address that Start has given,
// and returns its URL.
func Create(ctx context.Context, address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme == "" {
		return "", errors.New(Variable + " must be a URL, postgres://user:password@host/database")
	}
	c, err := pgx.Connect(ctx, address)
	if err != nil {
		return "", fmt.Errorf("connect to the test server: %w", err)
	}
	name := "cofferdam_" + strings.ToLower(rand.Text()[:12])
	_, err = c.Exec(ctx, "CREATE DATABASE "+name)
	if err := errors.Join(err, c.Close(ctx)); err != nil {
		return "", fmt.Errorf("make a database: %w", err)
	}
	u.Path = "/" + name
	return u.String(), nil
}
