package spectest

import (
	"fmt"
	"math"

	"github.com/tetratelabs/wazero/api"
)

// typeV128 is wazero's, which has no name for it.
const typeV128 api.ValueType = 0x7b

// compare says how an outcome of the command is not as it should be, or "".
func (c *command) compare(want, got outcome) string {
	if want.err != got.err {
		return fmt.Sprintf("got %s, want %s", got, want)
	}
	at := 0
	for i, kind := range want.types {
		if want.err != "" {
			break
		}
		n, lane := 1, ""
		if kind == typeV128 {
			n = 2
			if i < len(c.Expected) {
				lane = c.Expected[i].LaneType
			}
		}
		for j := at; j < at+n; j++ {
			if !same(kind, lane, want.results[j], got.results[j]) {
				return fmt.Sprintf("result %d: got %s, want %s", i, got, want)
			}
		}
		at += n
	}
	return ""
}

// same compares one word of a value. The bits of a NaN are the processor's choice,
// by the order in which registers were used, and a function's reference is where
// it happens to be.
func same(kind api.ValueType, lane string, want, got uint64) bool {
	switch {
	case want == got:
		return true
	case kind == api.ValueTypeF32 || lane == "f32":
		return sameFloat32(uint32(want), uint32(got)) && sameFloat32(uint32(want>>32), uint32(got>>32))
	case kind == api.ValueTypeF64 || lane == "f64":
		return math.IsNaN(math.Float64frombits(want)) && math.IsNaN(math.Float64frombits(got))
	case isReference(kind):
		return want != 0 && got != 0
	default:
		return false
	}
}

func sameFloat32(want, got uint32) bool {
	a, b := math.Float32frombits(want), math.Float32frombits(got)
	return want == got || math.IsNaN(float64(a)) && math.IsNaN(float64(b))
}

func isReference(kind api.ValueType) bool { return kind == 0x70 || kind == api.ValueTypeExternref }

func isFloat(kind api.ValueType) bool {
	return kind == api.ValueTypeF32 || kind == api.ValueTypeF64 || kind == typeV128
}
