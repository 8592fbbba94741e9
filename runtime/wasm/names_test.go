package wasm_test

import (
	"encoding/binary"
	"maps"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

func TestNames(t *testing.T) {
	t.Parallel()
	two := functions(body(noLocals, ""), body(noLocals, ""))
	for _, test := range []struct {
		name, section string
		want          map[uint32]string
	}{
		{"none", "", nil},
		{"two", names("\x00\x01a", "\x01\x06b\u00fcber"), map[uint32]string{0: "a", 1: "b\u00fcber"}},
		{"one", names("\x01\x00"), map[uint32]string{1: ""}},
		{"behind the module's", section(0, "\x04name\x00\x02\x01m\x01\x04\x01\x00\x01a\x02\x01\x00"), map[uint32]string{0: "a"}},
		{"of functions that are not there", names("\x00\x01a", "\x02\x01b"), map[uint32]string{0: "a"}},
		{"more than functions", names("\x00\x01a", "\x01\x01b", "\x02\x01c"), nil},
		{"in the first of two sections", names("\x00\x01a") + names("\x00\x01b"), map[uint32]string{0: "a"}},
		{"not UTF-8", names("\x00\x01a", "\x01\x01\xff"), nil},
		{"without an end", section(0, "\x04name\x01\x04\x01\x00\xff\x01"), nil},
		{"a subsection without an end", section(0, "\x04name\x01\xff\x01\x01"), nil},
		{"a count without an end", section(0, "\x04name\x01\x05\xff\xff\xff\xff\x0f"), nil},
		{"an empty section", section(0, "\x04name"), nil},
		{"another section", section(0, "\x05names\x01\x04\x01\x00\x01a"), nil},
		{"too long", names("\x00\xc8\x01" + strings.Repeat("a", 200)), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			// They may lie anywhere.
			for _, binary := range []string{string(two) + test.section, wasm.Header + test.section + string(two[8:])} {
				m := roundTrip(t, []byte(binary), wasm.Limits{NameBytes: 100})
				if diff := cmp.Diff(test.want, m.Names); diff != "" {
					t.Errorf("names differ (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestALongNameIsCut(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("\u00fc", 600) // 1,200 bytes, and a kilobyte ends within a letter when one comes before.
	for _, name := range []string{long, "x" + long} {
		size := string(binary.AppendUvarint(nil, uint64(len(name))))
		m := roundTrip(t, append(functions(body(noLocals, "")), names("\x00"+size+name)...), wasm.Limits{})
		got := m.Names[0]
		if len(got) > 1<<10 || len(got) < 1<<10-1 || !strings.HasPrefix(name, got) || !utf8.ValidString(got) {
			t.Errorf("got %d bytes of %d: %q", len(got), len(name), got)
		}
	}
}

func TestNamesMoveWithTheirFunctions(t *testing.T) {
	t.Parallel()
	m, err := wasm.Decode(append(functions(body(noLocals, ""), body(noLocals, "\x10\x00")), names("\x00\x01a", "\x01\x01b")...), wasm.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	// A function is imported: the others are one further on.
	m.Imports = append(m.Imports, wasm.Import{Module: "m", Name: "f", Kind: wasm.KindFunction})
	m.Names = maps.Collect(func(yield func(uint32, string) bool) {
		for index, name := range m.Names {
			if !yield(index+1, name) {
				return
			}
		}
	})
	again := roundTrip(t, m.Encode(), wasm.Limits{})
	if diff := cmp.Diff(map[uint32]string{1: "a", 2: "b"}, again.Names); diff != "" {
		t.Errorf("names differ (-want +got):\n%s", diff)
	}
}

func TestCustomSectionsAreDropped(t *testing.T) {
	t.Parallel()
	plain := functions(body(noLocals, ""))
	m, err := wasm.Decode(append(plain, section(0, "\x04rest"+strings.Repeat("x", 1000))...), wasm.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := m.Encode(), plain; string(got) != string(want) {
		t.Errorf("got %x, want %x", got, want)
	}
}
