package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// story is a section of the README that tells what somebody does. It is played as it
// stands, so that it cannot come to tell what is not so:
//
//	console   commands after "$ ", and what they print
//	go        an excerpt of main.go
//	diff      a change of main.go
//	text      what the ledger says
//
// In what is printed "..." stands for anything in a line, and on a line of its own
// for any lines. An id such as exe_... or a fingerprint stands for the one that is met
// first, there and in later commands. A command that fails is followed by "echo $?".
type story struct {
	dir    string
	env    []string
	ledger func() string
	// before is called before each command.
	before func()
	// known is what a name of the README stands for.
	known map[string]string
	// status is the last command's exit code.
	status int
	played []string
}

// block is one of the fenced blocks of a section.
type block struct {
	kind  string
	lines []string
}

// section finds the blocks below a heading of a Markdown file.
func section(t *testing.T, file, heading string) []block {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("%s has no section %q", file, heading)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	var blocks []block
	inside := false
	for line := range strings.Lines(rest) {
		line = strings.TrimRight(line, "\n")
		kind, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && !inside:
			blocks, inside = append(blocks, block{kind: kind}), true
		case fence:
			inside = false
		case inside:
			last := &blocks[len(blocks)-1]
			last.lines = append(last.lines, line)
		}
	}
	return blocks
}

// play plays a block.
func (s *story) play(t *testing.T, b block) {
	t.Helper()
	switch b.kind {
	case "console":
		s.console(t, b.lines)
	case "go":
		if text := strings.Join(b.lines, "\n"); !strings.Contains(s.source(t), text) {
			t.Fatalf("main.go has no such lines:\n%s", text)
		}
	case "diff":
		s.patch(t, b.lines)
	case "text":
		if got := strings.TrimSpace(s.ledger()); !s.same(b.lines, strings.Split(got, "\n")) {
			t.Fatalf("the ledger says\n%s\nwant\n%s", got, strings.Join(b.lines, "\n"))
		}
	default:
		t.Fatalf("the story has a block of the kind %q", b.kind)
	}
}

// console runs commands one after the other.
func (s *story) console(t *testing.T, lines []string) {
	t.Helper()
	for len(lines) > 0 {
		command, ok := strings.CutPrefix(lines[0], "$ ")
		if !ok {
			t.Fatalf("%q is printed by no command", lines[0])
		}
		end := 1
		for end < len(lines) && !strings.HasPrefix(lines[end], "$ ") {
			end++
		}
		if s.status != 0 && command != "echo $?" {
			t.Fatalf("%q has failed with %d, and the story does not say so", s.played[len(s.played)-1], s.status)
		}
		s.run(t, command, lines[1:end])
		lines = lines[end:]
	}
}

// run runs a command, and compares what it prints.
func (s *story) run(t *testing.T, command string, want []string) {
	t.Helper()
	s.before()
	actual := names.ReplaceAllStringFunc(command, func(name string) string {
		if known := s.known[name]; known != "" {
			return known
		}
		return name
	})
	c := exec.CommandContext(t.Context(), "sh", "-c", fmt.Sprintf("(exit %d)\n%s", s.status, actual))
	c.Dir, c.Env = s.dir, s.env
	said, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", actual, err)
	}
	s.status = c.ProcessState.ExitCode()
	s.played = append(s.played, command)
	t.Logf("$ %s\n%s", actual, said)
	var got []string
	for line := range bytes.Lines(said) {
		got = append(got, strings.TrimRight(string(line), "\n"))
	}
	if !s.same(want, got) {
		t.Fatalf("$ %s\nsays\n%s\nwant\n%s", actual, said, strings.Join(want, "\n"))
	}
}

// names are what is another in each play: ids and fingerprints.
var names = regexp.MustCompile(`\b[a-z]{3}_\.\.\.|\b[0-9a-f]{16}\b`)

// same compares lines. Each line that agrees may say what a name stands for.
func (s *story) same(want, got []string) bool {
	for i, line := range want {
		if line == "..." {
			for skip := range len(got) + 1 {
				if s.same(want[i+1:], got[skip:]) {
					return true
				}
			}
			return false
		}
		if len(got) == 0 || !s.agrees(line, got[0]) {
			return false
		}
		got = got[1:]
	}
	return len(got) == 0
}

// agrees compares a line.
func (s *story) agrees(want, got string) bool {
	var fresh []string
	pattern, last := "", 0
	for _, at := range names.FindAllStringIndex(want, -1) {
		name := want[at[0]:at[1]]
		pattern += loose(want[last:at[0]])
		last = at[1]
		switch prefix, isID := strings.CutSuffix(name, "..."); {
		case s.known[name] != "":
			pattern += regexp.QuoteMeta(s.known[name])
			continue
		case isID:
			pattern += `(` + prefix + `\w+)`
		default:
			pattern += `([0-9a-f]{16})`
		}
		fresh = append(fresh, name)
	}
	found := regexp.MustCompile("^" + pattern + loose(want[last:]) + "$").FindStringSubmatch(got)
	for i := range found[min(1, len(found)):] {
		s.known[fresh[i]] = found[i+1]
	}
	return found != nil
}

// loose is a pattern for text with "..." in it, whatever the width of its columns.
func loose(text string) string {
	p := strings.ReplaceAll(regexp.QuoteMeta(text), `\.\.\.`, ".*")
	return regexp.MustCompile(" +").ReplaceAllString(p, " +")
}

func (s *story) source(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// patch replaces each run of lines that begin with "-" by the "+" lines after it.
func (s *story) patch(t *testing.T, lines []string) {
	t.Helper()
	source := s.source(t)
	for len(lines) > 0 {
		var before, after string
		for ; len(lines) > 0 && strings.HasPrefix(lines[0], "-"); lines = lines[1:] {
			before += lines[0][1:] + "\n"
		}
		for ; len(lines) > 0 && strings.HasPrefix(lines[0], "+"); lines = lines[1:] {
			after += lines[0][1:] + "\n"
		}
		if before == "" || strings.Count(source, before) != 1 {
			t.Fatalf("main.go has not once, before %q:\n%s", lines, before)
		}
		source = strings.Replace(source, before, after, 1)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "main.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
}
