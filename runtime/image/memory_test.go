package image_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero/experimental"

	"github.com/cofferdam-run/cofferdam/runtime/image"
)

const (
	kib  = 1 << 10
	mib  = 1 << 20
	unit = 64 * kib
)

// content is a snapshot with zeroes between and after what is in it.
func content(size int) []byte {
	b := make([]byte, size)
	for at := 0; at < size*3/4; at += 10 * kib {
		copy(b[at:], fmt.Sprintf("content at %d", at))
	}
	return b
}

func newImage(tb testing.TB, content []byte, mechanism image.Mechanism) *image.Image {
	tb.Helper()
	img, err := image.New(content, mechanism)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := img.Close(); err != nil {
			tb.Error(err)
		}
	})
	return img
}

func reserve(tb testing.TB, img *image.Image, guestMax, kernelMax int) *image.Memory {
	tb.Helper()
	mem, err := image.Reserve(img, guestMax, kernelMax)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := mem.Close(); err != nil {
			tb.Error(err)
		}
	})
	return mem
}

func allocate(a experimental.MemoryAllocator) experimental.LinearMemory {
	return a.Allocate(0, 4<<30)
}

func reset(tb testing.TB, mem *image.Memory, kernelUsed int) int {
	tb.Helper()
	pages, err := mem.Reset(kernelUsed)
	if err != nil {
		tb.Fatal(err)
	}
	return pages
}

// fakeGuest is what Shrink needs of a wazero memory, and behaves as wazero's.
type fakeGuest struct {
	experimental.LinearMemory
	buffer []byte
}

func (g *fakeGuest) grow(to int) bool {
	b := g.Reallocate(uint64(to))
	if b == nil {
		return false
	}
	g.buffer = b
	return true
}

func TestResetGivesTheImageBack(t *testing.T) {
	t.Parallel()
	for _, mechanism := range image.Mechanisms() {
		t.Run(mechanism.String(), func(t *testing.T) {
			t.Parallel()
			const guestMax, kernelMax, rounds = 4 * mib, mib, 1000
			want := content(3*mib + 5*kib)
			want = append(want, make([]byte, unit-len(want)%unit)...)
			img := newImage(t, want, mechanism)
			mem := reserve(t, img, guestMax, kernelMax)
			kernel := allocate(mem.Kernel()).Reallocate(unit)
			guest := allocate(mem.Guest())
			memory := guest.Reallocate(0)
			random := rand.New(rand.NewPCG(1, uint64(mechanism)))
			zeroes := make([]byte, kernelMax)
			for round := range rounds {
				used := scribble(random, memory, kernel)
				reset(t, mem, used)
				if !bytes.Equal(memory, want) {
					t.Fatalf("round %d: memory differs from the image at byte %d", round, difference(memory, want))
				}
				if at := difference(kernel, zeroes); at >= 0 {
					t.Fatalf("round %d: the kernel's byte %d of %d used is not zero", round, at, used)
				}
			}
		})
	}
}

// scribble writes to random places: mostly few pages, sometimes very many.
func scribble(random *rand.Rand, memory, kernel []byte) (kernelUsed int) {
	writes := random.IntN(40)
	if random.IntN(100) == 0 {
		writes = 1500
	}
	for range writes {
		at := random.IntN(len(memory))
		n := min(1+random.IntN(5000), len(memory)-at)
		fill(memory[at:at+n], byte(random.Uint32()))
	}
	kernelUsed = random.IntN(20 * kib)
	if random.IntN(50) == 0 {
		kernelUsed = random.IntN(len(kernel) + 1)
	}
	fill(kernel[:kernelUsed], 1)
	return kernelUsed
}

// fill writes value everywhere, quickly.
func fill(b []byte, value byte) {
	for n := copy(b, []byte{value}); n > 0 && n < len(b); {
		n += copy(b[n:], b[:n])
	}
}

