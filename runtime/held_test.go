package runtime_test

import (
	"testing"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// TestWhatIsHeldFallsAgain: one unusual call must not count for as long as its
// sandbox lives.
func TestWhatIsHeldFallsAgain(t *testing.T) {
	t.Parallel()
	rt, err := runtime.New(t.Context(), runtime.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close(t.Context())
	var b runtimetest.Builder
	b.Memory(64)
	b.Func("much", "", "i", "", runtimetest.I32(0), runtimetest.I32(1), runtimetest.I32(64<<16), runtimetest.Op(0xfc, 11, 0), runtimetest.I32(0))
	b.Func("little", "", "i", "", runtimetest.I32(0))
	module, err := rt.Prepare(t.Context(), b.Bytes(), runtime.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	held := func(export string) int64 {
		if _, err := module.Call(t.Context(), runtime.Call{Export: export}); err != nil {
			t.Fatal(err)
		}
		return runtime.Held(rt)
	}
	before := held("little")
	held("much")
	after := int64(0)
	for range 100 {
		after = held("little")
	}
	if after > before {
		t.Errorf("got %d bytes held, want the %d of before the call that wrote 4 MiB", after, before)
	}
}
