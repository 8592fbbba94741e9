package abi

import (
	"context"

	"github.com/tetratelabs/wazero/api"
)

const (
	// EnvModule is where guests import Extism's own functions from.
	EnvModule = "extism:host/env"
	// LegacyModule is where PDKs before 1.0 imported them from, each with
	// legacyPrefix before its name and otherwise as they are today.
	LegacyModule = "env"
	legacyPrefix = "extism_"

	// hostModule is where the kernel imports from what it hands on. No guest can
	// name it: names with a NUL are refused.
	hostModule = "\x00extism"
)

// logLevelDebug is get_log_level's answer: everything from debug on is wanted;
// what to keep is decided outside. Extism counts trace 0, debug 1, info 2.
const logLevelDebug = 1

// hostFunctions are those of Extism's functions that need more than memory. With
// the kernel's 20 they are all that Extism's own SDKs offer.
func hostFunctions() []function {
	return []function{
		{"config_get", "I", "I", inside(func(ctx context.Context, g *Guest, s []uint64) { g.configGet(ctx, s) })},
		{"var_get", "I", "I", inside(func(ctx context.Context, g *Guest, s []uint64) { g.varGet(ctx, s) })},
		{"var_set", "II", "", inside(func(ctx context.Context, g *Guest, s []uint64) { g.varSet(ctx, s) })},
		{"http_request", "II", "I", httpRequest},
		{"http_status_code", "", "i", inside(func(_ context.Context, g *Guest, s []uint64) { s[0] = uint64(g.http.status) })},
		{"http_headers", "", "I", inside(func(ctx context.Context, g *Guest, s []uint64) { g.httpHeaders(ctx, s) })},
		{"get_log_level", "", "i", inside(func(_ context.Context, _ *Guest, s []uint64) { s[0] = logLevelDebug })},
		// The gate knows no level below debug.
		{"log_trace", "I", "", logFunction("debug")},
		{"log_debug", "I", "", logFunction("debug")},
		{"log_info", "I", "", logFunction("info")},
		{"log_warn", "I", "", logFunction("warn")},
		{"log_error", "I", "", logFunction("error")},
	}
}

// inside adapts a function that touches only its own guest.
func inside(f func(ctx context.Context, g *Guest, s []uint64)) call {
	return func(ctx context.Context, g *Guest, _ api.Module, s []uint64) { f(ctx, g, s) }
}

// faultHandler is how the kernel ends a call.
func faultHandler() function {
	return function{"fault", "iII", "", inside(func(ctx context.Context, g *Guest, s []uint64) { g.fault(ctx, s) })}
}

func (g *Guest) fault(_ context.Context, s []uint64) {
	const outside = "%s(%d, %d) is outside of Extism memory, which ends at %d"
	switch high := g.kernel.heap.word(wordHigh); uint32(s[0]) {
	case faultBudget:
		g.end(ErrBudget)
	case faultInput:
		g.misuse(outside, "input_set", s[1], s[2], high)
	case faultOutput:
		g.misuse(outside, "output_set", s[1], s[2], high)
	default:
		g.misuse(noBlock, "error_set", s[1])
	}
}

func (g *Guest) configGet(ctx context.Context, s []uint64) {
	value, ok := g.config[string(g.take(ctx, s[0], "config_get"))]
	if !ok {
		s[0] = 0
		return
	}
	s[0] = g.give(ctx, []byte(value))
}
