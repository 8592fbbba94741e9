// Package spectest runs WebAssembly's own test suites twice, on the modules as
// they are and on the rewritten ones, and compares. The suites are those that
// wazero has in its module, compiled:
//
//	root := ".../github.com/tetratelabs/wazero@v1.12.0/" + spectest.Folder
//	scripts, err := spectest.Scripts(root)
//	for _, path := range scripts {
//		one, err := spectest.Run(ctx, root, path, spectest.Options{})
//		report.Add(one)
//	}
//
// Each command is done by the original, by the rewritten module under a
// [meter.Account], and by it in slices of a few units. All must do the same,
// results, traps and memory, and the two latter use the same fuel. Then commands are done
// again with less fuel: what has enough must do the same, and what has not must
// be exhausted.
package spectest
