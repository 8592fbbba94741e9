package runtime_test

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// call calls the Go guest and fails the test on any error.
func call(t *testing.T, c runtime.Call) string {
	t.Helper()
	result, err := engine.guest(t).Call(t.Context(), c)
	if err != nil {
		t.Fatalf("call %s: %v", c.Export, err)
	}
	return string(result.Output)
}

func TestGuestReadsAndWrites(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 7, 8, 9, 5000, 1 << 20} {
		input := bytes.Repeat([]byte("ä"), size)[:size]
		result, err := engine.guest(t).Call(t.Context(), runtime.Call{Export: "echo", Input: input})
		if err != nil || !bytes.Equal(result.Output, input) {
			t.Errorf("%d bytes: got %d, %v", size, len(result.Output), err)
		}
	}
}

func TestCallsShareNothing(t *testing.T) {
	t.Parallel()
	for range 3 {
		if got, want := call(t, runtime.Call{Export: "count"}), "1 1"; got != want {
			t.Errorf("got %q, want %q: memory or variables outlived a call", got, want)
		}
	}
}

func TestWorldsAreRepeatable(t *testing.T) {
	t.Parallel()
	one := call(t, runtime.Call{Export: "random", World: runtime.World{Seed: [32]byte{1}}})
	same := call(t, runtime.Call{Export: "random", World: runtime.World{Seed: [32]byte{1}}})
	other := call(t, runtime.Call{Export: "random", World: runtime.World{Seed: [32]byte{2}}})
	if one != same {
		t.Errorf("one seed gave %q and %q", one, same)
	}
	if one == other {
		t.Errorf("two seeds gave %q", one)
	}
}

