package quickjs

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// object is a module that is being linked.
type object struct {
	name string
	m    *wasm.Module
	// What a position-independent module needs, in bytes and table entries.
	// Alignments are exponents of two.
	memory, memoryAlign, table, tableAlign uint32
	// Where they lie.
	memoryBase, tableBase uint32

	exports map[string]wasm.Export
	// What became of its indices. A global is one of the result, or a number.
	types   []uint32
	sources []source
	globals []globalRef
	// data is the new index of its first segment.
	data uint32
}

// globalRef is what an object's global became.
type globalRef struct {
	folded bool
	// value is the number, or else the index.
	value uint32
}

func newObject(p part, shared bool) (*object, error) {
	o := &object{name: p.name, exports: map[string]wasm.Export{}}
	var err error
	if o.m, err = wasm.DecodeShared(p.binary, wasm.Limits{}); err != nil {
		return nil, err
	}
	if shared {
		if err := o.readLayout(p.binary); err != nil {
			return nil, err
		}
	}
	for _, e := range o.m.Exports {
		o.exports[e.Name] = e
	}
	return o, nil
}

// maxNeeds is the most memory and table that an object can ask for: the largest
// has 275 KB and 66 entries.
const maxNeeds = 16 << 20

var errShort = errors.New("its section dylink.0 ends early")

// readLayout reads the section dylink.0.
// https://github.com/WebAssembly/tool-conventions/blob/main/DynamicLinking.md
func (o *object) readLayout(module []byte) error {
	const memInfo = 1
	content, ok := wasm.Custom(module, "dylink.0")
	if !ok {
		return errors.New("it has no section dylink.0: it is not position-independent")
	}
	for len(content) > 1 {
		id := content[0]
		size, n := binary.Uvarint(content[1:])
		if n <= 0 || uint64(len(content)-1-n) < size {
			return errShort
		}
		if id == memInfo {
			return o.readNeeds(content[1+n : 1+n+int(size)])
		}
		content = content[1+n+int(size):]
	}
	return nil
}

func (o *object) readNeeds(content []byte) error {
	for _, field := range []struct {
		to   *uint32
		most uint64
	}{{&o.memory, maxNeeds}, {&o.memoryAlign, 16}, {&o.table, maxNeeds}, {&o.tableAlign, 16}} {
		v, n := binary.Uvarint(content)
		if n <= 0 {
			return errShort
		}
		if v > field.most {
			return fmt.Errorf("its section dylink.0 asks for %d, above %d", v, field.most)
		}
		*field.to, content = uint32(v), content[n:]
	}
	return nil
}

// defined returns an exported function, as one of the defined ones.
func (o *object) defined(name string) (int, bool) {
	e, ok := o.exports[name]
	imported := o.m.ImportCount(wasm.KindFunction)
	if !ok || e.Kind != wasm.KindFunction || e.Index < imported {
		return 0, false
	}
	return int(e.Index - imported), true
}

// value computes a constant expression of the object's: a number, or a sum.
func (o *object) value(expr wasm.Expr) (uint32, error) {
	sum := uint32(0)
	for s := wasm.NewScanner(expr); s.Next(); {
		switch i := s.Instruction(); i.Op {
		case wasm.OpI32Const:
			sum += uint32(i.Value)
		case wasm.OpGlobalGet:
			g := o.globals[i.Index]
			if !g.folded {
				return 0, fmt.Errorf("an offset is of global %d, which is not known before the start", i.Index)
			}
			sum += g.value
		case wasm.OpI32Add, wasm.OpEnd:
		default:
			return 0, fmt.Errorf("an offset has the instruction %#x", i.Op)
		}
	}
	return sum, nil
}

func number(v uint32) wasm.Expr {
	var c wasm.Code
	c.I32(int32(v))
	c.Op(wasm.OpEnd)
	return wasm.Expr(c)
}
