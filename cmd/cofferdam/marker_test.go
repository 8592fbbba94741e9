package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// marker is a word that is in all canaries of a kind, and what looks for it in
// whatever form it may have been written. Its letters and digits need no escaping: what
// merely escapes for a URL or for JSON leaves it as it is.
type marker struct {
	word  string
	forms []form
}

type form struct {
	name  string
	bytes []byte
}

func newMarker(kind string) marker {
	m := marker{word: kind + rand.Text()[:14]}
	add := func(name, as string) { m.forms = append(m.forms, form{name, []byte(as)}) }
	add("raw", m.word)
	for _, alphabet := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			add(fmt.Sprintf("base64 at %d", before), within64(alphabet, m.word, before))
		}
	}
	digits := hex.EncodeToString([]byte(m.word))
	add("hex", digits)
	add("HEX", strings.ToUpper(digits))
	for i, prefix := range []string{"%", `\u00`, `\x`} {
		var low, high strings.Builder
		for pair := range slices.Chunk([]byte(digits), 2) {
			low.WriteString(prefix + string(pair))
			high.WriteString(prefix + strings.ToUpper(string(pair)))
		}
		name := []string{"percent", "JSON escape", "escape"}[i]
		add(name, low.String())
		add(name, high.String())
	}
	var wide []byte
	for _, u := range utf16.Encode([]rune(m.word)) {
		wide = append(wide, byte(u), byte(u>>8))
	}
	add("UTF-16", string(wide))
	backward := []byte(m.word)
	slices.Reverse(backward)
	add("reversed", string(backward))
	return m
}

// within64 is what base64 makes of a word wherever so many bytes, modulo 3, are before
// it: the digits that depend on nothing else.
func within64(alphabet *base64.Encoding, word string, before int) string {
	digits := alphabet.EncodeToString(append(make([]byte, before), word...))
	return digits[(before*8+5)/6 : (before+len(word))*8/6]
}

// of is a canary.
func (m *marker) of(tenant int, what string) string {
	return fmt.Sprintf("%s%02d%s", m.word, tenant, what)
}

// exactly has it look for some bytes, too, such as a key's.
func (m *marker) exactly(name string, b []byte) { m.forms = append(m.forms, form{name, b}) }

// in says where a canary is in b: the first of each form.
func (m *marker) in(b []byte) (hits []string) {
	for i, at := range firsts(b, m.forms) {
		if f := m.forms[i]; at >= 0 {
			around := b[max(0, at-60):min(len(b), at+len(f.bytes)+40)]
			hits = append(hits, fmt.Sprintf("%s at %d of %d: %q", f.name, at, len(b), around))
		}
	}
	return hits
}

// blockBytes is how many bytes are looked up at once.
const blockBytes = 8

// sample is a block of a form, and where in it.
type sample struct{ form, at int }

// firsts is where each form is first in b, or -1. All are looked for in one pass, which
// looks up each block at a multiple of its length: what is no shorter than two blocks
// has one of its first in one of those, wherever it begins.
func firsts(b []byte, forms []form) []int {
	found := slices.Repeat([]int{-1}, len(forms))
	samples := map[uint64][]sample{}
	// maybe has a bit for each hash of a block: nearly all blocks are of no form.
	var maybe [1 << 16]bool
	hash := func(v uint64) uint64 { return v * 0x9e3779b97f4a7c15 >> 48 }
	for i, f := range forms {
		if len(f.bytes) < 2*blockBytes {
			found[i] = bytes.Index(b, f.bytes)
			continue
		}
		for at := range blockBytes {
			v := binary.LittleEndian.Uint64(f.bytes[at:])
			samples[v] = append(samples[v], sample{i, at})
			maybe[hash(v)] = true
		}
	}
	for from := 0; from+blockBytes <= len(b); from += blockBytes {
		v := binary.LittleEndian.Uint64(b[from:])
		if !maybe[hash(v)] {
			continue
		}
		for _, s := range samples[v] {
			begin := from - s.at
			if begin >= 0 && (found[s.form] < 0 || begin < found[s.form]) && bytes.HasPrefix(b[begin:], forms[s.form].bytes) {
				found[s.form] = begin
			}
		}
	}
	return found
}

// none wants no canary in what is named.
func (m *marker) none(t *testing.T, what string, b []byte) {
	t.Helper()
	for _, hit := range m.in(b) {
		t.Errorf("%s shows a canary: %s", what, hit)
	}
}

// some wants one: the search is of what it says that it is.
func (m *marker) some(t *testing.T, what string, b []byte) {
	t.Helper()
	if !bytes.Contains(b, []byte(m.word)) {
		t.Errorf("%s, %d bytes, does not have the word that is there for the search to find", what, len(b))
	}
}

func TestMarkersAreFound(t *testing.T) {
	t.Parallel()
	m := newMarker("canary")
	canary := m.of(7, `"/ é`)
	var percent, escaped strings.Builder
	for _, c := range []byte(canary) {
		fmt.Fprintf(&percent, "%%%02X", c)
		fmt.Fprintf(&escaped, `\u%04x`, c)
	}
	for name, text := range map[string]string{
		"raw": canary, "hex": hex.EncodeToString([]byte(canary)), "HEX": fmt.Sprintf("%X", canary),
		"percent": percent.String(), "JSON": escaped.String(), "quoted": fmt.Sprintf("%q", canary),
	} {
		if len(m.in([]byte("before "+text+" after"))) == 0 {
			t.Errorf("%s is not found", name)
		}
	}
	for before := range 7 {
		for _, alphabet := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding} {
			text := alphabet.EncodeToString([]byte(strings.Repeat("b", before) + canary + "after"))
			if len(m.in([]byte(text))) == 0 {
				t.Errorf("base64 after %d bytes is not found", before)
			}
		}
	}
	if hits := m.in([]byte(strings.ToLower(m.word) + newMarker("canary").word)); len(hits) > 0 {
		t.Errorf("found where it is not: %v", hits)
	}
}

func TestFormsAreFoundWhereverTheyAre(t *testing.T) {
	t.Parallel()
	forms := []form{
		{"short", []byte("abc")},
		{"a block less one", []byte("0123456")},
		{"two blocks less one", []byte("abcdabcdabcdabc")},
		{"two blocks", []byte("abcdabcdabcdabcd")},
		{"begins alike", []byte("abcdabcdabcdabcdx")},
		{"repeats", bytes.Repeat([]byte("x"), 20)},
		{"long", []byte("the quick brown fox jumps over the lazy dog")},
	}
	check := func(b []byte) {
		t.Helper()
		for i, got := range firsts(b, forms) {
			if want := bytes.Index(b, forms[i].bytes); got != want {
				t.Errorf("%s is at %d of %q, want %d", forms[i].name, got, b, want)
			}
		}
	}
	check(nil)
	for _, f := range forms {
		for before := range 3 * blockBytes {
			for after := range blockBytes + 1 {
				b := slices.Concat(bytes.Repeat([]byte("."), before), f.bytes, bytes.Repeat([]byte("."), after))
				check(b)
				check(append(b, b...))
				check(b[:len(b)-after-1]) // Cut off.
			}
		}
	}
	for range 2_000 {
		var b []byte
		for range mathrand.IntN(8) {
			f := forms[mathrand.IntN(len(forms))].bytes
			b = append(b, f[mathrand.IntN(len(f)):]...)
			b = append(b, f[:mathrand.IntN(len(f)+1)]...)
		}
		check(b)
	}
}
