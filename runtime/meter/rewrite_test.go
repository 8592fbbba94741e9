package meter_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/runtime/meter"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// snippet is one function, "run".
func snippet(params, results, locals string, write func(c *wasm.Code)) []byte {
	var m module
	m.importDouble()
	m.memory(1, 4)
	m.function("run", params, results, locals, write)
	return m.Encode()
}

// fib is the textbook's.
func fib() []byte {
	var m module
	m.function("run", "i", "i", "", func(c *wasm.Code) {
		c.Index(wasm.OpLocalGet, 0)
		c.I32(2)
		c.Op(wasm.OpI32LtU)
		c.Block(wasm.OpIf, wasm.BlockOf(wasm.I32))
		c.Index(wasm.OpLocalGet, 0)
		c.Op(wasm.OpElse)
		for _, less := range []int32{1, 2} {
			c.Index(wasm.OpLocalGet, 0)
			c.I32(less)
			c.Op(wasm.OpI32Sub)
			c.Index(wasm.OpCall, 0)
		}
		c.Op(wasm.OpI32Add, wasm.OpEnd)
	})
	return m.Encode()
}

// countdown is a loop whose rounds use 1 + 1 + 1: the round, the subtraction and
// the branch.
func countdown(c *wasm.Code) {
	c.Block(wasm.OpLoop, wasm.BlockEmpty)
	c.Index(wasm.OpLocalGet, 0)
	c.I32(1)
	c.Op(wasm.OpI32Sub)
	c.Index(wasm.OpLocalTee, 0)
	c.Index(wasm.OpBrIf, 0)
	c.Op(wasm.OpEnd)
}

// TestFuel has sums that were done by hand.
func TestFuel(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		module []byte
		args   []uint64
		want   int64
	}{
		"nothing": {snippet("", "", "", func(*wasm.Code) {}), nil, 0},
		"two constants and a sum": {snippet("", "i", "", func(c *wasm.Code) {
			c.I32(1)
			c.I32(2)
			c.Op(wasm.OpI32Add)
		}), nil, 1},
		"a load and a division": {snippet("", "i", "", func(c *wasm.Code) {
			c.I32(0)
			c.Access(wasm.OpI32Load, 2, 0) // 2
			c.I32(3)
			c.Op(wasm.OpI32DivS) // 8
		}), nil, 10},
		"a loop of 1 round":    {snippet("i", "", "", countdown), []uint64{1}, 3},
		"a loop of 1000":       {snippet("i", "", "", countdown), []uint64{1000}, 3000},
		"a loop with a suffix": {snippet("i", "", "", func(c *wasm.Code) { countdown(c); drops(c, 7) }), []uint64{10}, 30 + 7},
		"the arm that is taken": {snippet("i", "", "", func(c *wasm.Code) {
			c.Index(wasm.OpLocalGet, 0)
			c.Block(wasm.OpIf, wasm.BlockEmpty) // 1
			drops(c, 10)
			c.Op(wasm.OpElse)
			drops(c, 20)
			c.Op(wasm.OpEnd)
			drops(c, 5)
		}), []uint64{1}, 16},
		"the other arm": {snippet("i", "", "", func(c *wasm.Code) {
			c.Index(wasm.OpLocalGet, 0)
			c.Block(wasm.OpIf, wasm.BlockEmpty)
			drops(c, 10)
			c.Op(wasm.OpElse)
			drops(c, 20)
			c.Op(wasm.OpEnd)
			drops(c, 5)
		}), []uint64{0}, 26},
		"a return in an arm": {snippet("i", "", "", func(c *wasm.Code) {
			c.Index(wasm.OpLocalGet, 0)
			c.Block(wasm.OpIf, wasm.BlockEmpty)
			c.Op(wasm.OpReturn) // 1
			c.Op(wasm.OpEnd)
			drops(c, 50)
		}), []uint64{1}, 2},
		"a call of the host": {snippet("", "i", "", func(c *wasm.Code) {
			c.I32(4)
			c.Index(wasm.OpCall, 0)
		}), nil, 20 + 8},
		"fib(3) is 5 calls of it": {fib(), []uint64{3}, 5*(2+8) + 2*(2*5+1)},
		"memory.grow of a page": {snippet("", "i", "", func(c *wasm.Code) {
			c.I32(1)
			c.Index(wasm.OpMemoryGrow, 0)
		}), nil, 30 + 65536},
		"memory.grow that is refused": {snippet("", "i", "", func(c *wasm.Code) {
			c.I32(100)
			c.Index(wasm.OpMemoryGrow, 0)
		}), nil, 30},
		"memory.fill of 1000 bytes": {snippet("", "", "", func(c *wasm.Code) {
			c.I32(0)
			c.I32(7)
			c.I32(1000)
			c.Index(wasm.OpMemoryFill, 0)
		}), nil, 2 + 1000/16},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rt := newRuntime(t)
			for _, slices := range []func() int64{slicesOf(plenty >> 30), slicesOf(1), randomSlices(1)} {
				i := instantiate(t, rt, rewrite(t, test.module), newBank(plenty, deep, slices))
				got := i.call(t, newBank(plenty, deep, slices), "run", test.args...)
				if got.err != "" || got.used != test.want {
					t.Errorf("used %d (%q), want %d", got.used, got.err, test.want)
				}
			}
		})
	}
}

