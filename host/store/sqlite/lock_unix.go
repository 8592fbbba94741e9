//go:build unix

package sqlite

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// lockFile takes the file for this process. The kernel gives it back when the
// process ends, however it ends.
func lockFile(path string) (*os.File, error) {
	name := path + ".lock"
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // The operator names the database.
	if err != nil {
		return nil, cannotOpen(path, err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	_ = f.Close()
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return nil, cannotOpen(path, err)
	}
	return nil, inUse(path, err)
}

func inUse(path string, err error) error {
	f := fault.New(fault.Platform, codeInUse, "the database file %s is in use by another process", path).
		WithHint("stop that process, use another file, or let the processes share a Postgres")
	f.Err = err
	return f
}
