package build

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/sourcemap"
)

// failed says where in the sources it was that loading them, or describing the
// connector, failed.
func (s *scripts) failed(err error, m made) error {
	if failure, ok := errors.AsType[*runtime.Failure](err); ok {
		return s.thrown(failure, m)
	}
	if invalid, ok := errors.AsType[*runtime.InvalidModule](err); ok && invalid.Code == "module_too_large" {
		e := wrong(hintSmaller, "what the bundle leaves in memory is too much: %s", plain(invalid.Message))
		e.Problems[0].Notes = m.bundle.largest()
		return e
	}
	err = judged(err)
	if wrong, ok := errors.AsType[*Error](err); ok {
		for i := range wrong.Problems {
			wrong.Problems[i].File = s.project.entry
		}
	}
	return err
}

// thrown is about a script that failed.
func (s *scripts) thrown(failure *runtime.Failure, m made) *Error {
	stack := frames(stackOf(failure), m.sourceMap)
	p := Problem{File: s.project.entry, Text: plain(failure.Message), Notes: stack, Hint: hintOf(failure)}
	for _, frame := range stack {
		if where, ok := place(frame); ok {
			p.File = where.File
			p = p.at(s.project.root, where.Line, where.Column)
			break
		}
	}
	switch {
	case failure.Code == runtime.CodeFuelExhausted:
		p.Text = fmt.Sprintf("loading the connector used up its %d units of fuel: what it does before it is ready does not end, or is too much", s.options.Limits.Fuel)
	case stackOf(failure) == "" && p.Hint == "":
		p.Text = "loading the connector failed: " + p.Text
		p.Hint = "if something is thrown there, throw an Error: it knows where"
	}
	return &Error{Problems: []Problem{p}, loading: true}
}

// hintOf is what to do about the ways in which loading fails.
func hintOf(f *runtime.Failure) string {
	switch f.Code {
	case runtime.CodeFuelExhausted, runtime.CodeDeadlineExceeded:
		return "what stands outside of functions runs once, when the connector is built: do long work in an action, a webhook or a poll"
	case runtime.CodeMemoryExceeded:
		return "what stands outside of functions is in each sandbox's memory: leave out data and packages that are not needed"
	default:
		return ""
	}
}

// position is a place in the author's own files, in a stack trace that names them.
var position = regexp.MustCompile(`([^\s()]+):(\d+):(\d+)\)?$`)

// place reads a frame of a stack trace; ok is false where it is in a package.
func place(frame string) (where Problem, ok bool) {
	m := position.FindStringSubmatch(frame)
	if m == nil || strings.Contains(m[1], "node_modules/") || strings.HasPrefix(m[1], sourcemap.Bundle) {
		return where, false
	}
	where.File = m[1]
	where.Line, _ = strconv.Atoi(m[2]) // They are digits.
	where.Column, _ = strconv.Atoi(m[3])
	return where, true
}

// maxFrames is how many lines of a stack trace are shown.
const maxFrames = 10

// frames are the lines of a stack trace that name sources, without those of the SDK. Of
// frames that repeat one another only the first is shown.
func frames(stack string, sourceMap []byte) []string {
	var lines []string
	m := sourcemap.New(func() ([]byte, error) { return sourceMap, nil })
	for line := range strings.Lines(m.Stack(stack)) {
		line = strings.TrimSpace(plain(line))
		again := len(lines) > 0 && lines[len(lines)-1] == line
		ours := strings.Contains(line, entryPoint) || strings.Contains(line, "node_modules/"+sdkPackage+"/")
		if position.MatchString(line) && !ours && !again && len(lines) < maxFrames {
			lines = append(lines, line)
		}
	}
	return lines
}
