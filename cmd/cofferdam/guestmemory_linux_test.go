package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
)

// guestMemory is the memory of all sandboxes of a process that is there: of the guests
// and of what the host keeps for them. Each is the private mapping of an image, and
// right behind it the memory that has no image.
func guestMemory(pid int) ([]byte, error) {
	maps, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return nil, err
	}
	defer maps.Close()
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return nil, err
	}
	defer memory.Close()
	pages, err := os.Open(fmt.Sprintf("/proc/%d/pagemap", pid))
	if err != nil {
		return nil, err
	}
	defer pages.Close()
	var all []byte
	var end uint64
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		var from, to, offset, inode uint64
		var may, device string
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s %x %s %d", &from, &to, &may, &offset, &device, &inode); err != nil {
			return nil, fmt.Errorf("%q: %w", lines.Text(), err)
		}
		image := strings.Contains(lines.Text(), "cofferdam-image")
		if !strings.HasPrefix(may, "rw") || !image && (inode != 0 || from != end) {
			continue
		}
		end = to
		if all, err = present(all, memory, pages, from, to); err != nil {
			return nil, err
		}
	}
	return all, lines.Err()
}

// present appends the pages of a range that are there.
func present(all []byte, memory, pages *os.File, from, to uint64) ([]byte, error) {
	size := uint64(os.Getpagesize())
	entries := make([]byte, (to-from)/size*8)
	if _, err := pages.ReadAt(entries, int64(from/size*8)); err != nil {
		return all, fmt.Errorf("read the page map: %w", err)
	}
	const here, swapped = 1 << 63, 1 << 62
	for n := uint64(0); n < uint64(len(entries)/8); {
		run := n
		for n < uint64(len(entries)/8) && binary.LittleEndian.Uint64(entries[n*8:])&(here|swapped) != 0 {
			n++
		}
		if n > run {
			all = readable(all, memory, from+run*size, from+n*size)
		}
		n++
	}
	return all, nil
}

// readable appends the pages of a range that have not been given back since they were
// seen.
func readable(all []byte, memory *os.File, from, to uint64) []byte {
	had := len(all)
	all = slices.Grow(all, int(to-from))[:had+int(to-from)]
	if _, err := memory.ReadAt(all[had:], int64(from)); err == nil {
		return all
	}
	all = all[:had]
	if size := uint64(os.Getpagesize()); to-from > size {
		middle := from + (to-from)/size/2*size
		return readable(readable(all, memory, from, middle), memory, middle, to)
	}
	return all
}
