package typescript_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/build/buildtest"
	"github.com/cofferdam-run/cofferdam/sdk/typescript"
)

func ExampleTarball() {
	name, tgz, err := typescript.Tarball()
	fmt.Println(name, len(tgz) > 0, err)
	// Output: cofferdam-connector-0.1.0.tgz true <nil>
}

func TestTarballIsDeterministic(t *testing.T) {
	t.Parallel()
	name, first, err := typescript.Tarball()
	if err != nil {
		t.Fatal(err)
	}
	_, second, err := typescript.Tarball()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Error("two tarballs differ")
	}
	version, err := typescript.Version()
	if err != nil {
		t.Fatal(err)
	}
	if want := "cofferdam-connector-" + version + ".tgz"; name != want {
		t.Errorf("got the name %s, want %s", name, want)
	}
}

func TestTarballIsComplete(t *testing.T) {
	t.Parallel()
	_, tgz, err := typescript.Tarball()
	if err != nil {
		t.Fatal(err)
	}
	files := unpack(t, tgz)
	var about struct {
		Exports map[string]any `json:"exports"`
	}
	if err := json.Unmarshal(files["package/package.json"], &about); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(files["package/package.json"], []byte(`"scripts"`)) {
		t.Error("it has scripts, of which npm warns authors")
	}
	for entry, targets := range about.Exports {
		for _, target := range paths(targets) {
			if files["package/"+strings.TrimPrefix(target, "./")] == nil {
				t.Errorf("the export %s is %s, which is not in the tarball", entry, target)
			}
		}
	}
	err = filepath.WalkDir("src", func(path string, _ os.DirEntry, err error) error {
		name := filepath.ToSlash(path)
		script := strings.TrimSuffix(strings.Replace(name, "src/", "dist/", 1), ".ts") + ".js"
		if strings.HasSuffix(name, ".ts") && (files["package/"+name] == nil || files["package/"+script] == nil) {
			t.Errorf("%s or %s is not in the tarball", name, script)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files["package/README.md"]) == 0 {
		t.Error("the guide is not in the tarball")
	}
}

// paths are the files that an entry of exports names.
func paths(targets any) []string {
	if path, ok := targets.(string); ok {
		return []string{path}
	}
	var all []string
	conditions, _ := targets.(map[string]any)
	for _, target := range conditions {
		all = append(all, paths(target)...)
	}
	return all
}

func unpack(t *testing.T, tgz []byte) map[string][]byte {
	t.Helper()
	zipped, err := gzip.NewReader(bytes.NewReader(tgz))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for archive := tar.NewReader(zipped); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if !header.ModTime.Equal(time.Unix(0, 0)) || header.Mode != 0o644 || header.Uname != "" {
			t.Errorf("%s has a time, an owner or other rights: %+v", header.Name, header)
		}
		if files[header.Name], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
	}
}

const authored = `
import { test } from "node:test";
import { defineConnector, s } from "@cofferdam/connector";
import { mock } from "@cofferdam/connector/testing";

const connector = defineConnector({ name: "a", version: "1.0.0" }).action("double", {
  input: { n: s.int() },
  run: (_, { n }) => n * 2,
});
test("doubles", async () => {
  const four: number = await mock(connector).action("double", { n: 2 });
  if (four !== 4) throw new Error(String(four));
});
`

// TestTarballServesAuthors installs it with npm, and checks and runs what an author
// would write, with the strictest of compilers' options.
func TestTarballServesAuthors(t *testing.T) {
	t.Parallel()
	modules := buildtest.Modules(t)
	dir := t.TempDir()
	name, tgz, err := typescript.Tarball()
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, name, string(tgz))
	write(t, dir, "package.json", `{"name":"p","type":"module","dependencies":{"@cofferdam/connector":"file:`+name+`"},
		"overrides":{"quickjs-wasi":"file:`+filepath.ToSlash(modules)+`/quickjs-wasi"}}`) // Without a registry.
	write(t, dir, "connector.mts", authored)
	write(t, dir, "tsconfig.json", `{"compilerOptions": {
		"target": "ES2022", "lib": ["ES2022"], "types": ["node"], "module": "NodeNext", "strict": true, "outDir": "out",
		"exactOptionalPropertyTypes": true, "noUncheckedIndexedAccess": true, "noPropertyAccessFromIndexSignature": true,
		"noUnusedLocals": true, "noUnusedParameters": true, "noImplicitOverride": true, "noImplicitReturns": true,
		"erasableSyntaxOnly": true, "verbatimModuleSyntax": true, "isolatedModules": true, "skipLibCheck": true
	}}`)
	needNPM(t)
	run(t, dir, "npm", "install", "--offline", "--no-audit", "--no-fund")
	for _, tool := range []string{"@types", "undici-types"} {
		if err := os.Symlink(filepath.Join(modules, tool), filepath.Join(dir, "node_modules", tool)); err != nil {
			t.Fatal(err)
		}
	}
	run(t, dir, "node", filepath.Join(modules, "typescript", "bin", "tsc"))
	run(t, dir, "node", "--test", "out/connector.mjs")
}

func needNPM(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("SKIPPED: npm is not here")
	}
}

func run(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, args...)
	command.Dir = dir
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
