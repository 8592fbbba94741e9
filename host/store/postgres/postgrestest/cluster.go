//go:build unix

package postgrestest

import (
	"bytes"
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

// run makes a cluster in $1 with the programs in $2, serves it on a socket there with
// the settings that follow, starts it anew for each line of standard input, and stops
// when that ends. The program holds the other end of it: so the server goes with it,
// however it ends.
const run = `set -e
dir=$1 bin=$2
shift 2
"$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --no-sync >"$dir/log" 2>&1 || { cat "$dir/log" >&2; exit 1; }
serve() {
  "$bin/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c max_connections=500 -c shared_buffers=64MB \
    -c autovacuum_naptime=10s -c log_min_messages=fatal "$@" >>"$dir/log" 2>&1 &
  server=$!
}
end() {
  kill -INT $server 2>/dev/null || true
  wait $server || true
}
serve "$@"
while read -r again; do
  end
  serve "$@"
done
end
rm -rf "$dir"/*
rmdir "$dir" 2>/dev/null || true
`

// cluster is a temporary server.
type cluster struct {
	address string
	dir     string
	input   io.WriteCloser
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

// start starts a cluster in an empty folder, or in one that it makes, and waits until
// it answers.
func start(bin, dir string, settings ...string) (*cluster, error) {
	if dir == "" {
		// A short path: that of a socket has at most 107 bytes.
		var err error
		if dir, err = os.MkdirTemp("/tmp", "cofferdam-pg"); err != nil {
			return nil, fmt.Errorf("make a folder for the cluster: %w", err)
		}
	}
	c := &cluster{dir: dir}
	address := url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/postgres", RawQuery: url.Values{"host": {dir}}.Encode()}
	c.address = address.String()
	args := []string{"-c", run, "sh", dir, bin}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	c.cmd = exec.CommandContext(context.Background(), "/bin/sh", args...)
	c.cmd.Dir, c.cmd.Stderr = dir, os.Stderr
	err := unprivileged(c.cmd, dir)
	if err != nil {
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

// restart stops the server, which rolls back what is under way, starts it again and
// waits until it answers. One that has crashed is started only.
func (c *cluster) restart() error {
	before, _ := c.postmaster() // One that has crashed may have none.
	if _, err := io.WriteString(c.input, "again\n"); err != nil {
		return fmt.Errorf("restart the cluster: %w", err)
	}
	for {
		if err := c.ready(); err != nil {
			return err
		}
		if now, err := c.postmaster(); err == nil && now != before {
			return nil
		}
	}
}

// freeze stops all processes of the server where they are, and returns what has them
// go on.
func (c *cluster) freeze() (thaw func() error, err error) {
	first, err := c.postmaster()
	if err != nil {
		return nil, err
	}
	// The postmaster goes first, so that it makes no further ones.
	if err := syscall.Kill(first, syscall.SIGSTOP); err != nil {
		return nil, fmt.Errorf("stop the postmaster: %w", err)
	}
	all := []int{first}
	thaw = func() error {
		var failed error
		for _, pid := range all {
			failed = errors.Join(failed, syscall.Kill(pid, syscall.SIGCONT))
		}
		return failed
	}
	children, err := childrenOf(first)
	for _, pid := range children {
		// One that has just ended needs no stopping.
		if syscall.Kill(pid, syscall.SIGSTOP) == nil {
			all = append(all, pid)
		}
	}
	if err != nil {
		return nil, errors.Join(err, thaw())
	}
	return thaw, nil
}

// postmaster is the process that started the others.
func (c *cluster) postmaster() (int, error) {
	text, err := os.ReadFile(filepath.Join(c.dir, "data", "postmaster.pid"))
	if err != nil {
		return 0, fmt.Errorf("find the postmaster: %w", err)
	}
	pid, _, _ := strings.Cut(string(text), "\n")
	n, err := strconv.Atoi(strings.TrimSpace(pid))
	if err != nil {
		return 0, fmt.Errorf("find the postmaster: %w", err)
	}
	return n, nil
}

// childrenOf reads what Linux says of processes, see proc(5): after the name, which is
// in parentheses and may be anything, come the state and the parent.
func childrenOf(parent int) ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		return nil, errors.Join(errors.New("there is no /proc to find the server's processes in"), err)
	}
	var children []int
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // It has ended meanwhile.
		}
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) < 2 || fields[1] != strconv.Itoa(parent) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			children = append(children, pid)
		}
	}
	return children, nil
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
