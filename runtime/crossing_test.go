package runtime_test

import (
	"testing"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/abi"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// TestEachCrossingHasItsPrice: the host works for each line, and for no byte of it.
func TestEachCrossingHasItsPrice(t *testing.T) {
	t.Parallel()
	const lines, least = 1000, 2000
	var b runtimetest.Builder
	write := b.Import(abi.WASIModule, "fd_write", "iiii", "i")
	log := b.Import(abi.EnvModule, "log_info", "I", "")
	b.Memory(1)
	b.Func("write", "", "i", "",
		runtimetest.I32(0), runtimetest.I32(1024), runtimetest.Op(0x36, 2, 0),
		runtimetest.I32(4), runtimetest.I32(lines), runtimetest.Op(0x36, 2, 0),
		runtimetest.I32(1024), runtimetest.I32('\n'), runtimetest.I32(lines), runtimetest.Op(0xfc, 0x0b, 0), // memory.fill
		runtimetest.I32(1), runtimetest.I32(0), runtimetest.I32(1), runtimetest.I32(16), runtimetest.Invoke(write))
	b.Func("log", "", "i", "i",
		runtimetest.Op(0x03, 0x40), runtimetest.I64(0), runtimetest.Invoke(log),
		runtimetest.Op(0x20, 0), runtimetest.I32(1), runtimetest.Op(0x6a, 0x22, 0), // Add 1 to local 0.
		runtimetest.I32(lines), runtimetest.Op(0x47, 0x0d, 0, 0x0b), runtimetest.I32(0))
	module := prepare(t, b.Bytes(), runtime.Limits{})
	for _, export := range []string{"write", "log"} {
		result, err := module.Call(t.Context(), runtime.Call{Export: export, Host: &host{}})
		if err != nil {
			t.Fatal(err)
		}
		if got := result.Usage.HostCalls; got != lines {
			t.Errorf("%s: got %d host calls, want %d", export, got, lines)
		}
		if got := result.Usage.Fuel; got < lines*least {
			t.Errorf("%s: %d crossings cost %d units of fuel; each is to cost %d", export, lines, got, least)
		}
	}
}
