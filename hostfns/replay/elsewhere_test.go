package replay_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"testing"

	"github.com/cofferdam-run/cofferdam/hostfns/replay"
)

var elsewhere = flag.Int("replay.elsewhere", 50, "recorded executions to replay on the other architecture, where there is qemu")

// recordedDir names the folder of recordings in a process that only replays them.
const recordedDir = "COFFERDAM_RECORDED"

// moduleFile is what they are recordings of.
const moduleFile = "module.wasm"

// TestRecordingsReplayAlikeElsewhere replays what was recorded here on another
// architecture, by this test's own program.
func TestRecordingsReplayAlikeElsewhere(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv(recordedDir); dir != "" {
		replayAll(t, dir)
		return
	}
	if goruntime.GOOS != "linux" || goruntime.GOARCH != "amd64" {
		t.Skip("it replays on arm64 what was recorded on Linux on amd64")
	}
	qemu := ""
	for _, name := range []string{"qemu-aarch64-static", "qemu-aarch64"} {
		if path, err := exec.LookPath(name); err == nil {
			qemu = path
		}
	}
	if qemu == "" {
		t.Skip("install qemu-user-static to replay on arm64")
	}
	dir := t.TempDir()
	m := exampled(t)
	for i, r := range recordMany(t, newLab(t), m, *elsewhere) {
		file, err := os.Create(filepath.Join(dir, fmt.Sprint(i, replay.Extension)))
		if err != nil {
			t.Fatal(err)
		}
		if err := replay.Write(file, r); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, moduleFile), m.wasm, 0o600); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "replay.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", program, ".")
	build.Env = append(os.Environ(), "GOARCH=arm64", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build for arm64: %v\n%s", err, out)
	}
	there := exec.CommandContext(t.Context(), qemu, program, "-test.run=^"+t.Name()+"$", "-test.v")
	there.Env = append(os.Environ(), recordedDir+"="+dir)
	out, err := there.CombinedOutput()
	want := fmt.Appendf(nil, "%d of %d alike on arm64", *elsewhere, *elsewhere)
	if err != nil || !bytes.Contains(out, want) {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", want)
}

// replayAll replays every recording of a folder.
func replayAll(t *testing.T, dir string) {
	t.Helper()
	module, err := os.ReadFile(filepath.Join(dir, moduleFile))
	if err != nil {
		t.Fatal(err)
	}
	m := prepare(t, module)
	paths, err := filepath.Glob(filepath.Join(dir, "*"+replay.Extension))
	if err != nil {
		t.Fatal(err)
	}
	alike := 0
	for _, path := range paths {
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		r, err := replay.Read(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		report := run(t, m, r)
		if !report.Same() || !bytes.Equal(report.Output, r.Output) || report.Usage.Fuel != r.Fuel {
			t.Errorf("%s: got %+v, %q and %d units of fuel, want %q and %d",
				filepath.Base(path), report.Differences, report.Output, report.Usage.Fuel, r.Output, r.Fuel)
			continue
		}
		alike++
	}
	t.Logf("%d of %d alike on %s", alike, len(paths), goruntime.GOARCH)
}
