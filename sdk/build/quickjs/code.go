package quickjs

import (
	"fmt"

	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// addCode takes over the bodies that are reached, with new indices. What nobody
// defines is a function that traps.
func (l *linker) addCode() error {
	for s := range l.functions {
		f := &l.functions[s]
		switch {
		case !f.reached:
		case f.missing:
			var c wasm.Code
			c.Op(wasm.OpUnreachable, wasm.OpEnd)
			l.out.Code = append(l.out.Code, wasm.Body{Code: c})
		case f.object != nil:
			b := f.object.m.Code[f.body]
			code, err := l.rewrite(f.object, b.Code)
			if err != nil {
				return fmt.Errorf("rewrite function %d of %s: %w", f.body, f.object.name, err)
			}
			l.out.Code = append(l.out.Code, wasm.Body{Locals: b.Locals, Code: code})
		}
	}
	return nil
}

// rewrite copies code, and changes the indices in it.
func (l *linker) rewrite(o *object, code []byte) ([]byte, error) {
	c := make(wasm.Code, 0, len(code)+len(code)/8)
	for s := wasm.NewScanner(code); s.Next(); {
		i := s.Instruction()
		switch i.Op {
		case wasm.OpCall, wasm.OpRefFunc:
			c.Index(i.Op, l.functions[o.sources[i.Index]].index)
		case wasm.OpCallIndirect:
			c.Index2(i.Op, o.types[i.Index], 0)
		case wasm.OpBlock, wasm.OpLoop, wasm.OpIf:
			t := i.Block
			if t >= 0 {
				t = wasm.BlockType(o.types[t])
			}
			c.Block(i.Op, t)
		case wasm.OpGlobalGet, wasm.OpGlobalSet:
			if err := rewriteGlobal(&c, i, o.globals[i.Index]); err != nil {
				return nil, err
			}
		case wasm.OpMemoryInit, wasm.OpDataDrop, wasm.OpTableInit, wasm.OpElemDrop, wasm.OpTableCopy,
			wasm.OpTableGrow, wasm.OpTableSize, wasm.OpTableFill, wasm.OpTableGet, wasm.OpTableSet:
			return nil, fmt.Errorf("it has the instruction %#x, on segments or tables", i.Op)
		default:
			c.Raw(code[i.Start:i.End])
		}
	}
	return c, nil
}

func rewriteGlobal(c *wasm.Code, i *wasm.Instruction, g globalRef) error {
	switch {
	case !g.folded:
		c.Index(i.Op, g.value)
	case i.Op == wasm.OpGlobalGet:
		c.I32(int32(g.value))
	default:
		return fmt.Errorf("it changes global %d, which the linker has made a number", i.Index)
	}
	return nil
}
