package replay

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/cofferdam-run/cofferdam/runtime"
)

const (
	// Folder holds a plugin's recordings, below its own folder. It has slashes.
	Folder = "tests/recordings"
	// goldenTest replays them all.
	goldenTest = "recordings_test.go"
	// Extension is that of a Recording's file.
	Extension = ".bhx"
)

// Expecting gives the Recording that a run of it would have made: what the test of a
// plugin expects that has been mended since. A run that asked for something that was
// not recorded is no such run.
func (r *Report) Expecting(of Recording) (Recording, error) {
	if d := r.Divergence; d != nil && d.Actual != nil {
		return of, fmt.Errorf("make a recording of a replay: %s was asked for, and its answer was not recorded", d.Actual)
	}
	of.Entries = of.Entries[:min(len(of.Entries), r.Asked+1)]
	if r.Open != nil {
		return of, errors.New("make a recording of a replay: it did not come to an end, as the recorded run did not")
	}
	of.Outcome, of.Output, of.Error, of.Fuel = r.Outcome, r.Output, r.Error, r.Usage.Fuel
	of.Left, of.Module = nil, nil
	if r.Outcome == Succeeded {
		of.Left = r.Left
	}
	of.World.Model, of.World.Module, of.World.Image = runtime.Model, r.Module, r.Image
	return of, nil
}

// WriteTest writes a Recording into the folder of a plugin's sources, as what its
// tests expect: the file tests/recordings/NAME.bhx, and, where Go sources are and
// it is not there yet, recordings_test.go, which replays all of the files with the
// plugin as it is then. That needs the cofferdam program, and nothing of this module.
// It returns the paths of what it has written. A file of that name is an error.
func WriteTest(dir, name string, r Recording) ([]string, error) {
	if !regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`).MatchString(name) {
		return nil, fmt.Errorf("write test: its name is %.120q: use up to 100 letters, digits, dots, underscores and hyphens", name)
	}
	pkg, err := packageIn(dir)
	if err != nil {
		return nil, fmt.Errorf("write test: %w", err)
	}
	folder := filepath.Join(dir, filepath.FromSlash(Folder))
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return nil, fmt.Errorf("write test: %w", err)
	}
	recording := filepath.Join(folder, name+Extension)
	if err := writeRecording(recording, r); err != nil {
		return nil, err
	}
	written := []string{recording}
	others := map[string]string{filepath.Join(folder, ".gitattributes"): "# A recording names the digest of its own bytes.\n*" + Extension + " -text\n"}
	if pkg != "" {
		others[filepath.Join(dir, goldenTest)] = strings.Replace(goldenSource, "package main_test", "package "+pkg+"_test", 1)
	}
	for path, text := range others {
		fresh, err := writeNew(path, []byte(text))
		if err != nil {
			return written, fmt.Errorf("write test: %w", err)
		}
		if fresh {
			written = append(written, path)
		}
	}
	return written, nil
}

// packageIn is the name of the Go package in a folder, or empty if there is none.
func packageIn(dir string) (string, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, f := range files {
		if f.IsDir() || !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, f.Name()), nil, parser.PackageClauseOnly)
		if err != nil {
			return "", err
		}
		return parsed.Name.Name, nil
	}
	return "", nil
}

func writeRecording(path string, r Recording) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // It is for a repository, and its name is checked.
	if err != nil {
		return fmt.Errorf("write test: %w", err)
	}
	if err = errors.Join(Write(f, r), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// writeNew writes a file unless it is there.
func writeNew(path string, content []byte) (written bool, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // It is for a repository, and its name is ours.
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	_, err = f.Write(content)
	return true, errors.Join(err, f.Close())
}

// goldenSource is the test that is written. It uses nothing but the standard
// library, as a plugin's module has nothing of this one but the SDK.
const goldenSource = `package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestRecordings replays the executions in tests/recordings with the plugin as
// it is now, without a network: each call is answered with what was recorded. It
// fails at the first call, and with any output, that differs. When that is meant,
// write the recordings anew: cofferdam test --update.
func TestRecordings(t *testing.T) {
	cofferdam, err := exec.LookPath("cofferdam")
	if err != nil {
		t.Skip("skipped: recordings are replayed by the program cofferdam, which is not in PATH")
	}
	recordings, err := filepath.Glob("tests/recordings/*.bhx")
	if err != nil || len(recordings) == 0 {
		t.Fatalf("find tests/recordings/*.bhx: %d files, %v", len(recordings), err)
	}
	plugin := filepath.Join(t.TempDir(), "plugin.wasm")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-o", plugin, ".")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the plugin: %v\n%s", err, said)
	}
	// One process for all of them: it compiles the plugin once.
	said, err := exec.Command(cofferdam, append([]string{"replay", "--plugin", plugin}, recordings...)...).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, said)
	}
}
`
