package meter_test

import (
	"testing"

	"github.com/cofferdam-run/cofferdam/runtime/meter"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// FuzzRewrite holds that what compiles does so when it is rewritten, and that
// what does not, does not: the compiler is the only one to check types.
func FuzzRewrite(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(runtimetest.Random(seed).Encode())
	}
	for _, guest := range [][]byte{
		fib(), mover(), runtimetest.Loop("run"), runtimetest.Grow("run"), runtimetest.Recurse("run"),
		runtimetest.Trap("run"), runtimetest.Echo("run"), runtimetest.Fail("run", "sorry", 1),
	} {
		f.Add(guest)
	}
	rt := newRuntime(f)
	f.Fuzz(func(t *testing.T, binary []byte) {
		m, err := wasm.Decode(binary, wasm.Limits{BodyBytes: 4096, Functions: 100})
		if err != nil {
			return
		}
		original := m.Encode()
		if err := meter.Rewrite(m); err != nil {
			t.Fatalf("rewrite what was decoded: %v", err)
		}
		compiles := func(b []byte) error {
			c, err := rt.CompileModule(t.Context(), b)
			if err != nil {
				return err
			}
			return c.Close(t.Context())
		}
		want, got := compiles(original), compiles(m.Encode())
		if (want == nil) != (got == nil) {
			t.Errorf("compile original: %v; rewritten: %v", want, got)
		}
	})
}
