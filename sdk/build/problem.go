package build

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Problem is one thing that is wrong with a project, or worth a warning.
type Problem struct {
	// File is relative to the project where it is inside of it, and has slashes; it
	// is empty for what is about the whole. Line and Column begin at 1; Column counts
	// characters, and both are 0 where there is no place.
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Text   string `json:"text"`
	// Source is the line, and Caret marks the place when it stands beneath.
	Source string `json:"source,omitempty"`
	Caret  string `json:"caret,omitempty"`
	// Notes say more: one line each.
	Notes []string `json:"notes,omitempty"`
	// Hint says what to do about it.
	Hint string `json:"hint,omitempty"`
}

// String is the problem for a terminal, of one or more lines:
//
//	src/connector.ts:12:9: Expected ";" but found "}"
//	  12 |   return }
//	     |          ^
//	  hint: ...
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", p.Line, max(1, p.Column))
		}
		b.WriteString(": ")
	}
	b.WriteString(p.Text)
	if p.Source != "" {
		number := fmt.Sprint(p.Line)
		fmt.Fprintf(&b, "\n  %s | %s\n  %*s | %s", number, p.Source, len(number), "", p.Caret)
	}
	for _, note := range p.Notes {
		b.WriteString("\n  " + note)
	}
	if p.Hint != "" {
		b.WriteString("\n  hint: " + p.Hint)
	}
	return b.String()
}

// Error is a project that cannot be built.
type Error struct {
	// Problems are why; there is at least one.
	Problems []Problem
	// reading says that the sources could not even be read, and loading that they could,
	// and failed when they were run.
	reading, loading bool
}

// Error implements error: all problems, each on lines of its own.
func (e *Error) Error() string {
	texts := make([]string, 0, len(e.Problems))
	for _, p := range e.Problems {
		texts = append(texts, p.String())
	}
	return strings.Join(texts, "\n")
}

// wrong is an Error of one problem that has no place.
func wrong(hint, format string, args ...any) *Error {
	return &Error{Problems: []Problem{{Text: fmt.Sprintf(format, args...), Hint: hint}}}
}

// maxSource is how many characters of a line are shown: minified ones are longer.
const maxSource = 160

// marked has Column, Source and Caret for a place in a line: length bytes from the
// byte at. The line is anybody's, so that what would move the cursor is replaced.
func (p Problem) marked(line string, at, length int) Problem {
	at = min(max(0, at), len(line))
	length = min(max(0, length), len(line)-at)
	p.Column = utf8.RuneCountInString(line[:at]) + 1
	before, marked, after := printable(line[:at]), printable(line[at:at+length]), printable(line[at+length:])
	if n := len(before) - maxSource/2; n > 0 && len(before)+len(marked)+len(after) > maxSource {
		before = append([]rune("… "), before[n:]...)
	}
	room := max(0, maxSource-len(before))
	marked = marked[:min(len(marked), room)]
	after = after[:min(len(after), room-len(marked))]
	p.Source = strings.TrimRightFunc(string(before)+string(marked)+string(after), unicode.IsSpace)
	indent := strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, string(before))
	p.Caret = indent + "^" + strings.Repeat("~", max(0, len(marked)-1))
	return p
}

// printable has a space for each character of s that a terminal would obey, tabs
// excepted.
func printable(s string) []rune {
	out := []rune(strings.ToValidUTF8(s, "\uFFFD"))
	for i, r := range out {
		if r != '\t' && !unicode.IsPrint(r) {
			out[i] = ' '
		}
	}
	return out
}

// plain is a text of somebody else's for a message: of several lines, and printable.
func plain(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRightFunc(string(printable(l)), unicode.IsSpace)
	}
	return strings.Join(lines, "\n")
}
