package host_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each metric has a line in the table that operators read, and each line a metric.
func TestEveryMetricIsInTheDocuments(t *testing.T) {
	t.Parallel()
	made := regexp.MustCompile(`(?:Name:\s*|counter\()"(cofferdam_[a-z_]+)"`)
	registered := map[string]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, found := range made.FindAllSubmatch(text, -1) {
			registered[string(found[1])] = path
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	described := map[string]bool{}
	for _, found := range regexp.MustCompile("(?m)^\\|[^|`]*\\|? ?`(cofferdam_[a-z_]+)` \\|").FindAllSubmatch(page, -1) {
		described[string(found[1])] = true
	}
	for name, path := range registered {
		if !described[name] {
			t.Errorf("%s of host/%s has no line in docs/metrics.md", name, path)
		}
	}
	for name := range described {
		if registered[name] == "" {
			t.Errorf("docs/metrics.md describes %s, which there is not", name)
		}
	}
	if len(registered) < 25 {
		t.Errorf("only %d metrics were found", len(registered))
	}
}
