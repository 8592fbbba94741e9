// Package compile turns modules that strangers have uploaded into machine code
// without letting them eat the process that serves everybody.
//
// A compiler cannot be interrupted inside of a function, and its time and memory
// grow faster than the function: 112 KB of branches once took six seconds. So the
// work is done by a child process under limits, and what comes back is a file in
// the engine's own cache, from which the engine loads the module in milliseconds:
//
//	c, err := compile.NewChild(compile.Config{Path: "/usr/bin/cofferdam", CacheDir: "data/cache"})
//	err = c.Compile(ctx, wasm) // a *CostError or a *ModuleError is the uploader's, any other the operator's.
//	compiled, err := engine.CompileModule(ctx, wasm) // Made with RuntimeConfig, on the same folder: a hit.
//
// The child is the cofferdam binary at Path, started with its hidden verb
// "compile"; the program that embeds the runtime is never started again. It has
// no environment, no files but its three streams, a process group and a niceness
// of its own, and it bounds itself before it reads a byte of the module:
//
//   - CPU time and memory by a watch that gives up cleanly, and by the kernel
//     (RLIMIT_CPU, and on Linux RLIMIT_DATA) for what grows in a leap;
//   - the code that it writes, by RLIMIT_FSIZE;
//   - its parent kills it when the time is up, when the context ends, and on Linux
//     when the parent itself dies.
//
// Sharp edges. The files in the folder are native code that is run as it is: the
// folder must be private, and OpenDir refuses one that others can write. What is
// compiled here and what loads it must agree about the engine: RuntimeConfig is
// the one place that configures it, and a binary that has another engine is
// refused with ErrBinary. InProcess is for programs that name no binary; then
// nothing but the runtime's limits on a module's shape bounds the compiler.
package compile
