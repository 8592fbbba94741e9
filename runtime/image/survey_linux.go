package image

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// PAGEMAP_SCAN and its categories, from include/uapi/linux/fs.h.
// https://docs.kernel.org/admin-guide/mm/pagemap.html
const (
	pagemapScan = 0xc0606610

	isWritten = 1 << 1 // Or not protected against it, for those that are no userfaultfd's.
	isFile    = 1 << 2
	isPresent = 1 << 3
	isSwapped = 1 << 4
	isZero    = 1 << 5
)

// The bits of an entry of /proc/self/pagemap, from the same page.
const (
	entryBytes   = 8
	entryFile    = 1 << 61
	entrySwapped = 1 << 62
	entryPresent = 1 << 63
	// entriesRead is how many are read at once: 16 MiB of memory.
	entriesRead = 4096
)

// scanArgument is struct pm_scan_arg.
type scanArgument struct {
	size, flags, start, end, walkEnd, regions, regionCount, maxPages,
	inverted, all, any, returned uint64
}

// region is struct page_region: addresses, and categories that are not looked at.
type region struct{ start, end, _ uint64 }

// survey finds the pages that a sandbox owns: those that are private copies, or
// zero pages that were written. It is reused, so that a reset allocates nothing.
type survey struct {
	argument scanArgument
	// Each region has at least a page, so there are never more regions.
	regions [copiedPages]region
	count   int
	owned   int // The pages in them.
	entries []byte
	page    int
}

func newSurvey(page int) *survey { return &survey{page: page} }

func (s *survey) found() []region { return s.regions[:s.count] }

// take looks at the first high bytes of a sandbox. It is false when it did not see
// all of them, or would have found too many.
func (s *survey) take(p *pages, high int) bool {
	s.count, s.owned = 0, 0
	switch {
	case p.store.mechanism == Pagemap:
		return s.read(p, high)
	case p.store.watch == nil:
		// In memory or swapped, and neither a file's nor the shared zero page.
		return s.scan(p, 0, high, scanArgument{
			inverted: isFile | isZero, all: isFile | isZero, any: isPresent | isSwapped, returned: isFile,
		})
	}
	// Of what is watched, those that were written: the one question that the kernel answers
	// without a look at each page. Behind the file, where the image's last zeroes begin,
	// those in memory or swapped that are not the zero page.
	file := min(p.file, high)
	return s.scan(p, 0, file, scanArgument{all: isWritten, returned: isWritten}) &&
		s.scan(p, file, high, scanArgument{inverted: isZero, all: isZero, any: isPresent | isSwapped, returned: isPresent})
}

// regionsAsked is how many regions are asked for at once. The kernel makes room for all
// that it may find first, which for many takes longer than to find the few that there are.
const regionsAsked = 64

// scan adds the pages of a part that are as the question says.
func (s *survey) scan(p *pages, from, to int, question scanArgument) bool {
	base := uint64(uintptr(p.base))
	for at, end := base+uint64(from), base+uint64(to); at < end; at = s.argument.walkEnd {
		room := copiedPages - s.owned // For regions, too: each has a page or more.
		if room == 0 {
			return false
		}
		regions := s.regions[s.count:]
		s.argument = question
		s.argument.size = uint64(unsafe.Sizeof(s.argument))
		s.argument.start, s.argument.end = at, end
		s.argument.regions = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(regions)))) //nolint:gosec // On the heap, where nothing moves; s keeps it alive.
		s.argument.regionCount, s.argument.maxPages = uint64(min(room, regionsAsked)), uint64(room)
		n, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(p.store.fd), pagemapScan,
			uintptr(unsafe.Pointer(&s.argument))) //nolint:gosec // As the package unsafe describes for system calls.
		if errno != 0 || n > uintptr(room) || s.argument.walkEnd <= at {
			return false
		}
		s.count += int(n)
		for _, r := range regions[:n] {
			s.owned += int(r.end-r.start) / s.page
		}
	}
	return true
}

// read takes the zero page that was only read for an owned one: the kernel does
// not tell. That costs a comparison.
func (s *survey) read(p *pages, high int) bool {
	if s.entries == nil {
		s.entries = make([]byte, entriesRead*entryBytes)
	}
	start, owned := uintptr(p.base), 0
	for at := 0; at < high; at += entriesRead * s.page {
		part := s.entries[:min(entriesRead, (high-at)/s.page)*entryBytes]
		n, err := unix.Pread(p.store.fd, part, int64(start+uintptr(at))/int64(s.page)*entryBytes)
		if err != nil || n != len(part) {
			return false
		}
		if owned += s.collect(part, uint64(start)+uint64(at), copiedPages-owned); owned > copiedPages {
			return false
		}
	}
	return true
}

// collect adds the owned pages among entries, and returns how many; it stops when
// there are more than room.
func (s *survey) collect(entries []byte, address uint64, room int) (owned int) {
	for ; len(entries) > 0; entries, address = entries[entryBytes:], address+uint64(s.page) {
		entry := binary.NativeEndian.Uint64(entries)
		if entry&entryFile != 0 || entry&(entryPresent|entrySwapped) == 0 {
			continue
		}
		if owned++; owned > room {
			return owned
		}
		if s.count > 0 && s.regions[s.count-1].end == address {
			s.regions[s.count-1].end += uint64(s.page)
			continue
		}
		s.regions[s.count] = region{start: address, end: address + uint64(s.page)}
		s.count++
	}
	return owned
}
