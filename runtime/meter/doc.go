// Package meter counts what a guest executes, in units of fuel, and ends it when
// it has used more than its budget. [Rewrite] makes a module count; an [Account]
// is the other side, one call's.
//
//	m, err := wasm.Decode(binary, wasm.Limits{})
//	err = meter.Rewrite(m)
//	binary = m.Encode()
//
//	err = meter.Instantiate(ctx, rt)              // Once for each runtime.
//	account := meter.NewAccount(meter.Options{Now: time.Now})
//	g.Set(account.Open(budget, stack))            // G is the export Global.
//	_, err = export.Call(meter.With(ctx, account))
//	used, err := account.Settle(g.Get())
//
// # What is counted
//
// [Costs] and COSTS.md are the price list. The sum over all instructions that are
// executed is exact, whichever way control goes, and the same on every machine,
// for every length of slices. It is charged in advance for code that runs
// straight, and for what follows an if or a loop that always ends there: so a
// call is ended a little before it has done what it cannot pay.
//
// At a trap a function's count since its last call is lost, but for the trap that
// a program asks for itself, unreachable; see [Account.SettleTrap].
//
// # How
//
// The module gets a global, G, and its functions that have a loop or a call a
// local, F, which stands for G between calls. Both hold stack*2^32 + fuel. F is
// tested at the entry of functions that call, at the header of each loop, and
// where a path has gone for 5,000 units without a test; when it is negative,
// "refuel" is called, in a place where it does not cost the loop its registers.
//
// A function that calls takes stack, 4 units, and one for each two of its parameters
// and locals, and fuel for each unit. So one test is enough: there is never more fuel
// in G than the stack that is left costs, and whoever is out of stack is out of fuel.
// One that begins with a loop leaves the test to its header. A unit of stack is
// 16 bytes of the machine's stack or more: the compiler may need more for what it
// keeps across calls, and has a bound of its own.
//
// Long bulk operations are done in chunks of 256 KiB, each paid for before it is
// done; growth of memory and tables, and what is done to tables, goes through
// "charge", which has no bound.
package meter
