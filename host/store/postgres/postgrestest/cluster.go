//go:build unix

package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// startTimeout is generous: initdb takes 2 s on an idle machine.
const startTimeout = 2 * time.Minute

// run makes a cluster in $1 with the programs in $2, serves it on a socket
// there, and stops when standard input ends. The test binary holds the other end
// of it: so the server goes with it, however it ends.
const run = `set -e
"$2/initdb" -D "$1/data" -U postgres -A trust -E UTF8 --no-sync >"$1/log" 2>&1 || { cat "$1/log" >&2; exit 1; }
"$2/postgres" -D "$1/data" -k "$1" -c listen_addresses= -c max_connections=500 -c shared_buffers=64MB \
  -c autovacuum_naptime=10s -c log_min_messages=fatal >"$1/log" 2>&1 &
server=$!
cat >/dev/null
kill -INT $server 2>/dev/null || true
wait $server || true
rm -rf "$1"/*
rmdir "$1" 2>/dev/null || true
`

// cluster is a temporary server.
type cluster struct {
	address string
	dir     string
	input   io.Closer
	cmd     *exec.Cmd
}

// programs finds the folder with initdb and postgres.
func programs() (string, bool) {
	var folders []string
	if path, err := exec.LookPath("initdb"); err == nil {
		if target, err := filepath.EvalSymlinks(path); err == nil {
			folders = append(folders, filepath.Dir(target))
		}
		folders = append(folders, filepath.Dir(path))
	}
	debian, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err == nil {
		folders = append(folders, debian...)
	}
	for _, f := range folders {
		if _, err := exec.LookPath(filepath.Join(f, "initdb")); err != nil {
			continue
		}
		if _, err := exec.LookPath(filepath.Join(f, "postgres")); err == nil {
			return f, true
		}
	}
	return "", false
}

// start starts a cluster and waits until it answers.
func start(bin string) (*cluster, error) {
	// A short path: that of a socket has at most 107 bytes.
	dir, err := os.MkdirTemp("/tmp", "cofferdam-pg")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the cluster: %w", err)
	}
	c := &cluster{dir: dir}
	address := url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/postgres", RawQuery: url.Values{"host": {dir}}.Encode()}
	c.address = address.String()
	c.cmd = exec.CommandContext(context.Background(), "/bin/sh", "-c", run, "sh", dir, bin)
	c.cmd.Dir, c.cmd.Stderr = dir, os.Stderr
	if err := unprivileged(c.cmd, dir); err != nil {
		return nil, err
	}
	if c.input, err = c.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("hold the cluster: %w", err)
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the cluster: %w", err)
	}
	if err := c.ready(); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

// unprivileged runs the command as the user postgres if this is root, which
// Postgres refuses to run as.
func unprivileged(cmd *exec.Cmd, dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return fmt.Errorf("find a user to run Postgres as, because it refuses to run as root: %w", err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2, os.Chown(dir, int(uid), int(gid))); err != nil {
		return fmt.Errorf("give the cluster's folder to the user postgres: %w", err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	return nil
}

// ready waits until the cluster takes connections.
func (c *cluster) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, c.address)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the cluster in %s: %w", c.dir, err)
		case <-tick.C:
		}
	}
}

// stop ends the cluster and waits until its folder is gone.
func (c *cluster) stop() {
	_ = c.input.Close()
	_ = c.cmd.Wait()
}

// panicked is why the server crashed, from its log, or empty: whoever connects next
// learns only that it recovers. A full disk is the usual reason.
func (c *cluster) panicked() string {
	if c == nil {
		return ""
	}
	log, err := os.ReadFile(filepath.Join(c.dir, "log"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(log)) {
		if _, why, ok := strings.Cut(line, "PANIC:"); ok {
			return "; it crashed: " + strings.TrimSpace(why)
		}
	}
	return ""
}
