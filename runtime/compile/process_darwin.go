package compile

import "syscall"

// boundMemory does nothing: this kernel enforces no limit on memory. The watch
// does, some milliseconds late.
func boundMemory(int64) error { return nil }

// processAttributes puts the child into a process group of its own. What bounds it
// when its parent dies are its own limits.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
