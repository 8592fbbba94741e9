package replay_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/hostfns/replay"
)

func TestATestOfAGoPluginIsWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), "module example.com/hooks\n\ngo 1.24\n")
	write(t, filepath.Join(dir, "main_test.go"), "package other_test\n")
	write(t, filepath.Join(dir, "main.go"), "package hooks\n")
	written, err := replay.WriteTest(dir, "refund", full())
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(written)
	want := []string{
		filepath.Join(dir, "recordings_test.go"), filepath.Join(dir, "tests", "recordings", ".gitattributes"),
		filepath.Join(dir, "tests", "recordings", "refund.bhx"),
	}
	if !slices.Equal(written, want) {
		t.Errorf("wrote %q, want %q", written, want)
	}
	source := read(t, want[0])
	if !strings.HasPrefix(source, "package hooks_test\n") {
		t.Errorf("the test is not of the plugin's package:\n%.100s", source)
	}
	if got := read(t, want[2]); got != string(fileOf(t, full())) {
		t.Errorf("the recording is another:\n%s", got)
	}

	// What is there is somebody's, and stays.
	write(t, want[0], "package hooks_test\n// Mine.\n")
	if written, err = replay.WriteTest(dir, "second", full()); err != nil || len(written) != 1 {
		t.Errorf("wrote %q, %v; want one recording more", written, err)
	}
	if !strings.Contains(read(t, want[0]), "Mine") {
		t.Error("the test was written over")
	}
	if _, err := replay.WriteTest(dir, "refund", full()); err == nil || !strings.Contains(err.Error(), "refund.bhx") {
		t.Errorf("a recording was written over: %v", err)
	}
}

func TestOtherPluginsGetRecordingsOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "plugin.ts"), "export {}\n")
	if _, err := replay.WriteTest(dir, "one", full()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "recordings_test.go")); err == nil {
		t.Error("a Go test was written beside TypeScript")
	}
}

func TestWriteTestRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, want := range map[string]string{
		"": `its name is ""`, "../up": `its name is "../up"`, ".hidden": "letters, digits", strings.Repeat("a", 101): "up to 100",
	} {
		if _, err := replay.WriteTest(dir, name, full()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want ...%s...", name, err, want)
		}
	}
	if _, err := replay.WriteTest(filepath.Join(dir, "none"), "a", full()); err == nil {
		t.Error("a folder that is not there was written into")
	}
	r := full()
	r.Export = ""
	if _, err := replay.WriteTest(dir, "a", r); err == nil {
		t.Error("what is no recording was written")
	}
	if _, err := os.Stat(filepath.Join(dir, "tests", "recordings", "a.bhx")); err == nil {
		t.Error("half a file was left")
	}
	write(t, filepath.Join(dir, "broken.go"), "packag\n")
	if _, err := replay.WriteTest(dir, "b", full()); err == nil || !strings.Contains(err.Error(), "broken.go") {
		t.Errorf("got %v", err)
	}
}

// TestTheWrittenTestReplaysWithTheProgram runs it in a plugin's folder, with programs
// in the place of cofferdam.
func TestTheWrittenTestReplaysWithTheProgram(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), "module example.com/plugin\n\ngo 1.24\n")
	write(t, filepath.Join(dir, "main.go"), "package main\n\nfunc main() {}\n")
	if _, err := replay.WriteTest(dir, "one", full()); err != nil {
		t.Fatal(err)
	}
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	test := func(path string) (string, error) {
		cmd := exec.CommandContext(t.Context(), goTool, "test", "-v", "-count=1", ".")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "PATH="+path+string(os.PathListSeparator)+filepath.Dir(goTool)+string(os.PathListSeparator)+"/bin:/usr/bin")
		said, err := cmd.CombinedOutput()
		return string(said), err
	}
	if said, err := test(""); err != nil || !strings.Contains(said, "the program cofferdam, which is not in PATH") {
		t.Errorf("without the program: %v\n%s", err, said)
	}
	for name, tt := range map[string]struct {
		script string
		fails  bool
	}{
		"same":    {`test -f "$3" && echo "replayed $1 $2 $4" >"$(dirname "$4")/said"`, false},
		"differs": {`echo "call 1 differs"; exit 1`, true},
	} {
		bin := t.TempDir()
		write(t, filepath.Join(bin, "cofferdam"), "#!/bin/sh\n"+tt.script+"\n")
		if err := os.Chmod(filepath.Join(bin, "cofferdam"), 0o700); err != nil {
			t.Fatal(err)
		}
		said, err := test(bin)
		if (err != nil) != tt.fails || tt.fails && !strings.Contains(said, "call 1 differs") {
			t.Errorf("%s: %v\n%s", name, err, said)
		}
	}
	if got, want := read(t, filepath.Join(dir, "tests", "recordings", "said")), "replayed replay --plugin tests/recordings/one.bhx\n"; got != want {
		t.Errorf("the program was called as %q, want %q", got, want)
	}
}

func TestAMendedPluginGivesANewExpectation(t *testing.T) {
	t.Parallel()
	l, m := newLab(t), scripted(t)
	a, b := get(l.url+"/a"), get(l.url+"/b")
	broken := l.record(t, m, "action", script(`,"fail":{"code":"contract_changed","message":"x"}`, a, b), `{}`)

	mended := broken
	mended.Input = script("", a) // What stands for other code.
	report := run(t, m, mended)
	if got := report.Verdict(); got != replay.CallsDiffer {
		t.Fatalf("got %s", got)
	}
	expected, err := report.Expecting(mended)
	if err != nil {
		t.Fatal(err)
	}
	if again := wantSame(t, m, expected); !again.FuelCompared || !bytes.Equal(again.Output, expected.Output) {
		t.Errorf("got %q, want %q", again.Output, expected.Output)
	}
	if expected.Left == nil || len(expected.Entries) != 2 {
		t.Errorf("got %d entries and %+v, want the start and one call", len(expected.Entries), expected.Left)
	}

	mended.Input = script("", a, b, get(l.url+"/c"))
	if _, err := run(t, m, mended).Expecting(mended); err == nil || !strings.Contains(err.Error(), "/c was asked for, and its answer was not recorded") {
		t.Errorf("got %v", err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
