package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/golden"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
	"github.com/cofferdam-run/cofferdam/host/webhook"
	"github.com/cofferdam-run/cofferdam/registry"
	sdk "github.com/cofferdam-run/cofferdam/sdk/build"
)

// projectTest is a call of the verb.
type projectTest struct {
	*app
	plugin, only, junit string
	update, noCheck     bool
	functions           []string

	project string
	pattern *regexp.Regexp
	// width is how long names are for which there is more to say.
	width int
}

func (a *app) testCommand() *cobra.Command {
	v := projectTest{app: a}
	c := &cobra.Command{
		Use:   "test [PROJECT]",
		Short: "Build a plugin, and run its tests in the sandbox, offline",
		Long: "Build a plugin, and run its tests, without a network:\n\n" +
			"  tests/*.test.json        golden tests: what is asked, what the world answers, and what must come of it\n" +
			"  tests/recordings/*.bhx   recorded executions, byte for byte: see 'cofferdam execution export --as-test'\n" +
			"  *.test.ts, _test.go      the project's own unit tests, by Node's test runner or the go command\n\n" +
			"--update writes what golden tests expect, and recordings, anew: look at the difference before you commit it.\n" +
			"A golden test is begun with what is asked and the answers:\n\n" +
			"  {\"action\": \"label\", \"input\": {\"issue\": 7}, \"http\": [{\"response\": {\"status\": 200, \"body\": []}}], \"expect\": {}}\n\n" +
			"The exit code is 0 if all tests pass, and 1 if not.",
		Example: "  cofferdam test\n" +
			"  cofferdam test shop --only refund --update\n" +
			"  cofferdam test --junit report.xml",
		Args: atMostProject,
		RunE: func(c *cobra.Command, args []string) error { return v.run(c.Context(), projectOf(args)) },
	}
	a.jsonFlag(c)
	a.compilerFlags(c)
	flags := c.Flags()
	flags.Lookup("cache-dir").Usage = authorCacheUsage
	flags.StringVar(&v.plugin, "plugin", "", "test this module instead of building one")
	flags.StringVar(&v.only, "only", "", "only the tests whose names this regular expression matches")
	flags.BoolVar(&v.update, "update", false, "write anew what golden tests and recordings expect")
	flags.BoolVar(&v.noCheck, "no-check", false, "do not check the types of TypeScript")
	flags.StringVar(&v.junit, "junit", "", "write a report in JUnit's form into this file, too")
	flags.StringSliceVar(&v.functions, "function", nil, "a function that the plugin may ask for beyond the built-in ones, such as your own app's")
	return c
}

// atMostProject takes a project's folder, or nothing for the one that one is in.
func atMostProject(c *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usagef("'%s' takes one project, got %d arguments; for example:\n%s", c.CommandPath(), len(args), c.Example)
	}
	return nil
}

func projectOf(args []string) string {
	if len(args) == 0 {
		return "."
	}
	return args[0]
}

// tested is one test, and what it came to.
type tested struct {
	Name    string        `json:"name"`
	About   string        `json:"about,omitempty"`
	Passed  bool          `json:"passed"`
	Skipped bool          `json:"skipped,omitempty"`
	Updated bool          `json:"updated,omitempty"`
	Took    time.Duration `json:"took_ns"`
	Fuel    int64         `json:"fuel,omitempty"`
	// Why are lines that say why it failed.
	Why []string `json:"why,omitempty"`
}

func (v *projectTest) run(ctx context.Context, project string) (err error) {
	if v.pattern, err = regexp.Compile(v.only); err != nil {
		return usagef("--only is no regular expression: %v", err)
	}
	if info, err := os.Stat(project); err != nil || !info.IsDir() {
		return usagef("%s is not a project's folder", project)
	}
	v.project = project
	v.width = v.longest()
	begun := time.Now()
	binary, built, err := v.build(ctx)
	if err != nil {
		return err
	}
	all := []tested{}
	if built != nil {
		v.line(*built)
		all = append(all, *built)
	}
	for _, part := range []func(context.Context, []byte) ([]tested, error){v.golden, v.recordings, v.units} {
		if binary == nil {
			break // What there is to say has been said.
		}
		some, err := part(ctx, binary)
		all = append(all, some...)
		if err != nil {
			return err
		}
	}
	return v.conclude(all, time.Since(begun))
}

