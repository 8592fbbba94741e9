package state

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
)

// equalJSON compares documents by what they mean: the order of an object's
// members, blanks and escapes do not count, and 1 equals 1.0.
func equalJSON(a, b json.RawMessage) bool {
	x, errX := decodeJSON(a)
	y, errY := decodeJSON(b)
	return errX == nil && errY == nil && equalValue(x, y)
}

func decodeJSON(doc json.RawMessage) (any, error) {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	return v, err
}

func equalValue(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		b, same := b.(json.Number)
		return same && equalNumber(a.String(), b.String())
	case []any:
		b, same := b.([]any)
		return same && slices.EqualFunc(a, b, equalValue)
	case map[string]any:
		b, same := b.(map[string]any)
		return same && maps.EqualFunc(a, b, equalValue)
	default:
		return a == b
	}
}

// equalNumber compares integers exactly, so that two large ids do not become
// one, and the rest as 64-bit floats.
func equalNumber(a, b string) bool {
	if a == b {
		return true
	}
	if isInteger(a) && isInteger(b) {
		return a == "0" && b == "-0" || a == "-0" && b == "0"
	}
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	return errX == nil && errY == nil && x == y && !math.IsInf(x, 0)
}

func isInteger(number string) bool {
	for _, c := range number {
		if c != '-' && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
