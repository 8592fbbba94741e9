// Package journal keeps the answers that an execution got from outside, in the
// order in which its guest asked for them, so that a run can be made again without
// asking again.
//
// A run is a function of its world (package runtime), its input and these answers.
// Hence one journal serves for all of these:
//
//   - retry: what is done is answered from the journal, what is not is made again;
//   - resume: after a crash or a wait the same, from the start of the guest to the
//     point where it was;
//   - replay: with no way out at all, on another machine.
//
// # What is an entry
//
// Each crossing whose answer comes from outside: HTTP, reads of state, sleeps, the
// host functions of embedders. What a run can compute by itself, its logs, the
// state that it writes, the records that it emits, is computed by each run anew and
// never compared: a version that only adds a line of log does not diverge.
//
//	j := journal.New(journal.Config{Entries: stored, Log: log, Now: now})
//	gate := hostfns.NewGate(hostfns.GateConfig{Journal: j.Outer, Layers: []hostfns.Layer{j.Inner}, ...})
//	reader := state.Kept(stateReader, j.Read)
//
// # Before an effect
//
// An effect that must not be made twice, such as a POST, is announced: its intent
// is durable, and fenced, before the first byte of it leaves. All else is kept with
// the next commit, so that a run without such effects costs no commit of its own.
// An intent without an answer is an effect of which nobody knows whether it was
// made: see [hostfns.Outcome].
//
// What then became of it is durable soon after, while the run goes on: [Journal.Close]
// ends what goes on in the background.
//
// What may have been done and is made again goes out byte for byte, with the
// idempotency key that it had, which the Func finds in hostfns.KeyOf. Nothing that may
// have been done is made again unless that was decided: by [After], because the other
// side knows it by its key ([Entry.Recognised]), or by [Settle], because somebody has
// found out.
//
// # Waits
//
// A Func that has to wait for long ends the run with a *hostfns.Suspended. The next run
// comes to the same place, and is told the answer if it is time.
//
// # After a run
//
// [After] says what follows a run that did not succeed: whether it goes on, from
// which entry, or why no retry could help.
package journal
