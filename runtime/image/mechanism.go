package image

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// Mechanism is a way to keep an image and to put a sandbox's pages back. The
// zero value is whatever [Probe] finds.
type Mechanism int

// The mechanisms, best first.
const (
	// Best is what Probe finds when an image is made.
	Best Mechanism = iota
	// Watch is Linux 6.9 and later, where a process may have a userfaultfd: the kernel
	// notes which pages a sandbox writes, lists them (PAGEMAP_SCAN), and those are
	// copied back.
	Watch
	// Scan is Linux 6.7 and later, without notes: the kernel looks at each page that the sandbox
	// has in memory, whether it is a copy.
	Scan
	// Pagemap is older Linux: the list is read from /proc/self/pagemap.
	Pagemap
	// Advise is Linux without /proc: all of a sandbox's pages are dropped.
	Advise
	// Remap is what macOS needs, and any Unix can: an unlinked file is mapped over
	// the sandbox's pages again.
	Remap
	// Copy works everywhere: a Go slice, and the whole image is copied.
	Copy
)

// String is the mechanism for people.
func (m Mechanism) String() string {
	switch m {
	case Best:
		return "best"
	case Watch:
		return "copy-on-write, pages noted by userfaultfd and found by PAGEMAP_SCAN"
	case Scan:
		return "copy-on-write, pages found by PAGEMAP_SCAN"
	case Pagemap:
		return "copy-on-write, pages found in /proc/self/pagemap"
	case Advise:
		return "copy-on-write, pages dropped by madvise"
	case Remap:
		return "copy-on-write, pages mapped again"
	case Copy:
		return "full copy"
	default:
		return fmt.Sprintf("mechanism %d", int(m))
	}
}

// Mechanisms are those that this operating system may have, best first. Copy is
// always the last.
func Mechanisms() []Mechanism { return append(native(), Copy) }

// Probe returns the best mechanism that works here. It tries each with a small
// image, so a kernel that only claims to have one is found out.
func Probe() Mechanism {
	for _, m := range native() {
		if prove(m) == nil {
			return m
		}
	}
	return Copy
}

// prove puts a sandbox of two written pages back and looks at the result.
func prove(mechanism Mechanism) (err error) {
	content := make([]byte, unit)
	content[0] = 1
	img, err := build([]Segment{{Bytes: content}}, unit, mechanism)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, img.Close()) }()
	mem, err := Reserve(img, unit, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, mem.Close()) }()
	memory := mem.Guest().Allocate(unit, unit).Reallocate(unit)
	memory[0], memory[unit-1] = 2, 2
	pages, err := mem.Reset(0)
	if err != nil {
		return err
	}
	if !bytes.Equal(memory, content) {
		return errors.New("a reset left changes behind")
	}
	if mechanism.finds() && pages != 2 {
		return fmt.Errorf("a reset saw %d pages where 2 were written", pages)
	}
	return nil
}

// finds says whether a mechanism tells written pages from others.
func (m Mechanism) finds() bool { return m == Watch || m == Scan || m == Pagemap }

// store is an image's content as the operating system keeps it.
type store interface {
	reserve(guestMax, kernelMax int) (area, error)
	close() error
}

// area is one sandbox's range of memory.
type area interface {
	// guest returns the guest's first bytes. It may move them when there are more
	// than before.
	guest(size int) []byte
	kernel() []byte
	// reset makes the guest's first high bytes the image's, with zeroes after
	// them, and zeroes the kernel's first bytes. All others are so already.
	reset(high, kernelUsed int) (pages int, err error)
	// held is how many bytes are the sandbox's own since the last reset.
	held() int
	close() error
}

// keep stores segments of an image of which all other bytes are zero.
func keep(segments []Segment, mechanism Mechanism) (store, error) {
	if mechanism == Best {
		mechanism = Probe()
	}
	if mechanism == Copy {
		return keepCopy(segments), nil
	}
	if !slices.Contains(native(), mechanism) {
		return nil, fmt.Errorf("%s does not exist on this operating system: use one of %v", mechanism, Mechanisms())
	}
	return keepNative(segments, mechanism)
}
