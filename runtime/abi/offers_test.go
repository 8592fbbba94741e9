package abi //nolint:testpackage // It calls functions one by one, as a guest would.

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

func TestWASIHasTheTypesOfWazero(t *testing.T) {
	t.Parallel()
	rt := wazero.NewRuntime(t.Context())
	defer rt.Close(t.Context())
	theirs, err := wasi_snapshot_preview1.NewBuilder(rt).Compile(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	offers, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(offers.modules[WASIModule]), len(theirs.ExportedFunctions()); got != want {
		t.Errorf("got %d functions, want %d", got, want)
	}
	for name, f := range theirs.ExportedFunctions() {
		want := Signature{Params: f.ParamTypes(), Results: f.ResultTypes()}
		if got, ok := offers.Lookup(WASIModule, name); !ok || !got.Equal(want) {
			t.Errorf("%s: got %s, %t, want %s", name, got, ok, want)
		}
	}
}

// TestHeadersThatDifferInCaseAreOneEachTime: a host of one's own may answer so.
func TestHeadersThatDifferInCaseAreOneEachTime(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	b.answer.Response = []byte(`{"result":{"status":200,"headers":{"x-a":["the lower"],"X-A":["A"],"X-a":["Aa"]}}}`)
	for range 50 {
		b.must(t, "http_request", b.put(t, `{"url":"u"}`), 0)
		if got, want := b.get(t, b.must(t, "http_headers")), `{"x-a":"the lower"}`; got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
}

func TestVariables(t *testing.T) {
	t.Parallel()
	t.Run("are kept, replaced and removed", func(t *testing.T) {
		t.Parallel()
		b := setup(t, Options{})
		name := b.put(t, "n")
		for _, want := range []string{"one", "another one"} {
			b.do(t, EnvModule, "var_set", name, b.put(t, want))
			offset, _ := b.do(t, EnvModule, "var_get", name)
			if got := b.get(t, offset); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		b.do(t, EnvModule, "var_set", name, 0)
		if offset, _ := b.do(t, EnvModule, "var_get", name); offset != 0 {
			t.Errorf("got offset %d for a variable that is gone", offset)
		}
		if got, want := b.kernel.heap.word(wordLimit), uint64(firstBlock+1<<16); got != want {
			t.Errorf("got a limit of %d after no variables are left, want %d", got, want)
		}
	})
	t.Run("are copies", func(t *testing.T) {
		t.Parallel()
		b := setup(t, Options{})
		name, value := b.put(t, "n"), b.put(t, "one")
		b.do(t, EnvModule, "var_set", name, value)
		b.do(t, EnvModule, "store_u8", value, 'X')
		offset, _ := b.do(t, EnvModule, "var_get", name)
		if got := b.get(t, offset); got != "one" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("share the budget", func(t *testing.T) {
		t.Parallel()
		b := setup(t, Options{KernelBytes: 3000})
		value := b.put(t, strings.Repeat("x", 1000))
		if _, ok := b.do(t, EnvModule, "var_set", b.put(t, "a"), value); !ok {
			t.Fatalf("the first ended the call: %v", b.guest.Ended())
		}
		if _, ok := b.do(t, EnvModule, "var_set", b.put(t, "b"), value); ok || !errors.Is(b.guest.Ended(), ErrBudget) {
			t.Errorf("got %t, %v, want ErrBudget", ok, b.guest.Ended())
		}
	})
}

func TestMisuseEndsTheCall(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]uint64{
		"output_set":   {firstOffset, 1 << 40},
		"input_set":    {1, 1},
		"error_set":    {17},
		"var_get":      {99},
		"config_get":   {99},
		"log_info":     {^uint64(0)},
		"http_request": {99, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, Options{Input: []byte("input")})
			_, ok := b.do(t, EnvModule, name, args...)
			var misuse *MisuseError
			if ok || !errors.As(b.guest.Ended(), &misuse) {
				t.Errorf("got %t, %v, want Misuse", ok, b.guest.Ended())
			}
		})
	}
}

func TestInputIsReadWithinItsBounds(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{Input: []byte("123456789")})
	b.put(t, "beyond")
	for _, test := range []struct {
		name     string
		at, want uint64
	}{
		{"input_load_u8", 8, '9'},
		{"input_load_u8", 9, 0},
		{"input_load_u8", ^uint64(0), 0},
		{"input_load_u64", 1, binary.LittleEndian.Uint64([]byte("23456789"))},
		{"input_load_u64", 2, 0},
		{"input_load_u64", ^uint64(0) - 6, 0},
	} {
		if got, _ := b.do(t, EnvModule, test.name, test.at); got != test.want {
			t.Errorf("%s(%d): got %x, want %x", test.name, test.at, got, test.want)
		}
	}
}

func TestResetForgets(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{Input: []byte("input")})
	b.do(t, EnvModule, "error_set", b.put(t, "error"))
	b.do(t, EnvModule, "output_set", b.put(t, "output"), 6)
	b.do(t, EnvModule, "reset")
	for _, name := range []string{"input_length", "output_length", "output_offset", "error_get"} {
		if got, _ := b.do(t, EnvModule, name); got != 0 {
			t.Errorf("%s: got %d after reset", name, got)
		}
	}
	if b.guest.Error() != nil || len(b.guest.Output()) != 0 {
		t.Errorf("got %q and %q", b.guest.Error(), b.guest.Output())
	}
}

