package unittest

import (
	"bytes"
	"context"
	_ "embed" // for the reporter
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/evanw/esbuild/pkg/api"
)

// reporter has Node say what each test came to, a line of JSON for each.
//
//go:embed reporter.mjs
var reporter []byte

// NodeFiles finds the tests of a TypeScript project.
func NodeFiles(project string) ([]string, error) {
	return find(project, func(name string) bool {
		for _, ending := range []string{".test.ts", ".test.tsx", ".test.mts", ".test.js", ".test.mjs"} {
			if strings.HasSuffix(name, ending) {
				return true
			}
		}
		return false
	})
}

// nodeEvent is a line of the reporter's.
type nodeEvent struct {
	File string  `json:"file"`
	Name string  `json:"name"`
	OK   bool    `json:"ok"`
	Skip bool    `json:"skip"`
	MS   float64 `json:"ms"`
	Said string  `json:"said"`
}

// Node bundles the tests of a TypeScript project and has Node's test runner run them.
// Scratch is an empty folder for what is bundled, within the project or not.
func Node(ctx context.Context, project, scratch string, files []string, t Tools) ([]Case, error) {
	tool, err := t.Look("node")
	if err != nil {
		return nil, errors.New("find node, which runs the project's tests: it is not in PATH: install Node 20 or later (https://nodejs.org)")
	}
	var cases []Case
	bundled := map[string]string{}
	args := []string{"--test", "--test-reporter=" + filepath.Join(scratch, "reporter.mjs"), "--enable-source-maps"}
	if err := os.WriteFile(filepath.Join(scratch, "reporter.mjs"), reporter, 0o600); err != nil {
		return nil, fmt.Errorf("write the reporter of tests: %w", err)
	}
	for i, file := range files {
		// Numbered, for two folders may have a file of the same name.
		name := strconv.Itoa(i) + "." + strings.TrimSuffix(path.Base(file), path.Ext(file)) + ".mjs"
		if said := bundle(project, file, filepath.Join(scratch, name)); said != "" {
			cases = append(cases, Case{Where: file, Name: "cannot be bundled", Said: said})
			continue
		}
		bundled[name] = file
		args = append(args, filepath.Join(scratch, name))
	}
	if len(bundled) == 0 {
		return cases, nil
	}
	out, said, err := t.start(ctx, project, tool, args...)
	if err != nil {
		return cases, err
	}
	ran := readNode(out, absolute(project)+string(filepath.Separator), bundled)
	if len(ran) == 0 {
		ran = []Case{{Name: "node --test", Said: said}}
	}
	return append(cases, ran...), nil
}

// bundle makes one file of a test and all that it imports. It returns what is wrong.
func bundle(project, file, out string) string {
	result := api.Build(api.BuildOptions{
		AbsWorkingDir: absolute(project), EntryPoints: []string{filepath.FromSlash(file)}, Outfile: out, Write: true, Bundle: true,
		Platform: api.PlatformNode, Format: api.FormatESModule, Target: api.ES2022, Sourcemap: api.SourceMapInline, LogLevel: api.LogLevelSilent,
		// What of a bundle is CommonJS asks for Node's modules by require.
		Banner: map[string]string{"js": `import { createRequire as cofferdamRequire } from "node:module"; const require = cofferdamRequire(import.meta.url);`},
	})
	return strings.TrimSpace(strings.Join(api.FormatMessages(result.Errors, api.FormatMessagesOptions{}), ""))
}

func absolute(path string) string {
	if whole, err := filepath.Abs(path); err == nil {
		return whole
	}
	return path
}

// readNode makes Cases of the reporter's lines. Paths within the project are relative.
func readNode(out []byte, project string, bundled map[string]string) []Case {
	var cases []Case
	for line := range bytes.Lines(out) {
		var e nodeEvent
		if json.Unmarshal(line, &e) != nil {
			continue
		}
		where, name := bundled[filepath.Base(e.File)], e.Name
		if own, mapped := strings.CutPrefix(e.File, project); mapped {
			where = filepath.ToSlash(own) // By its source map.
		}
		if original, whole := bundled[filepath.Base(name)]; whole {
			where, name = original, "the file" // It failed before a test began.
		}
		cases = append(cases, Case{
			Where: where, Name: name, Passed: e.OK && !e.Skip, Skipped: e.Skip,
			Took: time.Duration(e.MS * float64(time.Millisecond)), Said: strings.ReplaceAll(strings.TrimSpace(e.Said), project, ""),
		})
	}
	return cases
}
