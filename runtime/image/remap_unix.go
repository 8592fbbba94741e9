//go:build linux || darwin

package image

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// zeroPages are the flags for pages that are zero, and nobody else's.
const zeroPages = unix.MAP_PRIVATE | unix.MAP_ANON | unix.MAP_NORESERVE

// unlinked is an image in a file without a name, for [Remap]. It is open for
// reading alone.
type unlinked struct {
	file *os.File
	size int
}

func keepUnlinked(segments []Segment) (store, error) {
	writer, err := os.CreateTemp("", "cofferdam-image-*")
	if err != nil {
		return nil, fmt.Errorf("make a temporary file: %w", err)
	}
	size, err := fill(writer, segments)
	reader, openErr := os.Open(writer.Name())
	if err = errors.Join(err, openErr, os.Remove(writer.Name()), writer.Close()); err != nil {
		if openErr == nil {
			err = errors.Join(err, reader.Close())
		}
		return nil, err
	}
	return &unlinked{file: reader, size: size}, nil
}

func (u *unlinked) reserve(guestMax, kernelMax int) (area, error) {
	m, err := mapRange(int(u.file.Fd()), u.size, guestMax, kernelMax)
	if err != nil {
		return nil, err
	}
	return &remapped{mapping: m, store: u}, nil
}

func (u *unlinked) close() error { return u.file.Close() }

// remapped is a sandbox's range that is reset by mapping it again.
type remapped struct {
	*mapping
	store *unlinked
}

func (r *remapped) reset(high, kernelUsed int) (int, error) {
	if err := r.view(int(r.store.file.Fd())); err != nil {
		return 0, fmt.Errorf("map the image again: %w", explain(err))
	}
	if err := r.zero(r.file, high); err != nil {
		return 0, err
	}
	page := os.Getpagesize()
	return roundUp(high, page) / page, r.zero(r.guestMax, r.guestMax+roundUp(kernelUsed, page))
}

func (*remapped) held() int { return 0 }

// zero maps zero pages over a range.
func (r *remapped) zero(from, to int) error {
	if to <= from {
		return nil
	}
	_, err := unix.MmapPtr(-1, 0, unsafe.Add(r.base, from), uintptr(to-from), unix.PROT_READ|unix.PROT_WRITE,
		zeroPages|unix.MAP_FIXED)
	if err != nil {
		return fmt.Errorf("map %d zero bytes again: %w", to-from, explain(err))
	}
	return nil
}
