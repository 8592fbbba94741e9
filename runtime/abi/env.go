package abi

import (
	"context"

	"github.com/tetratelabs/wazero/api"
)

// envModule is where guests import Extism's own functions from.
const envModule = "extism:host/env"

// logLevelDebug is get_log_level's answer: everything from debug on is wanted;
// what to keep is decided outside. Extism counts trace 0, debug 1, info 2.
const logLevelDebug = 1

// envFunctions are all that Extism's own SDKs offer: the 20 of its kernel, and
// the 12 that stand on it.
func envFunctions() []function {
	return []function{
		{"alloc", "I", "I", inside((*Guest).alloc)},
		{"free", "I", "", inside(func(g *Guest, s []uint64) { g.arena.free(s[0]) })},
		{"length", "I", "I", inside((*Guest).length)},
		{"length_unsafe", "I", "I", inside((*Guest).length)},
		{"load_u8", "I", "i", inside(func(g *Guest, s []uint64) { s[0] = uint64(g.arena.load8(s[0])) })},
		{"load_u64", "I", "I", inside(func(g *Guest, s []uint64) { s[0] = g.arena.load64(s[0]) })},
		{"store_u8", "Ii", "", inside(func(g *Guest, s []uint64) { g.arena.store8(s[0], byte(s[1])) })},
		{"store_u64", "II", "", inside(func(g *Guest, s []uint64) { g.arena.store64(s[0], s[1]) })},
		{"input_set", "II", "", inside((*Guest).inputSet)},
		{"input_offset", "", "I", inside(func(g *Guest, s []uint64) { s[0] = g.input.offset })},
		{"input_length", "", "I", inside(func(g *Guest, s []uint64) { s[0] = g.input.length })},
		{"input_load_u8", "I", "i", inside((*Guest).inputLoad8)},
		{"input_load_u64", "I", "I", inside((*Guest).inputLoad64)},
		{"output_set", "II", "", inside((*Guest).outputSet)},
		{"output_offset", "", "I", inside(func(g *Guest, s []uint64) { s[0] = g.output.offset })},
		{"output_length", "", "I", inside(func(g *Guest, s []uint64) { s[0] = g.output.length })},
		{"error_set", "I", "", inside((*Guest).errorSet)},
		{"error_get", "", "I", inside(func(g *Guest, s []uint64) { s[0] = g.failure.offset })},
		{"memory_bytes", "", "I", inside(func(g *Guest, s []uint64) { s[0] = uint64(len(g.arena.memory)) })},
		{"reset", "", "", inside((*Guest).reset)},
		{"config_get", "I", "I", inside((*Guest).configGet)},
		{"var_get", "I", "I", inside((*Guest).varGet)},
		{"var_set", "II", "", inside((*Guest).varSet)},
		{"http_request", "II", "I", httpRequest},
		{"http_status_code", "", "i", inside(func(g *Guest, s []uint64) { s[0] = uint64(g.http.status) })},
		{"http_headers", "", "I", inside((*Guest).httpHeaders)},
		{"get_log_level", "", "i", inside(func(_ *Guest, s []uint64) { s[0] = logLevelDebug })},
		// The gate knows no level below debug.
		{"log_trace", "I", "", logFunction("debug")},
		{"log_debug", "I", "", logFunction("debug")},
		{"log_info", "I", "", logFunction("info")},
		{"log_warn", "I", "", logFunction("warn")},
		{"log_error", "I", "", logFunction("error")},
	}
}

// inside adapts a function that touches only its own guest.
func inside(f func(g *Guest, s []uint64)) call {
	return func(_ context.Context, g *Guest, _ api.Module, s []uint64) { f(g, s) }
}

// alloc ends the call when the budget is spent: PDKs do not look at the offset,
// and would go on with a loss that nobody sees.
func (g *Guest) alloc(s []uint64) {
	offset, ok := g.arena.alloc(s[0])
	if !ok {
		g.end(ErrBudget)
	}
	s[0] = offset
}

func (g *Guest) length(s []uint64) { s[0], _ = g.arena.length(s[0]) }

func (g *Guest) inputSet(s []uint64) { g.input = g.checkedSpan(s, "input_set") }

func (g *Guest) outputSet(s []uint64) { g.output = g.checkedSpan(s, "output_set") }

func (g *Guest) checkedSpan(s []uint64, what string) span {
	r := span{s[0], s[1]}
	if r.length == 0 {
		return span{}
	}
	if _, ok := g.arena.bytes(r); !ok || r.offset < blockAlign {
		g.misuse("%s(%d, %d) is outside of Extism memory, which ends at %d", what, r.offset, r.length, len(g.arena.memory))
	}
	return r
}

func (g *Guest) inputLoad8(s []uint64) {
	if s[0] >= g.input.length {
		s[0] = 0
		return
	}
	s[0] = uint64(g.arena.load8(g.input.offset + s[0]))
}

func (g *Guest) inputLoad64(s []uint64) {
	if g.input.length < 8 || s[0] > g.input.length-8 {
		s[0] = 0
		return
	}
	s[0] = g.arena.load64(g.input.offset + s[0])
}

func (g *Guest) errorSet(s []uint64) {
	if s[0] == 0 {
		g.failure = span{}
		return
	}
	g.failure = span{s[0], uint64(len(g.take(s[0], "error_set")))}
}

// reset forgets every block, the input, the output and the error; variables stay.
func (g *Guest) reset(_ []uint64) {
	g.arena.reset()
	g.input, g.output, g.failure = span{}, span{}, span{}
}

func (g *Guest) configGet(s []uint64) {
	value, ok := g.config[string(g.take(s[0], "config_get"))]
	if !ok {
		s[0] = 0
		return
	}
	s[0] = g.give([]byte(value))
}