// drops uses n units.
func drops(c *wasm.Code, n int) {
	for range n {
		c.I32(1)
		c.Op(wasm.OpI32Eqz, wasm.OpDrop)
	}
}

func TestBudgetIsExhaustedAboveNotAt(t *testing.T) {
	t.Parallel()
	loop := snippet("i", "", "", countdown)
	leaf := snippet("", "", "", func(c *wasm.Code) { drops(c, 30) })
	tests := map[string]struct {
		module []byte
		args   []uint64
	}{
		"loop": {loop, []uint64{1000}}, "calls": {fib(), []uint64{12}}, "leaf": {leaf, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rt := newRuntime(t)
			i := instantiate(t, rt, rewrite(t, test.module), newBank(plenty, deep, slicesOf(1)))
			used := i.call(t, newBank(plenty, deep, slicesOf(100)), "run", test.args...).used
			for seed := range uint64(20) {
				for _, budget := range []int64{used - 1, used, used + 1} {
					want := ""
					if budget < used {
						want = errBudget.Error()
					}
					if got := i.call(t, newBank(budget, deep, randomSlices(seed)), "run", test.args...); got.err != want {
						t.Errorf("with a budget of %d for %d: %q, want %q", budget, used, got.err, want)
					}
				}
			}
		})
	}
}

func TestRecursionEndsByStackAtTheSameDepth(t *testing.T) {
	t.Parallel()
	deepen := func(locals string, looping bool) []byte {
		var m module
		m.Globals = []wasm.Global{{GlobalType: wasm.GlobalType{Type: wasm.I32, Mutable: true}, Init: zeroExpr()}}
		m.Exports = []wasm.Export{{Name: "global0", Kind: wasm.KindGlobal}}
		m.function("run", "", "", locals, func(c *wasm.Code) {
			if looping { // Its header asks in the entry's place, before the global changes.
				c.Block(wasm.OpLoop, wasm.BlockEmpty)
				defer c.Op(wasm.OpEnd)
			}
			c.Index(wasm.OpGlobalGet, 0)
			c.I32(1)
			c.Op(wasm.OpI32Add)
			c.Index(wasm.OpGlobalSet, 0)
			c.Index(wasm.OpCall, 0)
			c.Index(wasm.OpGlobalGet, 0)
			c.Op(wasm.OpDrop)
		})
		return m.Encode()
	}
	tests := map[string]struct {
		locals  string
		looping bool
		weight  int64
	}{
		"no locals":    {"", false, 4},
		"100 locals":   {strings.Repeat("I", 100), false, 54},
		"a loop first": {"", true, 4},
		"both":         {strings.Repeat("I", 100), true, 54},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rt := newRuntime(t)
			for seed := range uint64(5) {
				const stack = 10_000
				i := instantiate(t, rt, rewrite(t, deepen(test.locals, test.looping)), newBank(plenty, stack, slicesOf(1)))
				got := i.call(t, newBank(plenty, stack, randomSlices(seed)), "run")
				if depth, want := int64(got.globals[0]), stack/test.weight; got.err != errDepth.Error() || depth != want {
					t.Errorf("ended at depth %d by %q, want %d", depth, got.err, want)
				}
			}
		})
	}
}

