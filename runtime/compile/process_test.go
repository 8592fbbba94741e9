package compile_test

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"runtime/pprof"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/runtime/compile"
)

func TestABinaryThatCannotBeUsedIsTheOperators(t *testing.T) {
	t.Parallel()
	b := setup(t)
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	noProgram := b.scriptFile()
	if err := os.WriteFile(noProgram, []byte("\x7fnothing"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		path string
		want string
	}{
		"nothing there":      {filepath.Join(t.TempDir(), "nothing"), "no such file"},
		"not executable":     {plain, "permission denied"},
		"a folder":           {t.TempDir(), "permission denied"},
		"no program":         {noProgram, "exec format error"},
		"says nothing":       {b.scriptFile(`exit 0`), "is no cofferdam of this release: it ended with exit status 0"},
		"an older cofferdam": {b.scriptFile(`echo 'cofferdam: unknown command "compile"' >&2; exit 2`), `unknown command`},
		"says too much":      {b.scriptFile(`head -c 1000000 /dev/zero`, `head -c 1000000 /dev/zero >&2`), "is no cofferdam of this release"},
		"another protocol":   {b.scriptFile(`echo '{"protocol":2,"version":"v9.9.9","engine":"x","outcome":"done"}'`), `is cofferdam v9.9.9 with protocol 2 and engine "x"`},
		"another engine":     {b.scriptFile(`exec "$REAL" "$1" "$(echo "$2" | sed 's/wazero-[^"]*/wazero-v0.0.0/')"`), "use the binary of the same release"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			child := newChild(tt.path, filepath.Join(t.TempDir(), "cache"), compile.Config{})
			for what, try := range map[string]func() error{
				"Compile": func() error { return child.Compile(t.Context(), empty()) },
				"Check":   func() error { return child.Check(t.Context()) },
			} {
				err := try()
				if !errors.Is(err, compile.ErrBinary) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%s: got %v, want an ErrBinary that says %q", what, err, tt.want)
				}
			}
		})
	}
}

func TestCheckComparesMachineCodeByName(t *testing.T) {
	t.Parallel()
	b := setup(t)
	// Some other file in the place of the one that this processor's code is called by.
	other := strings.Repeat("0", 64)
	child := b.script(compile.Config{}, `"$REAL" "$@"`, `for f in wazero-*/*; do mv "$f" "${f%/*}/`+other+`"; done`)
	if err := child.Check(t.Context()); !errors.Is(err, compile.ErrBinary) {
		t.Errorf("got %v, want %v", err, compile.ErrBinary)
	}
}

func TestAChildThatIsKilledIsNobodysFault(t *testing.T) {
	t.Parallel()
	b := setup(t)
	err := b.script(compile.Config{}, `kill -9 $$`).Compile(t.Context(), empty())
	_, cost := errors.AsType[*compile.CostError](err)
	_, module := errors.AsType[*compile.ModuleError](err)
	if err == nil || cost || module || errors.Is(err, compile.ErrBinary) || !strings.Contains(err.Error(), "ended from outside") {
		t.Errorf("got %v, want an error that says that it was ended from outside", err)
	}
	if left := b.stages(); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestTheContextEndsTheChildAndAllThatItStarted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	fifo := b.fifo()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	child := b.script(compile.Config{}, `exec 3>`+fifo, `sleep 1000 & echo $$ >&3`, `wait`)
	done := make(chan error, 1)
	go func() { done <- child.Compile(ctx, empty()) }()
	pid := b.awaitLast(fifo, cancel)
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if alive(t, pid) {
		t.Errorf("process %s is there still, perhaps as a zombie", pid)
	}
	if left := b.stages(); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// awaitLast reads a line that a script writes to a pipe, calls then, and waits
// until nobody holds the pipe.
func (b *testBundle) awaitLast(fifo string, then func()) string {
	b.t.Helper()
	f, err := os.Open(fifo) // Waits for the script.
	if err != nil {
		b.t.Fatal(err)
	}
	defer f.Close()
	line := make([]byte, 20)
	n, err := f.Read(line)
	if err != nil {
		b.t.Fatal(err)
	}
	then()
	if _, err := io.Copy(io.Discard, f); err != nil {
		b.t.Fatal(err)
	}
	return string(line[:n])
}

func TestTheChildDiesWithItsParent(t *testing.T) {
	t.Parallel()
	if goruntime.GOOS != "linux" {
		t.Skip("only Linux ends children with their parent; elsewhere their own limits do")
	}
	b := setup(t)
	fifo := b.fifo()
	script := b.scriptFile(`exec 3>`+fifo, `echo $$ >&3`, `exec sleep 1000`)
	parent := exec.CommandContext(t.Context(), b.self, script, b.dir)
	parent.Args[0] = "parent"
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	b.awaitLast(fifo, func() {
		if err := parent.Process.Kill(); err != nil {
			t.Fatal(err)
		}
	})
	if err := parent.Wait(); err == nil {
		t.Error("the parent was not killed")
	}
}

func TestChildrenAtOnceAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	room := t.TempDir()
	child := b.script(compile.Config{AtOnce: 1},
		`mkdir `+room+`/taken || echo two at once >> `+room+`/overlap`,
		`"$REAL" "$@"`,
		`rmdir `+room+`/taken`)
	done := make(chan error)
	const uploads = 5
	for i := range uploads {
		go func() { done <- child.Compile(t.Context(), constants(i)) }()
	}
	for range uploads {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(room, "overlap")); err == nil {
		t.Error("two children ran at once")
	}
	if got := b.code(); len(got) != uploads {
		t.Errorf("got %d files, want %d", len(got), uploads)
	}
}

