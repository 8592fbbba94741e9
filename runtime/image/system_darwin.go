package image

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

func native() []Mechanism { return []Mechanism{Remap} }

func keepNative(segments []Segment, _ Mechanism) (store, error) { return keepUnlinked(segments) }

// explain says what to do when the kernel has no room.
func explain(err error) error {
	if errors.Is(err, unix.ENOMEM) {
		return fmt.Errorf("%w: raise the limit of address space (ulimit -v), or keep fewer sandboxes or smaller ones", err)
	}
	return err
}
