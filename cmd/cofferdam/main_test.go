package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	containers "github.com/google/go-containerregistry/pkg/registry"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cofferdam-run/cofferdam/registry/provenance"
	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// TestMain lets the scripts, and tests that need processes of their own, run
// this test binary as cofferdam.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"cofferdam": main, "observed": observed, "letgo": letGo})
}

// observed is cofferdam, which dumps its heap into each file that a line of its
// standard input names: whole once it has that name.
func observed() {
	go func() {
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			goruntime.GC()
			goruntime.GC()
			if err := dumpHeap(lines.Text()); err != nil {
				panic(err)
			}
		}
	}()
	main()
}

// keptWord is on the heap of each observed process.
var keptWord = []byte(os.Getenv("COFFERDAM_TEST_KEPT_WORD"))

// clobbered is the environment of what dumps its heap: Go's collector overwrites what it
// frees. A dump is of objects, and yet has memory of no object in it: the dumper takes
// the end of each span of small ones, which is too short for one more and has the
// collector's bitmaps in it, for an object. What was there before the memory became that
// span's, it shows for as long as the span is in use: the middle of a buffer that nobody
// has held for long. What anything holds is not freed, and so is not overwritten.
const clobbered = "GODEBUG=clobberfree=1"

// letGo fills memory with the kept word backwards, lets it go, has small objects with
// pointers take its place, and dumps the heap into the file that its argument names.
func letGo() {
	word := slices.Clone(keptWord)
	slices.Reverse(word)
	large := make([][]byte, 2_000)
	for i := range large {
		large[i] = bytes.Repeat(word, 8<<10/len(word))
	}
	clear(large)
	goruntime.GC()
	goruntime.GC()
	type small struct {
		next *small
		_    [280]byte
	}
	var all *small
	for range 20_000 {
		all = &small{next: all}
	}
	clear(word)
	goruntime.GC()
	goruntime.GC()
	if err := dumpHeap(os.Args[1]); err != nil {
		panic(err)
	}
	goruntime.KeepAlive(all)
}

func TestADumpHasWhatIsHeldAndNothingElse(t *testing.T) {
	t.Parallel()
	path, word := filepath.Join(t.TempDir(), "heap"), rand.Text()
	cmd := exec.CommandContext(t.Context(), "letgo", path)
	cmd.Env = append(os.Environ(), "COFFERDAM_TEST_KEPT_WORD="+word, clobbered)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	dump, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(dump, []byte(word)) {
		t.Errorf("a dump of %d bytes does not have what is held", len(dump))
	}
	backwards := []byte(word)
	slices.Reverse(backwards)
	if n := bytes.Count(dump, backwards); n > 0 {
		t.Errorf("a dump of %d bytes has what was let go, %d times", len(dump), n)
	}
}

func dumpHeap(path string) error {
	f, err := os.Create(path + ".part")
	if err != nil {
		return err
	}
	debug.WriteHeapDump(f.Fd())
	goruntime.KeepAlive(keptWord)
	return errors.Join(f.Close(), os.Rename(path+".part", path))
}