func zeroExpr() wasm.Expr {
	var c wasm.Code
	c.I32(0)
	c.Op(wasm.OpEnd)
	return wasm.Expr(c)
}

// TestTrapCountsWhatWasSpilled: an unreachable knows what was used, and what other
// traps know does not depend on slices.
func TestTrapCountsWhatWasSpilled(t *testing.T) {
	t.Parallel()
	trapAfterLoop := func(trap func(c *wasm.Code)) []byte {
		return snippet("i", "", "", func(c *wasm.Code) {
			countdown(c)
			trap(c)
		})
	}
	tests := map[string]struct {
		module []byte
		want   int64
	}{
		"unreachable": {trapAfterLoop(func(c *wasm.Code) { c.Op(wasm.OpUnreachable) }), 3001},
		"division by zero": {trapAfterLoop(func(c *wasm.Code) {
			c.I32(1)
			c.I32(0)
			c.Op(wasm.OpI32DivS, wasm.OpDrop)
		}), 0},
		"after a call": {trapAfterLoop(func(c *wasm.Code) {
			c.I32(1)
			c.Index(wasm.OpCall, 0)
			c.I32(0)
			c.Op(wasm.OpI32DivS, wasm.OpDrop)
		}), 8 + 3000 + 20 + 8},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rt := newRuntime(t)
			i := instantiate(t, rt, rewrite(t, test.module), newBank(plenty, deep, slicesOf(1)))
			for seed := range uint64(10) {
				got := i.call(t, newBank(plenty, deep, randomSlices(seed)), "run", 1000)
				if got.err == "" || got.used != test.want {
					t.Errorf("used %d (%q), want %d", got.used, got.err, test.want)
				}
			}
		})
	}
}

// TestLongPathsAreChecked holds that straight code, too, asks now and then.
func TestLongPathsAreChecked(t *testing.T) {
	t.Parallel()
	rt := newRuntime(t)
	long := snippet("", "", "", func(c *wasm.Code) { drops(c, 60_000) })
	i := instantiate(t, rt, rewrite(t, long), newBank(plenty, deep, slicesOf(1)))
	got := i.call(t, newBank(plenty, deep, slicesOf(1)), "run")
	if got.used != 60_000 || got.refuels < 60_000/5001 || got.refuels > 13 {
		t.Errorf("used %d and asked %d times, want 60000 and 11 to 13", got.used, got.refuels)
	}
	if got := i.call(t, newBank(20_000, deep, slicesOf(1)), "run"); got.err != errBudget.Error() {
		t.Errorf("with a budget of 20000: %q, want %q", got.err, errBudget)
	}
}

