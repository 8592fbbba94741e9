// Package replay runs a recorded execution again with no way out: on a laptop, in
// a plugin's tests, or against another version of the plugin.
//
//	r, err := replay.Read(file)
//	functions, err := replay.Functions(wasm)
//	rt, err := runtime.New(ctx, runtime.Config{Functions: functions})
//	module, err := rt.Prepare(ctx, wasm, replay.Limits(r))
//	report, err := replay.Run(ctx, module, r, replay.Options{Module: replay.DigestOf(wasm)})
//	if !report.Same() {
//		fmt.Println(report.Differences)
//	}
//
// A [Recording] holds all that a run is a function of: the digest of its module,
// its world, its input and the answers that it got from outside. What the run
// computes by itself, its logs, the state that it writes, the records that it emits,
// is computed anew. All else is answered by the recording, in order, or not at all:
// there is no code behind the other functions, so that nothing can be reached.
//
// # What is promised
//
// A recording of the module that is run, under the [runtime.Model] of this program,
// gives the same output byte for byte, and the same fuel: anything else is a bug of
// this program's. Of other code the first call that differs is reported, and the
// run ends there. Fuel is compared only where it must be equal.
//
// What ends a run from outside is not a part of the recording: a deadline, a crash,
// the loss of a lease. Such a run is [Interrupted], and is replayed up to there.
//
// # What a file holds
//
// See [Write]. A file holds what the plugin was told and what it sent, without any
// credential: those are added below the gate, and taken out of every answer before
// it is recorded. It does hold the customer's data that went through the plugin:
// treat it as such.
package replay
