package compile

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// boundMemory sets the kernel's limit, for memory that is asked for in one leap.
// RLIMIT_DATA counts private writable memory, which is what Go's runtime makes its
// heap of; RLIMIT_AS would count the address space that it only reserves. What is
// mapped already, mostly tables that are never touched, is 130 MB and not the
// module's. The limit stands a little above the watch's, which answers cleanly.
func boundMemory(limit int64) error {
	mapped, err := mappedData()
	if err != nil {
		return err
	}
	return setLimit("RLIMIT_DATA", syscall.RLIMIT_DATA, uint64(mapped+limit+limit/16))
}

// mappedData is what RLIMIT_DATA counts of this process. See proc_pid_statm(5).
func mappedData() (int64, error) {
	const path, field = "/proc/self/statm", 5
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read the size of this process: %w", err)
	}
	fields := strings.Fields(string(content))
	if len(fields) <= field {
		return 0, fmt.Errorf("read the size of this process: %s has %d fields", path, len(fields))
	}
	pages, err := strconv.ParseInt(fields[field], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read the size of this process: %w", err)
	}
	return pages * int64(os.Getpagesize()), nil
}

// processAttributes puts the child into a process group of its own, that dies with
// the thread that started it.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
