//go:build linux

package image

import (
	"os"
	"unsafe"
)

// ExplainNoRoom is for tests: nobody wants 65,530 mappings in one.
var ExplainNoRoom = explainNoRoom

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

// Owned counts the pages of a range that are not the image's.
func Owned(memory []byte) (int, error) {
	pagemap, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return 0, err
	}
	defer pagemap.Close()
	s := newSurvey(os.Getpagesize())
	p := &pages{
		mapping: &mapping{base: unsafe.Pointer(unsafe.SliceData(memory))},
		store:   &sealed{mechanism: Pagemap, fd: int(pagemap.Fd())},
	}
	if !s.take(p, len(memory)) {
		return copiedPages + 1, nil
	}
	n := 0
	for _, r := range s.found() {
		n += int(r.end-r.start) / s.page
	}
	return n, nil
}
