package wasm_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

func TestDecodeSaysWhatIsWrongAndWhere(t *testing.T) {
	t.Parallel()
	const header = wasm.Header
	for _, test := range []struct {
		name, binary, says string
	}{
		{"nothing", "", "byte 0: the header \"\""},
		{"no header", "\x00asm", "header"},
		{"text", "(module)", "header \"(module)\""},
		{"another version", "\x00asm\x02\x00\x00\x00", "version 1"},
		{"a section beyond the end", header + "\x01\x05\x00", "byte 10: unexpected end"},
		{"a length without an end", header + "\x01\x80\x80\x80\x80\x80\x00", "longer than 5 bytes"},
		{"a length over 32 bits", header + "\x01\xff\xff\xff\xff\x7f", "over 32 bits"},
		{"an unknown section", header + "\x0f\x01\x00", "byte 8: section 15 is unknown"},
		{"two type sections", header + "\x01\x01\x00\x01\x01\x00", "byte 11: there is a second type section"},
		{"sections out of order", header + "\x03\x01\x00\x01\x01\x00", "byte 11: the type section is out of order"},
		{"a data count after the code", string(module(section(10, "\x00"), section(12, "\x00"))), "the data count section is out of order"},
		{"elements after the data count", string(module(section(12, "\x00"), section(9, "\x00"))), "the element section is out of order"},
		{"a section that goes on", header + "\x01\x02\x00\x00", "byte 11 in the type section: the section goes on for 1 bytes"},
		{"a custom section's name without an end", header + "\x00\x05\xff\xff\xff\xff\x0f", "custom section: unexpected end"},
		{"a custom section's name that is not UTF-8", header + "\x00\x02\x01\xff", "is not UTF-8"},

		{"more types than there are", header + "\x01\x05\xff\xff\xff\xff\x0f", "type section: unexpected end: 4294967295 entries in 0 bytes"},
		{"a type that is no function's", header + section(1, "\x01\x61\x00\x00"), "byte 11 in the type section: type form 0x61"},
		{"an unknown value type", header + section(1, "\x01\x60\x01\x01\x00"), "value type 0x1 is unknown"},
		{"parameters without an end", header + section(1, "\x01\x60\xff\xff\xff\xff\x0f"), "unexpected end"},

		{"an import of an unknown kind", header + section(2, "\x01\x00\x00\x09\x00"), "byte 13 in the import section: import kind 9"},
		{"an import of an unknown type", header + section(2, "\x01\x00\x00\x00\x00"), "type 0 is not defined: there are 0"},
		{"an import's name that is not UTF-8", header + section(2, "\x01\x01\xff\x00\x00\x00"), `name "\xff" is not UTF-8`},
		{"an import's name with NUL", header + section(2, "\x01\x05\x00fuel\x00\x00\x00"), `name "\x00fuel" has a NUL`},
		{"an export's name with NUL", header + section(5, "\x01\x00\x01") + section(7, "\x01\x03a\x00b\x02\x00"), `name "a\x00b" has a NUL`},

		{"a function of an unknown type", header + section(3, "\x01\x00"), "function section: type 0 is not defined"},
		{"a table of numbers", header + section(4, "\x01\x7f\x00\x01"), "i32 is not a reference type"},
		{"a table of something", header + section(4, "\x01\x02\x00\x01"), "value type 0x2"},
		{"a table with a maximum below its minimum", header + section(4, "\x01\x70\x01\x02\x01"), "maximum of 1 is below the minimum of 2"},
		{"a memory with a maximum below its minimum", header + section(5, "\x01\x01\x02\x01"), "maximum of 1 is below the minimum of 2"},
		{"a memory above 4 GiB", header + section(5, "\x01\x00\x81\x80\x04"), "65537 pages is above the 65536"},
		{"a memory that may grow above 4 GiB", header + section(5, "\x01\x01\x00\x81\x80\x04"), "65537 pages is above the 65536"},
		{"a memory with unknown flags", header + section(5, "\x01\x10\x00"), "flags 0x10"},

		{"a global of an unknown mutability", header + section(6, "\x01\x7f\x02"+zero), "mutability 0x2"},
		{"a global of another type", header + section(6, "\x01\x7e\x00"+zero), "gives i32 instead of i64"},
		{"a constant with two values", header + section(6, "\x01\x7f\x00\x41\x00\x41\x00\x0b"), "a second instruction, 0x41"},
		{"a constant with none", header + section(6, "\x01\x7f\x00\x0b"+zero), "instruction 0xb cannot be"},
		{"a constant that calls", header + section(6, "\x01\x7f\x00\x10\x00\x0b"), "instruction 0x10 cannot be"},
		{"a constant that is a vector operation", header + section(6, "\x01\x7b\x00\xfd\x0d\x0b"), "instruction 0xfd 0xd cannot be"},
		{"a constant without an end", header + section(6, "\x01\x7f\x00\x41\x00"), "unexpected end"},
		{"a constant over 32 bits", header + section(6, "\x01\x7f\x00\x41\xff\xff\xff\xff\x0f\x0b"), "over 32 bits"},
		{"a constant over 64 bits", header + section(6, "\x01\x7e\x00\x42\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x0b"), "over 64 bits"},
		{"a constant that is too long", header + section(6, "\x01\x7f\x00\x41\x80\x80\x80\x80\x80\x00\x0b"), "longer than 5 bytes"},
		{"a constant from a global that changes", header + section(2, "\x01\x01m\x01g\x03\x7f\x01") + section(6, "\x01\x7f\x00\x23\x00\x0b"), "global 0 in a constant expression can change"},

		{"an export of an unknown kind", header + section(7, "\x01\x00\x09\x00"), "export kind 9"},
		{"two exports of a name", header + section(5, "\x01\x00\x01") + section(7, "\x02\x01a\x02\x00\x01a\x02\x00"), `byte 20 in the export section: there is a second export "a"`},
		{"a start function that takes values", string(module(append(everything()[:6:6], section(8, "\x01"))...)), "start function 1 takes or gives values"},

		{"elements of unknown flags", header + section(9, "\x01\x08\x00\x00"), "flags 0x8"},
		{"elements of an unknown kind", header + section(9, "\x01\x01\x01\x00"), "element kind 0x1"},
		{"elements for no table", header + section(9, "\x01\x00"+zero+"\x00"), "table 0 is not defined"},
		{"elements for a table of another type", header + section(4, "\x01\x6f\x00\x01") + section(9, "\x01\x00"+zero+"\x00"), "elements of funcref are for table 0 of externref"},
		{"elements that are not references", header + section(9, "\x01\x05\x7f\x00"), "i32 is not a reference type"},
		{"elements of another type", header + section(9, "\x01\x05\x6f\x01\xd0\x70\x0b"), "gives funcref instead of externref"},
		{"elements without an end", header + section(9, "\x01\x01\x00\xff\xff\xff\xff\x0f\x00"), "unexpected end"},
		{"element expressions without an end", header + section(9, "\x01\x05\x70\xff\xff\xff\xff\x0f"), "unexpected end"},

		{"data of unknown flags", header + section(11, "\x01\x03\x00"), "flags 0x3"},
		{"data for no memory", header + section(11, "\x01\x00"+zero+"\x00"), "memory 0 is not defined"},
		{"data without an end", header + section(11, "\x01\x01\xff\xff\xff\xff\x0f"), "byte 17 in the data section: unexpected end"},
		{"less data than was counted", header + section(12, "\x02") + section(11, "\x01\x01\x00"), "1 data segments instead of the data count's 2"},
		{"no data though some was counted", header + section(12, "\x02"), "0 data segments instead of the data count's 2"},

		{"functions without bodies", header + section(1, vector(nullary)) + section(3, "\x01\x00"), "1 functions and 0 bodies"},
		{"more bodies than functions", header + section(10, vector(body(noLocals, ""))), "more bodies than the 0 functions"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := wasm.Decode([]byte(test.binary), wasm.Limits{})
			if e, ok := errors.AsType[*wasm.FormatError](err); !ok || !strings.Contains(e.Error(), test.says) {
				t.Errorf("got %v, want a format error that says %q", err, test.says)
			}
		})
	}
}

