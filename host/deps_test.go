package host_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestFacadeStaysLight checks what an embedder links. It asks go list, whose
// answer the test cache does not know to be stale: run it with -count=1.
func TestFacadeStaysLight(t *testing.T) {
	t.Parallel()
	heavy := map[string]string{
		"github.com/go-chi/chi/v5":         "the router comes with host/api, for those who mount it",
		"github.com/danielgtaylor/huma/v2": "so does what describes the API",
		"github.com/jackc/pgx/v5":          "the driver comes with host/store/postgres",
		"modernc.org/sqlite":               "the driver comes with host/store/sqlite",
		"github.com/pressly/goose/v3":      "migrations come with the stores",
		"github.com/spf13/cobra":           "the command line is for cmd/cofferdam",
		"testing":                          "test helpers live in packages of their own",
	}
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatalf("list dependencies: %v", err)
	}
	for dependency := range strings.Lines(string(out)) {
		dependency = strings.TrimSpace(dependency)
		for prefix, reason := range heavy {
			if dependency == prefix || strings.HasPrefix(dependency, prefix+"/") {
				t.Errorf("package host links %s: %s", dependency, reason)
			}
		}
	}
}
