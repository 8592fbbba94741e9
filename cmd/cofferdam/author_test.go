package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cofferdam-run/cofferdam/host/webhook"
	"github.com/cofferdam-run/cofferdam/host/worker"
	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	sdk "github.com/cofferdam-run/cofferdam/sdk/build"
	"github.com/cofferdam-run/cofferdam/sdk/build/buildtest"
	"github.com/cofferdam-run/cofferdam/sdk/build/template"
)

// TestAuthorScripts plays the files of testdata/author: the command line as authors of
// connectors meet it. "install DIR" does what npm install does.
func TestAuthorScripts(t *testing.T) {
	t.Parallel()
	modules := buildtest.Modules(t)
	environment := goEnvironment(t)
	cache := runtimetest.CacheDir(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/author",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("COFFERDAM_CACHE_DIR", cache)
			e.Setenv("COFFERDAM_COMPILE_CPU", compileCPU)
			e.Setenv("REPOSITORY", buildtest.Root(t))
			e.Setenv("MODULES", modules)
			for name, value := range environment {
				e.Setenv(name, value)
			}
			addr, err := freeAddr()
			if err != nil {
				return err
			}
			e.Setenv("COFFERDAM_ADDR", addr)
			e.Setenv("COFFERDAM_URL", "http://"+addr)
			return nil
		},
		Condition: func(name string) (bool, error) {
			_, err := exec.LookPath(name)
			return err == nil, nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"await":   await,
			"capture": capture,
			"install": func(ts *testscript.TestScript, _ bool, args []string) { buildtest.Install(t, ts.MkAbs(args[0])) },
		},
	})
}

// TestNewProjectsPassTheirTests has each template built, and its tests run.
func TestNewProjectsPassTheirTests(t *testing.T) {
	t.Parallel()
	for _, language := range []sdk.Language{sdk.TypeScript, sdk.Go, sdk.Rust, sdk.C} {
		for kind := range template.Kinds() {
			t.Run(string(language)+" "+kind, func(t *testing.T) {
				t.Parallel()
				dir := filepath.Join(t.TempDir(), "shop")
				if _, err := template.Write(dir, template.Project{Name: "shop", Language: string(language), Kind: kind}); err != nil {
					t.Fatal(err)
				}
				switch language {
				case sdk.TypeScript:
					buildtest.Install(t, dir)
				case sdk.Rust:
					buildtest.NeedRust(t)
				case sdk.C:
					buildtest.Need(t, "clang", "wasm-ld")
				case sdk.Go:
				}
				test := exec.CommandContext(t.Context(), "cofferdam", "test", dir)
				test.Env = append(os.Environ(), "COFFERDAM_CACHE_DIR="+runtimetest.CacheDir(t), "COFFERDAM_COMPILE_CPU="+compileCPU)
				if said, err := test.CombinedOutput(); err != nil {
					t.Errorf("%v\n%s", err, said)
				}
			})
		}
	}
}

// signs is a connector that has something signed, and so has what there is for that.
const signs = `import { defineConnector } from "@cofferdam/connector";

export default defineConnector({
  name: "shop",
  version: "0.1.0",
  hosts: ["api.shop.example"],
  connection: { auth: { type: "private_key", sign: ["ES256"] } },
}).action("token", { run: (ctx) => ctx.sign.jwt("shop", "ES256", { iss: "1" }) });
`

// TestPluginsImportWhatServersHave builds connectors in TypeScript, which import
// everything that there is; sign and streams only those that need them, so that the
// others run on hosts that have no such functions.
func TestPluginsImportWhatServersHave(t *testing.T) {
	t.Parallel()
	rt, err := runtime.New(t.Context(), runtime.Config{Functions: worker.Functions(nil), CacheDir: runtimetest.CacheDir(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rt.Close(context.WithoutCancel(t.Context())) })
	but := func(some ...string) []string {
		return slices.DeleteFunc(slices.Sorted(slices.Values(worker.Functions(nil))), func(name string) bool { return slices.Contains(some, name) })
	}
	streams := []string{"stream_close", "stream_finish", "stream_read", "stream_write"}
	for name, tt := range map[string]struct {
		source string
		want   []string
	}{
		"one that signs":         {signs, but(streams...)},
		"one that signs nothing": {"", but(append(streams, "sign")...)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "shop")
			if _, err := template.Write(dir, template.Project{Name: "shop", Language: "typescript", Kind: "action"}); err != nil {
				t.Fatal(err)
			}
			if tt.source != "" {
				if err := os.WriteFile(filepath.Join(dir, "src", "connector.ts"), []byte(tt.source), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			buildtest.Install(t, dir)
			plugin, err := sdk.Project(t.Context(), dir, sdk.Options{CacheDir: runtimetest.CacheDir(t), Schemes: webhook.Schemes(), NoCheck: true})
			if err != nil {
				t.Fatal(err)
			}
			module, err := rt.Prepare(t.Context(), plugin.Wasm, runtime.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if got := module.Imports(); !slices.Equal(got, tt.want) {
				t.Errorf("got the imports %q, want %q", got, tt.want)
			}
		})
	}
}
