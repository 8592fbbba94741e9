package image

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// watchedBytes is up to which size of an image notes are read faster than what sandboxes
// have in memory is looked at: notes are read for all pages, whether they are in memory
// or not.
const watchedBytes = 16 << 20

// sealed is an image in a memory file that cannot be written any more, not even
// by this process.
type sealed struct {
	mechanism Mechanism
	file      *os.File
	pagemap   *os.File // For mechanisms that find pages.
	watch     *watch   // For Watch, unless the image is over watchedBytes.
	fd        int      // The pagemap's.
	view      []byte   // All of the file, to copy back from.
	zeroes    []byte   // One page.
	surveys   sync.Pool
}

func keepSealed(segments []Segment, mechanism Mechanism) (store, error) {
	s := &sealed{mechanism: mechanism, zeroes: make([]byte, os.Getpagesize())}
	s.surveys.New = func() any { return newSurvey(len(s.zeroes)) }
	if err := s.open(segments); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *sealed) open(segments []Segment) (err error) {
	if s.file, err = memoryFile(); err != nil {
		return err
	}
	size, err := fill(s.file, segments)
	if err != nil {
		return err
	}
	if err := seal(s.file); err != nil {
		return err
	}
	if size > 0 {
		// A shared view of a file that is sealed against writing needs Linux 6.7.
		// A private one that is never written shows the same pages.
		s.view, err = unix.Mmap(int(s.file.Fd()), 0, size, unix.PROT_READ, unix.MAP_PRIVATE)
		if err != nil {
			return fmt.Errorf("map an image of %d bytes: %w", size, explain(err))
		}
	}
	if s.mechanism == Advise {
		return nil
	}
	if s.pagemap, err = os.Open("/proc/self/pagemap"); err != nil {
		return fmt.Errorf("open the page map: %w", err)
	}
	s.fd = int(s.pagemap.Fd())
	if s.mechanism == Watch && size <= watchedBytes {
		s.watch, err = newWatch()
	}
	return err
}

// memoryFile makes a file that is in memory only. Kernels before 6.3 do not know
// that it is never to be executed, and later ones can be told to insist on it.
func memoryFile() (*os.File, error) {
	const flags, name = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING, "cofferdam-image"
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate(name, flags)
	}
	if err != nil {
		return nil, fmt.Errorf("make a memory file: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// seal forbids every change for good, and proves that it did.
func seal(file *os.File) error {
	const seals = unix.F_SEAL_WRITE | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return fmt.Errorf("seal an image: %w", err)
	}
	have, err := unix.FcntlInt(file.Fd(), unix.F_GET_SEALS, 0)
	if err != nil {
		return fmt.Errorf("read an image's seals: %w", err)
	}
	if have&seals != seals {
		return fmt.Errorf("seal an image: the kernel has set %#x of %#x", have, seals)
	}
	return nil
}

func (s *sealed) reserve(guestMax, kernelMax int) (area, error) {
	m, err := mapRange(int(s.file.Fd()), len(s.view), guestMax, kernelMax)
	if err != nil {
		return nil, err
	}
	if len(m.all) > 0 {
		// One written byte must not cost a huge page, which would be 512 pages to put
		// back. A kernel without huge pages refuses, and needs no advice.
		_ = unix.Madvise(m.all, unix.MADV_NOHUGEPAGE)
	}
	if s.watch != nil {
		if err := s.watch.begin(m.all[:m.file]); err != nil {
			return nil, explainAndClose(err, m)
		}
	}
	return &pages{mapping: m, store: s}, nil
}

func (s *sealed) close() error {
	var errs []error
	if s.view != nil {
		errs = append(errs, unix.Munmap(s.view))
	}
	if s.watch != nil {
		errs = append(errs, s.watch.close())
	}
	for _, f := range []*os.File{s.pagemap, s.file} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}
