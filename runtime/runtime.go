package runtime

import (
	"context"
	"errors"
)

// Config configures a Runtime.
type Config struct {
	// Functions are the names that guests may import from extism:host/user,
	// each (i64) -> i64, answered by the Host of the call. Defaults to none.
	Functions []string
	// CacheDir is a private folder for compiled code. Defaults to none: every
	// start compiles anew.
	CacheDir string
}

// Runtime prepares modules. It is safe for concurrent use.
type Runtime struct{}

// New returns a Runtime; the caller closes it.
func New(ctx context.Context, c Config) (*Runtime, error) { return nil, errors.New("unbuilt") }

// Close releases all compiled code. No call may be in flight.
func (r *Runtime) Close(ctx context.Context) error { return nil }

// Prepare checks and compiles a module. A module that is refused gives an
// *InvalidModule.
func (r *Runtime) Prepare(ctx context.Context, wasm []byte, l Limits) (*Module, error) {
	return nil, errors.New("unbuilt")
}

// Module is a compiled module. It is safe for concurrent use: every Call gets
// an instance of its own.
type Module struct{}

// Exports names the functions of type () -> i32 or () -> (), sorted: those that
// can be called.
func (m *Module) Exports() []string { return nil }

// Imports names what the module imports from extism:host/user, sorted.
func (m *Module) Imports() []string { return nil }

// Close releases the compiled code once the calls in flight have ended.
func (m *Module) Close(ctx context.Context) error { return nil }

// Call is one call of an export.
type Call struct {
	Export string
	Input  []byte
	World  World
	// Host answers the guest's crossings. A nil Host answers none of them:
	// each ends the call with CodeDenied.
	Host Host
}

// Result is what a call gave.
type Result struct {
	// Output is the guest's, at most Limits.OutputBytes.
	Output []byte
	Usage  Usage
}

// Call runs an export in a fresh instance. See the package comment for errors.
func (m *Module) Call(ctx context.Context, c Call) (Result, error) {
	return Result{}, errors.New("unbuilt")
}
