// Package runtime is the sandbox: it runs one export of a WebAssembly module
// in a sandbox of its own, with hard limits on memory, CPU and time, and with
// one way out, the [Host] that it is handed. It knows no tenants and no SQL.
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
// Prepare starts the guest once: its start function, _initialize or constructors,
// and the optional export warmup, during which it may ask the Host for nothing.
// What its memory is then is the image that every sandbox begins as, and is put
// back to after each call. A guest that exports reseed has it called before each.
//
// Modules that differ only in what they begin with, that is in active data segments,
// values of mutable globals, the minimum of their memory and custom sections, have one
// compiled code: those that [Runtime.Freeze] makes of one engine and many scripts. What
// else there is of each is its image. A module with a source map in its custom section
// (package sourcemap) has failures and log lines that name lines of its sources.
//
// The guest's code counts its own fuel (package meter). Each slice of some 200 us
// it stops to be asked for deadline, cancellation and budget, and to let the
// garbage collector and other guests run: of these, no more run at once than there
// are processors, and they share by [Share].
//
// A module whose code changes its tables, or drops segments, cannot be put back: each
// call of it has an instance of its own, made while it has a processor, and pays for
// it from its fuel: 30,000 units, 16 for an entry of a table, 80 for one of an element
// segment, 20 for a global, 100 for an import, 4 for a data segment that code names,
// and 1 for 16 bytes of what its memory begins with. Facts.Fresh says which are such.
//
// Usage.Fuel is a function of module, input, World and answers, on any machine; of
// a call that trapped it is short by at most 2^20 units and what lies between two
// checks.
//
// The package is called runtime because that is what users look for; import the
// standard library's as goruntime.
package runtime