// TestScripts plays the files of testdata/script: the command line as its user
// meets it. Each gets $ADDR and $GITHUB, addresses of its own, and plugins: $GUEST,
// the example connector; $NAMED, the same with names of functions; those of plugins;
// recordings; and $ISSUER, an OpenID provider.
func TestScripts(t *testing.T) {
	t.Parallel()
	variables := map[string]string{}
	dir := t.TempDir()
	for name, module := range plugins(t) {
		variables[name] = filepath.Join(dir, strings.ToLower(name)+".wasm")
		if err := os.WriteFile(variables[name], module, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	maps.Copy(variables, recordings(t, dir, variables["GUEST"]))
	variables["REGISTRY"] = ociRegistry(t)
	variables["ISSUER"] = openIDProvider(t)
	variables["PROXY"] = refusingProxy(t)
	cache := runtimetest.CacheDir(t)
	goEnv := goEnvironment(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			for name, path := range variables {
				e.Setenv(name, path)
			}
			e.Setenv("COFFERDAM_CACHE_DIR", cache)
			e.Setenv("COFFERDAM_COMPILE_CPU", compileCPU)
			for name, value := range goEnv {
				e.Setenv(name, value)
			}
			e.Setenv("RUNBOOK", must(filepath.Abs("../../docs/runbook.md")))
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

// plugins are those of the scripts, by the name of their variable.
func plugins(t *testing.T) map[string][]byte {
	t.Helper()
	const example = "../../examples/hello-go"
	var started, foreign runtimetest.Builder
	started.Table(1)
	started.Func("run", "", "i", "", runtimetest.Op(0xd0, 0x70), runtimetest.I32(1),
		runtimetest.Op(0xfc, 0x0f, 0x00, 0x1a), runtimetest.I32(0)) // ref.null table.grow drop
	foreign.Import(runtimetest.User, "plan_of", "I", "I")
	foreign.Func("run", "", "i", "", runtimetest.I32(0))
	promises := runtimetest.Outputs(map[string]string{"describe": `{"name":"empty","version":"1.0.0","actions":[{"name":"greet"}]}`})
	greet := func(version, greeting string) []byte {
		return runtimetest.Outputs(map[string]string{
			"describe": `{"name":"greet","version":"` + version + `","actions":[{"name":"greet"}]}`, "action": `{"greeting":"` + greeting + `"}`,
		})
	}
	shop := func(version, egress string) []byte {
		return builtBy(t, runtimetest.Echoing(`{"name":"shop","version":"`+version+`","description":"Sells.","actions":[{"name":"echo"}],"egress":[`+egress+`],
			"connections":[{"name":"shop","type":"bearer","hosts":["a.example"],"fields":{"type":"object","required":["account"],"properties":{"account":{"type":"string"}}}}]}`))
	}
	return map[string][]byte{
		"SHOP1":  shop("1.0.0", `{"host":"a.example","methods":["GET"]}`),
		"SHOP2":  shop("2.0.0", `{"host":"a.example","methods":["GET"]},{"host":"files.example","methods":["GET"]}`),
		"SHOP3":  shop("3.0.0-rc.1", ""),
		"GREET1": greet("1.0.0", "hello"),
		"GREET2": greet("2.0.0", "hello"),
		"GREET3": greet("3.0.0", "holla"),
		"GUEST":  runtimetest.BuildGoFresh(t, example),
		"POLLS": runtimetest.Outputs(map[string]string{
			"describe": `{"name":"feeds","version":"1.0.0","polls":[{"name":"news","every":"5m"},{"name":"mail"}]}`,
			"poll":     `{"records":[],"cursor":null,"more":false}`,
		}),
		"NAMED":   buildNamed(t, example),
		"RUNAWAY": runtimetest.Loop("describe"), // It does not end.
		"BOMB":    compileBomb(),                // It takes the compiler seconds.
		"EMPTY":   promises,                     // Its manifest has an action, and it has no code for one.
		"STARTED": started.Bytes(),              // It changes a table, which is not reset.
		"FOREIGN": foreign.Bytes(),              // It imports what another app offers.
	}
}

// builtBy says of a module how it was built.
func builtBy(t *testing.T, wasm []byte) []byte {
	t.Helper()
	said, err := runtime.WithSections(wasm, map[string][]byte{provenance.Section: []byte(`{"builder":"make","language":"go","revision":"ab12"}`)})
	if err != nil {
		t.Fatal(err)
	}
	return said
}

// ociRegistry is the address of an OCI registry in this process.
func ociRegistry(t *testing.T) string {
	t.Helper()
	srv := httptest.NewServer(containers.New(containers.WithReferrersSupport(true), containers.Logger(slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo))))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

// buildNamed builds a Go guest with the names of its functions.
func buildNamed(t *testing.T, dir string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "named.wasm")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildmode=c-shared", "-ldflags=-w", "-trimpath", "-o", out, ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", dir, err, said)
	}
	module, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return module
}

// goEnvironment is what 'go tool pprof' needs, which scripts would lack: they have
// no home.
func goEnvironment(t *testing.T) map[string]string {
	t.Helper()
	said, err := exec.CommandContext(t.Context(), "go", "env", "-json", "GOCACHE", "GOPATH", "GOMODCACHE").Output()
	if err != nil {
		t.Fatalf("ask go for its environment: %v", err)
	}
	env := map[string]string{"GOFLAGS": ""}
	if err := json.Unmarshal(said, &env); err != nil {
		t.Fatal(err)
	}
	return env
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
