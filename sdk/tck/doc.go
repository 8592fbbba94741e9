// Package tck holds guests to the contract of sdk/ABI.md: it is for whoever writes an
// SDK in another language.
//
//	func TestHello(t *testing.T) {
//		wasm, err := os.ReadFile("hello.wasm")
//		if err != nil {
//			t.Fatal(err)
//		}
//		tck.Run(t, wasm, tck.Options{})
//	}
//
// Write a connector that does what examples/hello-go does, with your SDK, and run
// this on it. The guest runs in the real sandbox, behind the real gate, with the
// limits of production. What is tried:
//
//   - describe, whose manifest must be valid, and that of the vectors but for its
//     name; and that all six exports are there, and verify where a webhook needs it.
//   - Each golden vector of sdk/testdata: what the guest asks its host, in order, and
//     what comes of the answers: output or error, log lines, records, tags, state. The
//     execution is then replayed from its journal alone, and must be the same.
//   - Inputs that are no envelope, each of which must end in an error of the guest's
//     own, and never in a trap.
//   - That nothing is asked while the guest starts.
//   - That equal calls are equal to the unit of fuel, in whatever order, and while
//     others go on, so that no call sees another.
//   - That too little fuel and too little memory end in the failure of that name.
//
// A test that fails names the vector, and what was got and wanted. Vectors of your
// own, in the same form, go into Options.Vectors.
package tck
