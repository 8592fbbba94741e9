package postgrestest

import (
	"errors"
	"os"
	"testing"
)

// Cluster is a server of one program's own, which the program may give trouble.
type Cluster struct{ c *cluster }

// NewCluster starts a server in an empty folder, with settings such as
// "max_wal_size=64MB". An empty dir is a temporary one. The folder's path should be
// short: that of the socket in it has at most 107 bytes. It is empty again after Stop.
func NewCluster(dir string, settings ...string) (*Cluster, error) {
	bin, ok := programs()
	if !ok {
		return nil, errors.New("no Postgres: install PostgreSQL 15; another's server is not troubled")
	}
	c, err := start(bin, dir, settings...)
	if err != nil {
		return nil, err
	}
	return &Cluster{c}, nil
}

// Address is the URL of its superuser.
func (c *Cluster) Address() string { return c.c.address }

// Restart stops it as an operator would, which ends all connections at once, and
// returns when it answers again. One that has crashed is started.
func (c *Cluster) Restart() error { return c.c.restart() }

// Freeze stops all of its processes with SIGSTOP: whoever asks it something waits.
// Thaw has them go on.
func (c *Cluster) Freeze() (thaw func() error, err error) { return c.c.freeze() }

// Stop ends it.
func (c *Cluster) Stop() { c.c.stop() }

// Needed skips a test that needs a Cluster where there are no programs of Postgres, or
// fails it where Required says so.
func Needed(t testing.TB) {
	t.Helper()
	if _, ok := programs(); ok {
		return
	}
	if os.Getenv(Required) != "" {
		t.Fatal(skipped)
	}
	t.Skip(skipped)
}
