package spectest

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// Folder is where the suites are in wazero's module.
const Folder = "internal/integration_test/spectest"

// Options say how much is done.
type Options struct {
	// Full steps the fuel of every command down in many steps. Otherwise a sample
	// is taken.
	Full bool
	// Seed decides slices and samples.
	Seed uint64
}

// Report is what a run found.
type Report struct {
	// Total is the number of commands, of which Agreed did the same, and Excluded
	// were not compared, by reason.
	Total, Agreed int
	Excluded      map[string]int
	// Steps is how many times a command was done with a given budget; in Exhausted
	// of them it was exhausted.
	Steps, Exhausted int
	// Differences says what was not as it should be, a line each.
	Differences []string
}

// Scripts returns the paths of the suites' scripts.
func Scripts(root string) ([]string, error) {
	var paths []string
	for _, suite := range []string{"v1", "v2"} {
		found, err := filepath.Glob(filepath.Join(root, suite, "testdata", "*.json"))
		if err != nil {
			return nil, fmt.Errorf("find the scripts: %w", err)
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("find the scripts: there are none of %s in %s", suite, root)
		}
		paths = append(paths, found...)
	}
	return paths, nil
}

// Add adds another report.
func (r *Report) Add(other *Report) {
	r.Total += other.Total
	r.Agreed += other.Agreed
	r.Steps += other.Steps
	r.Exhausted += other.Exhausted
	r.Differences = append(r.Differences, other.Differences...)
	for reason, n := range other.Excluded {
		r.exclude(reason, n)
	}
}

// String says it in a few lines.
func (r *Report) String() string {
	excluded := 0
	for _, n := range r.Excluded {
		excluded += n
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d commands agree, %d differ, %d (%.2f %%) are excluded\n",
		r.Agreed, r.Total, r.Total-r.Agreed-excluded, excluded, 100*float64(excluded)/float64(max(r.Total, 1)))
	for _, reason := range slices.Sorted(maps.Keys(r.Excluded)) {
		fmt.Fprintf(&b, "  excluded: %6d %s\n", r.Excluded[reason], reason)
	}
	fmt.Fprintf(&b, "with less fuel: %d runs, of which %d were exhausted", r.Steps, r.Exhausted)
	return b.String()
}

func (r *Report) exclude(reason string, n int) {
	if r.Excluded == nil {
		r.Excluded = map[string]int{}
	}
	r.Excluded[reason] += n
}