// build makes the plugin. One that cannot be built, or that a server would refuse, is a
// test that has failed.
func (v *projectTest) build(ctx context.Context) ([]byte, *tested, error) {
	if v.plugin != "" {
		binary, err := v.module(ctx, v.plugin)
		return binary, nil, err
	}
	dir, remove, err := v.authorCache()
	if err != nil {
		return nil, nil, err
	}
	one := tested{Name: "build"}
	begun := time.Now()
	plugin, err := sdk.Project(ctx, v.project, sdk.Options{
		NoCheck: v.noCheck, Functions: v.functions, Schemes: webhook.Schemes(), Provider: provider.Set{}.Check, Descriptor: webhook.CheckDescriptor, CacheDir: dir, Builder: "cofferdam",
	})
	one.Took = time.Since(begun)
	err = errors.Join(err, remove())
	wrong, mine := errors.AsType[*sdk.Error](err)
	refused, mineToo := errors.AsType[*registry.Error](err)
	switch {
	case mine:
		one.Why = strings.Split(wrong.Error(), "\n")
		return nil, &one, nil
	case mineToo:
		one.Why = strings.Split(refused.Error(), "\n")
		return nil, &one, nil
	case err != nil:
		return nil, nil, err
	}
	one.Passed = true
	one.About = fmt.Sprintf("%s %s, %s", plugin.Manifest.Name, plugin.Manifest.Version, byteCount(int64(len(plugin.Wasm))))
	return plugin.Wasm, &one, nil
}

// longest is the length of the longest name of a file that is a test.
func (v *projectTest) longest() int {
	const most = 44
	tests, _ := golden.Files(v.project) // What is wrong is said when they are run.
	recordings, _ := v.recordingFiles()
	n := 0
	for _, file := range append(tests, recordings...) {
		if v.wanted(v.named(file)) {
			n = max(n, len(v.named(file)))
		}
	}
	return min(n, most)
}

// wanted says whether a test is meant by --only.
func (v *projectTest) wanted(name string) bool { return v.pattern.MatchString(name) }

// named is a file's name, as tests are called.
func (v *projectTest) named(path string) string {
	name, err := filepath.Rel(v.project, path)
	if err != nil {
		name = path
	}
	return filepath.ToSlash(name)
}

// line shows what a test came to, as soon as it did.
func (v *projectTest) line(t tested) {
	if v.Output == "json" {
		return
	}
	state := "ok"
	switch {
	case t.Skipped:
		state = "skip"
	case !t.Passed:
		state = "FAIL"
	case t.Updated:
		state = "new"
	}
	cost := duration(t.Took)
	if t.Fuel > 0 {
		cost += ", " + fuelCount(t.Fuel) + " fuel"
	}
	name := t.Name
	if t.About != "" {
		name = fmt.Sprintf("%-*s  %s", v.width, t.Name, t.About)
	}
	fmt.Fprintf(v.out, "%-4s  %s  (%s)\n", state, name, cost)
	for _, why := range t.Why {
		fmt.Fprintln(v.out, strings.TrimRight("        "+why, " "))
	}
}

// conclude sums up. A test that failed is the verb's failure.
func (v *projectTest) conclude(all []tested, took time.Duration) error {
	failed := len(slices.DeleteFunc(slices.Clone(all), func(t tested) bool { return t.Passed || t.Skipped }))
	skipped := len(slices.DeleteFunc(slices.Clone(all), func(t tested) bool { return !t.Skipped }))
	if v.junit != "" {
		if err := writeJUnit(v.junit, all); err != nil {
			return err
		}
	}
	if v.Output == "json" {
		if err := v.show(all, nil); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(v.out, summaryOf(len(all)-failed-skipped, failed, skipped, took))
	}
	if failed > 0 {
		return &testsFailedError{failed}
	}
	return nil
}

// testsFailedError has been said already, test by test.
type testsFailedError struct{ n int }

// Error implements error.
func (e *testsFailedError) Error() string {
	if e.n == 1 {
		return "1 test failed"
	}
	return fmt.Sprintf("%d tests failed", e.n)
}

func summaryOf(passed, failed, skipped int, took time.Duration) string {
	parts := []string{fmt.Sprintf("%d passed", passed)}
	if failed > 0 {
		parts = append(parts, fmt.Sprintf("%d failed", failed))
	}
	if skipped > 0 {
		parts = append(parts, fmt.Sprintf("%d skipped", skipped))
	}
	return "\n" + strings.Join(parts, ", ") + " in " + duration(took)
}
