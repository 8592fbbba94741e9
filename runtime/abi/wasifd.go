package abi

import (
	"context"
	"encoding/binary"

	"github.com/tetratelabs/wazero/api"
)

// Descriptors: standard input is empty, standard output and error are the log.
const (
	stdin  = 0
	stdout = 1
	stderr = 2
)

const (
	fileTypeCharacterDevice = 2
	rightFdRead             = 1 << 1
	rightFdWrite            = 1 << 6
	fdstatSize              = 24
	filestatSize            = 64
	iovecSize               = 8
)

func fdstatGet(_ context.Context, _ *Guest, m api.Memory, s []uint64) errno {
	var stat [fdstatSize]byte // filetype, flags, rights, inheriting rights.
	stat[0] = fileTypeCharacterDevice
	rights := uint64(rightFdWrite)
	if uint32(s[0]) == stdin {
		rights = rightFdRead
	}
	binary.LittleEndian.PutUint64(stat[8:], rights)
	return stored(m.Write(uint32(s[1]), stat[:]))
}

func filestatGet(_ context.Context, _ *Guest, m api.Memory, s []uint64) errno {
	var stat [filestatSize]byte // device, inode, filetype, links, size, three times.
	stat[16] = fileTypeCharacterDevice
	return stored(m.Write(uint32(s[1]), stat[:]))
}

// fdRead is always at the end of standard input.
func fdRead(_ context.Context, _ *Guest, m api.Memory, s []uint64) errno {
	if uint32(s[0]) != stdin {
		return errnoBadF
	}
	return stored(m.WriteUint32Le(uint32(s[3]), 0))
}

func fdWrite(ctx context.Context, g *Guest, m api.Memory, s []uint64) errno {
	fd := uint32(s[0])
	if fd != stdout && fd != stderr {
		return errnoBadF
	}
	pieces, ok := iovecs(m, uint32(s[1]), uint32(s[2]))
	if !ok {
		return errnoFault
	}
	written := uint32(0)
	for ; len(pieces) > 0; pieces = pieces[iovecSize:] {
		data, ok := m.Read(binary.LittleEndian.Uint32(pieces), binary.LittleEndian.Uint32(pieces[4:]))
		if !ok {
			return errnoFault
		}
		g.spend(ctx, handling+len(data))
		written += uint32(len(data))
		if fd == stderr {
			g.remember(data)
			g.write(ctx, &g.stderr, data)
			continue
		}
		g.write(ctx, &g.stdout, data)
	}
	return stored(m.WriteUint32Le(uint32(s[3]), written))
}

// iovecs returns the raw list of (pointer, length) pairs.
func iovecs(m api.Memory, offset, count uint32) ([]byte, bool) {
	if count > m.Size()/iovecSize {
		return nil, false // Also: count times its size would overflow.
	}
	return m.Read(offset, count*iovecSize)
}
