package image_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cofferdam-run/cofferdam/runtime/image"
)

// alone is set in a process that the test binary starts to run one test in.
const alone = "COFFERDAM_IMAGE_TEST_ALONE"

// inProcess runs a test in a process of its own: it counts what the whole process
// has, or sets its limits.
func inProcess(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	if os.Getenv(alone) != "" {
		test(t)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1")
	cmd.Env = append(os.Environ(), alone+"=1")
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Fatalf("in a process of its own: %v\n%s", err, out)
	}
}

func mappings(t *testing.T) int {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(maps, []byte("\n"))
}

func files(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

func TestClosingFrees(t *testing.T) {
	t.Parallel()
	inProcess(t, func(t *testing.T) {
		t.Helper()
		for _, mechanism := range image.Mechanisms() {
			before, openBefore := mappings(t), files(t)
			for range 200 {
				cycle(t, mechanism)
			}
			// The Go runtime may map something for itself meanwhile.
			if got := mappings(t) - before; got > 20 {
				t.Errorf("%s: %d mappings were left", mechanism, got)
			}
			if got := files(t) - openBefore; got > 1 {
				t.Errorf("%s: %d files were left", mechanism, got)
			}
		}
	})
}

func cycle(t *testing.T, mechanism image.Mechanism) {
	t.Helper()
	img, err := image.New(content(unit), mechanism)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		mem, err := image.Reserve(img, 4*unit, unit)
		if err != nil {
			t.Fatal(err)
		}
		allocate(mem.Guest()).Reallocate(2 * unit)[0] = 1
		reset(t, mem, 0)
		if err := mem.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := img.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestSandboxTakesTwoMappings(t *testing.T) {
	t.Parallel()
	inProcess(t, func(t *testing.T) {
		t.Helper()
		for _, mechanism := range image.Mechanisms() {
			img := newImage(t, content(4*unit), mechanism)
			const sandboxes = 30
			before := mappings(t)
			for range sandboxes {
				mem := reserve(t, img, 16*unit, 16*unit)
				guest := allocate(mem.Guest())
				memory, kernel := guest.Reallocate(12*unit), allocate(mem.Kernel()).Reallocate(0)
				for _, n := range []int{1, 12 * 16} {
					for i := range n {
						memory[i*4096] = 1
					}
					fill(kernel, 1)
					reset(t, mem, 16*unit)
				}
			}
			if got := mappings(t) - before; got > 2*sandboxes+10 {
				t.Errorf("%s: %d sandboxes have %d mappings", mechanism, sandboxes, got)
			}
		}
	})
}

func TestNoRoomIsExplained(t *testing.T) {
	t.Parallel()
	inProcess(t, func(t *testing.T) {
		t.Helper()
		img := newImage(t, content(unit), image.Best)
		var before unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_AS, &before); err != nil {
			t.Fatal(err)
		}
		limit := unix.Rlimit{Cur: 1 << 30, Max: before.Max}
		if err := unix.Setrlimit(unix.RLIMIT_AS, &limit); err != nil {
			t.Fatal(err)
		}
		_, err := image.Reserve(img, 2<<30, unit)
		// Go's own heap needs room, too, to say what came of it.
		if err := unix.Setrlimit(unix.RLIMIT_AS, &before); err != nil {
			t.Fatal(err)
		}
		if !errors.Is(err, unix.ENOMEM) || !strings.Contains(err.Error(), "ulimit -v") {
			t.Errorf("got error %v", err)
		}
		if err := img.Close(); err != nil {
			t.Errorf("an image that could not be reserved: %v", err)
		}
	})
}

func TestNoMappingsLeftIsExplained(t *testing.T) {
	t.Parallel()
	err := image.ExplainNoRoom(unix.ENOMEM, 65529, 65530)
	want := "cannot allocate memory: the process has 65529 mappings, of which vm.max_map_count allows 65530 and a sandbox " +
		"takes 2: raise it (sysctl -w vm.max_map_count=262120), or keep fewer sandboxes"
	if err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if got := image.ExplainNoRoom(unix.ENOMEM, 12, 0).Error(); !strings.Contains(got, "another limit") {
		t.Errorf("without a known limit: got %s", got)
	}
}

// TestImageIsSealed tries to write an image as anybody in the process could.
func TestImageIsSealed(t *testing.T) {
	t.Parallel()
	for _, mechanism := range []image.Mechanism{image.Watch, image.Scan, image.Pagemap, image.Advise, image.Remap} {
		t.Run(mechanism.String(), func(t *testing.T) {
			t.Parallel()
			file := image.File(newImage(t, content(unit), mechanism))
			if _, err := file.WriteAt([]byte{1}, 0); err == nil {
				t.Error("the image's file was written")
			}
			if err := file.Truncate(0); err == nil {
				t.Error("the image's file was cut")
			}
			if _, err := unix.Mmap(int(file.Fd()), 0, unit/2, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err == nil {
				t.Error("the image's file was mapped to be written")
			}
			if _, err := os.Stat(file.Name()); err == nil {
				t.Error("the image's file has a name")
			}
		})
	}
}

func TestZeroesCostNothing(t *testing.T) {
	t.Parallel()
	sparse := make([]byte, 64*mib)
	sparse[0], sparse[32*mib] = 1, 1
	var stat unix.Stat_t
	if err := unix.Fstat(int(image.File(newImage(t, sparse, image.Best)).Fd()), &stat); err != nil {
		t.Fatal(err)
	}
	if used := stat.Blocks * 512; stat.Size != 32*mib+4096 || used > 64*kib {
		t.Errorf("an image with 2 pages takes %d bytes, in a file of %d", used, stat.Size)
	}
}

// TestWhatTheKernelWritesIsPutBack has a system call write into a sandbox, which is no
// write of a program's.
func TestWhatTheKernelWritesIsPutBack(t *testing.T) {
	t.Parallel()
	for _, mechanism := range image.Mechanisms() {
		t.Run(mechanism.String(), func(t *testing.T) {
			t.Parallel()
			want := content(4 * unit)
			mem := reserve(t, newImage(t, want, mechanism), 4*unit, 0)
			memory := allocate(mem.Guest()).Reallocate(0)
			for _, at := range []int{0, 3*4096 - 2, unit} { // A page that nobody has touched, and one that somebody has.
				random, err := os.Open("/dev/urandom")
				if err != nil {
					t.Fatal(err)
				}
				if _, err := random.Read(memory[at : at+4]); err != nil {
					t.Fatal(err)
				}
				if err := random.Close(); err != nil {
					t.Fatal(err)
				}
				if bytes.Equal(memory, want) {
					t.Fatal("nothing was written")
				}
				reset(t, mem, 0)
				if !bytes.Equal(memory, want) {
					t.Errorf("a reset left what the kernel wrote at %d", at)
				}
			}
		})
	}
}

func TestKernelsThatMissPagesAreNotTrusted(t *testing.T) {
	t.Parallel()
	for release, want := range map[string]bool{
		"6.7.0": false, "6.8.12-generic": false, "5.15.0-91": false, "6.9.0": true, "6.10-rc1": true, "6.18.44": true, "7.0": true, "": false, "x.y": false,
	} {
		if got := image.Sound(release); got != want {
			t.Errorf("%s: got %t", release, got)
		}
	}
}

// TestLargeImages writes pages of images of which it is no use to watch all, and of
// ones that end in zeroes.
func TestLargeImages(t *testing.T) {
	t.Parallel()
	for _, size := range []int{15 * mib, 17 * mib} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			want := make([]byte, size)
			copy(want, content(size-mib))
			mem := reserve(t, newImage(t, want, image.Best), size, 0)
			memory := allocate(mem.Guest()).Reallocate(0)
			if got := memory[size-8192]; got != 0 { // Reading is not writing.
				t.Fatalf("got %d", got)
			}
			for _, at := range []int{0, 5 * mib, size - mib, size - mib - 1, size - 1} {
				memory[at] ^= 0xff
			}
			if got := reset(t, mem, 0); got != 5 {
				t.Errorf("got %d pages", got)
			}
			if !bytes.Equal(memory, want) {
				t.Error("a reset left changes behind")
			}
		})
	}
}

