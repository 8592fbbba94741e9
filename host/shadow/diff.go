package shadow

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	// changesMost is how many changes of two documents are looked for.
	changesMost = 32
	// changesShown is how many of them a sample shows, and namedMost how many a key names.
	changesShown = 4
	namedMost    = 4
	// shown is how many bytes of a value are shown.
	shown = 160
)

// changes are the first places in which two JSON documents differ, in the order of
// their members' names. What is no JSON is compared as a whole.
func changes(recorded, now []byte) []Change {
	a, okA := document(recorded)
	b, okB := document(now)
	if !okA || !okB {
		if bytes.Equal(recorded, now) {
			return nil
		}
		return []Change{{Recorded: cut(string(recorded)), Now: cut(string(now))}}
	}
	d := differ{}
	d.compare("", a, b)
	return d.found
}

func document(text []byte) (any, bool) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil, false
	}
	_, err := d.Token()
	return v, errors.Is(err, io.EOF)
}

// differ collects changes.
type differ struct{ found []Change }

// absent stands for what is not there.
type absent struct{}

func (d *differ) compare(at string, a, b any) {
	if len(d.found) == changesMost {
		return
	}
	switch was := a.(type) {
	case map[string]any:
		if is, ok := b.(map[string]any); ok {
			d.members(at, was, is)
			return
		}
	case []any:
		if is, ok := b.([]any); ok {
			d.elements(at, was, is)
			return
		}
	case string:
		// The body of a request is a document in a string.
		if is, ok := b.(string); ok && was != is && d.inside(at, was, is) {
			return
		}
	}
	if !reflect.DeepEqual(a, b) {
		d.found = append(d.found, Change{Where: at, Recorded: text(a), Now: text(b)})
	}
}

func (d *differ) members(at string, a, b map[string]any) {
	names := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		d.compare(at+"/"+escape(name), member(a, name), member(b, name))
	}
}

func member(m map[string]any, name string) any {
	if v, ok := m[name]; ok {
		return v
	}
	return absent{}
}

func (d *differ) elements(at string, a, b []any) {
	for i := range max(len(a), len(b)) {
		d.compare(at+"/"+strconv.Itoa(i), element(a, i), element(b, i))
	}
}

func element(s []any, i int) any {
	if i < len(s) {
		return s[i]
	}
	return absent{}
}

// inside compares two strings that hold objects or lists.
func (d *differ) inside(at, a, b string) bool {
	if !holds(a) || !holds(b) {
		return false
	}
	was, okA := document([]byte(a))
	is, okB := document([]byte(b))
	if !okA || !okB || reflect.DeepEqual(was, is) {
		return false // They differ as texts only.
	}
	d.compare(at, was, is)
	return true
}

func holds(s string) bool { return strings.HasPrefix(s, "{") || strings.HasPrefix(s, "[") }

// escape is RFC 6901's.
func escape(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

// text is a value as JSON, cut.
func text(v any) string {
	if v == (absent{}) {
		return ""
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return "" // It came from JSON.
	}
	return cut(strings.TrimSuffix(b.String(), "\n"))
}

// cut shortens what is shown.
func cut(s string) string {
	if len(s) > shown {
		s = s[:shown] + "..."
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// pointers names the places of changes, with * for elements and for names that look
// like ids, so that executions that differ alike have the same.
func pointers(all []Change) string {
	var names []string
	for _, c := range all {
		parts := strings.Split(c.Where, "/")
		for i, p := range parts {
			if pattern(strings.NewReplacer("~0", "~", "~1", "/").Replace(p)) == "*" {
				parts[i] = "*"
			}
		}
		name := strings.Join(parts, "/")
		if name == "" {
			name = "the whole"
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	more := ""
	if n := len(names) - namedMost; n > 0 {
		names, more = names[:namedMost], " and more"
	}
	return strings.Join(names, ", ") + more
}

// pattern is a part of a path or pointer, * for one that looks like an id.
func pattern(part string) string {
	const longest = 40
	if len(part) > longest || strings.ContainsAny(part, "0123456789@%") && !versionPart.MatchString(part) {
		return "*"
	}
	return part
}

// versionPart is the part of a path such as /v2.
var versionPart = regexp.MustCompile(`^v[0-9]{1,2}$`)
