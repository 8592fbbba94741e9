//go:build linux || darwin

package image

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapping is a sandbox's range: a private view of a file that nobody writes,
// then zero pages. That makes two mappings of the kernel's, whatever is later
// dropped or mapped again.
type mapping struct {
	base     unsafe.Pointer
	all      []byte
	file     int // How many bytes are the file's.
	guestMax int
}

// mapRange reserves all zero pages first and lays the file over them, so that
// nothing else can get in between.
func mapRange(fd, file, guestMax, kernelMax int) (*mapping, error) {
	m := &mapping{file: file, guestMax: guestMax}
	total := guestMax + kernelMax
	if total == 0 {
		return m, nil
	}
	base, err := unix.MmapPtr(-1, 0, nil, uintptr(total), unix.PROT_READ|unix.PROT_WRITE, zeroPages)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes: %w", total, explain(err))
	}
	m.base, m.all = base, unsafe.Slice((*byte)(base), total) //nolint:gosec // Memory that the kernel gave, all of it.
	if err := m.view(fd); err != nil {
		return nil, fmt.Errorf("map %d bytes of an image: %w", file, explainAndClose(err, m))
	}
	return m, nil
}

func explainAndClose(err error, m *mapping) error {
	err = explain(err)
	if closing := m.close(); closing != nil {
		return fmt.Errorf("%w; %w", err, closing)
	}
	return err
}

func (m *mapping) guest(size int) []byte { return m.all[:size:size] }

func (m *mapping) kernel() []byte { return m.all[m.guestMax:] }

// view maps the file over the range's beginning.
func (m *mapping) view(fd int) error {
	if m.file == 0 {
		return nil
	}
	_, err := unix.MmapPtr(fd, 0, m.base, uintptr(m.file), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_FIXED|unix.MAP_NORESERVE)
	return err
}

func (m *mapping) close() error {
	if m.all == nil {
		return nil
	}
	base, size := m.base, len(m.all)
	m.base, m.all = nil, nil
	if err := unix.MunmapPtr(base, uintptr(size)); err != nil {
		return fmt.Errorf("unmap %d bytes: %w", size, err)
	}
	return nil
}

// fill writes segments to a file that reads as zeroes elsewhere, and returns its
// size, which is a multiple of the system's page.
func fill(file *os.File, segments []Segment) (int, error) {
	size := roundUp(extent(segments), os.Getpagesize())
	if err := file.Truncate(int64(size)); err != nil {
		return 0, fmt.Errorf("give an image %d bytes: %w", size, err)
	}
	for _, s := range segments {
		if _, err := file.WriteAt(s.Bytes, int64(s.Offset)); err != nil {
			return 0, fmt.Errorf("write an image of %d bytes: %w", size, err)
		}
	}
	return size, nil
}
