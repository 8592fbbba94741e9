package abi

import (
	"bytes"
	"context"
)

// varCost is what a variable is charged beyond its bytes: map entry and headers.
const varCost = 64

func (g *Guest) varGet(ctx context.Context, s []uint64) {
	value, ok := g.vars[string(g.take(ctx, s[0], "var_get"))]
	if !ok {
		s[0] = 0
		return
	}
	s[0] = g.give(ctx, value)
}

// varSet keeps a copy of the value until the call ends; offset 0 removes it. The
// copy lives on the host's heap and is charged to the kernel's.
func (g *Guest) varSet(ctx context.Context, s []uint64) {
	name := string(g.take(ctx, s[0], "var_set"))
	if old, ok := g.vars[name]; ok {
		g.kernel.heap.refund(uint64(len(name) + len(old) + varCost))
		delete(g.vars, name)
	}
	if s[1] == 0 {
		return
	}
	value := g.take(ctx, s[1], "var_set")
	if !g.kernel.heap.charge(uint64(len(name) + len(value) + varCost)) {
		g.end(ErrBudget)
	}
	if g.vars == nil {
		g.vars = map[string][]byte{}
	}
	g.vars[name] = bytes.Clone(value)
}