func difference(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

func TestSandboxesOfOneImageDoNotSeeEachOther(t *testing.T) {
	t.Parallel()
	for _, mechanism := range image.Mechanisms() {
		t.Run(mechanism.String(), func(t *testing.T) {
			t.Parallel()
			want := content(2 * unit)
			img := newImage(t, want, mechanism)
			first, second := reserve(t, img, mib, unit), reserve(t, img, mib, unit)
			a, b := allocate(first.Guest()).Reallocate(unit), allocate(second.Guest()).Reallocate(unit)
			kernelA, kernelB := allocate(first.Kernel()).Reallocate(unit), allocate(second.Kernel()).Reallocate(unit)
			for i := range a {
				a[i] = 0xff
			}
			kernelA[0] = 0xff
			if !bytes.Equal(b, want) || kernelB[0] != 0 {
				t.Error("the second sandbox sees what the first has written")
			}
			third := reserve(t, img, mib, 0)
			if c := allocate(third.Guest()).Reallocate(unit); !bytes.Equal(c, want) {
				t.Error("a later sandbox sees what the first has written")
			}
			reset(t, first, 1)
			if !bytes.Equal(a, want) || kernelA[0] != 0 {
				t.Error("the first sandbox is not as it was after its reset")
			}
		})
	}
}

// finds says whether a mechanism tells the pages that were written from others.
func finds(m image.Mechanism) bool {
	return slices.Contains([]image.Mechanism{image.Watch, image.Scan, image.Pagemap}, m)
}

func TestReset(t *testing.T) {
	t.Parallel()
	for _, mechanism := range image.Mechanisms() {
		t.Run(mechanism.String(), func(t *testing.T) {
			t.Parallel()
			t.Run("counts the pages that changed", func(t *testing.T) {
				t.Parallel()
				if !finds(mechanism) {
					t.Skip("this mechanism does not know")
				}
				mem := reserve(t, newImage(t, content(mib), mechanism), mib, 0)
				memory := allocate(mem.Guest()).Reallocate(0)
				for _, want := range []int{0, 3, 0, 300, 1} {
					for i := range want {
						memory[i*3000]++ // Less than a page apart.
					}
					touched := map[int]bool{}
					for i := range want {
						touched[i*3000/4096] = true
					}
					if got := reset(t, mem, 0); got != len(touched) {
						t.Errorf("got %d pages, want %d", got, len(touched))
					}
				}
			})
			t.Run("leaves nothing behind of any number of pages", func(t *testing.T) {
				t.Parallel()
				want := content(7 * mib)
				mem := reserve(t, newImage(t, want, mechanism), 7*mib, 0)
				memory := allocate(mem.Guest()).Reallocate(0)
				for _, stride := range []int{4096, 8192} { // One region, or as many as pages.
					for _, written := range []int{1, 511, 512, 513, 600, 768} {
						for i := range written {
							memory[i*stride]++
						}
						reset(t, mem, 0)
						if at := difference(memory, want); at >= 0 {
							t.Fatalf("%d pages, one each %d bytes: memory differs at byte %d", written, stride, at)
						}
					}
				}
			})
			t.Run("is refused when the kernel's use is impossible", func(t *testing.T) {
				t.Parallel()
				mem := reserve(t, newImage(t, content(unit), mechanism), unit, unit)
				_, err := mem.Reset(unit + 1)
				if err == nil || !strings.Contains(err.Error(), "65537 bytes of 65536") {
					t.Errorf("got error %v", err)
				}
				if _, again := mem.Reset(0); again == nil {
					t.Error("a memory whose reset failed was reset later")
				}
			})
			t.Run("is refused to what has grown", func(t *testing.T) {
				t.Parallel()
				mem := reserve(t, newImage(t, content(unit), mechanism), mib, 0)
				guest := allocate(mem.Guest())
				guest.Reallocate(unit)
				guest.Reallocate(2 * unit)
				if _, err := mem.Reset(0); err == nil || !strings.Contains(err.Error(), "was not shrunk") {
					t.Errorf("got error %v", err)
				}
			})
			t.Run("is refused after Close", func(t *testing.T) {
				t.Parallel()
				mem := reserve(t, newImage(t, content(unit), mechanism), mib, unit)
				guest, kernel := allocate(mem.Guest()), allocate(mem.Kernel())
				if err := mem.Close(); err != nil {
					t.Fatal(err)
				}
				if _, err := mem.Reset(0); err == nil {
					t.Error("a closed memory was reset")
				}
				if guest.Reallocate(unit) != nil || kernel.Reallocate(unit) != nil {
					t.Error("a closed memory was given out")
				}
			})
		})
	}
}

func TestGuest(t *testing.T) {
	t.Parallel()
	for _, mechanism := range image.Mechanisms() {
		t.Run(mechanism.String(), func(t *testing.T) {
			t.Parallel()
			t.Run("begins with the image's size, and with the module's minimum when that is more", func(t *testing.T) {
				t.Parallel()
				mem := reserve(t, newImage(t, content(3*unit), mechanism), mib, 0)
				if got, want := len(allocate(mem.Guest()).Reallocate(unit)), 3*unit; got != want {
					t.Errorf("got %d bytes, want %d", got, want)
				}
				memory := allocate(mem.Guest()).Reallocate(5 * unit)
				if got, want := len(memory), 5*unit; got != want || mem.Size() != want {
					t.Errorf("got %d bytes, want %d", got, want)
				}
				memory[5*unit-1] = 1
				reset(t, mem, 0)
				if memory[5*unit-1] != 0 {
					t.Error("what is beyond the image was not zeroed")
				}
			})
			t.Run("keeps what it has when it grows, and finds zeroes", func(t *testing.T) {
				t.Parallel()
				mem := reserve(t, newImage(t, content(unit), mechanism), mib, unit)
				guest := &fakeGuest{LinearMemory: allocate(mem.Guest())}
				guest.grow(unit)
				guest.buffer[5] = 77
				for size := 2 * unit; size <= mib; size += unit {
					if !guest.grow(size) {
						t.Fatalf("cannot grow to %d", size)
					}
					if len(guest.buffer) != size || cap(guest.buffer) != size || guest.buffer[5] != 77 || guest.buffer[size-1] != 0 {
						t.Fatalf("at %d bytes: length %d, capacity %d", size, len(guest.buffer), cap(guest.buffer))
					}
				}
				if got := mem.Peak(); got != mib {
					t.Errorf("got peak %d, want %d", got, mib)
				}
			})
			t.Run("is refused beyond its limit, which is remembered", func(t *testing.T) {
				t.Parallel()
				mem := reserve(t, newImage(t, content(unit), mechanism), mib, unit)
				mem.SetLimit(2 * unit)
				guest := &fakeGuest{LinearMemory: allocate(mem.Guest())}
				if !guest.grow(unit) || !guest.grow(2*unit) || mem.Refused() {
					t.Fatal("it cannot grow up to its limit")
				}
				if guest.grow(3*unit) || !mem.Refused() {
					t.Error("it grew beyond its limit, or that it was refused is forgotten")
				}
				mem.SetLimit(3 * unit)
				if mem.Refused() || !guest.grow(3*unit) {
					t.Error("a higher limit is not obeyed")
				}
				mem.SetLimit(2 * mib) // The range ends before: the module's maximum, not the limit.
				if guest.grow(mib+unit) || mem.Refused() {
					t.Error("it grew out of its range, or the limit is blamed")
				}
			})
		})
	}
}

func TestKernelHasItsWholePart(t *testing.T) {
	t.Parallel()
	for _, mechanism := range image.Mechanisms() {
		t.Run(mechanism.String(), func(t *testing.T) {
			t.Parallel()
			mem := reserve(t, newImage(t, content(unit), mechanism), mib, 3*unit+1)
			kernel := allocate(mem.Kernel())
			if got, want := len(kernel.Reallocate(unit)), 4*unit; got != want {
				t.Errorf("got %d bytes, want %d", got, want)
			}
			if kernel.Reallocate(5*unit) != nil {
				t.Error("the kernel grew out of its range")
			}
			guest := allocate(mem.Guest())
			guest.Reallocate(unit)
			last := guest.Reallocate(mib)
			last[mib-1] = 1
			if kernel.Reallocate(unit)[0] != 0 {
				t.Error("the guest's part reaches into the kernel's")
			}
		})
	}
}

func TestReserve(t *testing.T) {
	t.Parallel()
	for _, mechanism := range image.Mechanisms() {
		t.Run(mechanism.String(), func(t *testing.T) {
			t.Parallel()
			img := newImage(t, content(3*unit), mechanism)
			cases := map[string]struct {
				guest, kernel int
				want          string
			}{
				"a guest with less than its image": {2 * unit, unit, "raise its limit"},
				"a guest beyond 32 bits":           {4<<30 + 1, unit, "not between 0 and 4294967296"},
				"a kernel beyond 32 bits":          {mib, 4<<30 + 1, "not between 0 and 4294967296"},
				"a negative kernel":                {mib, -1, "not between 0 and 4294967296"},
			}
			for name, c := range cases {
				if _, err := image.Reserve(img, c.guest, c.kernel); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s: got error %v, want %q", name, err, c.want)
				}
			}
			empty := newImage(t, nil, mechanism)
			none := reserve(t, empty, 0, 0)
			if got := allocate(none.Guest()).Reallocate(0); len(got) != 0 {
				t.Errorf("an empty guest has %d bytes", len(got))
			}
			if got := reset(t, none, 0); got != 0 {
				t.Errorf("an empty guest has %d pages", got)
			}
		})
	}
}

