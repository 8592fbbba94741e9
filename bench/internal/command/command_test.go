package command_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/bench/internal/command"
)

func TestPrintsALinePerFigure(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	command.Print(&out, "host/accept_per_s", 12345.6, "1/s", "bare_inserts=2.71", "rounds=3")
	command.Print(&out, "runtime/kill_ms", 0.123456, "ms")
	want := "bench host/accept_per_s 12346 1/s bare_inserts=2.71 rounds=3\nbench runtime/kill_ms 0.1235 ms\n"
	if got := out.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Only one test may profile: there is one profile in a process.
func TestProfilesIntoTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "cpu.pprof")
	stop, err := command.Profile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := command.Profile(path + ".again"); err == nil || !strings.Contains(err.Error(), "start the profile") {
		t.Errorf("got %v for a second profile, want that it does not start", err)
	}
	stop()
	written, err := os.ReadFile(path)
	if err != nil || !bytes.HasPrefix(written, []byte{0x1f, 0x8b}) {
		t.Errorf("got %d bytes, %v, want a profile, which is compressed", len(written), err)
	}
}

func TestNamesAProfileThatCannotBeMade(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "absent", "cpu.pprof")
	if _, err := command.Profile(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want an error that names %s", err, path)
	}
	stop, err := command.Profile("")
	if err != nil {
		t.Fatal(err)
	}
	stop()
}
