package outline

import (
	"encoding/binary"
	"slices"
)

// ClampTables returns the binary of the outline with every table's maximum at
// limit or below. A guest grows its tables outside of its memory limit, 8 bytes
// an entry, and only the declared maximum bounds that.
func (o *Outline) ClampTables(wasm []byte, limit uint32) []byte {
	if !slices.ContainsFunc(o.Tables, func(t Table) bool { return !t.HasMax || t.Max > limit }) {
		return wasm
	}
	body := binary.AppendUvarint(nil, uint64(len(o.Tables)))
	for _, t := range o.Tables {
		high := limit
		if t.HasMax {
			high = min(t.Max, limit)
		}
		body = append(body, t.Element, limitsHasMax)
		body = binary.AppendUvarint(body, uint64(t.Min))
		body = binary.AppendUvarint(body, uint64(high))
	}
	section := binary.AppendUvarint([]byte{sectionTable}, uint64(len(body)))
	section = append(section, body...)
	return slices.Concat(wasm[:o.tables.start], section, wasm[o.tables.end:])
}