func TestImage(t *testing.T) {
	t.Parallel()
	for _, mechanism := range image.Mechanisms() {
		t.Run(mechanism.String(), func(t *testing.T) {
			t.Parallel()
			t.Run("is rounded up, and a copy", func(t *testing.T) {
				t.Parallel()
				original := []byte("text")
				img := newImage(t, original, mechanism)
				original[0] = 'T'
				if got := img.Bytes(); got != unit {
					t.Errorf("got %d bytes, want %d", got, unit)
				}
				memory := allocate(reserve(t, img, unit, 0).Guest()).Reallocate(0)
				if got := string(memory[:5]); got != "text\x00" {
					t.Errorf("got %q", got)
				}
			})
			t.Run("lives until the last memory is closed", func(t *testing.T) {
				t.Parallel()
				want := content(unit)
				img, err := image.New(want, mechanism)
				if err != nil {
					t.Fatal(err)
				}
				mem := reserve(t, img, unit, 0)
				memory := allocate(mem.Guest()).Reallocate(0)
				for range 2 {
					if err := img.Close(); err != nil {
						t.Fatal(err)
					}
				}
				memory[0]++
				reset(t, mem, 0)
				if !bytes.Equal(memory, want) {
					t.Error("a closed image is not what its memories are reset to")
				}
				if _, err := image.Reserve(img, unit, 0); err == nil {
					t.Error("a closed image was reserved")
				}
			})
		})
	}
}

