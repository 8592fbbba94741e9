package compile_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/runtime/compile"
)

const mib = 1 << 20

func TestBombsCostTheirUploaderAnError(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		wasm   []byte
		config compile.Config
		want   compile.CostError
		says   string
	}{
		"CPU": {
			manyBranches(),
			compile.Config{CPU: time.Second},
			compile.CostError{Limit: compile.LimitCPU, Allowed: "1s"},
			"more than 1s of CPU time",
		},
		"memory in one leap": {
			manyLocals(),
			compile.Config{Memory: 256 * mib},
			compile.CostError{Limit: compile.LimitMemory, Allowed: "256 MiB"},
			"more than 256 MiB of memory",
		},
		"memory that grows": {
			manyValues(4000, 900),
			compile.Config{Memory: 64 * mib},
			compile.CostError{Limit: compile.LimitMemory, Allowed: "64 MiB"},
			"more than 64 MiB of memory",
		},
		"machine code": {
			constants(9000),
			compile.Config{Code: 50},
			compile.CostError{Limit: compile.LimitCode, Allowed: "50 bytes"},
			"compiles to more than 50 bytes of machine code",
		},
		"time": {
			manyBranches(),
			compile.Config{Time: 200 * time.Millisecond},
			compile.CostError{Limit: compile.LimitTime, Allowed: "200ms"},
			"takes longer than 200ms",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			err := b.child(tt.config).Compile(t.Context(), tt.wasm)
			got, ok := errors.AsType[*compile.CostError](err)
			if !ok {
				t.Fatalf("got %v, want a *CostError", err)
			}
			if diff := cmp.Diff(tt.want, *got); diff != "" {
				t.Error(diff)
			}
			if !strings.Contains(got.Error(), tt.says) || got.Hint() == "" {
				t.Errorf("got %q with hint %q, want one that says %q", got, got.Hint(), tt.says)
			}
			if left := append(b.stages(), b.code()...); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestTheDefaultOfCPUGrowsWithTheModule(t *testing.T) {
	t.Parallel()
	b := setup(t)
	child, err := compile.NewChild(compile.Config{Path: b.self, CacheDir: b.dir})
	if err != nil {
		t.Fatal(err)
	}
	bomb := manyBranches()
	err = child.Compile(t.Context(), bomb)
	want := (time.Second + 2*time.Second*time.Duration(len(bomb))/mib).Round(time.Millisecond).String()
	if got, ok := errors.AsType[*compile.CostError](err); !ok || got.Limit != compile.LimitCPU || got.Allowed != want {
		t.Errorf("got %v, want a *CostError about %s of CPU", err, want)
	}
}

func TestAChildThatTheKernelEndsForItsCPUIsTheModules(t *testing.T) {
	t.Parallel()
	child := setup(t).script(compile.Config{CPU: 500 * time.Millisecond}, `ulimit -t 1`, `while :; do :; done`)
	err := child.Compile(t.Context(), empty())
	if got, ok := errors.AsType[*compile.CostError](err); !ok || got.Limit != compile.LimitCPU {
		t.Errorf("got %v, want a *CostError about CPU", err)
	}
}

func TestTheChildBoundsItselfBeforeItReads(t *testing.T) {
	t.Parallel()
	if goruntime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
	b := setup(t)
	room := t.TempDir()
	// The child waits for its first byte until it was looked at. File 9 is one that
	// whoever started the server has left open.
	child := b.script(compile.Config{CPU: 3 * time.Second, Memory: 256 * mib, Code: 5 * mib},
		`cd `+room+` && mkfifo in && echo leak >leak`,
		`exec 8<&0 9<leak`,
		`"$REAL" "$@" <in 8<&- & pid=$!`,
		`exec 7>in`,
		`until grep -q "Max data size *[0-9]" /proc/$pid/limits; do sleep 0.01; done`,
		`cp /proc/$pid/limits . && ls -l /proc/$pid/fd >files`,
		`cat <&8 >&7`, `exec 7>&-`, `wait $pid`)
	if err := child.Compile(t.Context(), empty()); err != nil {
		t.Fatal(err)
	}
	limits, err := os.ReadFile(filepath.Join(room, "limits"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`Max cpu time +5 +5 +seconds`, `Max file size +5242880 +5242880 +bytes`, `Max core file size +0 +0 +bytes`,
		`Max data size +([0-9]{9,})`,
	} {
		if !regexp.MustCompile(want).Match(limits) {
			t.Errorf("the child's limits do not match %q:\n%s", want, limits)
		}
	}
	files, err := os.ReadFile(filepath.Join(room, "files"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(files), "leak") {
		t.Errorf("the child has inherited a file:\n%s", files)
	}
}

func TestAModuleThatIsBrokenGetsTheCompilersMessage(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		wasm []byte
		want string
	}{
		"garbage":    {[]byte("garbage, not wasm"), "invalid magic number"},
		"nothing":    {nil, "invalid magic number"},
		"truncated":  {empty()[:len(empty())-3], "section code"},
		"ill typed":  {function(0, []byte{0x6a}), "i32.add"},
		"a long lie": {[]byte("\x00asm\x01\x00\x00\x00\x01\xff\xff\xff\xff\x0f"), "section type"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := setup(t).child(compile.Config{}).Compile(t.Context(), tt.wasm)
			got, ok := errors.AsType[*compile.ModuleError](err)
			if !ok || !strings.Contains(got.Message, tt.want) {
				t.Errorf("got %v, want a *ModuleError that says %q", err, tt.want)
			}
		})
	}
}

func TestACrashOfTheCompilerIsTheModules(t *testing.T) {
	t.Parallel()
	child := setup(t).script(compile.Config{}, `echo "fatal error: index out of all bounds" >&2`, `exit 2`)
	err := child.Compile(t.Context(), empty())
	got, ok := errors.AsType[*compile.ModuleError](err)
	if want := "the compiler gave up: fatal error: index out of all bounds"; !ok || got.Message != want {
		t.Errorf("got %v, want %q", err, want)
	}
}
