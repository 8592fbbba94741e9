package main

import (
	"fmt"
	"os"
	"syscall"
)

// smallDisk mounts a disk in memory.
func smallDisk() (dir string, remove func(), err error) {
	if dir, err = os.MkdirTemp("/tmp", "cofferdam-disk"); err != nil {
		return "", nil, fmt.Errorf("make a folder: %w", err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", diskBytes)); err != nil {
		_ = os.Remove(dir)
		return "", nil, fmt.Errorf("mount a small disk: %w: %w", errNotHere, err)
	}
	return dir, func() {
		_ = syscall.Unmount(dir, syscall.MNT_DETACH)
		_ = os.Remove(dir)
	}, nil
}
