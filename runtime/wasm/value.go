package wasm

// ValueType is the type of a value, as it is encoded.
type ValueType byte

// The value types that are accepted.
const (
	I32       ValueType = 0x7f
	I64       ValueType = 0x7e
	F32       ValueType = 0x7d
	F64       ValueType = 0x7c
	V128      ValueType = 0x7b
	FuncRef   ValueType = 0x70
	ExternRef ValueType = 0x6f
)

func isValueType(t ValueType) bool { return t >= V128 && t <= I32 || isRefType(t) }

func isRefType(t ValueType) bool { return t == FuncRef || t == ExternRef }

// String returns the type's name in the text format.
func (t ValueType) String() string {
	switch t {
	case I32:
		return "i32"
	case I64:
		return "i64"
	case F32:
		return "f32"
	case F64:
		return "f64"
	case V128:
		return "v128"
	case FuncRef:
		return "funcref"
	case ExternRef:
		return "externref"
	default:
		return "unknown"
	}
}

func (r *reader) valueType() ValueType {
	t := ValueType(r.byte())
	if r.err == nil && !isValueType(t) {
		r.at--
		r.unknownType(byte(t))
	}
	return t
}

func (r *reader) refType() ValueType {
	t := r.valueType()
	if r.err == nil && !isRefType(t) {
		r.at--
		r.fail("%s is not a reference type", t)
	}
	return t
}

func (r *reader) unknownType(b byte) {
	if f := featureOfType(b); f != "" {
		r.refuse(f)
		return
	}
	r.fail("value type %#x is unknown", b)
}

// valueTypes reads a vector of them. It gives nil for none.
func (r *reader) valueTypes(most int) []ValueType {
	n := r.count(1)
	r.atMost("Values", uint64(n), most)
	if r.err != nil || n == 0 {
		return nil
	}
	types := make([]ValueType, n)
	for i := range types {
		types[i] = r.valueType()
	}
	return types
}

// size is a minimum and, perhaps, a maximum.
type size struct {
	low, high uint32
	hasHigh   bool
}

func (r *reader) size() size {
	flags := r.byte()
	if flags > 1 {
		r.at--
		if f := featureOfFlags(flags); f != "" {
			r.refuse(f)
		}
		r.fail("size with flags %#x is unknown", flags)
		return size{}
	}
	s := size{low: r.u32(), hasHigh: flags == 1}
	if s.hasHigh {
		s.high = r.u32()
	}
	if r.err == nil && s.hasHigh && s.high < s.low {
		r.fail("the maximum of %d is below the minimum of %d", s.high, s.low)
	}
	return s
}

func (r *reader) memoryType() Memory {
	s := r.size()
	if r.err == nil && max(s.low, s.high) > MaxPages {
		r.fail("a memory of %d pages is above the %d that 32 bits can address", max(s.low, s.high), MaxPages)
	}
	return Memory{Min: s.low, Max: s.high, HasMax: s.hasHigh}
}

func (r *reader) tableType(most int) Table {
	// A table with an initial value begins with this instead of a type.
	const withInit = 0x40
	if r.left() > 0 && r.data[r.at] == withInit {
		r.refuse(featureTypedRefs)
	}
	t := Table{Element: r.refType()}
	s := r.size()
	t.Min, t.Max, t.HasMax = s.low, s.high, s.hasHigh
	r.atMost("TableEntries", uint64(t.Min), most)
	return t
}

func (r *reader) globalType() GlobalType {
	g := GlobalType{Type: r.valueType()}
	switch b := r.byte(); b {
	case 0:
	case 1:
		g.Mutable = true
	default:
		r.at--
		r.fail("mutability %#x is unknown", b)
	}
	return g
}
