package command_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cofferdam-run/cofferdam/bench/internal/command"
)

func TestReadsALineOfKilobytes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "meminfo")
	if err := os.WriteFile(path, []byte("MemTotal:  10 kB\nMemFree:   7 kB\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := command.Kilobytes(path, "MemFree:"); err != nil || got != 7 {
		t.Errorf("got %v, %v, want 7", got, err)
	}
	for _, place := range [][2]string{{path, "MemNone:"}, {path + ".absent", "MemFree:"}} {
		if _, err := command.Kilobytes(place[0], place[1]); !errors.Is(err, command.ErrSkip) {
			t.Errorf("%v: got %v, want that it is not measured", place, err)
		}
	}
}