func TestOutputSurvivesItsFree(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	offset := b.put(t, "output")
	b.do(t, EnvModule, "output_set", offset, 6)
	b.do(t, EnvModule, "free", offset)
	if got := string(b.guest.Output()); got != "output" {
		t.Errorf("got %q", got)
	}
}

func TestBadHTTPRequestIsAnAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	offset, ok := b.do(t, EnvModule, "http_request", b.put(t, "GET /"), 0)
	if got := b.get(t, offset); !ok || !strings.HasPrefix(got, `{"error":{"code":"invalid_request"`) {
		t.Errorf("got %t, %q", ok, got)
	}
	if len(b.asked) != 0 {
		t.Errorf("asked %q", b.asked)
	}
}

func TestHTTPRequestOfMegabytesIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{KernelBytes: 8 << 20})
	request := `{"url":"x","headers":{` + strings.Repeat(`"a":"",`, 1<<20/7) + `"b":""}}`
	offset, ok := b.do(t, EnvModule, "http_request", b.put(t, request), 0)
	if got := b.get(t, offset); !ok || !strings.Contains(got, "the limit is 1048576") {
		t.Errorf("got %t, %.200q", ok, got)
	}
	if len(b.asked) != 0 {
		t.Errorf("asked %.100q", b.asked)
	}
	b.must(t, "http_request", b.put(t, `{"url":"x"}`), b.put(t, strings.Repeat("body", 1<<19)))
	if len(b.asked) != 1 {
		t.Errorf("a body of 2 MiB was refused: asked %d times", len(b.asked))
	}
}

func TestHTTPHeadersHaveTheirOldNameToo(t *testing.T) {
	t.Parallel()
	for _, request := range []string{`{"url":"u","header":{"A":"1"}}`, `{"url":"u","headers":{"A":"1"}}`, `{"url":"u","header":{"A":"0"},"headers":{"A":"1"}}`} {
		b := setup(t, Options{})
		b.do(t, EnvModule, "http_request", b.put(t, request), 0)
		if got, want := strings.Join(b.asked, "; "), `http {"method":"GET","url":"u","headers":{"A":["1"]}}`; got != want {
			t.Errorf("%s: asked %s, want %s", request, got, want)
		}
	}
}

func TestClockStopsBeforeItsNumbersEnd(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{Start: time.Date(2199, 12, 31, 23, 59, 59, 0, time.UTC)})
	b.guest.clock.advance(time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC))
	if got := time.Unix(0, int64(b.guest.clock.wall())).UTC().Year(); got != 2199 {
		t.Errorf("got year %d", got)
	}
}

