package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// tool is a run of a compiler.
type tool struct {
	path string
	args []string
	env  []string
	dir  string
}

// compile has the language's own compiler build the module.
func (b *Builder) compile(ctx context.Context, m *made) (err error) {
	begun := b.options.Now()
	dir, err := os.MkdirTemp("", "cofferdam-build-")
	if err != nil {
		return fmt.Errorf("make a folder to compile in: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	out := filepath.Join(dir, "plugin.wasm")
	switch b.project.language {
	case Go:
		err = b.project.compileGo(ctx, out)
	case Rust:
		err = b.project.compileRust(ctx, out)
	default:
		err = b.project.compileC(ctx, dir, out)
	}
	if err != nil {
		return err
	}
	if m.module, err = os.ReadFile(out); err != nil { //nolint:gosec // It was written into a folder of our own.
		return fmt.Errorf("read what the compiler wrote: %w", err)
	}
	m.took.Compile = b.options.Now().Sub(begun)
	return nil
}

// run runs a compiler. What it says is the *Error where it fails.
func (p project) run(ctx context.Context, t tool) error {
	c := exec.CommandContext(ctx, t.path, t.args...) //nolint:gosec // A compiler of the author's.
	c.Dir = t.dir
	if c.Dir == "" {
		c.Dir = p.root
	}
	c.Env = append(c.Environ(), t.env...)
	var said bytes.Buffer
	c.Stdout, c.Stderr = &said, &said
	err := c.Run()
	if err == nil {
		return nil
	}
	if _, failed := errors.AsType[*exec.ExitError](err); !failed || ctx.Err() != nil {
		return fmt.Errorf("run %s: %w", filepath.Base(t.path), errors.Join(err, ctx.Err()))
	}
	problems := p.compilerProblems(c.Dir, said.String())
	if len(problems) == 0 {
		problems = []Problem{{Text: filepath.Base(t.path) + " ended with " + err.Error(), Notes: lastLines(said.String())}}
	}
	return &Error{Problems: problems, reading: true}
}

// diagnostic is how Go, rustc, cargo and clang begin a line about a place.
var diagnostic = regexp.MustCompile(`^([^\s:][^:]*):(\d+):(\d+): (.+)$`)

// compilerProblems reads the errors that a compiler wrote, in the folder dir.
func (p project) compilerProblems(dir, said string) []Problem {
	var problems []Problem
	for line := range strings.Lines(said) {
		line = strings.TrimRight(line, "\r\n")
		m := diagnostic.FindStringSubmatch(line)
		if m == nil {
			// Go goes on with what it had and what it wanted.
			if len(problems) > 0 && strings.HasPrefix(line, "\t") {
				last := &problems[len(problems)-1]
				last.Notes = append(last.Notes, plain(line))
			}
			continue
		}
		text := m[4]
		if strings.HasPrefix(text, "warning") || strings.HasPrefix(text, "note: ") {
			continue
		}
		path := m[1]
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		problem := Problem{File: relative(p.root, path), Text: plain(strings.TrimPrefix(text, "error: "))}
		number, _ := strconv.Atoi(m[2]) // They are digits.
		column, _ := strconv.Atoi(m[3])
		problems = append(problems, problem.at(p.root, number, column))
	}
	return problems
}

// find is the first of some programs that there is.
func (p project) find(names ...string) (string, bool) {
	for _, name := range names {
		if path, err := p.look(name); err == nil {
			return path, true
		}
	}
	return "", false
}
