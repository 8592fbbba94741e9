package wasm_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

func TestCustom(t *testing.T) {
	t.Parallel()
	module, err := wasm.WithCustom([]byte(wasm.Header), map[string][]byte{"a": []byte("1"), "b": {}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wasm.Header+"\x00\x03\x01a1\x00\x02\x01b", string(module)); diff != "" {
		t.Errorf("differs (-want +got):\n%s", diff)
	}
	content, ok := wasm.Custom(module, "a")
	if !ok || string(content) != "1" {
		t.Errorf("got %q, %t", content, ok)
	}
	if grown := append(content, 'x'); !bytes.Equal(grown, []byte("1x")) || !bytes.HasSuffix(module, []byte("b")) {
		t.Error("what is appended to a content is written into the module")
	}
	for name, bad := range map[string]string{
		"a section that is cut off": "\x00\x05\x01a",
		"a name that is cut off":    "\x00\x01\x05",
		"a name that is no text":    "\x00\x02\x01\xff",
		"a length that is none":     "\x00\xff\xff\xff\xff\xff",
	} {
		if _, err := wasm.WithCustom([]byte(wasm.Header+bad), nil); err == nil || !strings.Contains(err.Error(), "byte ") {
			t.Errorf("%s: got %v, want an error that says where", name, err)
		}
	}
}

func TestClone(t *testing.T) {
	t.Parallel()
	start := uint32(0)
	m := &wasm.Module{
		Types: []wasm.FuncType{{}}, Functions: []uint32{0}, Memory: &wasm.Memory{Min: 1}, Start: &start,
		Tables:  []wasm.Table{{Element: wasm.FuncRef, Min: 1}},
		Globals: []wasm.Global{{GlobalType: wasm.GlobalType{Type: wasm.I32}, Init: wasm.Expr{0x41, 0, 0x0b}}},
		Exports: []wasm.Export{{Name: "run"}}, Code: []wasm.Body{{Code: []byte{0x0b}}},
		Elements: []wasm.Element{{Type: wasm.FuncRef, Offset: wasm.Expr{0x41, 0, 0x0b}, Functions: []uint32{0}}},
		Data:     []wasm.Data{{Offset: wasm.Expr{0x41, 0, 0x0b}, Init: []byte("x")}},
	}
	before := m.Encode()
	c := m.Clone()
	if diff := cmp.Diff(m, c); diff != "" {
		t.Errorf("differs (-want +got):\n%s", diff)
	}
	c.Memory.Min, *c.Start, c.Functions[0], c.Exports[0].Name = 2, 1, 1, "other"
	c.Elements[0].Functions[0], c.Tables[0].Min, c.Data[0].Mode = 1, 2, wasm.Passive
	c.Code[0].Code, c.Globals[0].Init, c.Types[0].Params = []byte{0x00, 0x0b}, nil, []wasm.ValueType{wasm.I32}
	if !bytes.Equal(m.Encode(), before) {
		t.Error("a change of the clone has changed the module")
	}
}

// FuzzCustom looks for bytes that panic, or that come back as others.
func FuzzCustom(f *testing.F) {
	f.Add([]byte(wasm.Header+"\x00\x03\x01a1\x01\x01\x00"), "a", []byte("2"))
	f.Add([]byte("text"), "name", []byte{})
	f.Fuzz(func(t *testing.T, module []byte, name string, content []byte) {
		_, _ = wasm.Custom(module, name)
		changed, err := wasm.WithCustom(module, map[string][]byte{name: content})
		if err != nil || content == nil {
			return
		}
		if got, ok := wasm.Custom(changed, name); !ok || !bytes.Equal(got, content) {
			t.Errorf("got %q, %t, want %q", got, ok, content)
		}
		again, err := wasm.WithCustom(changed, map[string][]byte{name: content})
		if err != nil || !bytes.Equal(again, changed) {
			t.Errorf("again gave %q, %v, want %q", again, err, changed)
		}
	})
}
