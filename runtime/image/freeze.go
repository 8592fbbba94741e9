package image

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

const (
	// frozenGap is how many zeroes in a row part two segments of a frozen module: a
	// segment costs some 8 bytes, and every engine some time for each instance.
	frozenGap = 32
	// frozenSegments is how many there may be. With more, longer gaps are written out.
	frozenSegments = 4096
)

// Freeze changes a module that [wasm.Decode] gave, and that was not planned, so that
// its instances begin as one of it is that was started: with this memory, these
// values of its mutable globals, in the order of [Plan.Globals], and no start
// function. Equal states make equal modules. The module keeps parts of memory.
//
// A module that cannot be put back cannot be frozen either: its plan has said Fresh.
func Freeze(m *wasm.Module, memory []byte, globals []uint64) error {
	code := inspect(m)
	if code.fresh != "" {
		return errors.New(code.fresh)
	}
	if err := freezeGlobals(m, globals); err != nil {
		return err
	}
	// Passive segments keep their content and their places: code names them by these.
	moveData(m, code.usesData)
	if m.Memory != nil {
		pages := (len(memory) + unit - 1) / unit
		if len(memory)%unit != 0 || pages < int(m.Memory.Min) || m.Memory.HasMax && pages > int(m.Memory.Max) {
			return fmt.Errorf("a memory of %d bytes is not one that the module can have", len(memory))
		}
		m.Memory.Min = uint32(pages)
		m.Data = append(m.Data, frozenData(memory)...)
	}
	m.Start = nil
	return nil
}

func freezeGlobals(m *wasm.Module, values []uint64) error {
	for i := range m.Globals {
		g := &m.Globals[i]
		if !g.Mutable {
			continue
		}
		if len(values) == 0 {
			return fmt.Errorf("there is no value for global %d", i)
		}
		init, ok := number(g.Type, values[0])
		if !ok {
			return fmt.Errorf("global %d is mutable and of type %s, which cannot be read and set", i, g.Type)
		}
		g.Init, values = init, values[1:]
	}
	if len(values) > 0 {
		return fmt.Errorf("there are %d values more than mutable globals", len(values))
	}
	return nil
}

// frozenData is a memory as segments.
func frozenData(memory []byte) []wasm.Data {
	gap := frozenGap
	found := nonZero(memory, gap)
	for len(found) > frozenSegments {
		gap *= 2
		found = nonZero(memory, gap)
	}
	data := make([]wasm.Data, 0, len(found))
	for _, s := range found {
		offset, _ := number(wasm.I32, uint64(s.Offset))
		data = append(data, wasm.Data{Mode: wasm.Active, Offset: offset, Init: s.Bytes})
	}
	return data
}

// nonZero are the parts of memory between which so many zeroes lie or more.
func nonZero(memory []byte, gap int) []Segment {
	var found []Segment
	zeroes := make([]byte, grain)
	for at := 0; at < len(memory); {
		if part := memory[at:min(at+grain, len(memory))]; bytes.Equal(part, zeroes[:len(part)]) {
			at += len(part)
			continue
		}
		if memory[at] == 0 {
			at++
			continue
		}
		end := endOfRun(memory, at, gap)
		found = append(found, Segment{Offset: uint32(at), Bytes: memory[at:end:end]})
		at = end
	}
	return found
}

// endOfRun is behind the last byte before so many zeroes.
func endOfRun(memory []byte, at, gap int) int {
	end := at + 1
	for at = end; at < len(memory) && at-end < gap; at++ {
		if memory[at] != 0 {
			end = at + 1
		}
	}
	return end
}
