package wasm

import (
	"encoding/binary"
	"maps"
	"slices"
	"unicode/utf8"
)

// subsectionFunctions is the part of the name section that has the functions'.
// https://webassembly.github.io/spec/core/appendix/custom.html#name-section
const subsectionFunctions = 1

// longestName is where a name is cut: a stack trace has 30 of them. C++ has names
// of some hundred bytes.
const longestName = 1 << 10

// readNames returns the functions' names in a name section. Names are for people:
// a section that cannot be read, or has too many, gives none.
func (d *decoder) readNames() map[uint32]string {
	r := &reader{data: d.names}
	for r.err == nil && r.left() > 0 {
		id := r.byte()
		content := r.take(r.u32())
		if r.err == nil && id == subsectionFunctions {
			return readNameMap(&reader{data: content}, len(d.functions), d.l.NameBytes)
		}
	}
	return nil
}

func readNameMap(r *reader, functions, mostBytes int) map[uint32]string {
	n := r.count(2)
	if r.err != nil || n == 0 || int(n) > functions || len(r.data) > mostBytes {
		return nil
	}
	// All names are parts of one string.
	all := string(r.data)
	names := make(map[uint32]string, n)
	for ; n > 0; n-- {
		index := r.u32()
		name := r.take(r.u32())
		if r.err != nil || !utf8.Valid(name) {
			return nil
		}
		end := r.at
		if len(name) > longestName {
			for end -= len(name) - longestName; !utf8.RuneStart(all[end]); end-- {
			}
		}
		names[index] = all[r.at-len(name) : end]
	}
	maps.DeleteFunc(names, func(index uint32, _ string) bool { return uint64(index) >= uint64(functions) })
	return names
}

func (m *Module) appendNames(b []byte) []byte {
	if len(m.Names) == 0 {
		return b
	}
	list := binary.AppendUvarint(nil, uint64(len(m.Names)))
	for _, index := range slices.Sorted(maps.Keys(m.Names)) {
		list = binary.AppendUvarint(list, uint64(index))
		list = appendText(list, m.Names[index])
	}
	content := append(appendText(nil, "name"), subsectionFunctions)
	content = appendBytes(content, list)
	return appendBytes(append(b, sectionCustom), content)
}
