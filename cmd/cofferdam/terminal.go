package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// Exit codes, for scripts.
const (
	exitDone = iota
	exitFailed
	exitUsage
	exitNotFound
	exitNotAllowed
	exitConflict
	exitUnreachable
)

// terminal is where a verb reads and writes.
type terminal struct {
	in       io.Reader
	out, err io.Writer
}

// usageError is a command line that cannot be meant.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

func usagef(format string, args ...any) error {
	return &usageError{message: fmt.Sprintf(format, args...)}
}

// fail prints an error with all that helps to mend it, and returns the exit code.
func (t terminal) fail(err error) int {
	fmt.Fprintln(t.err, "cofferdam:", message(err))
	if f, ok := errors.AsType[*fault.Error](err); ok {
		if f.Err != nil {
			// It happened in this process, so that whoever reads this is its operator.
			fmt.Fprintln(t.err, "  cause:", strings.ReplaceAll(f.Err.Error(), "\n", " "))
		}
		for _, p := range f.Problems {
			fmt.Fprintf(t.err, "  at %s: %s\n", p.Where, p.Message)
		}
		if f.Hint != "" {
			fmt.Fprintln(t.err, "  hint:", f.Hint)
		}
	}
	return exitCode(err)
}

// message is the user's half of a fault, or the whole of any other error.
func message(err error) string {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok {
		return err.Error()
	}
	text := f.Message
	if f.Where != "" {
		text += " (at " + f.Where + ")"
	}
	return text + " [" + f.Code + "]"
}

func exitCode(err error) int {
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	if _, ok := errors.AsType[*unreachableError](err); ok {
		return exitUnreachable
	}
	f, ok := errors.AsType[*fault.Error](err)
	if !ok {
		return exitFailed
	}
	if f.Code == fault.CodeNotFound {
		return exitNotFound
	}
	switch f.Class {
	case fault.Auth, fault.Denied:
		return exitNotAllowed
	case fault.Conflict:
		return exitConflict
	case fault.Platform:
		return exitUnreachable
	default:
		return exitFailed
	}
}

// show prints v as JSON if -o json is set, and as text writes it otherwise.
func (a *app) show(v any, text func(w io.Writer)) error {
	if a.Output == "json" {
		e := json.NewEncoder(a.out)
		e.SetIndent("", "  ")
		if err := e.Encode(v); err != nil {
			return fmt.Errorf("write the answer: %w", err)
		}
		return nil
	}
	text(a.out)
	return nil
}

// table prints rows under headings, aligned.
func table(w io.Writer, headings []string, rows [][]string) {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, strings.Join(headings, "\t"))
	for _, row := range rows {
		fmt.Fprintln(tw, strings.Join(row, "\t"))
	}
	tw.Flush()
}
