package runtime

import (
	"reflect"

	"github.com/tetratelabs/wazero/api"
)

// keptStack is how much stack a function may keep for its next call. Ordinary
// calls need less, and making it again costs a deep one little.
const keptStack = 256 << 10

// function is an export, with a view of the stack that the engine keeps for it. It
// doubles as calls need more, up to 100 MB, and never gets smaller.
type function struct {
	api.Function

	stack reflect.Value
}

// mostStack is what a call may hold of stack where it waits or is asked for its
// slice. Units of depth bound honest guests well below; what a frame really takes
// is the compiler's, and frames can be made that take a hundred times more.
const mostStack = 16 << 20

// newFunction takes nil for an export that is not there.
func newFunction(f api.Function) *function {
	made := &function{Function: f}
	// The engine does not tell, and nothing else of it depends on this: a test holds
	// the field's name and type.
	if v := reflect.ValueOf(f); v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct {
		if stack := v.Elem().FieldByName("stack"); stack.Kind() == reflect.Slice {
			made.stack = stack
		}
	}
	return made
}

// stackBytes is what the function's stack holds.
func (f *function) stackBytes() int {
	if !f.stack.IsValid() {
		return 0
	}
	return f.stack.Len()
}

// tooDeep says whether the guest holds more stack than it may.
func (s *sandbox) tooDeep() bool {
	for _, f := range s.functions {
		if f.stackBytes() > mostStack {
			return true
		}
	}
	return false
}

// dropStacks gives back what a deep call has grown: sandboxes are idle by the
// thousand, and bytes does not count it.
func (s *sandbox) dropStacks() {
	for name, f := range s.functions {
		if f.stackBytes() > keptStack {
			delete(s.functions, name)
		}
	}
}
