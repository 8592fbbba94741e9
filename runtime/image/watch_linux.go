package image

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What is used of userfaultfd, from include/uapi/linux/userfaultfd.h. The requests'
// numbers are the same on all processors that Go and wazero's compiler have in common.
// https://docs.kernel.org/admin-guide/mm/userfaultfd.html
const (
	watchUserMode = 1 // UFFD_USER_MODE_ONLY: what an ordinary process may have.

	watchAPI      = 0xc018aa3f // UFFDIO_API
	watchRegister = 0xc020aa00 // UFFDIO_REGISTER
	watchProtect  = 0xc018aa06 // UFFDIO_WRITEPROTECT

	watchVersion     = 0xaa
	watchUnpopulated = 1 << 13 // UFFD_FEATURE_WP_UNPOPULATED
	watchAsync       = 1 << 15 // UFFD_FEATURE_WP_ASYNC, since Linux 6.7.

	watchModeProtect = 1 << 1 // UFFDIO_REGISTER_MODE_WP
	watchProtected   = 1 << 0 // UFFDIO_WRITEPROTECT_MODE_WP
)

// watch has the kernel note which pages are written. They are protected against
// writing, and at the first write the kernel lifts that by itself, in the page fault
// that copies the page anyway, or in one more where it was not in memory yet: nobody has to
// answer. A page that is noted is one that was written since, or one that was never protected;
// a page that is not noted cannot have been written, whoever tries, the kernel
// included.
type watch struct{ file *os.File }

// Before Linux 6.9 the question for what was written took bits of a swapped page's place for
// its protection, and missed such a page every other time ("fs/proc/task_mmu: fix uffd-wp
// confusion in pagemap_scan_pmd_entry()").
const watchMajor, watchMinor = 6, 9

// sound says whether a kernel of this release has what a watch needs.
func sound(release string) bool {
	var major, minor int
	if n, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil || n != 2 {
		return false
	}
	return major > watchMajor || major == watchMajor && minor >= watchMinor
}

// newWatch fails where the kernel does not know it, or the process may not have it:
// containers often forbid the system call.
func newWatch() (*watch, error) {
	var system unix.Utsname
	if err := unix.Uname(&system); err != nil {
		return nil, fmt.Errorf("ask for the kernel's release: %w", err)
	}
	if release := unix.ByteSliceToString(system.Release[:]); !sound(release) {
		return nil, fmt.Errorf("watch pages on Linux %s: it needs %d.%d", release, watchMajor, watchMinor)
	}
	fd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC|watchUserMode, 0, 0)
	if errno != 0 {
		return nil, fmt.Errorf("open a userfaultfd: %w", errno)
	}
	w := &watch{file: os.NewFile(fd, "userfaultfd")}
	handshake := struct{ version, features, ioctls uint64 }{version: watchVersion, features: watchAsync | watchUnpopulated}
	if err := w.ask(watchAPI, unsafe.Pointer(&handshake)); err != nil { //nolint:gosec // As the package unsafe describes for system calls.
		return nil, fmt.Errorf("ask userfaultfd to note writes: %w", joinClose(err, w))
	}
	return w, nil
}

func joinClose(err error, w *watch) error {
	if closing := w.close(); closing != nil {
		return fmt.Errorf("%w; %w", err, closing)
	}
	return err
}

// begin notes the writes to a mapping from now on.
func (w *watch) begin(mapped []byte) error {
	if len(mapped) == 0 {
		return nil
	}
	start, size := span(mapped)
	register := struct{ start, size, mode, ioctls uint64 }{start: start, size: size, mode: watchModeProtect}
	if err := w.ask(watchRegister, unsafe.Pointer(&register)); err != nil { //nolint:gosec // As the package unsafe describes for system calls.
		return fmt.Errorf("watch %d bytes: %w", size, err)
	}
	return w.again(mapped)
}

// again forgets what was noted of a range.
func (w *watch) again(mapped []byte) error {
	if len(mapped) == 0 {
		return nil
	}
	start, size := span(mapped)
	protect := struct{ start, size, mode uint64 }{start: start, size: size, mode: watchProtected}
	if err := w.ask(watchProtect, unsafe.Pointer(&protect)); err != nil { //nolint:gosec // As the package unsafe describes for system calls.
		return fmt.Errorf("protect %d bytes: %w", size, err)
	}
	return nil
}

func span(mapped []byte) (start, size uint64) {
	return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(mapped)))), uint64(len(mapped)) //nolint:gosec // An address that stays: the mapping is not Go's.
}

func (w *watch) ask(request uintptr, argument unsafe.Pointer) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, w.file.Fd(), request, uintptr(argument))
		switch errno {
		case 0:
			return nil
		case unix.EAGAIN, unix.EINTR: // The address space is changing under it.
		default:
			return errno
		}
	}
}

func (w *watch) close() error { return w.file.Close() }