func TestDecodeSaysWhatIsWrongInCode(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, code, says string
	}{
		{"an unknown instruction", "\x27", "instruction 0x27 is unknown"},
		{"an unknown conversion", "\xfc\x20", "instruction 0xfc 0x20 is unknown"},
		{"a hole among the vector instructions", "\xfd\x9a\x01", "instruction 0xfd 0x9a is unknown"},
		{"a vector instruction in a long form", "\xfd\x8c\x00", "instruction 0xfd 0xc is encoded in 3 bytes"},
		{"a vector instruction in a longer form", "\xfd\x8c\x81\x00", "encoded in 4 bytes"},
		{"an instruction after the end", "\x0b\x01", "the code goes on for 2 bytes"},
		{"no end", "\x02\x40", "unexpected end: 1 blocks are open"},
		{"an else outside of an if", "\x05", "else is not in an if"},
		{"an else in a block", "\x02\x40\x05\x0b", "else is not in an if"},
		{"two elses", "\x41\x00\x04\x40\x05\x05\x0b", "else is not in an if"},
		{"a block of an unknown type", "\x02\x41\x0b", "value type 0x41"},
		{"a block type over 33 bits", "\x02\x80\x80\x80\x80\x30\x0b", "over 33 bits"},
		{"a block type of no value type", "\x02\x80\x80\x80\x80\x70\x0b", "block type -4294967296 is unknown"},
		{"an i32 over 32 bits", "\x41\xff\xff\xff\xff\x0f", "over 32 bits"},
		{"an i64 over 64 bits", "\x42\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "over 64 bits"},
		{"an f64 without an end", "\x44\x00", "unexpected end"},
		{"a vector without an end", "\xfd\x0c\x00", "unexpected end"},
		{"labels without an end", "\x0e\xff\xff\xff\xff\x0f", "unexpected end"},
		{"a select of two types", "\x1c\x02\x7f\x7f", "select has 2 types"},
		{"a select of an unknown type", "\x1c\x01\x01", "value type 0x1"},
		{"a null of a number", "\xd0\x7f", "i32 is not a reference type"},
		{"an alignment above the access", "\x28\x03\x00", "alignment 2^3 is above the access's own 2^2"},
		{"an alignment above a byte", "\x2d\x01\x00", "alignment 2^1 is above the access's own 2^0"},
		{"an alignment above a vector", "\xfd\x00\x05\x00", "alignment 2^5 is above the access's own 2^4"},
		{"an alignment above a lane", "\xfd\x54\x01\x00\x00", "alignment 2^1 is above the access's own 2^0"},
		{"an alignment above a loaded zero", "\xfd\x5c\x03\x00", "alignment 2^3 is above the access's own 2^2"},
		{"an alignment of 2^128", "\x28\x80\x01\x00", "alignment 2^128"},
		{"a lane that is not there", "\xfd\x15\x10", "lane 16 is not defined: there are 16"},
		{"a lane of two", "\xfd\x21\x02", "lane 2 is not defined: there are 2"},
		{"a lane of a load", "\xfd\x57\x03\x00\x02", "lane 2 is not defined: there are 2"},
		{"a shuffle of lanes that are not there", "\xfd\x0d" + strings.Repeat("\x00", 15) + "\x20", "lane 32 is not defined"},
		{"a global that cannot change", "\x24\x00", "global 0 cannot change"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := wasm.Decode(withCode(test.code), wasm.Limits{})
			e, ok := errors.AsType[*wasm.FormatError](err)
			if !ok || !strings.Contains(e.Problem, test.says) || e.Section != "code" || e.Function != "1" {
				t.Errorf("got %v, want a format error in function 1 of the code section that says %q", err, test.says)
			}
		})
	}
}