// TestConstructsDoTheSame are those that the rewriting moves about most.
func TestConstructsDoTheSame(t *testing.T) {
	t.Parallel()
	tests := map[string][]byte{
		"nesting of 900": snippet("i", "i", "", func(c *wasm.Code) {
			for range 450 {
				c.Block(wasm.OpBlock, wasm.BlockEmpty)
				c.Block(wasm.OpLoop, wasm.BlockEmpty)
			}
			c.Index(wasm.OpLocalGet, 0)
			c.Index(wasm.OpBrIf, 899)
			for range 900 {
				c.Op(wasm.OpEnd)
			}
			c.I32(5)
		}),
		"br_table over loops": snippet("i", "i", "ii", brTableOverLoops),
		"a loop that takes and gives": func() []byte {
			var m module
			both := wasm.BlockType(m.signature("ii", "ii"))
			m.function("run", "i", "i", "i", func(c *wasm.Code) {
				c.I32(0)
				c.I32(0)
				c.Block(wasm.OpLoop, both)
				c.Op(wasm.OpI32Add)
				c.I32(3)
				c.Index(wasm.OpLocalGet, 0)
				c.I32(1)
				c.Op(wasm.OpI32Sub)
				c.Index(wasm.OpLocalTee, 0)
				c.Index(wasm.OpBrIf, 0)
				c.Op(wasm.OpEnd, wasm.OpI32Add)
			})
			return m.Encode()
		}(),
		"results that leave from inside": func() []byte {
			var m module
			m.function("two", "i", "iI", "", func(c *wasm.Code) {
				countdown(c)
				c.I32(1)
				c.I64(2)
				c.Index(wasm.OpLocalGet, 0)
				c.Op(wasm.OpI32Eqz)
				c.Index(wasm.OpBrIf, 0)
				c.Op(wasm.OpDrop, wasm.OpDrop)
				c.I32(3)
				c.I64(4)
			})
			m.function("run", "i", "iIi", "", func(c *wasm.Code) {
				c.Index(wasm.OpLocalGet, 0)
				c.Index(wasm.OpCall, 0)
				c.I32(9)
				c.Index(wasm.OpBr, 0)
				c.Op(wasm.OpUnreachable)
			})
			return m.Encode()
		}(),
		"code that is never reached": snippet("i", "i", "", func(c *wasm.Code) {
			c.Block(wasm.OpBlock, wasm.BlockOf(wasm.I32))
			c.I32(1)
			c.Op(wasm.OpReturn)
			c.Op(wasm.OpI32Add, wasm.OpDrop)
			c.Block(wasm.OpLoop, wasm.BlockEmpty)
			c.Index(wasm.OpBr, 0)
			c.Op(wasm.OpEnd)
			c.Index(wasm.OpCall, 0)
			c.Index(wasm.OpBr, 1)
			c.Op(wasm.OpEnd)
		}),
		"an end that is only reached by types": snippet("i", "i", "", func(c *wasm.Code) {
			c.I32(1)
			c.Index(wasm.OpCall, 0)
			c.Op(wasm.OpDrop)
			c.Block(wasm.OpBlock, wasm.BlockOf(wasm.I32))
			c.Op(wasm.OpUnreachable, wasm.OpEnd)
		}),
	}
	for name, original := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rt := newRuntime(t)
			b := newBank(plenty, deep, slicesOf(1))
			want := instantiate(t, rt, original, b).call(t, b, "run", 30)
			rewritten := instantiate(t, rt, rewrite(t, original), b)
			for seed := range uint64(5) {
				got := rewritten.call(t, newBank(plenty, deep, randomSlices(seed)), "run", 30)
				if diff := cmp.Diff(want, got, ignoreFuel()); diff != "" {
					t.Errorf("-original +rewritten:\n%s", diff)
				}
			}
		})
	}
}

// brTableOverLoops counts local 1 up by where a br_table of local 0 leads to, out
// of two loops.
func brTableOverLoops(c *wasm.Code) {
	add := func(n int32) {
		c.Index(wasm.OpLocalGet, 1)
		c.I32(n)
		c.Op(wasm.OpI32Add)
		c.Index(wasm.OpLocalSet, 1)
	}
	c.Block(wasm.OpBlock, wasm.BlockEmpty)
	c.Block(wasm.OpLoop, wasm.BlockEmpty)
	c.Block(wasm.OpBlock, wasm.BlockEmpty)
	c.Block(wasm.OpLoop, wasm.BlockEmpty)
	c.Index(wasm.OpLocalGet, 0)
	c.I32(1)
	c.Op(wasm.OpI32Sub)
	c.Index(wasm.OpLocalTee, 0)
	c.I32(3)
	c.Op(wasm.OpI32And)
	labels(c, 3, 0, 1, 2)
	c.Op(wasm.OpEnd, wasm.OpEnd)
	add(100)
	c.Index(wasm.OpLocalGet, 0)
	c.Index(wasm.OpBrIf, 0)
	c.Op(wasm.OpEnd)
	add(10_000)
	c.Op(wasm.OpEnd)
	c.Index(wasm.OpLocalGet, 1)
}

