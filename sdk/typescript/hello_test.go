package typescript_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evanw/esbuild/pkg/api"

	"github.com/cofferdam-run/cofferdam/sdk/build/buildtest"
)

// TestTheExampleIsChecked checks the types of examples/hello-ts and runs its unit
// tests, as its author would.
func TestTheExampleIsChecked(t *testing.T) {
	t.Parallel()
	dir := project(t, "")
	const example = "../../examples/hello-ts"
	for _, name := range []string{"connector.ts", "connector.test.ts", "tsconfig.json", "fixtures/issues.opened.json"} {
		content, err := os.ReadFile(filepath.Join(example, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, name, string(content))
	}
	run(t, dir, "node", filepath.Join(buildtest.Modules(t), "typescript", "bin", "tsc"))
	bundle := api.Build(api.BuildOptions{
		EntryPoints: []string{filepath.Join(dir, "connector.test.ts")}, Outfile: filepath.Join(dir, "out", "connector.test.mjs"),
		Bundle: true, Write: true, Format: api.FormatESModule, Platform: api.PlatformNode, PreserveSymlinks: true,
	})
	for _, message := range bundle.Errors {
		t.Fatal(strings.TrimSpace(message.Text))
	}
	run(t, dir, "node", "--test", "out")
}