func TestClockMovesWithAnswersOnly(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 1, 12, 0, 0, 5, time.UTC)
	for _, test := range []struct {
		name string
		at   time.Time
		want string
	}{
		{"to the answer's time", start.Add(3 * time.Second), "2026-03-01T12:00:00.000000005Z 0s 2026-03-01T12:00:03.000000005Z 3s"},
		{"not back", start.Add(-time.Hour), "2026-03-01T12:00:00.000000005Z 0s 2026-03-01T12:00:00.000000005Z 0s"},
		{"not for a zero time", time.Time{}, "2026-03-01T12:00:00.000000005Z 0s 2026-03-01T12:00:00.000000005Z 0s"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := &host{answer: func(context.Context, runtime.Crossing) (runtime.Answer, error) {
				return runtime.Answer{Response: []byte(`{"result":{}}`), At: test.at}, nil
			}}
			got := call(t, runtime.Call{Export: "clock", World: runtime.World{Start: start}, Host: h})
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	t.Run("from the epoch when there is no start", func(t *testing.T) {
		t.Parallel()
		got := call(t, runtime.Call{Export: "clock", Host: &host{}})
		if want := "1970-01-01T00:00:00Z "; !strings.HasPrefix(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestSleepIsACrossing(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]*host{
		"answered":                     {},
		"refused, which takes no time": answering(`{"error":{"code":"denied","message":"no"}}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := call(t, runtime.Call{Export: "sleep", Host: h})
			if want := "10ms@10ms 30ms@30ms"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if diff := cmp.Diff([]string{`sleep {"ms":10}`, `sleep {"ms":20}`}, h.asked); diff != "" {
				t.Errorf("crossings differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWritesBecomeLogLines(t *testing.T) {
	t.Parallel()
	h := &host{}
	long := strings.Repeat("é", 5000) // 10,000 bytes: cut before byte 8192, which is in mid-character or not.
	call(t, runtime.Call{Export: "print", Input: []byte("one\n\ntw\xffo\nx" + long), Host: h})
	want := []string{
		`log {"level":"info","message":"one"}`,
		`log {"level":"info","message":""}`,
		`log {"level":"info","message":"tw\ufffdo"}`,
		`log {"level":"info","message":"x` + strings.Repeat("é", 4095) + `"}`,
		`log {"level":"warn","message":"from log_warn"}`,
		`log {"level":"info","message":"` + strings.Repeat("é", 905) + `"}`,
		`log {"level":"warn","message":"half a line"}`,
	}
	if diff := cmp.Diff(want, h.asked); diff != "" {
		t.Errorf("crossings differ (-want +got):\n%s", diff)
	}
}

func TestGuestExits(t *testing.T) {
	t.Parallel()
	t.Run("with 0 is success", func(t *testing.T) {
		t.Parallel()
		if got := call(t, runtime.Call{Export: "exit", Input: []byte("0")}); got != "bye" {
			t.Errorf("got output %q", got)
		}
	})
	t.Run("with another code is a bug", func(t *testing.T) {
		t.Parallel()
		_, err := engine.guest(t).Call(t.Context(), runtime.Call{Export: "exit", Input: []byte("3")})
		if f := wantFailure(t, err, runtime.CodePluginBug); !strings.Contains(f.Message, "code 3") {
			t.Errorf("got %q", f.Message)
		}
	})
	t.Run("with wazero's own codes is a bug too", func(t *testing.T) {
		t.Parallel()
		for _, code := range []uint32{0xffffffff, 0xefffffff} { // Canceled and deadline exceeded.
			_, err := engine.guest(t).Call(t.Context(), runtime.Call{Export: "exit", Input: []byte(strconv.Itoa(int(int32(code))))})
			wantFailure(t, err, runtime.CodePluginBug)
		}
	})
	t.Run("by panic leaves its words", func(t *testing.T) {
		t.Parallel()
		h := &host{}
		_, err := engine.guest(t).Call(t.Context(), runtime.Call{Export: "panics", Host: h})
		f := wantFailure(t, err, runtime.CodeTrapped)
		if f.Message != "the guest crashed: unreachable: panic: at the disco" || !strings.Contains(f.Stack, "main.panics()") {
			t.Errorf("got message %q and stack %q", f.Message, f.Stack)
		}
		if log := strings.Join(h.asked, "\n"); !strings.Contains(log, "panic: at the disco") {
			t.Errorf("got log %q", log)
		}
	})
	t.Run("by asking for too much memory is told apart", func(t *testing.T) {
		t.Parallel()
		result, err := engine.guest(t).Call(t.Context(), runtime.Call{Export: "hog", Host: &host{}})
		wantFailure(t, err, runtime.CodeMemoryExceeded)
		if limit := int64(64 << 20); result.Usage.MemoryBytes > limit || result.Usage.MemoryBytes < limit/2 {
			t.Errorf("got a peak of %d bytes under a limit of %d", result.Usage.MemoryBytes, limit)
		}
	})
}

func TestGuestReadsConfig(t *testing.T) {
	t.Parallel()
	world := runtime.World{Config: map[string]string{"url": "https://x"}}
	for name, want := range map[string]string{"url": "https://x", "other": ""} {
		if got := call(t, runtime.Call{Export: "config", Input: []byte(name), World: world}); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestHTTPRequestIsTranslated(t *testing.T) {
	t.Parallel()
	const head = `http {"method":"POST","url":"https://api.example.com/x","headers":{"X-A":["1"]}`
	for _, test := range []struct {
		name, body, answer, asked, want string
	}{
		{
			"without a body", "", `{"result":{"status":204,"headers":{}}}`,
			head + `}`, `204 {} `,
		},
		{
			"with text", "hällo", `{"result":{"status":200,"headers":{"Content-Type":["a"],"set-cookie":["b","c"]},"body":"ok"}}`,
			head + `,"body":"hällo"}`, `200 {"content-type":"a","set-cookie":"b,c"} ok`,
		},
		{
			"with bytes", "\xff\x00", `{"result":{"status":500,"headers":{},"body_base64":"/wA="}}`,
			head + `,"body_base64":"/wA="}`, "500 {} \xff\x00",
		},
		{
			"and refused", "", `{"error":{"code":"denied","message":"not granted"}}`,
			head + `}`, `0  {"error":{"code":"denied","message":"not granted"}}`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := answering(test.answer)
			if got := call(t, runtime.Call{Export: "http", Input: []byte(test.body), Host: h}); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if diff := cmp.Diff([]string{test.asked}, h.asked); diff != "" {
				t.Errorf("crossings differ (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("and an answer that is no JSON is the host's fault", func(t *testing.T) {
		t.Parallel()
		_, err := engine.guest(t).Call(t.Context(), runtime.Call{Export: "http", Host: answering("what?")})
		if err == nil || !strings.Contains(err.Error(), "decode the answer of http") {
			t.Errorf("got %v", err)
		}
	})
}

func TestGuestAsksFunctionsOfOurs(t *testing.T) {
	t.Parallel()
	h := answering(`{"result":{"found":false}}`)
	if got, want := call(t, runtime.Call{Export: "ask", Input: []byte(`{"key":"k"}`), Host: h}), `{"result":{"found":false}}`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if diff := cmp.Diff([]string{`state_get {"key":"k"}`}, h.asked); diff != "" {
		t.Errorf("crossings differ (-want +got):\n%s", diff)
	}
}

func TestGuestHasNoFiles(t *testing.T) {
	t.Parallel()
	got := strings.Split(call(t, runtime.Call{Export: "files"}), "|")
	want := []string{"open /etc/passwd: Bad file number", "0", "EOF", "0", "0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("output differs (-want +got):\n%s", diff)
	}
}

func TestRunawaysDoNotHoldOthersUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	spinner := prepare(t, runtimetest.Ask("ask", "state_get", "{}"), runtime.Limits{})
	loop := prepare(t, runtimetest.Loop("run"), runtime.Limits{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			_, err := loop.Call(ctx, runtime.Call{Export: "run"})
			if err == nil {
				t.Error("the loop ended by itself")
			}
		})
	}
	for range 50 {
		result, err := spinner.Call(t.Context(), runtime.Call{Export: "ask", Host: answering("{}")})
		if err != nil || string(result.Output) != "{}" {
			t.Errorf("got %q, %v", result.Output, err)
		}
	}
	cancel()
	wg.Wait()
}

func TestConcurrentCallsStayApart(t *testing.T) {
	t.Parallel()
	module := engine.guest(t)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 10 {
				name := fmt.Sprintf("%d/%d", worker, i)
				h := &host{answer: func(_ context.Context, c runtime.Crossing) (runtime.Answer, error) {
					return runtime.Answer{Response: bytes.Clone(c.Request)}, nil
				}}
				result, err := module.Call(t.Context(), runtime.Call{Export: "ask", Input: []byte(name), Host: h})
				if err != nil || string(result.Output) != name {
					t.Errorf("%s: got %q, %v", name, result.Output, err)
				}
				if result.Usage.HostCalls != 1 {
					t.Errorf("%s: got %d host calls", name, result.Usage.HostCalls)
				}
			}
		})
	}
	wg.Wait()
}
