package document

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// Problems collects what is wrong with one document. The zero value is none.
type Problems struct {
	all []fault.Problem
}

// Add adds one, at a JSON pointer; the empty one is the document.
func (l *Problems) Add(where, format string, args ...any) {
	l.all = append(l.all, fault.Problem{Where: where, Message: fmt.Sprintf(format, args...)})
}

// Len says how many there are.
func (l *Problems) Len() int { return len(l.all) }

// Err makes one fault of all problems; source names the file or the provider.
func (l *Problems) Err(code, source string) error {
	if len(l.all) == 0 {
		return nil
	}
	first := l.all[0]
	text := source + ": "
	if first.Where != "" {
		text += first.Where + " "
	}
	text += first.Message
	if more := len(l.all) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	f := fault.New(fault.InvalidInput, code, "%s", text).At(first.Where)
	f.Problems = l.all
	return f
}

// Pointer appends a token to a JSON pointer (RFC 6901).
func Pointer(where, token string) string {
	return where + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(token)
}

// Element appends an index to one.
func Element(where string, i int) string { return where + "/" + strconv.Itoa(i) }

// Quoted shows a value of somebody else's, at most 60 bytes of it.
func Quoted(value string) string {
	if len(value) > 60 {
		return strconv.QuoteToASCII(value[:57]+"...") + fmt.Sprintf(" (%d bytes)", len(value))
	}
	return strconv.QuoteToASCII(value)
}

// Or writes alternatives as prose.
func Or(values []string) string {
	if len(values) < 2 {
		return strings.Join(values, "")
	}
	return strings.Join(values[:len(values)-1], ", ") + " or " + values[len(values)-1]
}