func TestWaitingForASlotEndsWithTheContext(t *testing.T) {
	t.Parallel()
	b := setup(t)
	fifo := b.fifo()
	first, cancel := context.WithCancel(t.Context())
	defer cancel()
	child := b.script(compile.Config{AtOnce: 1}, `echo $$ >`+fifo, `exec sleep 1000`)
	done := make(chan error, 1)
	go func() { done <- child.Compile(first, empty()) }()
	if _, err := os.ReadFile(fifo); err != nil { // The slot is taken.
		t.Fatal(err)
	}
	gone := errors.New("the uploader went away")
	second, leave := context.WithCancelCause(t.Context())
	waiting := make(chan error, 1)
	go func() { waiting <- child.Compile(second, constants(1)) }()
	leave(gone)
	if err := <-waiting; !errors.Is(err, gone) && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, gone)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestTheChildGetsNothingOfItsParents(t *testing.T) {
	t.Parallel()
	if goruntime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
	b := setup(t)
	said := filepath.Join(t.TempDir(), "said")
	secret, err := os.Create(filepath.Join(t.TempDir(), "secret"))
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Close()
	child := b.script(compile.Config{},
		`/usr/bin/env | grep -v -e ^PWD= -e ^_= -e ^SHLVL= -e ^OLDPWD= >`+said,
		`ls -l /proc/$$/fd | grep secret >>`+said,
		`[ "$(ps -o pgid= -p $$ | tr -d ' ')" = $$ ] || echo not a group of its own >>`+said,
		`exec "$REAL" "$@"`)
	if err := child.Compile(t.Context(), empty()); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(said)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 0 {
		t.Errorf("the child has %s", got)
	}
}

// TestNothingIsLeftRunning is not parallel: it looks at all goroutines.
func TestNothingIsLeftRunning(t *testing.T) { //nolint:paralleltest // See above.
	b := setup(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, try := range []error{
		b.child(compile.Config{}).Compile(t.Context(), empty()),
		b.child(compile.Config{}).Compile(ended, constants(1)),
		b.child(compile.Config{}).Compile(t.Context(), []byte("garbage")),
		b.script(compile.Config{}, `kill -9 $$`).Compile(t.Context(), constants(2)),
	} {
		t.Log(try)
	}
	var all strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&all, 2); err != nil {
		t.Fatal(err)
	}
	for stack := range strings.SplitSeq(all.String(), "\n\n") {
		if strings.Contains(stack, "os/exec.") || strings.Contains(stack, "runtime/compile.") {
			t.Errorf("left running:\n%s", stack)
		}
	}
}
