//go:build linux || darwin

package compile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// niceness is how much the child stands back behind the server: it gets a third
// of a busy core.
const niceness = 5

// boundProcess sets the kernel's limits. The watch's limit on CPU comes first: the
// kernel's is one of whole seconds, and it counts them by clock ticks that can be
// a tenth off.
func boundProcess(o order) error {
	closeInherited()
	seconds := uint64((o.CPU+o.CPU/4)/time.Second) + 2
	if err := setLimit("RLIMIT_CPU", syscall.RLIMIT_CPU, seconds); err != nil {
		return err
	}
	if err := setLimit("RLIMIT_FSIZE", syscall.RLIMIT_FSIZE, uint64(o.Code)); err != nil {
		return err
	}
	if err := setLimit("RLIMIT_CORE", syscall.RLIMIT_CORE, 0); err != nil {
		return err
	}
	// On Linux a niceness is a thread's; the group's is that of all threads. It is
	// this process's own group, unless a person started it.
	if syscall.Getpgrp() == os.Getpid() {
		if err := syscall.Setpriority(syscall.PRIO_PGRP, 0, niceness); err != nil {
			return fmt.Errorf("lower the priority: %w", err)
		}
	}
	return boundMemory(o.Memory)
}

// closeInherited closes the files of whatever started the parent. Go's own are
// those that would not survive an exec, and what is here has survived one.
func closeInherited() {
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		return // There is nothing to go by; nothing here reads files that it did not open.
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= 2 {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			unix.Close(fd)
		}
	}
}

// setLimit sets both halves, so that the limit holds for good. One that is lower
// already stays.
func setLimit(name string, resource int, value uint64) error {
	var now syscall.Rlimit
	if err := syscall.Getrlimit(resource, &now); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	value = min(value, now.Max)
	if err := syscall.Setrlimit(resource, &syscall.Rlimit{Cur: value, Max: value}); err != nil {
		return fmt.Errorf("set %s to %d: %w", name, value, err)
	}
	return nil
}

// usedCPU is the process's time on a core, the kernel's for it included.
func usedCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0 // RLIMIT_CPU is left.
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// killGroup kills the child and what it may have started.
func killGroup(p *os.Process) error {
	err := syscall.Kill(-p.Pid, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// checkPrivate refuses a folder that others can write.
func checkPrivate(dir string, info fs.FileInfo) error {
	if open := info.Mode().Perm() & 0o022; open != 0 {
		return fmt.Errorf("the folder %s can be written by others (mode %04o), and holds code that this process runs: chmod 700 %s", dir, info.Mode().Perm(), dir)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	if owner := int(stat.Uid); owner != os.Geteuid() && owner != 0 {
		return fmt.Errorf("the folder %s belongs to user %d, not to this process's user %d, and holds code that this process runs: name a folder of its own", dir, owner, os.Geteuid())
	}
	return nil
}