func TestCodeNeedsWhatItUses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, code, says string
	}{
		{"load", "\x28\x02\x00", "memory 0 is not defined"},
		{"store", "\x36\x02\x00", "memory 0 is not defined"},
		{"memory.size", "\x3f\x00", "memory 0 is not defined"},
		{"memory.grow", "\x40\x00", "memory 0 is not defined"},
		{"memory.copy", "\xfc\x0a\x00\x00", "memory 0 is not defined"},
		{"memory.fill", "\xfc\x0b\x00", "memory 0 is not defined"},
		{"memory.init", "\xfc\x08\x00\x00", "memory 0 is not defined"},
		{"v128.load", "\xfd\x00\x04\x00", "memory 0 is not defined"},
		{"v128.store64_lane", "\xfd\x5b\x03\x00\x01", "memory 0 is not defined"},
		{"data.drop", "\xfc\x09\x00", "no data count section"},
		{"elem.drop", "\xfc\x0d\x00", "element segment 0 is not defined"},
		{"call_indirect", "\x11\x00\x00", "table 0 is not defined"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := wasm.Decode(functions(body(noLocals, test.code)), wasm.Limits{})
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want it to say %q", err, test.says)
			}
			if _, err := wasm.Decode(withCode(test.code), wasm.Limits{}); err != nil {
				t.Errorf("got %v where it is defined", err)
			}
		})
	}
}

