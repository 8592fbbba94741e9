package runtime_test

import (
	"context"
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

// halfALine writes a word to standard output, then to standard error, and sets the
// output.
func halfALine() []byte {
	var b runtimetest.Builder
	write := b.Import(abi.WASIModule, "fd_write", "iiii", "i")
	b.Memory(1)
	b.Data(0, []byte{8, 0, 0, 0, 4, 0, 0, 0, 'w', 'o', 'r', 'd'})
	say := func(fd int32) []byte {
		return slices.Concat(runtimetest.I32(fd), runtimetest.I32(0), runtimetest.I32(1), runtimetest.I32(16),
			runtimetest.Invoke(write), runtimetest.Op(0x1a))
	}
	b.Func("run", "", "i", "", say(1), say(2), runtimetest.I32(0))
	b.Func("fail", "", "i", "", say(1), say(2), runtimetest.I32(7))
	return b.Bytes()
}

func TestALogThatTakesItsTimeChangesNoResult(t *testing.T) {
	t.Parallel()
	slow := func() *host {
		return &host{answer: func(ctx context.Context, _ runtime.Crossing) (runtime.Answer, error) {
			<-ctx.Done()
			return runtime.Answer{}, ctx.Err()
		}}
	}
	module := prepare(t, halfALine(), runtime.Limits{})
	t.Run("of a success", func(t *testing.T) {
		t.Parallel()
		result, err := module.Call(t.Context(), runtime.Call{Export: "run", Host: slow()})
		if err != nil || result.LostLines != 2 {
			t.Errorf("got %d lines lost, %v, want 2 and no error", result.LostLines, err)
		}
	})
	t.Run("of a failure", func(t *testing.T) {
		t.Parallel()
		result, err := module.Call(t.Context(), runtime.Call{Export: "fail", Host: slow()})
		wantFailure(t, err, runtime.CodePluginBug)
		if result.LostLines != 2 {
			t.Errorf("got %d lines lost, want 2", result.LostLines)
		}
	})
	t.Run("and one that takes them loses none", func(t *testing.T) {
		t.Parallel()
		result, err := module.Call(t.Context(), runtime.Call{Export: "run", Host: &host{}})
		if err != nil || result.LostLines != 0 {
			t.Errorf("got %d lines lost, %v, want none", result.LostLines, err)
		}
	})
	t.Run("but a caller who has gone is told", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		h := &host{answer: func(ctx context.Context, _ runtime.Crossing) (runtime.Answer, error) {
			cancel()
			<-ctx.Done()
			return runtime.Answer{}, ctx.Err()
		}}
		if _, err := module.Call(ctx, runtime.Call{Export: "run", Host: h}); err != context.Canceled { //nolint:errorlint // As it is.
			t.Errorf("got %v, want that the caller has gone", err)
		}
	})
}