// TestUnusualCallsPagesAreGivenBack makes one call write many pages, and then
// many calls write few.
func TestUnusualCallsPagesAreGivenBack(t *testing.T) {
	t.Parallel()
	for _, mechanism := range []image.Mechanism{image.Watch, image.Scan, image.Pagemap} {
		t.Run(mechanism.String(), func(t *testing.T) {
			t.Parallel()
			mem := reserve(t, newImage(t, bytes.Repeat([]byte{7}, 2*mib), mechanism), 2*mib, mib)
			memory, kernel := allocate(mem.Guest()).Reallocate(0), allocate(mem.Kernel()).Reallocate(0)
			for i := range 300 {
				memory[i*4096] = 1
			}
			fill(kernel, 1)
			reset(t, mem, mib)
			if got := owned(t, memory); got != 300 {
				t.Errorf("after the unusual call, it owns %d pages", got)
			}
			if got := owned(t, kernel); got != 64 {
				t.Errorf("after the unusual call, the kernel owns %d pages", got)
			}
			for range 40 {
				memory[0], memory[mib] = 1, 1
				if got := reset(t, mem, 0); got != 2 {
					t.Errorf("got %d pages", got)
				}
			}
			if got := owned(t, memory); got > 2 {
				t.Errorf("after many calls, it owns %d pages", got)
			}
		})
	}
}

// owned counts a range's private pages as the kernel reports them.
func owned(t *testing.T, memory []byte) int {
	t.Helper()
	entries, err := image.Owned(memory)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func TestCompilesElsewhere(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it builds for other systems")
	}
	for _, target := range []string{"darwin/arm64", "windows/amd64"} {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			system, machine, _ := strings.Cut(target, "/")
			cmd := exec.CommandContext(t.Context(), "go", "build", ".")
			cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+machine, "CGO_ENABLED=0")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func ExampleProbe() {
	img, err := image.New([]byte("what a guest's memory held after it was initialised"), image.Probe())
	if err != nil {
		fmt.Println(err)
		return
	}
	mem, err := image.Reserve(img, 1<<20, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	memory := mem.Guest().Allocate(0, 0).Reallocate(0) // As wazero does.
	copy(memory, "WHAT")
	fmt.Printf("%s\n", memory[:20])
	if _, err := mem.Reset(0); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s\n", memory[:20])
	fmt.Println(mem.Close(), img.Close())
	// Output:
	// WHAT a guest's memor
	// what a guest's memor
	// <nil> <nil>
}
