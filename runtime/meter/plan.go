package meter

import (
	"errors"

	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

const (
	// smallUnits is what a function may use without asking: one that has neither
	// a loop nor a call, and no path that costs more, has no check.
	smallUnits = 100
	// regionUnits is how far a path may go between two checks, about 5 us.
	regionUnits = 5000
	// bulkGap counts for a bulk operation on such a path: 256 KiB take 20 us, so
	// that there are 100 us of them at most.
	bulkGap = 1000
)

var errMalformed = errors.New("its code is not balanced: decode the module, which refuses such code")

// segment is instructions that are executed from the first to the last, once the
// first is: their cost is charged at once.
type segment struct {
	cost int64
	// parent is the segment that this one is executed as often as, or -1.
	parent int
	// join says that control comes here from more than one place.
	join  bool
	check bool
	// outlined says that it is the header of an outlined loop.
	outlined bool
}

// frame is a construct that is open.
type frame struct {
	op wasm.Opcode
	// segment is where it was opened, and header a loop's own.
	segment, header int
	// live says that it was opened where control comes to.
	live bool
	// reached says that a branch leads to its end.
	reached bool
	// outlined says that it is a loop whose slow path lies outside of it, and
	// outside is how many such loops there are up to this frame.
	outlined bool
	outside  uint32
	// outermost is the frame to which the farthest branch in it leads.
	outermost int
	// before is the unchecked path to its opening, pending the longest one to its
	// end.
	before, pending int64
}

// editKind is what is done at a place in the code.
type editKind byte

const (
	// editCharge charges the segment that begins.
	editCharge editKind = iota
	// editReady makes F valid before control goes anywhere.
	editReady
	// editExit is a return, by the label of the function, and editTrap ends the
	// guest.
	editExit
	editTrap
	// editFinish is the last end; its value says whether control comes to it.
	editFinish
	editLoop
	editLoopEnd
	editLabel
	editCall
	editCallIndirect
	// editIndex only gives a function its new index: ref.func, and calls that are
	// never made.
	editIndex
	editMemoryGrow
	editMemoryInit
	editMemoryBulk
	editTableGrow
	editTableBulk
)

// edit replaces [start, end) of the code.
type edit struct {
	kind       editKind
	op         wasm.Opcode
	start, end int
	// value is a segment, an index or a label.
	value uint32
}

// plan is what is to be done to one function. Exactness is the rule: the fuel
// that is charged is the sum of the costs of what is executed, whatever the path.
type plan struct {
	rewriter *rewriter
	segments []segment
	edits    []edit
	frames   []frame

	// current is the segment, live whether control comes here, unchecked the
	// longest path here from a check, longest the longest such path anywhere.
	current            int
	live               bool
	unchecked, longest int64

	hasCall, hasLoop bool
	// loopFirst says that a loop comes before everything that could do without one,
	// so that its header asks for the entry, too: so most functions of Go begin.
	loopFirst bool
	// scratch says that the function needs an i32 of its own.
	scratch bool
	// wrapped says that branches and returns leave the function: they do by a block
	// around it, so that there is one way out.
	wrapped bool
	// weight is the frame's size in units of stack.
	weight int64
	done   bool
	err    error
}

// cached says that F, a local, stands for G. Elsewhere it would not pay.
func (p *plan) cached() bool { return p.hasCall || p.hasLoop }

// checksEntry says whether the function asks at its entry. One that calls must:
// it may be part of a recursion.
func (p *plan) checksEntry() bool { return !p.loopFirst && (p.hasCall || p.longest > smallUnits) }

// entryOutlined says that the slow path of the entry lies at the end, as a loop's does.
func (p *plan) entryOutlined() bool { return p.hasCall && p.checksEntry() }

// make plans a function that has so many locals, parameters included.
func (p *plan) make(code []byte, locals uint32) error {
	*p = plan{
		rewriter: p.rewriter, segments: p.segments[:0], edits: p.edits[:0], frames: p.frames[:0],
		live: true,
	}
	p.begin(0, -1, false)
	p.frames = append(p.frames, frame{op: wasm.OpBlock, live: true})
	s := wasm.NewScanner(code)
	for p.err == nil && !p.done && s.Next() {
		p.instruction(s.Instruction())
	}
	if p.err == nil && !p.done {
		p.err = errMalformed
	}
	if p.hasCall {
		p.weight = frameWeight(locals)
		p.segments[0].cost += p.weight * frameFuel
	}
	p.fold()
	return p.err
}

// fold moves the cost of each segment to the first one that is executed exactly
// as often.
func (p *plan) fold() {
	for i := len(p.segments) - 1; i > 0; i-- {
		s := &p.segments[i]
		if s.parent >= 0 {
			p.segments[s.parent].cost += s.cost
			s.cost = 0
		}
	}
}

// begin starts a segment.
func (p *plan) begin(at, parent int, join bool) {
	p.current = len(p.segments)
	p.segments = append(p.segments, segment{parent: parent, join: join})
	p.edit(edit{kind: editCharge, start: at, end: at, value: uint32(p.current)})
}

func (p *plan) edit(e edit) { p.edits = append(p.edits, e) }

// insert is an edit before the instruction, replace one instead of it.
func (p *plan) insert(kind editKind, i *wasm.Instruction) {
	if p.live {
		p.edit(edit{kind: kind, op: i.Op, start: i.Start, end: i.Start})
	}
}

func (p *plan) replace(kind editKind, i *wasm.Instruction, value uint32) {
	p.edit(edit{kind: kind, op: i.Op, start: i.Start, end: i.End, value: value})
}

// spend adds to the segment; gap is how much longer the unchecked path gets beyond
// that.
func (p *plan) spend(units, gap int64) {
	p.segments[p.current].cost += units
	p.unchecked += units + gap
	p.longest = max(p.longest, p.unchecked)
}

func (p *plan) instruction(i *wasm.Instruction) {
	if p.live {
		p.spend(p.rewriter.costs.of(i.Op), 0)
	}
	switch i.Op {
	case wasm.OpBlock, wasm.OpLoop, wasm.OpIf:
		p.open(i)
	case wasm.OpElse:
		p.otherwise(i)
	case wasm.OpEnd:
		p.close(i)
	case wasm.OpBr, wasm.OpBrIf, wasm.OpBrTable:
		p.branch(i)
	case wasm.OpReturn:
		p.exit(i)
	case wasm.OpUnreachable:
		p.insert(editTrap, i)
		p.live = false
	case wasm.OpCall, wasm.OpCallIndirect:
		p.call(i)
	case wasm.OpRefFunc:
		p.replace(editIndex, i, p.rewriter.function(i.Index))
	default:
		p.bulk(i)
	}
	if p.live && p.unchecked > regionUnits && !p.done {
		p.check(i.End)
	}
}

// exit is a return. In a function with F it becomes a branch to the end, where the
// one way out is: that makes less code.
func (p *plan) exit(i *wasm.Instruction) {
	if !p.live {
		return
	}
	p.insert(editReady, i)
	p.replace(editExit, i, uint32(len(p.frames)-1)+3*p.top().outside)
	p.wrapped, p.frames[0].reached = true, true
	p.leave(0)
	p.live = false
}

// check has a check after an instruction.
func (p *plan) check(at int) {
	if last := p.edits[len(p.edits)-1]; last.kind != editCharge || last.start != at {
		p.begin(at, -1, false)
	}
	p.segments[p.current].check = true
	p.unchecked = 0
}

func (p *plan) top() *frame { return &p.frames[len(p.frames)-1] }

func (p *plan) open(i *wasm.Instruction) {
	f := frame{
		op: i.Op, segment: p.current, live: p.live, before: p.unchecked,
		outside: p.top().outside, outermost: len(p.frames),
	}
	switch {
	case !p.live:
	case i.Op == wasm.OpIf:
		p.insert(editReady, i)
		p.begin(i.End, -1, false)
	case i.Op == wasm.OpLoop:
		p.insert(editReady, i)
		p.loop(&f, i)
	}
	p.frames = append(p.frames, f)
}

func (p *plan) loop(f *frame, i *wasm.Instruction) {
	p.hasLoop = true
	p.loopFirst = p.loopFirst || p.current == 0 && !p.hasCall && p.longest <= smallUnits
	// A loop that takes values cannot be entered again from its slow path.
	if f.outlined = !p.takesValues(i.Block); f.outlined {
		f.outside++
		p.replace(editLoop, i, 0)
	}
	p.begin(i.End, -1, true)
	p.segments[p.current].check, p.segments[p.current].outlined = true, f.outlined
	f.header = p.current
	p.unchecked = 0
	p.spend(loopUnits, 0)
}

func (p *plan) takesValues(t wasm.BlockType) bool {
	if t < 0 {
		return false
	}
	if int64(t) >= int64(len(p.rewriter.m.Types)) {
		p.err = errMalformed
		return false
	}
	return len(p.rewriter.m.Types[t].Params) > 0
}

func (p *plan) otherwise(i *wasm.Instruction) {
	f := p.top()
	if f.op != wasm.OpIf {
		p.err = errMalformed
		return
	}
	p.insert(editReady, i)
	p.fallThrough(f)
	f.op = wasm.OpElse
	p.live, p.unchecked = f.live, f.before
	if p.live {
		p.begin(i.End, -1, true)
	}
}

// fallThrough is control that comes to the end of a frame, or of its first arm.
func (p *plan) fallThrough(f *frame) {
	if p.live {
		f.reached = true
		f.pending = max(f.pending, p.unchecked)
	}
}

func (p *plan) close(i *wasm.Instruction) {
	f := *p.top()
	p.frames = p.frames[:len(p.frames)-1]
	if len(p.frames) == 0 {
		p.finish(i, f)
		return
	}
	if outer := p.top(); f.outermost < outer.outermost {
		outer.outermost = f.outermost
	}
	if f.op == wasm.OpBlock && !f.reached {
		return // Nothing comes together here.
	}
	p.insert(editReady, i)
	p.fallThrough(&f)
	if f.op == wasm.OpIf && f.live { // It has no else.
		f.reached = true
		f.pending = max(f.pending, f.before)
	}
	if f.outlined {
		p.replace(editLoopEnd, i, uint32(f.header))
	}
	p.live, p.unchecked = f.reached, f.pending
	if !p.live {
		return
	}
	parent := -1
	if f.outermost >= len(p.frames) { // No branch leaves it, so what follows is executed as often.
		parent = f.segment
	}
	p.begin(i.End, parent, true)
}

func (p *plan) finish(i *wasm.Instruction, f frame) {
	p.done = true
	if p.wrapped {
		p.insert(editReady, i)
	}
	if p.live || f.reached {
		p.replace(editFinish, i, 1)
		return
	}
	p.replace(editFinish, i, 0)
}

func (p *plan) branch(i *wasm.Instruction) {
	p.insert(editReady, i)
	if i.Op != wasm.OpBrTable {
		p.label(i.Index, i.Start+1, i.End)
	} else {
		for n, depth := range i.Labels {
			p.label(depth, i.LabelsAt[n], i.LabelsAt[n+1])
		}
		p.label(i.Index, i.LabelsAt[len(i.Labels)], i.End)
	}
	if i.Op != wasm.OpBrIf {
		p.live = false
	} else if p.live {
		p.begin(i.End, -1, false)
	}
}

// label is a branch's, at [start, end).
func (p *plan) label(depth uint32, start, end int) {
	if int64(depth) >= int64(len(p.frames)) {
		p.err = errMalformed
		return
	}
	inner, to := p.top(), len(p.frames)-1-int(depth)
	p.wrapped = p.wrapped || to == 0
	target := &p.frames[to]
	// An outlined loop is four constructs.
	if more := 3 * (inner.outside - target.outside); more > 0 {
		p.edit(edit{kind: editLabel, start: start, end: end, value: depth + more})
	}
	if !p.live {
		return
	}
	p.leave(to)
	if target.op != wasm.OpLoop {
		p.fallThrough(target)
	}
}

// leave is control that goes out of the innermost frame to another.
func (p *plan) leave(to int) {
	if p.live {
		p.top().outermost = min(p.top().outermost, to)
	}
}

func (p *plan) call(i *wasm.Instruction) {
	p.hasCall = true // Even if it is never made: what a frame costs is to be seen from the code.
	switch {
	case i.Op == wasm.OpCallIndirect && !p.live:
	case i.Op == wasm.OpCallIndirect:
		p.replace(editCallIndirect, i, 0)
	case !p.live:
		p.replace(editIndex, i, p.rewriter.function(i.Index))
	default:
		p.replace(editCall, i, p.rewriter.function(i.Index))
	}
	if !p.live {
		return
	}
	if i.Op == wasm.OpCall && i.Index < p.rewriter.imported {
		p.spend(importUnits, 0)
		return
	}
	p.spend(0, smallUnits)
}

func (p *plan) bulk(i *wasm.Instruction) {
	if !p.live {
		return
	}
	kind := editMemoryBulk
	switch i.Op {
	case wasm.OpMemoryGrow:
		p.replace(editMemoryGrow, i, 0)
		return
	case wasm.OpMemoryCopy, wasm.OpMemoryFill:
	case wasm.OpMemoryInit:
		kind = editMemoryInit
	case wasm.OpTableGrow:
		kind = editTableGrow
	case wasm.OpTableFill, wasm.OpTableCopy, wasm.OpTableInit:
		kind = editTableBulk
	default:
		return
	}
	p.scratch = true
	p.replace(kind, i, 0)
	if kind == editMemoryInit {
		p.spend(0, regionUnits+1) // It is not done in chunks: at least there is a check after each.
		return
	}
	p.spend(0, bulkGap)
}
