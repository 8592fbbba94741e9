package compile_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/runtime/compile"
)

// TestMain makes this test binary a cofferdam that can do one thing, when it is
// called by that name, and a parent to be killed when it is called by another.
func TestMain(m *testing.M) {
	var err error
	switch filepath.Base(os.Args[0]) {
	case "cofferdam":
		err = compile.Work(context.Background(), os.Args[2:], os.Stdin, os.Stdout)
	case "parent":
		err = newChild(os.Args[1], os.Args[2], compile.Config{}).Compile(context.Background(), empty())
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// newChild fills in what tests agree about: limits that the race detector's binary
// can keep, unless the test sets its own.
func newChild(path, dir string, c compile.Config) *compile.Child {
	c.Path, c.CacheDir = path, dir
	if c.CPU == 0 {
		c.CPU = 2 * time.Minute
	}
	if c.Memory == 0 {
		c.Memory = 1 << 30
	}
	child, err := compile.NewChild(c)
	if err != nil {
		panic(err)
	}
	return child
}

// testBundle is a folder and the binary that compiles.
type testBundle struct {
	t    *testing.T
	dir  string
	self string
}

func setup(t *testing.T) *testBundle {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &testBundle{t: t, dir: filepath.Join(t.TempDir(), "cache"), self: self}
}

// child is the real one: this binary.
func (b *testBundle) child(c compile.Config) *compile.Child { return newChild(b.self, b.dir, c) }

// script is a child that is a shell script. $REAL in it is the real one.
func (b *testBundle) script(c compile.Config, lines ...string) *compile.Child {
	return newChild(b.scriptFile(lines...), b.dir, c)
}

func (b *testBundle) scriptFile(lines ...string) string {
	b.t.Helper()
	dir := b.t.TempDir()
	named := filepath.Join(dir, "cofferdam")
	if err := os.Symlink(b.self, named); err != nil {
		b.t.Fatal(err)
	}
	text := "#!/bin/sh\nREAL=" + named + "\n" + strings.Join(lines, "\n") + "\n"
	path := filepath.Join(dir, "script")
	// A process that is forked while the file is open for writing could hold it open
	// still when it is run: "text file busy".
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		b.t.Fatal(err)
	}
	return path
}

// fifo makes a pipe with a name. A script that has it open for writing keeps a
// reader waiting until the script, and all that it started, is gone.
func (b *testBundle) fifo() string {
	b.t.Helper()
	path := filepath.Join(b.t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		b.t.Fatal(err)
	}
	return path
}

// code lists the machine code in the folder.
func (b *testBundle) code() []string {
	b.t.Helper()
	paths, err := filepath.Glob(filepath.Join(b.dir, "wazero-*", "*"))
	if err != nil {
		b.t.Fatal(err)
	}
	return paths
}

// stages lists what children write to.
func (b *testBundle) stages() []string {
	b.t.Helper()
	paths, err := filepath.Glob(filepath.Join(b.dir, "compile-*"))
	if err != nil {
		b.t.Fatal(err)
	}
	return paths
}

// function encodes a module of one function () -> () with locals of type i32.
func function(locals int, body []byte) []byte {
	code := []byte{0}
	if locals > 0 {
		code = append(binary.AppendUvarint([]byte{1}, uint64(locals)), 0x7f)
	}
	code = slices.Concat(code, body, []byte{0x0b})
	entry := append(binary.AppendUvarint([]byte{1}, uint64(len(code))), code...)
	section := append(binary.AppendUvarint([]byte{10}, uint64(len(entry))), entry...)
	return append([]byte("\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00"), section...)
}

func empty() []byte { return function(0, nil) }

// constants is a module that is unlike those of other numbers, and cheap.
func constants(n int) []byte {
	return function(0, slices.Concat(binary.AppendUvarint([]byte{0x41}, uint64(n%60)), []byte{0x1a}, slices.Repeat([]byte{0x01}, n)))
}

// manyBranches is a bomb of CPU: the compiler's time grows with the square of a
// function's blocks. These 112 KB take 6 s.
func manyBranches() []byte { return function(0, slices.Repeat([]byte{0x41, 0, 0x0d, 0}, 28_000)) }

// manyLocals is a bomb of memory that goes off in one leap: 12 bytes that ask for
// room for 100 million variables.
func manyLocals() []byte { return function(100_000_000, nil) }

// manyValues is a bomb of memory that grows: every variable is changed in every
// loop, so that each of the loops passes each of the variables on.
func manyValues(locals, loops int) []byte {
	body := slices.Repeat([]byte{0x03, 0x40}, loops)
	for i := range locals {
		local := binary.AppendUvarint(nil, uint64(i))
		body = slices.Concat(body, []byte{0x20}, local, []byte{0x41, 1, 0x6a, 0x21}, local)
	}
	return function(locals, append(body, slices.Repeat([]byte{0x41, 0, 0x0d, 0, 0x0b}, loops)...))
}

// alive says whether there is a process of that number.
func alive(t *testing.T, pid string) bool {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(pid))
	if err != nil {
		t.Fatal(err)
	}
	return syscall.Kill(n, 0) == nil
}
