package runtime_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

func TestCallEndsBadGuests(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		wasm   []byte
		limits runtime.Limits
		code   runtime.Code
		says   string
	}{
		{"that loop for ever", runtimetest.Loop("run"), runtime.Limits{Deadline: 20 * time.Millisecond}, runtime.CodeDeadlineExceeded, "longer than 20ms: give it less to do at once, or raise timeout_ms"},
		{"that allocate for ever", runtimetest.Grow("run"), runtime.Limits{MemoryBytes: 8 << 20}, runtime.CodeMemoryExceeded, "8388608 bytes: give it less to do at once, or raise memory_mib"},
		{"that recurse for ever", runtimetest.Recurse("run"), runtime.Limits{}, runtime.CodeStackExhausted, "a call has 4194304 bytes of stack"},
		{"that use up their fuel", runtimetest.Loop("run"), runtime.Limits{Fuel: 1_000_000}, runtime.CodeFuelExhausted, "its 1000000 units of fuel: give it less to do at once, or raise fuel"},
		{"that trap", runtimetest.Trap("run"), runtime.Limits{}, runtime.CodeTrapped, "unreachable"},
		{"whose output is too large", runtimetest.Outputs(map[string]string{"run": strings.Repeat("x", 11)}), runtime.Limits{OutputBytes: 10}, runtime.CodeOutputTooLarge, "11 bytes; the limit is 10"},
		{"whose error is too large", runtimetest.Fail("run", strings.Repeat("x", 11), 1), runtime.Limits{OutputBytes: 10}, runtime.CodeOutputTooLarge, "11 bytes; the limit is 10"},
		{"that outgrow Extism's memory", runtimetest.Outputs(map[string]string{"run": strings.Repeat("x", 4000)}), runtime.Limits{KernelBytes: 2000}, runtime.CodeMemoryExceeded, "2000 bytes"},
		{"that fail without a word", runtimetest.Fail("run", "", 7), runtime.Limits{}, runtime.CodePluginBug, "returned 7"},
		{"that name no such export", runtimetest.Trap("other"), runtime.Limits{}, runtime.CodeNoExport, `"run"`},
		{"that ask without a host", runtimetest.Ask("run", "state_get", "{}"), runtime.Limits{}, runtime.CodeDenied, `"state_get"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			module := prepare(t, test.wasm, test.limits)
			result, err := module.Call(t.Context(), runtime.Call{Export: "run"})
			failure := wantFailure(t, err, test.code)
			if !strings.Contains(failure.Message, test.says) {
				t.Errorf("got message %q, want it to say %q", failure.Message, test.says)
			}
			if result.Output != nil {
				t.Errorf("got output %q beside an error", result.Output)
			}
		})
	}
}

func TestCallNamesTheExportsThatExist(t *testing.T) {
	t.Parallel()
	module := prepare(t, runtimetest.Outputs(map[string]string{"b": "", "a": ""}), runtime.Limits{})
	_, err := module.Call(t.Context(), runtime.Call{Export: "c"})
	if f := wantFailure(t, err, runtime.CodeNoExport); !strings.Contains(f.Message, "a, b") {
		t.Errorf("got %q", f.Message)
	}
}

func TestCallRefusesLargeInput(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]runtime.Limits{
		"over its cap":          {InputBytes: 99},
		"that leaves no memory": {KernelBytes: 100},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			module := prepare(t, runtimetest.Echo("echo"), limits)
			_, err := module.Call(t.Context(), runtime.Call{Export: "echo", Input: make([]byte, 100)})
			wantFailure(t, err, runtime.CodeInputTooLarge)
		})
	}
}

func TestCallGivesStackAtTrap(t *testing.T) {
	t.Parallel()
	module := prepare(t, runtimetest.Trap("boom"), runtime.Limits{})
	_, err := module.Call(t.Context(), runtime.Call{Export: "boom"})
	if f := wantFailure(t, err, runtime.CodeTrapped); f.Stack == "" {
		t.Error("got no stack")
	}
}

func TestCallReadsGuestErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, text string
		want       runtime.Failure
	}{
		{
			"structured",
			`{"code":"rate_limited","message":"slow down","retry_after_ms":1500,"details":{"left":0}}`,
			runtime.Failure{Code: "rate_limited", Message: "slow down", RetryAfter: 1500 * time.Millisecond, Details: json.RawMessage(`{"left":0}`)},
		},
		{"plain text", "oh no", runtime.Failure{Code: runtime.CodePluginBug, Message: "oh no"}},
		{"JSON without a code", `{"message":"x"}`, runtime.Failure{Code: runtime.CodePluginBug, Message: `{"message":"x"}`}},
		{"bytes that are no text", "a\xffb", runtime.Failure{Code: runtime.CodePluginBug, Message: "a\uFFFDb"}},
		{"null details", `{"code":"auth","message":"m","details":null}`, runtime.Failure{Code: "auth", Message: "m"}},
		{
			"details that nothing else could hold",
			`{"code":"auth","message":"m","details":` + strings.Repeat("[", 9990) + strings.Repeat("]", 9990) + `}`,
			runtime.Failure{Code: "auth", Message: "m"},
		},
		{"a retry in the past", `{"code":"retry","retry_after_ms":-5}`, runtime.Failure{Code: "retry"}},
		{"a retry beyond all measure", `{"code":"retry","retry_after_ms":1e300}`, runtime.Failure{Code: "retry", RetryAfter: 366 * 24 * time.Hour}},
		{"its own bug, admitted", `{"code":"plugin_bug","message":"m"}`, runtime.Failure{Code: runtime.CodePluginBug, Message: "m"}},
		{
			"a reserved code",
			`{"code":"deadline_exceeded","message":"m"}`,
			runtime.Failure{Code: runtime.CodePluginBug, Message: `the guest raised "deadline_exceeded", which only the host gives: m`},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, code := range []int32{1, 0} { // An error that is set is one, whatever is returned.
				module := prepare(t, runtimetest.Fail("run", test.text, code), runtime.Limits{})
				_, err := module.Call(t.Context(), runtime.Call{Export: "run"})
				failure := wantFailure(t, err, test.want.Code)
				if diff := cmp.Diff(test.want, *failure); diff != "" {
					t.Errorf("failure differs (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestGuestCannotForgeHostCodes(t *testing.T) {
	t.Parallel()
	for _, code := range []runtime.Code{
		runtime.CodeFuelExhausted, runtime.CodeMemoryExceeded, runtime.CodeDeadlineExceeded, runtime.CodeStackExhausted,
		runtime.CodeTrapped, runtime.CodeDenied, runtime.CodeKilled, runtime.CodeOutputTooLarge, runtime.CodeInputTooLarge, runtime.CodeNoExport,
	} {
		t.Run(string(code), func(t *testing.T) {
			t.Parallel()
			module := prepare(t, runtimetest.Fail("run", `{"code":"`+string(code)+`"}`, 1), runtime.Limits{})
			_, err := module.Call(t.Context(), runtime.Call{Export: "run"})
			wantFailure(t, err, runtime.CodePluginBug)
		})
	}
}

func TestCallEndsWithTheHostsError(t *testing.T) {
	t.Parallel()
	errDown := errors.New("the database is down")
	wasm := runtimetest.Ask("run", "state_get", "{}")

	t.Run("as it is", func(t *testing.T) {
		t.Parallel()
		h := &host{answer: func(context.Context, runtime.Crossing) (runtime.Answer, error) { return runtime.Answer{}, errDown }}
		result, err := prepare(t, wasm, runtime.Limits{}).Call(t.Context(), runtime.Call{Export: "run", Host: h})
		if failure := (*runtime.Failure)(nil); !errors.Is(err, errDown) || errors.As(err, &failure) {
			t.Errorf("got %v, want the host's error and no failure", err)
		}
		if result.Usage.HostCalls != 1 {
			t.Errorf("got %d host calls, want 1", result.Usage.HostCalls)
		}
	})
	t.Run("when it panics", func(t *testing.T) {
		t.Parallel()
		h := &host{answer: func(context.Context, runtime.Crossing) (runtime.Answer, error) { panic("wired wrong") }}
		_, err := prepare(t, wasm, runtime.Limits{}).Call(t.Context(), runtime.Call{Export: "run", Host: h})
		if failure := (*runtime.Failure)(nil); err == nil || errors.As(err, &failure) || !strings.Contains(err.Error(), "wired wrong") {
			t.Errorf("got %v, want an error that is no failure", err)
		}
	})
	t.Run("unless the deadline cut it off", func(t *testing.T) {
		t.Parallel()
		h := &host{answer: func(ctx context.Context, _ runtime.Crossing) (runtime.Answer, error) {
			<-ctx.Done()
			return runtime.Answer{}, ctx.Err()
		}}
		_, err := prepare(t, wasm, runtime.Limits{Deadline: time.Millisecond}).Call(t.Context(), runtime.Call{Export: "run", Host: h})
		wantFailure(t, err, runtime.CodeDeadlineExceeded)
	})
	t.Run("or the caller did", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		h := &host{answer: func(ctx context.Context, _ runtime.Crossing) (runtime.Answer, error) {
			cancel()
			return runtime.Answer{}, ctx.Err()
		}}
		_, err := prepare(t, wasm, runtime.Limits{}).Call(ctx, runtime.Call{Export: "run", Host: h})
		if failure := (*runtime.Failure)(nil); !errors.Is(err, context.Canceled) || errors.As(err, &failure) {
			t.Errorf("got %v, want context.Canceled", err)
		}
	})
}

func TestCallEndsWithItsContext(t *testing.T) {
	t.Parallel()
	module := prepare(t, runtimetest.Loop("run"), runtime.Limits{})
	t.Run("before it starts", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := module.Call(ctx, runtime.Call{Export: "run"}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
	})
	t.Run("while it runs", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err := module.Call(ctx, runtime.Call{Export: "run"})
		if failure := (*runtime.Failure)(nil); !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &failure) {
			t.Errorf("got %v, want context.DeadlineExceeded", err)
		}
	})
}

func TestOneCrossingCannotOutliveTheDeadline(t *testing.T) {
	t.Parallel()
	// 8192 pieces, each the same 64 KiB of line ends: half a billion log lines.
	const pieces, lines = 8192, 64 << 10
	piece := []byte{0, 0, 1, 0, 0, 0, 1, 0} // At 64 KiB, of 64 KiB.
	var b runtimetest.Builder
	write := b.Import("wasi_snapshot_preview1", "fd_write", "iiii", "i")
	b.Memory(3)
	b.Data(0, bytes.Repeat(piece, pieces))
	b.Data(lines, bytes.Repeat([]byte("\n"), lines))
	b.Func("run", "", "i", "",
		runtimetest.I32(1), runtimetest.I32(0), runtimetest.I32(pieces), runtimetest.I32(2*lines), runtimetest.Invoke(write))
	module := prepare(t, b.Bytes(), runtime.Limits{Deadline: 20 * time.Millisecond})
	_, err := module.Call(t.Context(), runtime.Call{Export: "run", Host: answering(`{"result":{}}`)})
	wantFailure(t, err, runtime.CodeDeadlineExceeded)
}

func TestCallCountsItsUsage(t *testing.T) {
	t.Parallel()
	module := prepare(t, runtimetest.Grow("run"), runtime.Limits{MemoryBytes: 4 << 20})
	result, err := module.Call(t.Context(), runtime.Call{Export: "run", Input: []byte("12345")})
	wantFailure(t, err, runtime.CodeMemoryExceeded)
	// 1 page at first, and 16 more as long as there is room below 64 pages.
	if got, want := result.Usage.MemoryBytes, int64(49*64<<10); got != want {
		t.Errorf("got a peak of %d bytes, want %d", got, want)
	}
	if result.Usage.InputBytes != 5 || result.Usage.Wall <= 0 {
		t.Errorf("got %+v", result.Usage)
	}
	result, err = prepare(t, runtimetest.Echo("run"), runtime.Limits{}).Call(t.Context(), runtime.Call{Export: "run", Input: []byte("12345")})
	if err != nil || result.Usage.OutputBytes != 5 || result.Usage.HostCalls != 0 {
		t.Errorf("got %+v, %v", result.Usage, err)
	}
}

func TestCallRunsExportsWithoutResult(t *testing.T) {
	t.Parallel()
	var b runtimetest.Builder
	b.Func("quiet", "", "", "")
	b.Func("needs", "i", "i", "", runtimetest.I32(0))
	module := prepare(t, b.Bytes(), runtime.Limits{})
	if got := module.Exports(); !slices.Equal(got, []string{"quiet"}) {
		t.Errorf("got exports %q, want only those that can be called", got)
	}
	if _, err := module.Call(t.Context(), runtime.Call{Export: "quiet"}); err != nil {
		t.Error(err)
	}
	_, err := module.Call(t.Context(), runtime.Call{Export: "needs"})
	wantFailure(t, err, runtime.CodeNoExport)
}

func TestModuleImports(t *testing.T) {
	t.Parallel()
	module := prepare(t, runtimetest.Ask("run", "state_get", "{}"), runtime.Limits{})
	if got, want := module.Imports(), []string{"state_get"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWhatDoesNotStartIsRefused(t *testing.T) {
	t.Parallel()
	build := func(body ...[]byte) []byte {
		var b runtimetest.Builder
		exit := b.Import("wasi_snapshot_preview1", "proc_exit", "i", "")
		b.Memory(1)
		b.Func("_initialize", "", "", "", append(body, runtimetest.I32(0), runtimetest.Invoke(exit))...)
		b.Func("run", "", "i", "", runtimetest.I32(0))
		return b.Bytes()
	}
	for name, test := range map[string]struct {
		wasm []byte
		code runtime.Code
	}{
		"an exit is a bug":   {build(), runtime.CodePluginBug},
		"a trap is a trap":   {build(runtimetest.Op(0x00)), runtime.CodeTrapped},
		"a loop is too long": {build(runtimetest.Op(0x03, 0x40, 0x0c, 0x00, 0x0b)), runtime.CodeDeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := sharedRuntime(t).Prepare(t.Context(), test.wasm, runtime.Limits{Deadline: 20 * time.Millisecond})
			invalid, ok := errors.AsType[*runtime.InvalidModule](err)
			if !ok || invalid.Code != "start_failed" || !strings.Contains(invalid.Message, string(test.code)) {
				t.Errorf("got %v, want start_failed because of %s", err, test.code)
			}
		})
	}
}

func TestDataOutsideOfMemoryIsRefused(t *testing.T) {
	t.Parallel()
	var b runtimetest.Builder
	b.Memory(1)
	b.Data(64<<10, []byte("x"))
	b.Func("run", "", "i", "", runtimetest.I32(0))
	_, err := sharedRuntime(t).Prepare(t.Context(), b.Bytes(), runtime.Limits{})
	if invalid, ok := errors.AsType[*runtime.InvalidModule](err); !ok || !strings.Contains(invalid.Message, "data segment 0") {
		t.Errorf("got %v, want the segment to be refused", err)
	}
}

func TestTablesDoNotGrowWithoutBound(t *testing.T) {
	t.Parallel()
	var b runtimetest.Builder
	b.Table(1)
	grow := runtimetest.Op(0xd0, 0x70) // ref.null func
	b.Func("much", "", "i", "", grow, runtimetest.I32(1<<28), runtimetest.Op(0xfc, 0x0f, 0x00), runtimetest.I32(-1), runtimetest.Op(0x47))
	b.Func("some", "", "i", "", grow, runtimetest.I32(1000), runtimetest.Op(0xfc, 0x0f, 0x00), runtimetest.I32(1), runtimetest.Op(0x47))
	module := prepare(t, b.Bytes(), runtime.Limits{})
	for _, export := range []string{"much", "some"} { // Each returns 0 when table.grow did what is right.
		if _, err := module.Call(t.Context(), runtime.Call{Export: export}); err != nil {
			t.Errorf("%s: %v", export, err)
		}
	}
}

// "denied" is the host's word: a guest may repeat it, and not make it up.
func TestDenialMayBePassedOn(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer string
		want   runtime.Code
	}{
		"after a denial":      {`{"error":{"code":"denied","message":"not granted"}}`, runtime.CodeDenied},
		"after another error": {`{"error":{"code":"timeout","message":"denied"}}`, runtime.CodePluginBug},
		"after a result":      {`{"result":{"error":{"code":"denied"}}}`, runtime.CodePluginBug},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wasm := runtimetest.PassOn("run", "http", `{}`, `{"code":"denied","message":"http: not granted"}`)
			_, err := prepare(t, wasm, runtime.Limits{}).Call(t.Context(), runtime.Call{Export: "run", Host: answering(test.answer)})
			wantFailure(t, err, test.want)
		})
	}
}
