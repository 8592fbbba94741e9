package abi

import "bytes"

// varCost is what a variable is charged beyond its bytes: map entry and headers.
const varCost = 64

func (g *Guest) varGet(s []uint64) {
	value, ok := g.vars[string(g.take(s[0], "var_get"))]
	if !ok {
		s[0] = 0
		return
	}
	s[0] = g.give(value)
}

// varSet keeps a copy of the value until the call ends; offset 0 removes it.
func (g *Guest) varSet(s []uint64) {
	name := string(g.take(s[0], "var_set"))
	if old, ok := g.vars[name]; ok {
		g.arena.outside -= uint64(len(name) + len(old) + varCost)
		delete(g.vars, name)
	}
	if s[1] == 0 {
		return
	}
	value := g.take(s[1], "var_set")
	cost := uint64(len(name) + len(value) + varCost)
	if g.arena.used()+cost > g.arena.limit {
		g.end(ErrBudget)
	}
	if g.vars == nil {
		g.vars = map[string][]byte{}
	}
	g.arena.outside += cost
	g.vars[name] = bytes.Clone(value)
}
