package meter

import (
	"encoding/binary"

	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

const (
	// opI32LtS is the sign's test, with a zero.
	opI32LtS wasm.Opcode = 0x48
	// stackShift is where stack units lie in G.
	stackShift = 32
)

// emitter writes a function by its plan. While it writes it follows what F and G
// have, in code that runs straight, so that none is loaded or stored in vain.
type emitter struct {
	rewriter *rewriter
	plan     *plan
	source   []byte
	out      wasm.Code

	// fuel is the index of F, scratch that of an i32.
	fuel, scratch uint32
	// wrapper is the type of the block around the body. Where branches do not need
	// it, the compiler does: the return that follows would hide that a body leaves
	// more values than its type says.
	wrapper wasm.BlockType
	// stale says that G is the truth and F is not; dirty that F is newer than G.
	stale, dirty bool
}

// emit returns the code, which is valid until the next call.
func (e *emitter) emit(source []byte, results []wasm.ValueType, locals uint32) wasm.Code {
	p := &e.rewriter.plan
	e.plan, e.source, e.out = p, source, e.out[:0]
	e.fuel, e.scratch = locals, locals
	if p.cached() {
		e.scratch++
	}
	e.stale, e.dirty = true, false
	if p.wrapped = p.wrapped && p.cached(); p.wrapped || p.entryOutlined() {
		e.wrapper = e.rewriter.blockType(results)
	}
	at := 0
	for i := range p.edits {
		x := &p.edits[i]
		e.out.Raw(source[at:x.start])
		e.apply(x, i == 0)
		at = x.end
	}
	return e.out
}

// blockType returns the type of a block that gives values.
func (r *rewriter) blockType(results []wasm.ValueType) wasm.BlockType {
	switch len(results) {
	case 0:
		return wasm.BlockEmpty
	case 1:
		return wasm.BlockOf(results[0])
	default:
		return wasm.BlockType(r.signature(wasm.FuncType{Results: results}))
	}
}

func (e *emitter) apply(x *edit, first bool) {
	switch x.kind {
	case editCharge:
		if first {
			e.enter()
			return
		}
		e.segment(&e.plan.segments[x.value])
	case editReady:
		e.ready()
	case editExit:
		e.leave(x)
	case editTrap:
		e.spill()
	case editFinish:
		e.finish(x)
	case editLabel:
		e.out.Raw(binary.AppendUvarint(nil, uint64(x.value)))
	case editIndex:
		e.out.Index(x.op, x.value)
	case editCall, editCallIndirect:
		e.call(x)
	case editLoop, editLoopEnd:
		e.loop(x)
	default:
		e.bulk(x)
	}
}

// get puts what fuel there is on the stack, and set takes it from there.
func (e *emitter) get() {
	if e.plan.cached() && !e.stale {
		e.out.Index(wasm.OpLocalGet, e.fuel)
		return
	}
	e.out.Index(wasm.OpGlobalGet, e.rewriter.global)
}

func (e *emitter) set() {
	if !e.plan.cached() {
		e.out.Index(wasm.OpGlobalSet, e.rewriter.global)
		return
	}
	e.out.Index(wasm.OpLocalSet, e.fuel)
	e.stale, e.dirty = false, true
}

// ready makes F valid.
func (e *emitter) ready() {
	if e.plan.cached() && e.stale {
		e.get()
		e.out.Index(wasm.OpLocalSet, e.fuel)
		e.stale, e.dirty = false, false
	}
}

// spill makes G valid.
func (e *emitter) spill() {
	if e.plan.cached() && !e.stale && e.dirty {
		e.get()
		e.out.Index(wasm.OpGlobalSet, e.rewriter.global)
		e.dirty = false
	}
}

// join is where control comes to from more than one place: of G nothing is known
// there, and F is valid.
func (e *emitter) join() { e.stale, e.dirty = false, true }

func (e *emitter) charge(units int64) {
	if units == 0 {
		return
	}
	e.get()
	e.out.I64(units)
	e.out.Op(wasm.OpI64Sub)
	e.set()
}

// enter begins the function.
func (e *emitter) enter() {
	s := &e.plan.segments[0]
	if e.plan.entryOutlined() {
		e.out.Block(wasm.OpLoop, wasm.BlockEmpty)
		e.out.Block(wasm.OpBlock, wasm.BlockEmpty)
	}
	e.charge(s.cost + e.plan.weight<<stackShift)
	switch {
	case e.plan.entryOutlined():
		e.negative()
		e.out.Index(wasm.OpBrIf, 0)
	case e.plan.checksEntry():
		e.negative()
		e.refuel()
	}
	if e.plan.wrapped {
		e.ready()
	}
	if e.plan.wrapped || e.plan.entryOutlined() {
		e.out.Block(wasm.OpBlock, e.wrapper)
	}
}

func (e *emitter) segment(s *segment) {
	if s.join {
		e.join()
	}
	e.charge(s.cost)
	switch {
	case !s.check:
	case s.outlined:
		e.negative()
		e.out.Index(wasm.OpBrIf, 1)
	default:
		e.negative()
		e.refuel()
	}
}

// negative asks whether the fuel that was granted is out. The stack cannot be out
// before: a frame costs frameFuel units for one of stack, and [Account] grants no
// more than that for the stack that is left.
func (e *emitter) negative() {
	e.get()
	e.out.Op(wasm.OpI32WrapI64)
	e.out.I32(0)
	e.out.Op(opI32LtS)
}

// refuel is the slow path, in its place. What F and G have of each other is as
// before: both get what is granted.
func (e *emitter) refuel() {
	e.out.Block(wasm.OpIf, wasm.BlockEmpty)
	if e.plan.cached() {
		e.out.Index(wasm.OpLocalGet, e.fuel)
		e.out.Index(wasm.OpCall, e.rewriter.helpers.index(helperRefuelLocal))
		e.out.Index(wasm.OpLocalSet, e.fuel)
	} else {
		e.out.Index(wasm.OpCall, e.rewriter.helpers.index(helperRefuelGlobal))
	}
	e.out.Op(wasm.OpEnd)
}

// exit gives back the frame's stack and leaves G as the truth.
func (e *emitter) exit() {
	if e.plan.weight == 0 {
		e.spill()
		return
	}
	e.get()
	e.out.I64(e.plan.weight << stackShift)
	e.out.Op(wasm.OpI64Add)
	e.out.Index(wasm.OpGlobalSet, e.rewriter.global)
}

// leave is a return.
func (e *emitter) leave(x *edit) {
	if e.plan.wrapped {
		e.out.Index(wasm.OpBr, x.value)
		return
	}
	e.out.Op(wasm.OpReturn) // G is the truth.
}

func (e *emitter) finish(x *edit) {
	if e.plan.wrapped || e.plan.entryOutlined() {
		e.out.Op(wasm.OpEnd)
	}
	if e.plan.wrapped {
		e.join()
	}
	if x.value != 0 {
		e.exit()
	}
	if e.plan.entryOutlined() {
		e.out.Op(wasm.OpReturn, wasm.OpEnd)
		e.out.Index(wasm.OpLocalGet, e.fuel)
		e.out.Index(wasm.OpCall, e.rewriter.helpers.index(helperRefuelLocal))
		e.out.Op(wasm.OpDrop)
		e.out.Index(wasm.OpBr, 0)
		e.out.Op(wasm.OpEnd, wasm.OpUnreachable)
	}
	e.out.Op(wasm.OpEnd)
}

func (e *emitter) call(x *edit) {
	e.spill()
	if x.kind == editCall {
		e.out.Index(wasm.OpCall, x.value)
	} else {
		e.out.Raw(e.source[x.start:x.end])
	}
	e.stale = true
}

// loop puts the slow path outside: a call within would cost the loop its
// registers.
//
//	block $exit
//	  loop $again
//	    block $slow
//	      loop   F -= cost; br_if 1 ($slow) when negative; ...   end
//	      br 2 ($exit)
//	    end
//	    F = refuel(F) + cost, because it will be charged again
//	    br 0 ($again)
//	  end
//	  unreachable
//	end
func (e *emitter) loop(x *edit) {
	if x.kind == editLoop {
		e.out.Op(wasm.OpBlock)
		e.out.Raw(e.source[x.start+1 : x.end])
		e.out.Block(wasm.OpLoop, wasm.BlockEmpty)
		e.out.Block(wasm.OpBlock, wasm.BlockEmpty)
		e.out.Raw(e.source[x.start:x.end])
		return
	}
	e.out.Op(wasm.OpEnd)
	e.out.Index(wasm.OpBr, 2)
	e.out.Op(wasm.OpEnd)
	e.out.Index(wasm.OpLocalGet, e.fuel)
	e.out.Index(wasm.OpCall, e.rewriter.helpers.index(helperRefuelLocal))
	e.out.I64(e.plan.segments[x.value].cost)
	e.out.Op(wasm.OpI64Add)
	e.out.Index(wasm.OpLocalSet, e.fuel)
	e.out.Index(wasm.OpBr, 0)
	e.out.Op(wasm.OpEnd, wasm.OpUnreachable, wasm.OpEnd)
}
