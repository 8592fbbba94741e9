package runtime_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// recursion is a guest whose export recurses that deep, with a frame of some 4 KB
// that no local shows: a thousand values wait on the stack for the call to return.
func recursion(depth int32) []byte {
	const values, self = 1000, 0
	sum := [][]byte{runtimetest.Op(0x20, 0, 0x45, 0x04, 0x40, 0x0f, 0x0b), runtimetest.I32(8)} // Return at 0.
	for range values {
		sum = append(sum, runtimetest.I32(0), runtimetest.Op(0x28, 2, 0))
	}
	sum = append(sum, runtimetest.Op(0x20, 0), runtimetest.I32(1), runtimetest.Op(0x6b), runtimetest.Invoke(self),
		bytes.Repeat([]byte{0x6a}, values-1), runtimetest.Op(0x36, 2, 0))
	var b runtimetest.Builder
	b.Memory(1)
	b.Func("", "i", "", "", sum...)
	b.Func("run", "", "i", "", runtimetest.I32(depth), runtimetest.Invoke(self), runtimetest.I32(0))
	return b.Bytes()
}

func TestAnIdleSandboxKeepsNoDeepStack(t *testing.T) {
	t.Parallel()
	for name, depth := range map[string]int32{"shallow": 1, "deep": 3000, "too deep for the engine": 1 << 30} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			module := prepare(t, recursion(depth), runtime.Limits{})
			for range 2 { // The second call has a new stack.
				if _, err := module.Call(t.Context(), runtime.Call{Export: "run"}); (err != nil) != (depth == 1<<30) {
					t.Fatal(err)
				}
			}
			stacks := runtime.Stacks(module)
			if slices.Contains(stacks, -1) {
				t.Error("the engine's functions have no stack that can be seen: look for what it is called now")
			}
			if most := slices.Max(append(stacks, 0)); most > runtime.KeptStack {
				t.Errorf("an idle sandbox keeps %d bytes of stack; %d are allowed", most, runtime.KeptStack)
			}
			if depth == 1 && len(stacks) == 0 {
				t.Error("the stack of an ordinary call was given back")
			}
		})
	}
}

// A guest that waits deep down holds its stack for as long as the answer takes.
func TestACallDoesNotWaitWithADeepStack(t *testing.T) {
	t.Parallel()
	const values, ask, self = 1000, 0, 1
	for name, test := range map[string]struct {
		depth int32
		code  runtime.Code
	}{
		"shallow": {10, ""},
		"deep":    {8000, runtime.CodeStackExhausted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b runtimetest.Builder
			b.Import(runtimetest.User, "http", "I", "I")
			b.Memory(1)
			bottom := [][]byte{ // At 0: ask and return.
				runtimetest.Op(0x20, 0, 0x45, 0x04, 0x40), runtimetest.I64(0), runtimetest.Invoke(ask), runtimetest.Op(0x1a, 0x0f, 0x0b), runtimetest.I32(8),
			}
			for range values {
				bottom = append(bottom, runtimetest.I32(0), runtimetest.Op(0x28, 2, 0))
			}
			bottom = append(bottom, runtimetest.Op(0x20, 0), runtimetest.I32(1), runtimetest.Op(0x6b), runtimetest.Invoke(self),
				bytes.Repeat([]byte{0x6a}, values-1), runtimetest.Op(0x36, 2, 0))
			b.Func("", "i", "", "", bottom...)
			b.Func("run", "", "i", "", runtimetest.I32(test.depth), runtimetest.Invoke(self), runtimetest.I32(0))
			_, err := prepare(t, b.Bytes(), runtime.Limits{}).Call(t.Context(), runtime.Call{Export: "run", Host: answering(`{"result":{}}`)})
			if test.code == "" && err == nil {
				return
			}
			wantFailure(t, err, test.code)
		})
	}
}
