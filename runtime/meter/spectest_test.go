package meter_test

import (
	"flag"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cofferdam-run/cofferdam/runtime/meter/spectest"
)

var (
	fullSpec = flag.Bool("spec.full", false, "step the fuel of every command of the spec suites, not of a sample")
	specSeed = flag.Uint64("spec.seed", 1, "the seed of slices and samples")
)

// maxExcluded is how many percent of the commands may be excluded.
const maxExcluded = 5

// specRoot is where wazero's spec suites are, in the module cache.
func specRoot(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		t.Fatalf("find wazero's module: %v", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), filepath.FromSlash(spectest.Folder))
}

// TestSpecSuitesAgree does what the specification's own tests do, on the modules
// as they are and on the rewritten ones.
func TestSpecSuitesAgree(t *testing.T) {
	t.Parallel()
	root := specRoot(t)
	scripts, err := spectest.Scripts(root)
	if err != nil {
		t.Fatal(err)
	}
	var (
		mu    sync.Mutex
		total spectest.Report
	)
	t.Run("scripts", func(t *testing.T) {
		t.Parallel()
		for _, path := range scripts {
			name, _ := filepath.Rel(root, path)
			t.Run(strings.TrimSuffix(strings.Replace(filepath.ToSlash(name), "testdata/", "", 1), ".json"), func(t *testing.T) {
				t.Parallel()
				report, err := spectest.Run(t.Context(), root, path, spectest.Options{Full: *fullSpec, Seed: *specSeed})
				if err != nil {
					t.Fatal(err)
				}
				for _, difference := range report.Differences {
					t.Error(difference)
				}
				mu.Lock()
				defer mu.Unlock()
				total.Add(report)
			})
		}
	})
	t.Cleanup(func() {
		t.Log(total.String())
		excluded := 0
		for _, n := range total.Excluded {
			excluded += n
		}
		if total.Agreed+excluded != total.Total {
			t.Errorf("%d of %d commands agree, and %d are excluded", total.Agreed, total.Total, excluded)
		}
		if 100*excluded > maxExcluded*total.Total {
			t.Errorf("%d of %d commands are excluded, want at most %d %%", excluded, total.Total, maxExcluded)
		}
	})
}
