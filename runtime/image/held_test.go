package image_test

import (
	"testing"

	"github.com/cofferdam-run/cofferdam/runtime/image"
)

// TestHeldFallsWhenPagesAreGivenBack has one call that writes much, and then such as
// write little: what a sandbox holds is what it holds now.
func TestHeldFallsWhenPagesAreGivenBack(t *testing.T) {
	t.Parallel()
	for _, mechanism := range image.Mechanisms() {
		t.Run(mechanism.String(), func(t *testing.T) {
			t.Parallel()
			mem := reserve(t, newImage(t, content(mib), mechanism), mib, mib)
			memory := allocate(mem.Guest()).Reallocate(0)
			write := func(pages int) int {
				for i := range pages {
					memory[i*4096]++
				}
				reset(t, mem, 100)
				return mem.Held()
			}
			much := write(200)
			if finds(mechanism) {
				if want := 200 * 4096; much < want {
					t.Errorf("got %d bytes held after 200 pages were written and kept, want %d", much, want)
				}
			}
			last := much
			for range 100 {
				last = write(1)
			}
			if most := 64 * kib; mechanism != image.Copy && last > most {
				t.Errorf("got %d bytes held after many calls that write one page, want at most %d; they were %d", last, most, much)
			}
			if mechanism == image.Copy && last < mib {
				t.Errorf("got %d bytes held of a copy, want all of it", last)
			}
		})
	}
}
