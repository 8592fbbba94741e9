// Package unittest runs the unit tests that a project has in its own language, with
// its own tools: *.test.ts by Node's test runner, and _test.go by the go command.
package unittest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Case is what one test came to.
type Case struct {
	// Where is the file or the package, relative to the project, with slashes; empty
	// for the project itself.
	Where, Name     string
	Passed, Skipped bool
	Took            time.Duration
	// Said is what it printed, or why it failed.
	Said string
}

// Tools says where programs are and what they are started with.
type Tools struct {
	// Look finds a program by its name: exec.LookPath.
	Look func(name string) (string, error)
	// Env is what they are started with, in os.Environ's form.
	Env []string
}

// start runs a program in the project and gives what it wrote. An exit code of 1 is
// no error: tests have failed.
func (t Tools) start(ctx context.Context, dir, path string, args ...string) (out []byte, said string, err error) {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.Env = dir, t.Env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() > 0 {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("run %s: %w", filepath.Base(path), err)
	}
	return stdout.Bytes(), strings.TrimSpace(stderr.String()), err
}

// find lists the files of a project whose names match, without those of packages and
// of what was built, relative to it.
func find(project string, match func(name string) bool) ([]string, error) {
	var found []string
	err := filepath.WalkDir(project, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != project && (strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"node_modules", "dist", "build", "target", "vendor"}, d.Name())):
			return filepath.SkipDir
		case !d.IsDir() && match(d.Name()):
			name, err := filepath.Rel(project, path)
			if err != nil {
				return err
			}
			found = append(found, filepath.ToSlash(name))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find tests: %w", err)
	}
	return found, nil
}

// HasGo says whether a Go project has tests.
func HasGo(project string) (bool, error) {
	if _, err := os.Stat(filepath.Join(project, "go.mod")); err != nil {
		return false, nil //nolint:nilerr // It is no Go project.
	}
	files, err := find(project, func(name string) bool { return strings.HasSuffix(name, "_test.go") })
	return len(files) > 0, err
}

// goEvent is a line of `go test -json`: https://pkg.go.dev/cmd/test2json.
type goEvent struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

// Go runs the tests of a Go project, one Case for each test at the top. Recordings are
// left to whoever replays them.
func Go(ctx context.Context, project string, t Tools) ([]Case, error) {
	tool, err := t.Look("go")
	if err != nil {
		return nil, fmt.Errorf("find the go command, which runs the project's tests: %w", err)
	}
	out, said, err := t.start(ctx, project, tool, "test", "-json", "-skip", "^TestRecordings$", "./...")
	if err != nil {
		return nil, err
	}
	cases := readGo(out, moduleOf(project))
	if len(cases) == 0 && said != "" {
		cases = []Case{{Name: "go test", Said: said}}
	}
	return cases, nil
}

// moduleOf is the path of a Go project's module.
func moduleOf(project string) string {
	content, err := os.ReadFile(filepath.Join(project, "go.mod"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(content)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "module "); ok {
			return strings.Trim(path, " \"`")
		}
	}
	return ""
}

// readGo makes Cases of events. Packages are named within their module.
func readGo(out []byte, module string) []Case {
	var cases []Case
	failed := map[string]bool{} // Packages with a test that has.
	said := map[string]*strings.Builder{}
	for line := range bytes.Lines(out) {
		var e goEvent
		if json.Unmarshal(line, &e) != nil {
			continue // The go command's own words, which it says in an event too.
		}
		top, _, _ := strings.Cut(e.Test, "/")
		key := e.Package + " " + top
		if said[key] == nil {
			said[key] = &strings.Builder{}
		}
		switch e.Action {
		case "output", "build-output":
			if !strings.HasPrefix(e.Output, "=== ") {
				said[key].WriteString(e.Output)
			}
		case "pass", "fail", "skip":
			// A package fails beside its tests, or by itself when it cannot be built.
			if e.Test != top || top == "" && (e.Action != "fail" || failed[e.Package]) {
				continue
			}
			failed[e.Package] = failed[e.Package] || e.Action == "fail"
			c := Case{
				Where: strings.TrimPrefix(strings.TrimPrefix(e.Package, module), "/"), Name: top,
				Passed: e.Action == "pass", Skipped: e.Action == "skip",
				Took: time.Duration(e.Elapsed * float64(time.Second)), Said: strings.TrimSpace(said[key].String()),
			}
			if top == "" {
				c.Name = "the package"
			}
			cases = append(cases, c)
		}
	}
	return cases
}
