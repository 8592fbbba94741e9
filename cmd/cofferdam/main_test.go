package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// TestMain lets the scripts, and tests that need processes of their own, run
// this test binary as cofferdam.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"cofferdam": main})
}

// TestScripts plays the files of testdata/script: the command line as its user
// meets it. Each gets $ADDR and $GITHUB, addresses of its own, $GUEST, the
// example connector, $RUNAWAY, one whose describe does not end, and $BOMB, one
// that takes the compiler seconds.
func TestScripts(t *testing.T) {
	t.Parallel()
	guest := filepath.Join(t.TempDir(), "hello-go.wasm")
	if err := os.WriteFile(guest, runtimetest.BuildGoFresh(t, "../../examples/hello-go"), 0o600); err != nil {
		t.Fatal(err)
	}
	runaway := filepath.Join(t.TempDir(), "runaway.wasm")
	if err := os.WriteFile(runaway, runtimetest.Loop("describe"), 0o600); err != nil {
		t.Fatal(err)
	}
	bomb := filepath.Join(t.TempDir(), "bomb.wasm")
	if err := os.WriteFile(bomb, compileBomb(), 0o600); err != nil {
		t.Fatal(err)
	}
	cache := runtimetest.CacheDir(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("GUEST", guest)
			e.Setenv("COFFERDAM_CACHE_DIR", cache)
			e.Setenv("COFFERDAM_COMPILE_CPU", compileCPU)
			e.Setenv("RUNAWAY", runaway)
			e.Setenv("BOMB", bomb)
			e.Setenv("FIXTURE", must(filepath.Abs("../../examples/hello-go/fixtures/issues.opened.json")))
			for _, name := range []string{"ADDR", "GITHUB"} {
				addr, err := freeAddr()
				if err != nil {
					return err
				}
				e.Setenv(name, addr)
			}
			e.Setenv("COFFERDAM_ADDR", e.Getenv("ADDR"))
			e.Setenv("COFFERDAM_URL", "http://"+e.Getenv("ADDR"))
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"await":   await,
			"capture": capture,
		},
	})
}

// compileCPU is the CPU time that compiling the example may take: with the race
// detector it takes twenty times as long.
const compileCPU = "5m"

// compileBomb is within the limits on a module's shape, barely: the compiler's time
// grows with the square of the branches of a function.
func compileBomb() []byte {
	var b runtimetest.Builder
	for range 4 {
		b.Func("", "", "", "", slices.Repeat([]byte{0x41, 0x00, 0x0d, 0x00}, 7_900)) // i32.const 0 br_if 0
	}
	b.Func("describe", "", "i", "", runtimetest.I32(0))
	return b.Bytes()
}

func must(path string, err error) string {
	if err != nil {
		panic(err)
	}
	return path
}

// freeAddr finds an address that nothing listens on.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}