func TestWASIAnswersWithErrorsForBadPointers(t *testing.T) {
	t.Parallel()
	const out = 1 << 16 // One past the end.
	b := setup(t, Options{})
	for _, test := range []struct {
		name string
		args []uint64
		want errno
	}{
		{"args_sizes_get", []uint64{out, 0}, errnoFault},
		{"clock_time_get", []uint64{0, 0, out - 7}, errnoFault},
		{"clock_time_get", []uint64{2, 0, 0}, errnoInval},
		{"clock_res_get", []uint64{1, 0}, errnoSuccess},
		{"clock_res_get", []uint64{9, 0}, errnoInval},
		{"random_get", []uint64{0, out + 1}, errnoFault},
		{"fd_write", []uint64{1, out - 7, 1, 0}, errnoFault},
		{"fd_write", []uint64{1, 0, 1<<32 - 1, 0}, errnoFault},
		{"fd_write", []uint64{3, 0, 0, 0}, errnoBadF},
		{"fd_write", []uint64{0, 0, 0, 0}, errnoBadF},
		{"fd_read", []uint64{0, 0, 0, 8}, errnoSuccess},
		{"fd_read", []uint64{1, 0, 0, 8}, errnoBadF},
		{"fd_fdstat_get", []uint64{2, out - 23}, errnoFault},
		{"fd_fdstat_get", []uint64{2, 0}, errnoSuccess},
		{"fd_fdstat_get", []uint64{3, 0}, errnoBadF},
		{"fd_filestat_get", []uint64{1, 0}, errnoSuccess},
		{"fd_seek", []uint64{1, 0, 0, 0}, errnoSPipe},
		{"fd_close", []uint64{4}, errnoBadF},
		{"fd_prestat_get", []uint64{3, 0}, errnoBadF},
		{"path_open", []uint64{3, 0, 0, 0, 0, 0, 0, 0, 0}, errnoBadF},
		{"sock_accept", []uint64{3, 0, 0}, errnoNoSys},
		{"poll_oneoff", []uint64{0, 0, 0, 0}, errnoInval},
		{"poll_oneoff", []uint64{0, 0, 1<<32 - 1, 0}, errnoFault},
		{"poll_oneoff", []uint64{0, out - 31, 1, 0}, errnoFault},
		{"sched_yield", nil, errnoSuccess},
	} {
		if got, ok := b.do(t, WASIModule, test.name, test.args...); !ok || errno(got) != test.want {
			t.Errorf("%s%v: got %d, want %d", test.name, test.args, got, test.want)
		}
	}
}

