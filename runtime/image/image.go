package image

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
)

const (
	// unit is what a memory's size is a multiple of: a page of WebAssembly. It is a
	// multiple of every operating system's page, too.
	unit = 64 << 10
	// most is the largest memory that 32 bits can address.
	most int64 = 4 << 30
	// grain is how finely zeroes are told from content.
	grain = 4 << 10
)

var errClosed = errors.New("it is closed")

// Segment is content of a memory. What no segment covers is zero.
type Segment struct {
	Offset uint32
	Bytes  []byte
}

// Image is a memory's content, sealed: no sandbox can change it. It may be used
// from several goroutines.
type Image struct {
	store store
	size  int
	held  int

	mu     sync.Mutex
	users  int // Memories that are not closed.
	closed bool
}

// New keeps content, which is copied, as an image. Its size is rounded up to a
// multiple of 64 KiB. Zeroes at the end cost nothing, those in between only what
// sandboxes touch.
func New(content []byte, mechanism Mechanism) (*Image, error) {
	size := (int64(len(content)) + unit - 1) / unit * unit
	if size > most {
		return nil, fmt.Errorf("keep image: %d bytes are over the %d that a memory can have", len(content), most)
	}
	return build(runs(content), int(size), mechanism)
}

// Bytes returns the image's size.
func (i *Image) Bytes() int { return i.size }

// Held returns about how many bytes the image takes up: zeroes take up none.
func (i *Image) Held() int { return i.held }

// Close gives the image back, once the last Memory of it is closed; until then
// they work on. No Memory can be reserved any more.
func (i *Image) Close() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return nil
	}
	i.closed = true
	return i.drop()
}

// build keeps segments, of which later ones win, as an image.
func build(segments []Segment, size int, mechanism Mechanism) (*Image, error) {
	s, err := keep(segments, mechanism)
	if err != nil {
		return nil, fmt.Errorf("keep image of %d bytes: %w", size, err)
	}
	i := &Image{store: s, size: size}
	for _, s := range segments {
		i.held += len(s.Bytes)
	}
	i.held = min(i.held, size)
	return i, nil
}

func (i *Image) enter() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return errClosed
	}
	i.users++
	return nil
}

func (i *Image) leave() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.users--
	return i.drop()
}

func (i *Image) drop() error {
	if !i.closed || i.users > 0 {
		return nil
	}
	if err := i.store.close(); err != nil {
		return fmt.Errorf("close image: %w", err)
	}
	return nil
}

// runs are the parts of content that are not zero.
func runs(content []byte) []Segment {
	var found []Segment
	zeroes := make([]byte, grain)
	open := false
	for at := 0; at < len(content); at += grain {
		part := content[at:min(at+grain, len(content))]
		if bytes.Equal(part, zeroes[:len(part)]) {
			open = false
			continue
		}
		if !open {
			found = append(found, Segment{Offset: uint32(at), Bytes: content[at:at]})
			open = true
		}
		last := &found[len(found)-1]
		last.Bytes = content[last.Offset : at+len(part)]
	}
	return found
}

// extent is where the last segment ends.
func extent(segments []Segment) int {
	end := int64(0)
	for _, s := range segments {
		end = max(end, int64(s.Offset)+int64(len(s.Bytes)))
	}
	return int(end)
}
