package wasm

// String returns the word for the kind.
func (k Kind) String() string {
	switch k {
	case KindFunction:
		return "function"
	case KindTable:
		return "table"
	case KindMemory:
		return "memory"
	default:
		return "global"
	}
}
