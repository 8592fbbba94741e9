package manifest

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong with a manifest.
type Problem struct {
	// Where is a JSON pointer (RFC 6901) into the manifest; empty is all of it.
	Where string `json:"where"`
	// Message says what is wrong, and what would be right.
	Message string `json:"message"`
}

// Errors is all that is wrong with a manifest. It is never empty.
type Errors []Problem

// Error implements error.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = p.Message
		if p.Where != "" {
			lines[i] = p.Where + ": " + p.Message
		}
	}
	return strings.Join(lines, "; ")
}

// maxProblems is how many problems are listed: enough to mend a manifest by
// hand, and little enough to show in a terminal.
const maxProblems = 50

// list gathers problems, up to the cap.
type list struct{ all Errors }

func (l *list) add(where, format string, args ...any) {
	if len(l.all) < maxProblems {
		l.all = append(l.all, Problem{Where: where, Message: fmt.Sprintf(format, args...)})
	}
}

// err is Errors, or nil where there is no problem.
func (l *list) err() error {
	if len(l.all) == 0 {
		return nil
	}
	return l.all
}

// pointer appends a token to a JSON pointer.
func pointer(where string, token any) string {
	t := fmt.Sprint(token)
	return where + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(t)
}