func TestRewriteMovesIndices(t *testing.T) {
	t.Parallel()
	var m module
	m.importDouble()
	first := m.function("first", "", "i", "", func(c *wasm.Code) { c.I32(1) })
	start := m.function("", "", "", "", func(c *wasm.Code) {
		c.Index(wasm.OpRefFunc, first)
		c.Op(wasm.OpDrop)
	})
	m.Start = &start
	m.Names = map[uint32]string{0: "double", first: "first", start: "start"}
	var reference wasm.Code
	reference.Index(wasm.OpRefFunc, first)
	reference.Op(wasm.OpEnd)
	m.Globals = []wasm.Global{{GlobalType: wasm.GlobalType{Type: wasm.FuncRef}, Init: wasm.Expr(reference)}}
	m.Tables = []wasm.Table{{Element: wasm.FuncRef, Min: 4}}
	m.Elements = []wasm.Element{
		{Mode: wasm.Active, Offset: zeroExpr(), Type: wasm.FuncRef, Functions: []uint32{0, first}},
		{Mode: wasm.Declarative, Type: wasm.FuncRef, Exprs: []wasm.Expr{slices.Clone(wasm.Expr(reference))}},
	}
	if err := meter.Rewrite(&m.Module); err != nil {
		t.Fatal(err)
	}
	moved := wasm.Expr{byte(wasm.OpRefFunc), byte(first + 2), byte(wasm.OpEnd)}
	got := []any{
		*m.Start, m.Exports[0].Index, m.Globals[0].Init, m.Elements[0].Functions, m.Elements[1].Exprs[0],
		m.Names[0], m.Names[first+2], m.Names[start+2], m.Names[1], m.Names[2],
	}
	want := []any{
		start + 2, first + 2, moved,
		[]uint32{0, first + 2},
		moved,
		"double", "first", "start", "fuel.refuel", "fuel.charge",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if last := m.Exports[len(m.Exports)-1]; last.Name != meter.Global || last.Index != 1 {
		t.Errorf("the last export is %+v, want the last global", last)
	}
}

func TestRewriteRefusesWhatDecodeWould(t *testing.T) {
	t.Parallel()
	with := func(code ...byte) *wasm.Module {
		return &wasm.Module{Types: []wasm.FuncType{{}}, Functions: []uint32{0}, Code: []wasm.Body{{Code: code}}}
	}
	tests := map[string]*wasm.Module{
		"no body":          {Types: []wasm.FuncType{{}}, Functions: []uint32{0}},
		"no type":          {Functions: []uint32{0}, Code: []wasm.Body{{Code: []byte{0x0b}}}},
		"no end":           with(0x01),
		"no code":          with(),
		"half a number":    with(0x41, 0x80),
		"branch too far":   with(0x0c, 0x01, 0x0b),
		"else without if":  with(0x05, 0x0b, 0x0b),
		"type of no block": with(0x03, 0x07, 0x0b, 0x0b),
	}
	for name, m := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := meter.Rewrite(m); err == nil {
				t.Error("it was rewritten")
			}
		})
	}
}

// workloadsSource is the Go program that the benchmarks run.
const workloadsSource = "../../bench/runtime/guests/workloads"

// TestGuestsDoTheSame runs a Go program.
func TestGuestsDoTheSame(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it compiles a Go program twice")
	}
	original := runtimetest.BuildGo(t, workloadsSource)
	rt := newRuntime(t)
	b := newBank(plenty, deep, slicesOf(1000))
	plain, metered := instantiate(t, rt, original, b), instantiate(t, rt, rewrite(t, original), b)
	for _, i := range []*instance{plain, metered} {
		if o := i.call(t, newBank(plenty, deep, randomSlices(1)), "_initialize"); o.err != "" {
			t.Fatal(o.err)
		}
	}
	for n, export := range []string{"fib", "sieve", "sha256", "json", "regexp", "copy"} {
		want := plain.call(t, b, export, 2)
		got := metered.call(t, newBank(plenty, deep, randomSlices(uint64(n))), export, 2)
		if got.err != "" || got.refuels == 0 || fmt.Sprint(got.results) != fmt.Sprint(want.results) {
			t.Errorf("%s: %v (%q) with %d refuels, want %v", export, got.results, got.err, got.refuels, want.results)
		}
	}
}