func TestFeaturesAreRefusedByName(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		binary  []byte
		feature string
	}{
		{"a component", []byte("\x00asm\x0d\x00\x01\x00"), "component model"},
		{"a tag section", module(section(13, "\x00")), "exception handling (try_table)"},
		{"an imported tag", module(section(2, "\x01\x00\x00\x04\x00\x00")), "exception handling (try_table)"},
		{"an exported tag", module(section(7, "\x01\x00\x04\x00")), "exception handling (try_table)"},
		{"a string section", module(section(14, "\x00")), "stringref"},
		{"an exception reference", module(section(1, "\x01\x60\x01\x69\x00")), "exception handling (try_table)"},
		{"a typed reference", module(section(1, "\x01\x60\x01\x63\x00\x00")), "typed function references"},
		{"a struct", module(section(1, "\x01\x5f\x00\x00")), "GC"},
		{"a recursive group", module(section(1, "\x01\x4e\x00\x00")), "GC"},
		{"a continuation", module(section(1, "\x01\x5d\x00\x00")), "stack switching"},
		{"anyref", module(section(1, "\x01\x60\x01\x6e\x00")), "GC"},
		{"a table with an initial value", module(section(4, "\x01\x40\x00\x70\x00\x01\xd0\x70\x0b")), "typed function references"},
		{"a shared memory", module(section(5, "\x01\x03\x01\x02")), "shared memory"},
		{"a 64-bit memory", module(section(5, "\x01\x04\x01")), "memory64"},
		{"a 64-bit table", module(section(4, "\x01\x70\x04\x01")), "memory64"},
		{"small pages", module(section(5, "\x01\x08\x01\x00")), "custom page sizes"},
		{"two memories", module(section(5, "\x02\x00\x01\x00\x01")), "multiple memories"},
		{"an imported memory and another", module(section(2, "\x01\x00\x00\x02\x00\x01"), section(5, "\x01\x00\x01")), "multiple memories"},
		{"data for memory 1", module(section(5, "\x01\x00\x01"), section(11, "\x01\x02\x01"+zero+"\x00")), "multiple memories"},
		{"a constant that adds", module(section(6, "\x01\x7f\x00\x41\x00\x41\x00\x6a\x0b")), "extended constant expressions"},
		{"a constant that begins with an addition", module(section(6, "\x01\x7f\x00\x6a\x0b\x00")), "extended constant expressions"},
		{"a constant from a global of the module", module(section(6, "\x02\x7f\x00"+zero+"\x7f\x00\x23\x00\x0b")), "extended constant expressions"},
		{"return_call", withCode("\x12\x00"), "tail calls (return_call)"},
		{"return_call_indirect", withCode("\x13\x00\x00"), "tail calls (return_call)"},
		{"call_ref", withCode("\x14\x00"), "typed function references"},
		{"br_on_null", withCode("\xd5\x00"), "typed function references"},
		{"ref.eq", withCode("\xd3"), "GC"},
		{"try", withCode("\x06\x40\x0b"), "exception handling (try_table)"},
		{"throw", withCode("\x08\x00"), "exception handling (try_table)"},
		{"throw_ref", withCode("\x0a"), "exception handling (try_table)"},
		{"delegate", withCode("\x18\x00"), "exception handling (try_table)"},
		{"try_table", withCode("\x1f\x40\x00\x0b"), "exception handling (try_table)"},
		{"cont.new", withCode("\xe0\x00"), "stack switching"},
		{"struct.new", withCode("\xfb\x00\x00"), "GC"},
		{"string.const", withCode("\xfb\x82\x01\x00"), "stringref"},
		{"an atomic load", withCode("\xfe\x10\x02\x00"), "threads (atomics)"},
		{"a relaxed swizzle", withCode("\xfd\x80\x02"), "relaxed SIMD"},
		{"i64.add128", withCode("\xfc\x13"), "wide arithmetic"},
		{"memory.size of memory 1", withCode("\x3f\x01"), "multiple memories"},
		{"memory.fill of memory 1", withCode("\xfc\x0b\x01"), "multiple memories"},
		{"memory.copy from memory 1", withCode("\xfc\x0a\x00\x01"), "multiple memories"},
		{"a load from memory 1", withCode("\x28\x42\x01\x00"), "multiple memories"},
		{"a null of anyref", withCode("\xd0\x6e"), "GC"},
		{"a block of a typed reference", withCode("\x02\x63\x70\x0b"), "typed function references"},
		{"a local that is a typed reference", functions(body("\x01\x01\x63", "\x70")), "typed function references"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := wasm.Decode(test.binary, wasm.Limits{})
			want := test.feature
			e, ok := errors.AsType[*wasm.FeatureError](err)
			if !ok || e.Feature != want || e.Hint == "" {
				t.Fatalf("got %v, want a refusal of %q", err, want)
			}
			if got := e.Error(); !strings.Contains(got, want+" is not supported: "+e.Hint) {
				t.Errorf("got %q, want the feature and the hint", got)
			}
		})
	}
}
