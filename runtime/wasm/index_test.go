package wasm_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

func TestIndicesInCodeAreInRange(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		// before and after are the code around the index.
		before, after string
		what          string
		count         int
	}{
		{"block", "\x02", end, "type", 3},
		{"loop", "\x03", end, "type", 3},
		{"if", "\x04", end, "type", 3},
		{"br", "\x0c", "", "label", 1},
		{"br in two blocks", "\x02\x40\x03\x40\x0c", end + end, "label", 3},
		{"br after a block", "\x02\x40\x0b\x0c", "", "label", 1},
		{"br_if", "\x0d", "", "label", 1},
		{"br_table", "\x0e\x02\x00", "\x00", "label", 1},
		{"br_table's default", "\x0e\x01\x00", "", "label", 1},
		{"call", "\x10", "", "function", 2},
		{"call_indirect's type", "\x11", "\x00", "type", 3},
		{"call_indirect's table", "\x11\x00", "", "table", 2},
		{"local.get", "\x20", "", "local", 2},
		{"local.set", "\x21", "", "local", 2},
		{"local.tee", "\x22", "", "local", 2},
		{"global.get", "\x23", "", "global", 2},
		{"global.set", "\x24", "", "global", 2},
		{"table.get", "\x25", "", "table", 2},
		{"table.set", "\x26", "", "table", 2},
		{"ref.func", "\xd2", "", "function", 2},
		{"memory.init", "\xfc\x08", "\x00", "data segment", 1},
		{"data.drop", "\xfc\x09", "", "data segment", 1},
		{"table.init's elements", "\xfc\x0c", "\x00", "element segment", 1},
		{"table.init's table", "\xfc\x0c\x00", "", "table", 2},
		{"elem.drop", "\xfc\x0d", "", "element segment", 1},
		{"table.copy's destination", "\xfc\x0e", "\x00", "table", 2},
		{"table.copy's source", "\xfc\x0e\x00", "", "table", 2},
		{"table.grow", "\xfc\x0f", "", "table", 2},
		{"table.size", "\xfc\x10", "", "table", 2},
		{"table.fill", "\xfc\x11", "", "table", 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if _, err := wasm.Decode(withCode(test.before+leb(test.count-1)+test.after), wasm.Limits{}); err != nil {
				t.Errorf("the last %s: got %v", test.what, err)
			}
			for _, index := range []int{test.count, test.count + 1, 64, 1 << 20, 1<<32 - 1} {
				_, err := wasm.Decode(withCode(test.before+positive(index)+test.after), wasm.Limits{})
				want := fmt.Sprintf("function 1: %s %d is not defined: there are %d", test.what, index, test.count)
				if err == nil || !strings.HasSuffix(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
		})
	}
}

// positive encodes an index so that it is one also where numbers have a sign.
func positive(index int) string {
	b := leb(index)
	if last := len(b) - 1; b[last]&0x40 != 0 {
		b = b[:last] + string([]byte{b[last] | 0x80, 0})
	}
	return b
}

func TestIndicesInSectionsAreInRange(t *testing.T) {
	t.Parallel()
	// Each module is everything that comes before the section, and the section.
	for _, test := range []struct {
		name     string
		sections int
		id       byte
		// before and after are what is around the index.
		before, after string
		what          string
		count         int
	}{
		{"an import's type", 1, 2, "\x01\x01m\x01f\x00", "", "type", 3},
		{"an exported function", 6, 7, "\x01\x01e\x00", "", "function", 2},
		{"an exported table", 6, 7, "\x01\x01e\x01", "", "table", 2},
		{"an exported memory", 6, 7, "\x01\x01e\x02", "", "memory", 1},
		{"an exported global", 6, 7, "\x01\x01e\x03", "", "global", 2},
		{"the table of elements", 6, 9, "\x01\x02", zero + "\x00\x00", "table", 2},
		{"an element", 6, 9, "\x01\x01\x00\x01", "", "function", 2},
		{"an element that is an expression", 6, 9, "\x01\x05\x70\x01\xd2", end, "function", 2},
		{"the offset of elements", 6, 9, "\x01\x00\x23", "\x0b\x00", "global", 1},
		{"the offset of data", 6, 11, "\x01\x00\x23", "\x0b\x00", "global", 1},
		{"the value of a global", 5, 6, "\x01\x7f\x00\x23", end, "global", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			with := func(index int) []byte {
				parts := append(everything()[:test.sections:test.sections], section(test.id, test.before+leb(index)+test.after))
				if test.sections > 2 { // The code of the function.
					code := section(10, vector(body(noLocals, "")))
					parts = append(parts, code)
					if test.id == 11 {
						parts[len(parts)-2], parts[len(parts)-1] = parts[len(parts)-1], parts[len(parts)-2]
					}
				}
				return module(parts...)
			}
			if _, err := wasm.Decode(with(test.count-1), wasm.Limits{}); err != nil {
				t.Errorf("the last %s: got %v", test.what, err)
			}
			for _, index := range []int{test.count, 1 << 20, 1<<32 - 1} {
				_, err := wasm.Decode(with(index), wasm.Limits{})
				if err == nil || !isOutOfRange(err, test.what, index) {
					t.Errorf("got %v, want %s %d to be refused", err, test.what, index)
				}
			}
		})
	}
}

// isOutOfRange also takes the refusal of the module's own global in an expression,
// which begins where the imported ones end.
func isOutOfRange(err error, what string, index int) bool {
	return strings.Contains(err.Error(), fmt.Sprintf("%s %d is not defined", what, index)) ||
		strings.Contains(err.Error(), "global 1 in a constant expression can change")
}
