package runtime

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/cofferdam-run/cofferdam/runtime/abi"
	"github.com/cofferdam-run/cofferdam/runtime/meter"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// Sample is what a function used in the calls of it that were reached one way.
type Sample struct {
	// Stack names the functions that were active, the one that it is about first.
	// One without a name is func[N], N being its index in the module.
	Stack []string
	// Calls is how often it was called, and Fuel what it used itself.
	Calls, Fuel int64
}

// Profile makes one call of a module, in a Runtime of its own, and says which
// functions used its fuel. Nothing is sampled: the samples of a call add up to the
// Usage.Fuel of its Result, also when it fails. Errors are as those of Prepare and
// Call.
//
// A function that is imported has samples of its own, with what was charged for
// the bytes that it moved; the fixed price of calling it is its caller's. What a
// module does when it starts is not in the profile, unless it has to be started
// for each call.
//
// The call takes many times as long as without it. Config.Compiler is given the
// module first and may refuse it. Code that can be listened to is another, though:
// that is compiled in this process, which takes about what the Compiler has allowed,
// and is not kept.
func Profile(ctx context.Context, c Config, binary []byte, l Limits, call Call) (_ []Sample, _ Result, err error) {
	c.CacheDir = ""
	p := &profiler{}
	r, err := New(experimental.WithFunctionListenerFactory(ctx, hostFunctions{p}), c)
	if err != nil {
		return nil, Result{}, err
	}
	defer func() { err = joined(err, r.Close(context.WithoutCancel(ctx))) }()
	m, err := r.Prepare(experimental.WithFunctionListenerFactory(ctx, newGuestFunctions(p, binary)), binary, l)
	if err != nil {
		return nil, Result{}, err
	}
	if err := m.admit(ctx, call, call.Limits.within(m.limits)); err != nil {
		return nil, Result{}, err
	}
	s, err := m.take(ctx)
	if err != nil {
		return nil, Result{}, err
	}
	defer func() { err = joined(err, s.close(ctx), m.leave(ctx, nil)) }()
	p.begin(func() int64 { return s.account.Used(s.fuel.Get()) })
	result, err := s.once(ctx, call)
	// What a call has burnt when it ends is known only now.
	p.attribute(result.Usage.Fuel)
	return p.samples(call.Export), result, err
}

const (
	// maxStacks is how many different stacks there are in a profile; of those that
	// come later only the function is known.
	maxStacks = 1 << 16
	// maxStack is how many functions of a stack are known: the outermost ones, and
	// the one that it is about.
	maxStack = 128
)

// node is a stack: a function, and what called it.
type node struct {
	function *listener
	caller   *node
	depth    int
	called   map[*listener]*node

	calls, fuel int64
}

// profiler follows the one call of a runtime.
type profiler struct {
	// used reads how much fuel the call has used; nil before it begins.
	used func() int64
	// last is what it was when something happened last.
	last  int64
	root  *node
	stack []*node
	// all are the nodes below the root, in the order in which they came up.
	all []*node
}

func (p *profiler) begin(used func() int64) {
	p.root = &node{called: map[*listener]*node{}}
	p.used = used
}

// attribute adds what was used since the last time to the function that runs.
func (p *profiler) attribute(used int64) {
	p.top().fuel += used - p.last
	p.last = used
}

func (p *profiler) top() *node {
	if len(p.stack) == 0 {
		return p.root
	}
	return p.stack[len(p.stack)-1]
}

func (p *profiler) enter(f *listener) {
	if p.used == nil {
		return // The module starts.
	}
	p.attribute(p.used())
	n := p.below(p.top(), f)
	n.calls++
	p.stack = append(p.stack, n)
}

// below finds the stack of f when n calls it.
func (p *profiler) below(n *node, f *listener) *node {
	if n.depth == maxStack {
		n = n.caller
	}
	if called := n.called[f]; called != nil {
		return called
	}
	if len(p.all) >= maxStacks {
		if n = p.root; n.called[f] != nil {
			return n.called[f]
		}
	}
	called := &node{function: f, caller: n, depth: n.depth + 1, called: map[*listener]*node{}}
	n.called[f] = called
	p.all = append(p.all, called)
	return called
}

func (p *profiler) leave(f *listener) {
	if p.used == nil {
		return
	}
	p.attribute(p.used())
	if n := len(p.stack); n > 0 && p.stack[n-1].function == f {
		p.stack = p.stack[:n-1]
	}
}

// samples are what was seen. What was used outside of any function, for an instance
// that was made for the call, is the export's.
func (p *profiler) samples(export string) []Sample {
	var all []Sample
	if p.root.fuel != 0 {
		all = append(all, Sample{Stack: []string{export}, Fuel: p.root.fuel})
	}
	for _, n := range p.all {
		s := Sample{Calls: n.calls, Fuel: n.fuel}
		for at := n; at != p.root; at = at.caller {
			s.Stack = append(s.Stack, at.function.name)
		}
		all = append(all, s)
	}
	return all
}

// listener is told when one function is entered and left.
type listener struct {
	profiler *profiler
	name     string
}

// Before implements experimental.FunctionListener.
func (l *listener) Before(context.Context, api.Module, api.FunctionDefinition, []uint64, experimental.StackIterator) {
	l.profiler.enter(l)
}

// After implements experimental.FunctionListener.
func (l *listener) After(context.Context, api.Module, api.FunctionDefinition, []uint64) {
	l.profiler.leave(l)
}

// Abort does nothing: the call is over, and what it used last is its innermost
// function's.
func (l *listener) Abort(context.Context, api.Module, api.FunctionDefinition, error) {}

// hostFunctions makes listeners for what guests import. Those that they do not
// are left out: what is burnt there is the caller's.
type hostFunctions struct{ profiler *profiler }

// NewFunctionListener implements experimental.FunctionListenerFactory.
func (h hostFunctions) NewFunctionListener(f api.FunctionDefinition) experimental.FunctionListener {
	names := f.ExportNames()
	if len(names) == 0 {
		return nil
	}
	module := f.ModuleName()
	switch {
	case module == meter.Global: // Refueling, which goes by the same name.
		return nil
	case module == "", strings.HasPrefix(module, "\x00"): // The kernel, and what it hands on.
		module = abi.EnvModule
	}
	return &listener{profiler: h.profiler, name: module + "." + names[0]}
}

// guestFunctions makes listeners for a rewritten module.
type guestFunctions struct {
	profiler *profiler
	// imported and defined are how many functions the module had before.
	imported, defined uint32
}

// newGuestFunctions looks at a module before it is rewritten. One that cannot be
// read will not be compiled.
func newGuestFunctions(p *profiler, binary []byte) guestFunctions {
	m, err := wasm.Decode(binary, wasm.Limits{})
	if err != nil {
		return guestFunctions{profiler: p}
	}
	return guestFunctions{profiler: p, imported: m.ImportCount(wasm.KindFunction), defined: uint32(len(m.Functions))}
}

// NewFunctionListener implements experimental.FunctionListenerFactory. There is
// none for a function that was added to count fuel.
func (g guestFunctions) NewFunctionListener(f api.FunctionDefinition) experimental.FunctionListener {
	index := f.Index() - meter.AddedImports
	if index >= g.imported+g.defined {
		return nil
	}
	name := f.Name()
	if name == "" {
		name = fmt.Sprintf("func[%d]", index)
		exports := slices.DeleteFunc(slices.Clone(f.ExportNames()), func(e string) bool { return strings.HasPrefix(e, "\x00") })
		if len(exports) > 0 {
			name = exports[0]
		}
	}
	return &listener{profiler: g.profiler, name: name}
}
