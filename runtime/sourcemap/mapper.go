// Package sourcemap says where in an author's sources it was that a script failed. A
// plugin that was bundled from TypeScript carries its source map in a custom section;
// its engine's stack traces name lines of the bundle:
//
//	m := sourcemap.New(read)                          // What is in the section.
//	m.Text("at run (connector.js:1:842)")             // at run (src/shop.ts:12:5)
//	m.Details([]byte(`{"stack":"at connector.js:1"}`))
//
// Paths are tidy: they are relative, those of packages begin with node_modules/, and
// the bundler's own, such as its entry, have a namespace and a colon in front.
//
// The section is a stranger's. It is read when the first position is to be mapped; one
// that cannot be read, or is too large, leaves texts as they are, and one that lies
// makes them say nothing worse than a wrong line. Whatever is put into a text can
// stand in the strings of a JSON document.
package sourcemap

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

const (
	// Section is the custom section that holds the source map: JSON, revision 3.
	// https://tc39.es/ecma426/
	Section = "cofferdam.sourcemap"
	// Bundle is the name of the bundle in stack traces.
	Bundle = "connector.js"
)

// maxPositions is how many positions of one text are mapped: a stack trace has tens.
const maxPositions = 256

// Mapper maps positions of one bundle. It is safe for concurrent use. A nil Mapper
// leaves everything as it is.
type Mapper struct {
	read func() ([]byte, error)

	mu     sync.Mutex
	known  bool
	source *sources // Nil when there is none that can be read.
}

// New returns a Mapper of the source map that read returns. It is asked when there is
// something to map, and again after Forget.
func New(read func() ([]byte, error)) *Mapper { return &Mapper{read: read} }

// Forget gives back what was read. It comes again when it is needed.
func (m *Mapper) Forget() {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known, m.source = false, nil
}

// position is how stack traces say one: connector.js:LINE:COLUMN, or without a column.
var position = regexp.MustCompile(regexp.QuoteMeta(Bundle) + `:(\d{1,9})(?::(\d{1,9}))?`)

// Text maps the positions in a text, which may be a JSON document. What is not in the
// map stays as it is.
func (m *Mapper) Text(text string) string {
	if m == nil || !strings.Contains(text, Bundle+":") {
		return text
	}
	s := m.sources()
	if s == nil {
		return text
	}
	var out strings.Builder
	from := 0
	for range maxPositions {
		at := position.FindStringSubmatchIndex(text[from:])
		if at == nil {
			break
		}
		group := func(n int) string {
			if at[2*n] < 0 {
				return ""
			}
			return text[from+at[2*n] : from+at[2*n+1]]
		}
		out.WriteString(text[from : from+at[0]])
		if place, ok := s.place(group(1), group(2)); ok && !within(text, from+at[0]) {
			out.WriteString(place)
		} else {
			out.WriteString(group(0))
		}
		from += at[1]
	}
	out.WriteString(text[from:])
	return out.String()
}

// sources reads the source map once.
func (m *Mapper) sources() *sources {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.known {
		m.known = true
		if text, err := m.read(); err == nil {
			m.source = parse(text)
		}
	}
	return m.source
}

// within says whether the bundle's name at an offset is the end of a longer one, such
// as that of a source that is called src/connector.js.
func within(text string, at int) bool {
	return longer.MatchString(text[max(0, at-2):at])
}

// longer is what a name goes on with to the left; in a JSON document the n of a line
// feed is none of it.
var longer = regexp.MustCompile(`(^|[^\\])[\w.$/-]$|\\[^nrt]$|[^\x00-\x7f]$`)

// place finds what a line, counted from 1, and a column, counted from 1 or empty, were
// made of.
func (s *sources) place(line, column string) (string, bool) {
	l, err := strconv.Atoi(line)
	if err != nil || l == 0 {
		return "", false
	}
	at := math.MaxInt32 // The end of the line: where it begins, the one before may go on.
	if column != "" {
		if at, err = strconv.Atoi(column); err != nil {
			return "", false
		}
		at = max(at-1, 0)
	}
	found, ok := s.lookup(l, at)
	if !ok {
		return "", false
	}
	place := found.name + ":" + strconv.Itoa(found.line)
	if column != "" {
		place += ":" + strconv.Itoa(found.column+1)
	}
	return place, true
}
