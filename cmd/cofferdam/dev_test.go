package main

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/sdk/build/buildtest"
)

// TestDevelopmentScripts plays the files of testdata/develop: the command line as an author
// meets it. Each gets $ADDR, $GUEST, the example connector in Go, $PROBE, which does what its input says, and plugins of
// Extism's own PDK: $COUNT_VOWELS, $CONFIG and so on.
func TestDevelopmentScripts(t *testing.T) {
	t.Parallel()
	guest := filepath.Join(t.TempDir(), "guest.wasm")
	if err := os.WriteFile(guest, runtimetest.BuildGo(t, "../../examples/hello-go"), 0o600); err != nil {
		t.Fatal(err)
	}
	probe := filepath.Join(t.TempDir(), "probe.wasm")
	if err := os.WriteFile(probe, runtimetest.BuildGo(t, "../../sdk/tck/testdata/probe-go"), 0o600); err != nil {
		t.Fatal(err)
	}
	variables := map[string]string{
		"GUEST": guest, "PROBE": probe, "FIXTURES": must(filepath.Abs("../../examples/hello-go/fixtures")), "SDK": must(filepath.Abs("../../sdk/go")),
	}
	maps.Copy(variables, extismPlugins(t))
	maps.Copy(variables, goEnvironment(t))
	playDevelopment(t, "testdata/develop", variables)
}

// TestTypeScriptScripts plays the files of testdata/typescript. Each gets
// $NODE_MODULES, what npm install gives a new project.
func TestTypeScriptScripts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	buildtest.Install(t, dir)
	playDevelopment(t, "testdata/typescript", map[string]string{"NODE_MODULES": filepath.Join(dir, "node_modules")})
}

func playDevelopment(t *testing.T, dir string, variables map[string]string) {
	t.Helper()
	cache := runtimetest.CacheDir(t)
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			for name, value := range variables {
				e.Setenv(name, value)
			}
			addr, err := freeAddr()
			if err != nil {
				return err
			}
			e.Setenv("COFFERDAM_ADDR", addr)
			e.Setenv("COFFERDAM_URL", "http://"+addr)
			e.Setenv("COFFERDAM_CACHE_DIR", cache)
			e.Setenv("COFFERDAM_COMPILE_CPU", compileCPU)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"await": await, "capture": capture, "until": until,
		},
	})
}

// until waits until a file has what a pattern wants, n times: until FILE N PATTERN.
func until(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 || len(args[1]) != 1 {
		ts.Fatalf("usage: until FILE N PATTERN")
	}
	pattern := regexp.MustCompile(`(?m)` + args[2])
	content := []byte{}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		content, _ = os.ReadFile(ts.MkAbs(args[0]))
		if len(pattern.FindAll(content, -1)) >= int(args[1][0]-'0') {
			return
		}
	}
	ts.Fatalf("%s does not have %s within a minute:\n%s", args[0], args[2], content)
}

// extismPlugins are those that come with Extism's SDK for Go, built with its PDK.
func extismPlugins(t *testing.T) map[string]string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/extism/go-sdk").Output()
	if err != nil {
		t.Fatalf("find the plugins of github.com/extism/go-sdk: %v", err)
	}
	all := map[string]string{}
	for _, name := range []string{"count_vowels", "config", "log", "fail", "var", "http"} {
		all[strings.ToUpper(name)] = filepath.Join(strings.TrimSpace(string(out)), "wasm", name+".wasm")
	}
	return all
}
