package runtime_test

import (
	"slices"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/abi"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

func TestAGuestThatRanIntoItsDeadlineHasItsLastWords(t *testing.T) {
	t.Parallel()
	var b runtimetest.Builder
	write := b.Import(abi.WASIModule, "fd_write", "iiii", "i")
	b.Memory(1)
	b.Data(0, []byte{8, 0, 0, 0, 4, 0, 0, 0, 'w', 'o', 'r', 'd'}) // A line without an end.
	b.Func("run", "", "i", "",
		runtimetest.I32(1), runtimetest.I32(0), runtimetest.I32(1), runtimetest.I32(16), runtimetest.Invoke(write),
		runtimetest.Op(0x1a, 0x03, 0x40, 0x0c, 0, 0x0b, 0x00)) // For ever.
	h := &host{}
	_, err := prepare(t, b.Bytes(), runtime.Limits{}).Call(t.Context(), runtime.Call{
		Export: "run", Host: h, Limits: runtime.Limits{Deadline: 20 * time.Millisecond},
	})
	wantFailure(t, err, runtime.CodeDeadlineExceeded)
	if want := []string{`log {"level":"info","message":"word"}`}; !slices.Equal(h.asked, want) {
		t.Errorf("the host was told %q, want %q", h.asked, want)
	}
}