func TestPollOneoff(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	clock := func(tag byte, id uint32, timeout uint64, flags uint16) []byte {
		s := make([]byte, subscriptionSize)
		s[0] = tag
		binary.LittleEndian.PutUint32(s[16:], id)
		binary.LittleEndian.PutUint64(s[24:], timeout)
		binary.LittleEndian.PutUint16(s[40:], flags)
		return s
	}
	fd := func(tag, kind byte, fd uint32) []byte {
		s := make([]byte, subscriptionSize)
		s[0], s[8] = tag, kind
		binary.LittleEndian.PutUint32(s[16:], fd)
		return s
	}
	ms := uint64(time.Millisecond)
	at := uint64(start.UnixNano())
	for _, test := range []struct {
		name   string
		subs   [][]byte
		asked  string
		events string // Tag and error of each event.
		passed time.Duration
	}{
		{"waits for a clock", [][]byte{clock('a', clockMonotonic, 5*ms, 0)}, `sleep {"ms":5}`, "a0", 5 * time.Millisecond},
		{"rounds a wait up", [][]byte{clock('a', clockMonotonic, 5*ms+1, 0)}, `sleep {"ms":6}`, "a0", 5*time.Millisecond + 1},
		{"waits for the first of two", [][]byte{clock('a', clockMonotonic, 9*ms, 0), clock('b', clockRealtime, 5*ms, 0)}, `sleep {"ms":5}`, "b0", 5 * time.Millisecond},
		{"waits until a time", [][]byte{clock('a', clockRealtime, at+7*ms, clockAbsolute)}, `sleep {"ms":7}`, "a0", 7 * time.Millisecond},
		{"does not wait for a time that is past", [][]byte{clock('a', clockRealtime, at-1, clockAbsolute)}, "", "a0", 0},
		{"does not wait for nothing", [][]byte{clock('a', clockMonotonic, 0, 0)}, "", "a0", 0},
		{"does not ask for less than its unit", [][]byte{clock('a', clockMonotonic, 20_000, 0)}, "", "a0", 20 * time.Microsecond},
		{"has descriptors ready at once", [][]byte{clock('a', clockMonotonic, 5*ms, 0), fd('w', eventFdWrite, 1)}, "", "w0", 0},
		{"refuses descriptors that are not open", [][]byte{fd('r', 1, 3)}, "", "r8", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, Options{Start: start})
			memory := b.module.Memory()
			for i, s := range test.subs {
				memory.Write(uint32(i*subscriptionSize), s)
			}
			if e, ok := b.do(t, WASIModule, "poll_oneoff", 0, 1024, uint64(len(test.subs)), 2048); !ok || errno(e) != errnoSuccess {
				t.Fatalf("got errno %d, %t", e, ok)
			}
			n, _ := memory.ReadUint32Le(2048)
			got := ""
			for i := range n {
				event, _ := memory.Read(1024+i*eventSize, eventSize)
				got += string(event[0]) + string('0'+rune(event[8]))
			}
			if got != test.events {
				t.Errorf("got events %q, want %q", got, test.events)
			}
			if got := strings.Join(b.asked, "; "); got != test.asked {
				t.Errorf("asked %q, want %q", got, test.asked)
			}
			if got := b.guest.clock.now.Sub(start); got != test.passed {
				t.Errorf("%s passed, want %s", got, test.passed)
			}
		})
	}
}

func TestHostErrorEndsTheCall(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	b.fails = errors.New("down")
	if _, ok := b.do(t, UserModule, "state_get", b.put(t, "{}")); ok || !errors.Is(b.guest.Ended(), b.fails) {
		t.Errorf("got %t, %v", ok, b.guest.Ended())
	}
}

// FuzzHostFunctions calls host functions in any order with any arguments. None
// may panic, and the budget holds.
func FuzzHostFunctions(f *testing.F) {
	f.Add([]byte("\x00\x10\x00\x20\x01\x10\x05\x20\x09\x00\x30\x17"))
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30})
	offers := theEngine(f).offers
	names := map[string][]string{EnvModule: slices.Sorted(maps.Keys(offers.kernel))}
	for module, functions := range offers.modules {
		names[module] = slices.Sorted(maps.Keys(functions))
	}
	modules := slices.Sorted(maps.Keys(names))
	f.Fuzz(func(t *testing.T, program []byte) {
		const budget = 4096
		b := setup(t, Options{Input: []byte("some input"), KernelBytes: budget, Config: map[string]string{"": "x"}})
		next := func() byte {
			if len(program) == 0 {
				return 0
			}
			c := program[0]
			program = program[1:]
			return c
		}
		for len(program) > 0 {
			module := modules[int(next())%len(modules)]
			name := names[module][int(next())%len(names[module])]
			signature, _ := offers.Lookup(module, name)
			args := make([]uint64, len(signature.Params))
			for i := range args {
				// Small numbers, numbers near 2^16 and numbers near 2^64.
				args[i] = uint64(int64(int8(next()))) << (uint(next()) % 3 * 4)
			}
			if _, ok := b.do(t, module, name, args...); !ok {
				if b.guest.Ended() == nil {
					t.Fatalf("%s.%s ended the call without a reason", module, name)
				}
				break
			}
			h := b.kernel.heap
			if top := h.word(wordTop); top > h.word(wordLimit) || top > firstBlock+budget {
				t.Fatalf("%s.%s: %d bytes used of %d", module, name, top-firstBlock, budget)
			}
		}
		_, _ = b.guest.Output(), b.guest.Error()
		if err := b.guest.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
