package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"

	"github.com/cofferdam-run/cofferdam/bench/internal/command"
	"github.com/cofferdam-run/cofferdam/runtime/meter/spectest"
)

// spec does what the specification's own tests do, on modules as they are and as
// they are rewritten, and counts what does the same.
func (s *suite) spec(ctx context.Context) error {
	dir, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil || len(dir) == 0 {
		return fmt.Errorf("%w: wazero's module, which has the suites, is not in the module cache: %w", command.ErrSkip, err)
	}
	root := filepath.Join(strings.TrimSpace(string(dir)), filepath.FromSlash(spectest.Folder))
	scripts, err := spectest.Scripts(root)
	if err != nil {
		return err
	}
	var (
		mu    sync.Mutex
		total spectest.Report
		errs  []error
		left  sync.WaitGroup
	)
	next := make(chan string)
	for range goruntime.GOMAXPROCS(0) {
		left.Go(func() {
			for path := range next {
				report, err := spectest.Run(ctx, root, path, spectest.Options{Seed: 1})
				mu.Lock()
				if err != nil {
					errs = append(errs, err)
				} else {
					total.Add(report)
				}
				mu.Unlock()
			}
		})
	}
	for _, path := range scripts {
		next <- path
	}
	close(next)
	left.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	s.printSpec(&total)
	return nil
}

func (s *suite) printSpec(total *spectest.Report) {
	excluded := 0
	for _, reason := range slices.Sorted(maps.Keys(total.Excluded)) {
		excluded += total.Excluded[reason]
		fmt.Fprintf(s.out, "spec: %d commands are excluded: %s\n", total.Excluded[reason], reason)
	}
	for _, difference := range total.Differences {
		fmt.Fprintf(s.out, "spec: %s\n", difference)
	}
	s.print("spec_commands_agreed", float64(total.Agreed), "commands",
		fmt.Sprintf("with_less_fuel=%d", total.Steps), fmt.Sprintf("exhausted=%d", total.Exhausted))
	s.print("spec_commands_total", float64(total.Total), "commands",
		fmt.Sprintf("excluded=%d", excluded), fmt.Sprintf("differ=%d", total.Total-total.Agreed-excluded))
}
