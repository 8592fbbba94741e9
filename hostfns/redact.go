package hostfns

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// redacted stands where a secret was.
const redacted = "[redacted]"

// minSecret is the length in bytes below which a secret is not looked for: "a"
// or "123" would eat ordinary text, and is no secret that redaction can save.
const minSecret = 4

// Redactor knows the secrets of one run and removes them from text, as they are
// and in the encodings in which servers echo them: base64 at any alignment,
// hexadecimal, reversed, and any of these escaped for URLs, JSON or HTML, wholly or
// in part, up to three times over, and broken into lines. It cannot know an encoding
// that a server made up. A nil Redactor knows none. It is safe for concurrent use.
type Redactor struct {
	mu    sync.Mutex
	known []string
	// search is nil while there is nothing to look for.
	search atomic.Pointer[search]
}

// NewRedactor returns a Redactor that knows secrets.
func NewRedactor(secrets ...string) *Redactor {
	r := &Redactor{}
	r.Add(secrets...)
	return r
}

// Add makes further secrets known. Those shorter than 4 bytes are ignored.
func (r *Redactor) Add(secrets ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fresh := len(r.known)
	for _, s := range secrets {
		if len(s) >= minSecret && !slices.Contains(r.known, s) {
			r.known = append(r.known, s)
		}
	}
	if len(r.known) == fresh {
		return
	}
	var forms [][]byte
	if before := r.search.Load(); before != nil {
		forms = slices.Clone(before.forms)
	}
	for _, s := range r.known[fresh:] {
		forms = appendForms(forms, s)
	}
	r.search.Store(newSearch(forms))
}

// Forms are secrets as everything that they may appear as, ready to be looked for: made
// once for what many runs use. They hold the secrets.
type Forms struct {
	secrets []string
	search  *search
}

// NewForms returns the Forms of secrets. Those shorter than 4 bytes are ignored.
func NewForms(secrets ...string) *Forms {
	var r Redactor
	r.Add(secrets...)
	return &Forms{secrets: r.known, search: r.search.Load()}
}

// AddForms makes the secrets of f known, as Add does, and in less time.
func (r *Redactor) AddForms(f *Forms) {
	r.mu.Lock()
	first := len(r.known) == 0
	if first {
		r.known = slices.Clip(f.secrets)
		r.search.Store(f.search)
	}
	r.mu.Unlock()
	if !first {
		r.Add(f.secrets...)
	}
}

// Bytes gives b without secrets; b itself, if there are none in it.
func (r *Redactor) Bytes(b []byte) []byte {
	s := r.current()
	if s == nil {
		return b
	}
	if found := s.all(b); len(found) > 0 {
		return without(b, found)
	}
	return b
}

// without gives b with something else in the place of what was found.
func without(b []byte, found []span) []byte {
	out := make([]byte, 0, len(b))
	end := 0
	for _, f := range found {
		out = append(out, b[end:f.start]...)
		out = append(out, redacted...)
		end = f.end
	}
	return append(out, b[end:]...)
}

// String gives s without secrets.
func (r *Redactor) String(s string) string {
	search := r.current()
	// No form of a secret is longer than what hides it.
	if search == nil || len(s) < search.shortest {
		return s
	}
	var few [256]byte // Most are headers: these need no memory of their own.
	b := append(few[:0], s...)
	if found := search.all(b); len(found) > 0 {
		return string(without(b, found))
	}
	return s
}

// JSON gives a JSON document without secrets that is a JSON document still:
// where a secret is a part of a number, the number becomes a string.
func (r *Redactor) JSON(doc json.RawMessage) json.RawMessage {
	out := r.Bytes(doc)
	if len(out) == len(doc) && bytes.Equal(out, doc) || json.Valid(out) {
		return out
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return json.RawMessage(`"` + redacted + `"`)
	}
	out, err := marshal(r.value(v))
	if err != nil {
		return json.RawMessage(`"` + redacted + `"`)
	}
	return out
}

func (r *Redactor) value(v any) any {
	switch v := v.(type) {
	case string:
		return r.String(v)
	case json.Number:
		if s := r.String(v.String()); s != v.String() {
			return s
		}
		return v
	case bool, nil:
		if s := fmt.Sprint(v); r.String(s) != s {
			return redacted
		}
		return v
	case []any:
		for i := range v {
			v[i] = r.value(v[i])
		}
		return v
	case map[string]any:
		clean := make(map[string]any, len(v))
		for k, e := range v {
			clean[r.String(k)] = r.value(e)
		}
		return clean
	default:
		return redacted
	}
}

func (r *Redactor) current() *search {
	if r == nil {
		return nil
	}
	return r.search.Load()
}

// span is a part of a text: from start, before end.
type span struct{ start, end int }

// merge sorts spans and joins those that overlap. Of secrets that overlap nothing is
// left, whichever is found first.
func merge(found []span) []span {
	if len(found) < 2 {
		return found
	}
	slices.SortFunc(found, func(a, b span) int { return a.start - b.start })
	out := found[:0]
	for _, f := range found {
		if last := len(out) - 1; last >= 0 && f.start < out[last].end {
			out[last].end = max(out[last].end, f.end)
			continue
		}
		out = append(out, f)
	}
	return out
}

// marshal encodes v as json.Marshal does, but leaves <, > and & as they are:
// guests are no browsers, and the trace is read by people.
func marshal(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
