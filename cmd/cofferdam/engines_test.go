package main

import (
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/cofferdam-run/cofferdam/runtime"
)

// TestEnginesBeginSideBySide is for the race detector. The first engine of a
// program writes down which version it is, and the others read that, so it needs
// a process in which there was none; and a test of a program, since those of
// packages do not know the version.
func TestEnginesBeginSideBySide(t *testing.T) {
	t.Parallel()
	const alone = "COFFERDAM_TEST_ALONE"
	if os.Getenv(alone) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1")
		cmd.Env = append(os.Environ(), alone+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("in a process of its own: %v\n%s", err, out)
		}
		return
	}
	var all sync.WaitGroup
	for i := range 8 {
		c := runtime.Config{}
		if i%2 == 0 {
			c.CacheDir = t.TempDir()
		}
		all.Go(func() {
			rt, err := runtime.New(t.Context(), c)
			if err != nil {
				t.Error(err)
				return
			}
			if err := rt.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}