func TestMechanism(t *testing.T) {
	t.Parallel()
	t.Run("that is found is one of the system's", func(t *testing.T) {
		t.Parallel()
		found := image.Probe()
		if found == image.Best || strings.HasPrefix(found.String(), "mechanism") {
			t.Errorf("got %v", found)
		}
		t.Logf("found: %v", found)
	})
	t.Run("that does not exist is refused", func(t *testing.T) {
		t.Parallel()
		if _, err := image.New(nil, image.Mechanism(99)); err == nil || !strings.Contains(err.Error(), "use one of") {
			t.Errorf("got error %v", err)
		}
	})
	t.Run("is the best one by default", func(t *testing.T) {
		t.Parallel()
		mem := reserve(t, newImage(t, content(unit), image.Best), unit, 0)
		allocate(mem.Guest()).Reallocate(0)[0] = 1
		reset(t, mem, 0)
	})
}

// TestHammer is for the race detector: images are shared, memories come and go.
func TestHammer(t *testing.T) {
	t.Parallel()
	for _, mechanism := range image.Mechanisms() {
		t.Run(mechanism.String(), func(t *testing.T) {
			t.Parallel()
			want := content(4 * unit)
			img := newImage(t, want, mechanism)
			var wait sync.WaitGroup
			for worker := range 8 {
				wait.Go(func() {
					random := rand.New(rand.NewPCG(2, uint64(worker)))
					for range 10 {
						if err := live(img, want, random); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			wait.Wait()
		})
	}
}

// live is a sandbox's life: reserved, used and reset, closed.
func live(img *image.Image, want []byte, random *rand.Rand) error {
	mem, err := image.Reserve(img, 8*unit, 2*unit)
	if err != nil {
		return err
	}
	memory, kernel := allocate(mem.Guest()).Reallocate(0), allocate(mem.Kernel()).Reallocate(0)
	for range 10 {
		if _, err := mem.Reset(scribble(random, memory, kernel)); err != nil {
			return err
		}
		if at := difference(memory, want); at >= 0 {
			return fmt.Errorf("memory differs from the image at byte %d", at)
		}
	}
	return mem.Close()
}
