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

// check has the author's own tsc check the types. It finds no problem where there is
// no tsc.
func (p project) check(ctx context.Context) ([]Problem, error) {
	tsc, ok := findUp(p.root, "node_modules/typescript/bin/tsc")
	if !ok || !strings.HasSuffix(p.entry, "ts") {
		return nil, nil
	}
	node, ok := p.find("node")
	if !ok {
		return nil, wrong("install Node.js, or leave the check out with --no-check", "the types cannot be checked: there is no node, which tsc needs")
	}
	args := []string{tsc, "--noEmit", "--pretty", "false"}
	if config := filepath.Join(p.root, "tsconfig.json"); exists(p.root, "tsconfig.json") {
		args = append(args, "--project", config)
	} else {
		args = append(args, "--strict", "--skipLibCheck", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler", p.entry)
	}
	c := exec.CommandContext(ctx, node, args...) //nolint:gosec // The author's own compiler.
	c.Dir = p.root
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	if err == nil {
		return nil, nil
	}
	if _, failed := errors.AsType[*exec.ExitError](err); !failed || ctx.Err() != nil {
		return nil, fmt.Errorf("run tsc: %w", errors.Join(err, ctx.Err()))
	}
	problems := p.typeProblems(out.String())
	if len(problems) == 0 {
		problems = []Problem{{Text: "tsc ended with " + err.Error(), Notes: lastLines(out.String())}}
	}
	return problems, nil
}

// typeError is a line of tsc's: file(line,column): error TS2551: text.
var typeError = regexp.MustCompile(`^(?:(.+)\((\d+),(\d+)\): )?error (TS\d+): (.*)$`)

// typeProblems reads what tsc says.
func (p project) typeProblems(out string) []Problem {
	var problems []Problem
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, "\r\n")
		m := typeError.FindStringSubmatch(line)
		switch {
		case m != nil:
			problem := Problem{Text: plain(m[5]) + " [" + m[4] + "]"}
			if m[1] != "" {
				problem.File = filepath.ToSlash(m[1])
				number, _ := strconv.Atoi(m[2]) // They are digits.
				column, _ := strconv.Atoi(m[3])
				problem = problem.at(p.root, number, column)
			}
			problems = append(problems, problem)
		case len(problems) > 0 && strings.HasPrefix(line, " "):
			last := &problems[len(problems)-1]
			last.Notes = append(last.Notes, plain(line))
		}
	}
	return problems
}

// at has the place in File, and shows that line; column counts UTF-16 units or bytes,
// which are characters in nearly all code, and the word there is underlined.
func (p Problem) at(root string, line, column int) Problem {
	p.Line, p.Column = line, column
	path := p.File
	if !filepath.IsAbs(path) {
		path = filepath.Join(root, filepath.FromSlash(path))
	}
	text, err := os.ReadFile(path) //nolint:gosec // The author's own, or of its packages.
	if err != nil {
		return p // It is shown without its line.
	}
	lines := strings.Split(string(text), "\n")
	if line < 1 || line > len(lines) {
		return p
	}
	source := strings.TrimRight(lines[line-1], "\r")
	at := len(source)
	for i := range source {
		if column--; column <= 0 {
			at = i
			break
		}
	}
	return p.marked(source, at, len(word.FindString(source[at:])))
}

// word is what a place in code is about, as far as can be told without a parser.
var word = regexp.MustCompile(`^[\pL\pN_$]+`)

// lastLines are the last of what a program said.
func lastLines(said string) []string {
	const most = 20
	lines := strings.Split(plain(said), "\n")
	return lines[max(0, len(lines)-most):]
}
