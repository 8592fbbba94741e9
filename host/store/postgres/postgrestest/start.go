package postgrestest

import (
	"errors"
	"os"
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
	c, err := start(bin)
	if err != nil {
		return "", nil, err
	}
	return c.address, c.stop, nil
}
