//go:build linux

package image

import (
	"encoding/binary"
	"os"
	"unsafe"
)

// ExplainNoRoom is for tests: nobody wants 65,530 mappings in one.
var ExplainNoRoom = explainNoRoom

// Sound is for tests: they have one kernel.
var Sound = sound

// File is where an image's content is.
func File(i *Image) *os.File {
	switch s := i.store.(type) {
	case *sealed:
		return s.file
	case *unlinked:
		return s.file
	default:
		return nil
	}
}

// entryProtected is the bit of a page map's entry of which writes are watched: nothing
// has been written there.
const entryProtected = 1 << 57

// Owned counts the pages of a range that are not the image's.
func Owned(memory []byte) (n int, err error) {
	pagemap, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return 0, err
	}
	defer pagemap.Close()
	page := os.Getpagesize()
	entries := make([]byte, len(memory)/page*entryBytes)
	first := int64(uintptr(unsafe.Pointer(unsafe.SliceData(memory)))) / int64(page)
	if _, err := pagemap.ReadAt(entries, first*entryBytes); err != nil {
		return 0, err
	}
	for ; len(entries) > 0; entries = entries[entryBytes:] {
		entry := binary.NativeEndian.Uint64(entries)
		if entry&(entryFile|entryProtected) == 0 && entry&(entryPresent|entrySwapped) != 0 {
			n++
		}
	}
	return n, nil
}
