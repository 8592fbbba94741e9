package wasm_test

import (
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// base imports a global that does not change, as a side module's __memory_base.
func base() string { return section(2, vector("\x01m\x01b\x03\x7f\x00", "\x01m\x01m\x02\x00\x01")) }

func TestSharedModulesMayAddInConstants(t *testing.T) {
	t.Parallel()
	for name, init := range map[string]string{
		"one number":     "\x41\x05\x0b",
		"a base":         "\x23\x00\x0b",
		"a sum":          "\x23\x00\x41\x05\x6a\x0b",
		"a longer sum":   "\x23\x00\x41\x05\x6a\x41\x06\x6a\x0b",
		"of two bases":   "\x23\x00\x23\x00\x6a\x0b",
		"a large number": "\x23\x00\x41\x80\x80\x04\x6a\x0b",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := wasm.DecodeShared(module(base(), section(11, vector("\x00"+init+"\x01a"))), wasm.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if got := string(m.Data[0].Offset); got != init || string(m.Data[0].Init) != "a" {
				t.Errorf("got the offset %x and %q, want %x", got, m.Data[0].Init, init)
			}
		})
	}
}

func TestSharedModulesAreDecodedAsStrictly(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, init, want string }{
		{"a multiplication", "\x23\x00\x41\x05\x6c\x0b", "instruction 0x6c in a constant expression does not add"},
		{"two numbers", "\x41\x05\x41\x05\x0b", "instruction 0xb in a constant expression does not add"},
		{"an addition to nothing", "\x6a\x0b", "extended constant expressions is not supported"},
		{"an addition of nothing", "\x41\x05\x6a\x0b", "extended constant expressions is not supported"},
		{"a long number", "\x41\x05\x42\x05\x6a\x0b", "a constant expression adds i64 to i32"},
		{"a global that is not there", "\x23\x00\x23\x01\x6a\x0b", "global 1 is not defined: there are 1"},
		{"no end", "\x23\x00\x41\x05\x6a", "unexpected end"},
		{"an end within", "\x23\x00\x41", "unexpected end"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			content := "\x01\x00" + test.init
			_, err := wasm.DecodeShared(module(base(), section(11, content)), wasm.Limits{})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestOtherModulesMayNotAddInConstants(t *testing.T) {
	t.Parallel()
	binary := module(base(), section(11, vector("\x00\x23\x00\x41\x05\x6a\x0b\x01a")))
	if _, err := wasm.Decode(binary, wasm.Limits{}); err == nil || !strings.Contains(err.Error(), "extended constant expressions") {
		t.Errorf("got %v, want a sum to be refused", err)
	}
}

// FuzzDecodeShared looks for binaries that panic, and for modules that Decode takes
// and DecodeShared does not, or reads otherwise.
func FuzzDecodeShared(f *testing.F) {
	f.Add(module(base(), section(11, vector("\x00\x23\x00\x41\x05\x6a\x0b\x01a"))))
	f.Add(withCode("\x20\x00"))
	f.Fuzz(func(t *testing.T, binary []byte) {
		shared, err := wasm.DecodeShared(binary, wasm.Limits{})
		m, strict := wasm.Decode(binary, wasm.Limits{})
		if strict != nil {
			return
		}
		if err != nil {
			t.Fatalf("Decode takes it, DecodeShared says %v", err)
		}
		if string(shared.Encode()) != string(m.Encode()) {
			t.Error("Decode and DecodeShared read different modules")
		}
	})
}
