package compile_test

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/runtime/compile"
)

// noon is when the tests of this file sweep.
func noon() time.Time { return time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC) }

// put writes a file that was used some time before noon.
func put(t *testing.T, path string, bytes int, ago time.Duration) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, make([]byte, bytes), 0o600); err != nil {
		t.Fatal(err)
	}
	old(t, path, ago)
}

func old(t *testing.T, path string, ago time.Duration) {
	t.Helper()
	if err := os.Chtimes(path, noon().Add(-ago), noon().Add(-ago)); err != nil {
		t.Fatal(err)
	}
}

// key is a name as the engine gives them.
func key(letter string) string { return strings.Repeat(letter, 64) }

// tree lists the files of a folder by the end of their paths.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			files = append(files, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestSweepRemovesWhatWasNotUsedForLongest(t *testing.T) {
	t.Parallel()
	const engine, replaced = "wazero-v2", "wazero-v1"
	for name, tt := range map[string]struct {
		maxBytes int64
		before   time.Duration // Before noon.
		want     []string
		freed    compile.Size
	}{
		"nothing while there is room": {600, 0, []string{replaced + "/" + key("c"), engine + "/" + key("a"), engine + "/" + key("b")}, compile.Size{}},
		"the oldest first":            {599, 0, []string{engine + "/" + key("a"), engine + "/" + key("b")}, compile.Size{Files: 1, Bytes: 300}},
		"until the rest fits":         {299, 0, []string{engine + "/" + key("a")}, compile.Size{Files: 2, Bytes: 500}},
		"all if need be":              {0, 0, nil, compile.Size{Files: 3, Bytes: 600}},
		"but nothing that is in use":  {0, 90 * time.Minute, []string{engine + "/" + key("a")}, compile.Size{Files: 2, Bytes: 500}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			put(t, filepath.Join(dir, engine, key("a")), 100, time.Hour)
			put(t, filepath.Join(dir, engine, key("b")), 200, 2*time.Hour)
			put(t, filepath.Join(dir, replaced, key("c")), 300, 3*time.Hour)
			freed, err := compile.Sweep(dir, tt.maxBytes, noon().Add(-tt.before))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.freed, freed); diff != "" {
				t.Errorf("freed: %s", diff)
			}
			if diff := cmp.Diff(tt.want, tree(t, dir)); diff != "" {
				t.Errorf("left: %s", diff)
			}
		})
	}
}

func TestSweepRemovesWhatCrashesLeaveBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	entry := func(name, text string, ago time.Duration) {
		put(t, filepath.Join(dir, "compiled", name), 0, 0)
		if err := os.WriteFile(filepath.Join(dir, "compiled", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		old(t, filepath.Join(dir, "compiled", name), ago)
	}
	put(t, filepath.Join(dir, "wazero-v1", key("a")), 10, time.Hour)
	put(t, filepath.Join(dir, "wazero-v1", key("b")+".1.tmp"), 10, time.Hour)
	put(t, filepath.Join(dir, "wazero-v1", key("c")+".2.tmp"), 10, time.Second)
	put(t, filepath.Join(dir, "compile-1", "wazero-v1", key("d")), 10, time.Hour)
	old(t, filepath.Join(dir, "compile-1"), time.Hour)
	put(t, filepath.Join(dir, "compile-2", "wazero-v1", key("e")), 10, time.Second)
	old(t, filepath.Join(dir, "compile-2"), time.Second)
	put(t, filepath.Join(dir, "of-somebody-else", "file"), 10, 100*time.Hour)
	put(t, filepath.Join(dir, "modules", "file"), 10, 100*time.Hour)
	entry(key("1"), key("a")+" 10\n", time.Hour)
	entry(key("2"), key("f")+" 10\n", time.Hour)
	entry(key("3"), key("f")[:10], time.Hour)
	entry(key("4"), key("f")+" 10\n", time.Second)
	if _, err := compile.Sweep(dir, 1000, noon().Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"compile-2/wazero-v1/" + key("e"), "compiled/" + key("1"), "compiled/" + key("4"), "modules/file", "of-somebody-else/file",
		"wazero-v1/" + key("a"), "wazero-v1/" + key("c") + ".2.tmp",
	}
	if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestTheFolderStaysWithinItsBudget(t *testing.T) {
	t.Parallel()
	b := setup(t)
	now := noon()
	child := b.child(compile.Config{CacheBytes: 1, Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler)})
	for i := range 3 {
		if err := child.Compile(t.Context(), constants(i)); err != nil {
			t.Fatal(err)
		}
		now = now.Add(24 * time.Hour)
	}
	if got := b.code(); len(got) != 1 {
		t.Errorf("got %d files, want the one that was made last", len(got))
	}
	if err := child.Compile(t.Context(), constants(0)); err != nil {
		t.Errorf("compile what was swept: %v", err)
	}
}

// TestSweepingBesideUse has every module loaded while others are compiled and
// swept: none may be missed, and none be loaded in part.
func TestSweepingBesideUse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	child := b.child(compile.Config{})
	var all sync.WaitGroup
	stop := make(chan struct{})
	swept := make(chan error, 1)
	go func() {
		var failed error
		for {
			select {
			case <-stop:
				swept <- failed
				return
			default:
				_, err := compile.Sweep(b.dir, 0, time.Now().Add(-time.Minute))
				failed = errors.Join(failed, err)
			}
		}
	}()
	for i := range 4 {
		all.Go(func() {
			for range 3 {
				if err := child.Compile(t.Context(), constants(i)); err != nil {
					t.Error(err)
				}
				if err := b.load(constants(i), nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	close(stop)
	if err := <-swept; err != nil {
		t.Error(err)
	}
	if got := len(b.code()); got != 4 {
		t.Errorf("got %d files, want 4: what is in use is not swept", got)
	}
}

func TestInspectMeasures(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "wazero-v1", key("a")), 100, 0)
	put(t, filepath.Join(dir, "wazero-v2", key("a")), 200, 0)
	put(t, filepath.Join(dir, "compiled", "x"), 1000, 0)
	got, err := compile.Inspect(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := (compile.Size{Files: 2, Bytes: 300}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, err := compile.Inspect(filepath.Join(dir, "nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want %v", err, fs.ErrNotExist)
	}
}

func TestAFolderThatOthersCanWriteIsRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		spoil func(dir string) error
		want  string // Empty if it is accepted.
	}{
		"private":               {func(dir string) error { return os.Chmod(dir, 0o700) }, ""},
		"readable":              {func(dir string) error { return os.Chmod(dir, 0o755) }, ""},
		"writable by a group":   {func(dir string) error { return os.Chmod(dir, 0o770) }, "can be written by others (mode 0770)"},
		"writable by all":       {func(dir string) error { return os.Chmod(dir, 0o777) }, "chmod 700"},
		"writable further down": {func(dir string) error { return os.Chmod(filepath.Join(dir, "wazero-v1"), 0o777) }, "can be written by others"},
		"a file":                {func(dir string) error { return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)) }, "not a directory"},
		"a file further down":   {func(dir string) error { return os.WriteFile(filepath.Join(dir, "wazero-v2"), nil, 0o600) }, "is a file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			put(t, filepath.Join(b.dir, "wazero-v1", key("a")), 1, 0)
			if err := tt.spoil(b.dir); err != nil {
				t.Fatal(err)
			}
			for what, err := range map[string]error{
				"Compile": b.child(compile.Config{}).Compile(t.Context(), empty()),
				"Check":   b.child(compile.Config{}).Check(t.Context()),
			} {
				if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
					t.Errorf("%s: got %v, want %q", what, err, tt.want)
				}
			}
		})
	}
	t.Run("made private if it is not there", func(t *testing.T) {
		t.Parallel()
		dir, err := compile.OpenDir(filepath.Join(t.TempDir(), "a", "b"))
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := info.Mode().Perm(), fs.FileMode(0o700); got != want {
			t.Errorf("got mode %o, want %o", got, want)
		}
	})
}

func TestSweepUnusedGoesByLastUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "a.wasm"), 100, time.Hour)
	put(t, filepath.Join(dir, "b.wasm"), 200, 3*time.Hour)
	put(t, filepath.Join(dir, ".half"), 0, 3*time.Hour)
	put(t, filepath.Join(dir, "folder", "c.wasm"), 300, 3*time.Hour)
	freed, err := compile.SweepUnused(dir, noon().Add(-2*time.Hour))
	if want := (compile.Size{Files: 2, Bytes: 200}); err != nil || freed != want {
		t.Errorf("got %+v, %v, want %+v", freed, err, want)
	}
	if diff := cmp.Diff([]string{"a.wasm", "folder/c.wasm"}, tree(t, dir)); diff != "" {
		t.Errorf("files differ (-want +got):\n%s", diff)
	}
	if freed, err := compile.SweepUnused(filepath.Join(dir, "none"), noon()); err != nil || freed != (compile.Size{}) {
		t.Errorf("a folder that is not there: got %+v, %v", freed, err)
	}
}
