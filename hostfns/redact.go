package hostfns

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// redacted stands where a secret was.
const redacted = "[redacted]"

// minSecret is the length in bytes below which a secret is not looked for: "a"
// or "123" would eat ordinary text, and is no secret that redaction can save.
const minSecret = 4

// Redactor knows the secrets of one run and removes them from text, as they are
// and in the encodings in which servers echo them: base64 at any alignment,
// hexadecimal, URL and JSON escapes, reversed. It cannot know an encoding that
// a server made up. A nil Redactor knows none. It is safe for concurrent use.
type Redactor struct {
	mu    sync.RWMutex
	known map[string]bool
	// forms are what is looked for, longest first, so that a form that is part
	// of another leaves no rest of it behind.
	forms [][]byte
}

// NewRedactor returns a Redactor that knows secrets.
func NewRedactor(secrets ...string) *Redactor {
	r := &Redactor{known: map[string]bool{}}
	r.Add(secrets...)
	return r
}

// Add makes further secrets known. Those shorter than 4 bytes are ignored.
func (r *Redactor) Add(secrets ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	forms := r.forms
	for _, s := range secrets {
		if len(s) < minSecret || r.known[s] {
			continue
		}
		r.known[s] = true
		forms = append(slices.Clip(forms), formsOf(s)...)
	}
	slices.SortStableFunc(forms, func(a, b []byte) int {
		if c := cmp.Compare(len(b), len(a)); c != 0 {
			return c
		}
		return bytes.Compare(a, b)
	})
	r.forms = slices.CompactFunc(forms, bytes.Equal)
}

// Bytes gives b without secrets; b itself, if there are none in it.
func (r *Redactor) Bytes(b []byte) []byte {
	for _, form := range r.list() {
		if bytes.Contains(b, form) {
			b = bytes.ReplaceAll(b, form, []byte(redacted))
		}
	}
	return b
}

// String gives s without secrets.
func (r *Redactor) String(s string) string {
	for _, form := range r.list() {
		s = strings.ReplaceAll(s, string(form), redacted)
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

func (r *Redactor) list() [][]byte {
	if r == nil {
		return nil
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.forms
}

// formsOf gives the texts that secret may appear as.
func formsOf(secret string) [][]byte {
	raw := []byte(secret)
	reversed := slices.Clone(raw)
	slices.Reverse(reversed)
	hexed := hex.EncodeToString(raw)
	forms := [][]byte{
		raw, reversed, []byte(hexed), []byte(strings.ToUpper(hexed)),
		percent(raw, "0123456789ABCDEF"), percent(raw, "0123456789abcdef"),
	}
	for _, escaped := range []string{url.QueryEscape(secret), url.PathEscape(secret)} {
		forms = append(forms, []byte(escaped), lowerEscapes(escaped))
	}
	forms = append(forms, jsonForms(secret)...)
	for offset := range 3 {
		for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			// 8 characters are 48 bits: fewer would turn up in any longer body
			// of base64 by chance.
			if form := aligned(enc, raw, offset); len(form) >= 8 {
				forms = append(forms, form)
			}
		}
	}
	forms = append(forms, []byte(base64.StdEncoding.EncodeToString(raw)), []byte(base64.URLEncoding.EncodeToString(raw)))
	return slices.DeleteFunc(forms, func(f []byte) bool { return len(f) < minSecret })
}

// jsonForms gives secret as JSON writes it inside a string, with the escapes
// that Go adds for HTML and without, with escaped slashes, and escaped twice:
// for a document inside a document.
func jsonForms(secret string) [][]byte {
	plain, html := jsonInner(secret, false), jsonInner(secret, true)
	return [][]byte{
		[]byte(plain), []byte(html), []byte(strings.ReplaceAll(plain, "/", `\/`)),
		[]byte(jsonInner(plain, false)), []byte(jsonInner(html, false)),
	}
}

func jsonInner(s string, html bool) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(html)
	if err := e.Encode(s); err != nil {
		return s
	}
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSuffix(b.String(), "\n"), `"`), `"`)
}

// aligned gives the characters of base64 that raw alone decides when offset
// bytes come before it and anything after it: character i holds the bits from
// 6i to 6i+5, and raw's run from 8*offset to 8*(offset+len(raw)).
func aligned(enc *base64.Encoding, raw []byte, offset int) []byte {
	padded := append(make([]byte, offset), raw...)
	encoded := enc.EncodeToString(padded)
	first := (8*offset + 5) / 6
	last := 8 * len(padded) / 6
	return []byte(encoded[first:last])
}

func percent(raw []byte, digits string) []byte {
	out := make([]byte, 0, 3*len(raw))
	for _, c := range raw {
		out = append(out, '%', digits[c>>4], digits[c&15])
	}
	return out
}

// lowerEscapes turns %2F into %2f and leaves the rest.
func lowerEscapes(s string) []byte {
	out := []byte(s)
	for i := 0; i+2 < len(out); i++ {
		if out[i] == '%' {
			copy(out[i+1:i+3], bytes.ToLower(out[i+1:i+3]))
		}
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
