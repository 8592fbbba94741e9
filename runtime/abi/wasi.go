package abi

import (
	"context"
	"slices"
	"time"

	"github.com/tetratelabs/wazero/api"
)

// errno is WASI's error number.
// https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md#-errno-variant
type errno uint32

const (
	errnoSuccess errno = 0
	errnoAccess  errno = 2
	errnoBadF    errno = 8
	errnoFault   errno = 21
	errnoInval   errno = 28
	errnoNoSys   errno = 52
	errnoNotSup  errno = 58
	errnoSPipe   errno = 70
)

const (
	clockRealtime  = 0
	clockMonotonic = 1
	// clockStep is what clock_res_get answers. The clock moves by whole answers;
	// a millisecond is the unit of a sleep.
	clockStep = uint64(time.Millisecond)
)

// wasiFunctions are all of preview 1's. There are three descriptors, 0 to 2, and
// no directory: what works on another descriptor answers EBADF. What has no
// descriptor to be wrong about answers ENOSYS.
func wasiFunctions() []function {
	return append(absent(), []function{
		{"args_get", "ii", "i", wasi(nothing)},
		{"args_sizes_get", "ii", "i", wasi(noSizes)},
		{"environ_get", "ii", "i", wasi(nothing)},
		{"environ_sizes_get", "ii", "i", wasi(noSizes)},
		{"clock_res_get", "ii", "i", wasi(clockResGet)},
		{"clock_time_get", "iIi", "i", wasi(clockTimeGet)},
		{"random_get", "ii", "i", wasi(randomGet)},
		{"sched_yield", "", "i", wasi(nothing)},
		{"poll_oneoff", "iiii", "i", wasi(pollOneoff)},
		{"fd_close", "i", "i", wasi(standard(nothing))},
		{"fd_fdstat_get", "ii", "i", wasi(standard(fdstatGet))},
		{"fd_fdstat_set_flags", "ii", "i", wasi(standard(answer(errnoNotSup)))},
		{"fd_filestat_get", "ii", "i", wasi(standard(filestatGet))},
		{"fd_read", "iiii", "i", wasi(fdRead)},
		{"fd_write", "iiii", "i", wasi(fdWrite)},
		{"fd_seek", "iIii", "i", wasi(standard(answer(errnoSPipe)))},
		{"fd_tell", "ii", "i", wasi(standard(answer(errnoSPipe)))},
		{"proc_exit", "i", "", func(_ context.Context, g *Guest, _ api.Module, s []uint64) {
			g.end(&ExitError{Code: uint32(s[0])})
		}},
	}...)
}

// absent are the functions that nothing here stands behind.
func absent() []function {
	var functions []function
	for _, f := range [][2]string{
		{"fd_advise", "iIIi"},
		{"fd_allocate", "iII"},
		{"fd_datasync", "i"},
		{"fd_fdstat_set_rights", "iII"},
		{"fd_filestat_set_size", "iI"},
		{"fd_filestat_set_times", "iIIi"},
		{"fd_pread", "iiiIi"},
		{"fd_prestat_get", "ii"},
		{"fd_prestat_dir_name", "iii"},
		{"fd_pwrite", "iiiIi"},
		{"fd_readdir", "iiiIi"},
		{"fd_renumber", "ii"},
		{"fd_sync", "i"},
		{"path_create_directory", "iii"},
		{"path_filestat_get", "iiiii"},
		{"path_filestat_set_times", "iiiiIIi"},
		{"path_link", "iiiiiii"},
		{"path_open", "iiiiiIIii"},
		{"path_readlink", "iiiiii"},
		{"path_remove_directory", "iii"},
		{"path_rename", "iiiiii"},
		{"path_symlink", "iiiii"},
		{"path_unlink_file", "iii"},
	} {
		functions = append(functions, function{f[0], f[1], "i", wasi(answer(errnoBadF))})
	}
	for _, f := range [][2]string{
		{"proc_raise", "i"},
		{"sock_accept", "iii"},
		{"sock_recv", "iiiiii"},
		{"sock_send", "iiiii"},
		{"sock_shutdown", "ii"},
	} {
		functions = append(functions, function{f[0], f[1], "i", wasi(answer(errnoNoSys))})
	}
	return functions
}

// wasiCall is a WASI function over the guest's own memory.
type wasiCall func(ctx context.Context, g *Guest, m api.Memory, s []uint64) errno

func wasi(f wasiCall) call {
	return func(ctx context.Context, g *Guest, m api.Module, s []uint64) {
		s[0] = uint64(f(ctx, g, m.Memory(), s))
	}
}

func answer(e errno) wasiCall {
	return func(context.Context, *Guest, api.Memory, []uint64) errno { return e }
}

func nothing(context.Context, *Guest, api.Memory, []uint64) errno { return errnoSuccess }

// standard lets f answer for the descriptors 0 to 2, which are all there are.
func standard(f wasiCall) wasiCall {
	return func(ctx context.Context, g *Guest, m api.Memory, s []uint64) errno {
		if uint32(s[0]) > 2 {
			return errnoBadF
		}
		return f(ctx, g, m, s)
	}
}

// noSizes says that there are no arguments, or variables, of no bytes.
func noSizes(_ context.Context, _ *Guest, m api.Memory, s []uint64) errno {
	if !m.WriteUint32Le(uint32(s[0]), 0) || !m.WriteUint32Le(uint32(s[1]), 0) {
		return errnoFault
	}
	return errnoSuccess
}

func clockResGet(_ context.Context, _ *Guest, m api.Memory, s []uint64) errno {
	if id := uint32(s[0]); id != clockRealtime && id != clockMonotonic {
		return errnoInval
	}
	return stored(m.WriteUint64Le(uint32(s[1]), clockStep))
}

func clockTimeGet(_ context.Context, g *Guest, m api.Memory, s []uint64) errno {
	var now uint64
	switch uint32(s[0]) {
	case clockRealtime:
		now = g.clock.wall()
	case clockMonotonic:
		now = g.clock.monotonic()
	default: // CPU time is a side channel, and nobody has needed it.
		return errnoInval
	}
	return stored(m.WriteUint64Le(uint32(s[2]), now))
}

func randomGet(ctx context.Context, g *Guest, m api.Memory, s []uint64) errno {
	buffer, ok := m.Read(uint32(s[0]), uint32(s[1]))
	if !ok {
		return errnoFault
	}
	if !g.seeded {
		g.random.Seed(g.seed)
		g.seeded = true
	}
	// In pieces, so that a guest that asks for all of its memory can be ended within
	// a millisecond. A multiple of 8, so that they make no difference to the stream.
	for piece := range slices.Chunk(buffer, 1<<20) {
		g.spend(ctx, len(piece))
		_, _ = g.random.Read(piece) // It never fails.
	}
	return errnoSuccess
}

func stored(ok bool) errno {
	if !ok {
		return errnoFault
	}
	return errnoSuccess
}
