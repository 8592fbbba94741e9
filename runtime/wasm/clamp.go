package wasm

// Clamp lowers the maximum of the module's own memory to so many pages, and that
// of its tables to so many entries each, or sets it where there is none. A guest
// grows its tables outside of its memory limit, 8 bytes an entry, and only the
// declared maximum bounds that.
//
// A minimum above its limit stays, and the compiler refuses the module then:
// look at the minima first.
func (m *Module) Clamp(memoryPages, tableEntries uint32) {
	if m.Memory != nil {
		m.Memory.Max = clamp(m.Memory.Max, m.Memory.HasMax, memoryPages)
		m.Memory.HasMax = true
	}
	for i := range m.Tables {
		t := &m.Tables[i]
		t.Max = clamp(t.Max, t.HasMax, tableEntries)
		t.HasMax = true
	}
}

func clamp(high uint32, has bool, limit uint32) uint32 {
	if has {
		return min(high, limit)
	}
	return limit
}
