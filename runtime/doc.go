// Package runtime is the sandbox: it runs one export of a WebAssembly module
// in an instance of its own, with hard limits on memory and time, and with one
// way out, the [Host] that it is handed. It knows no tenants and no SQL.
//
//	rt, err := runtime.New(ctx, runtime.Config{Functions: gate.Names()})
//	module, err := rt.Prepare(ctx, wasm, runtime.Limits{})
//	result, err := module.Call(ctx, runtime.Call{
//		Export: "action",
//		Input:  []byte(`{"input":{}}`),
//		World:  runtime.World{Seed: seed, Start: now},
//		Host:   gate,
//	})
//
// Guests speak the Extism ABI v1 and a subset of WASI preview 1 that has no
// files, no sockets, no environment and no arguments.
//
// A call either gives a Result, or an error that is a [*Failure] when the guest
// is to blame, and any other error when the host is (its context ended, or the
// Host itself failed). A Result always carries the Usage, also next to an error.
//
// A call that runs into Limits.Deadline is ended at its next loop or question:
// code that neither loops nor asks, only calls itself without end in breadth, is
// not ended yet.
//
// The package is called runtime because that is what users look for; import the
// standard library's as goruntime.
package runtime
