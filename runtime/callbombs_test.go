package runtime_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

const wasi = "wasi_snapshot_preview1"

// imported is a function of the host's.
type imported struct{ module, name, params, results string }

// guestOf is a module with an export "run" of type () -> i32, which is function
// len(imports) and has eight i64 locals.
func guestOf(pages uint32, imports []imported, write func(w *writer)) []byte {
	m := &wasm.Module{Memory: &wasm.Memory{Min: pages}}
	for _, f := range imports {
		m.Imports = append(m.Imports, wasm.Import{Module: f.module, Name: f.name, Type: newType(m, f.params, f.results)})
	}
	w := &writer{}
	write(w)
	w.I32(0)
	w.Op(wasm.OpEnd)
	m.Functions = []uint32{newType(m, "", "i")}
	m.Code = []wasm.Body{{Locals: []wasm.Locals{{Count: 8, Type: wasm.I64}}, Code: w.Code}}
	m.Exports = []wasm.Export{{Name: "run", Index: uint32(len(imports))}}
	return m.Encode()
}

// forever repeats body.
func (w *writer) forever(body func()) {
	w.Block(wasm.OpLoop, wasm.BlockEmpty)
	body()
	w.Index(wasm.OpBr, 0)
	w.Op(wasm.OpEnd)
}

func (w *writer) i32s(values ...int32) {
	for _, v := range values {
		w.I32(v)
	}
}

// callBomb is a guest that takes all that it can get.
type callBomb struct {
	name  string
	wasm  []byte
	codes []runtime.Code // One of them.
}

const bombPages = 512 // 32 MiB

// wasiBombs want much of one call of WASI's functions, again and again.
func wasiBombs() []callBomb {
	const all = bombPages << 16
	time := []runtime.Code{runtime.CodeDeadlineExceeded, runtime.CodeFuelExhausted}
	again := func(f imported, fill func(w *writer), args ...int32) []byte {
		return guestOf(bombPages, []imported{f}, func(w *writer) {
			fill(w)
			w.forever(func() {
				w.i32s(args...)
				w.call(0)
				w.drop()
			})
		})
	}
	// A list of pieces, each of which is all that is behind the list.
	pieces := func(w *writer) {
		const at = 0
		w.until(at, 8, func() { w.I64(1 << 20) }, func() {
			w.get(at)
			w.Op(wasm.OpI32WrapI64)
			w.I64(1<<20 | (all-1<<20)<<32)
			w.store(0)
		})
	}
	// Descriptors to wait for, all of them, and so no sleep.
	descriptors := func(w *writer) {
		w.I32(0)
		w.I32(1)
		w.I32(all)
		w.Index(wasm.OpMemoryFill, 0)
	}
	nothing := func(*writer) {}
	return []callBomb{
		{"random_get of all memory", again(imported{wasi, "random_get", "ii", "i"}, nothing, 0, all), time},
		{"fd_write of many huge pieces", again(imported{wasi, "fd_write", "iiii", "i"}, pieces, 1, 0, 1<<17, 0), time},
		{"fd_write of many huge pieces to standard error", again(imported{wasi, "fd_write", "iiii", "i"}, pieces, 2, 0, 1<<17, 0), time},
		{"fd_write of lines without end", again(imported{wasi, "fd_write", "iiii", "i"}, func(w *writer) {
			w.I32(0)
			w.I32('\n')
			w.I32(all)
			w.Index(wasm.OpMemoryFill, 0)
			pieces(w)
		}, 1, 0, 1<<17, 0), time},
		{"poll_oneoff of many", again(imported{wasi, "poll_oneoff", "iiii", "i"}, descriptors, 0, 0, 4096, all-4), time},
		{"poll_oneoff of millions", again(imported{wasi, "poll_oneoff", "iiii", "i"}, descriptors, 0, 0, all/48, all-4), time},
		{"poll_oneoff of none", again(imported{wasi, "poll_oneoff", "iiii", "i"}, nothing, 0, 0, 0, 0), time},
		{"poll_oneoff of numbers that overflow", again(imported{wasi, "poll_oneoff", "iiii", "i"}, nothing, 0, 0, math.MaxInt32/3, 0), time},
	}
}

// memoryBombs want much of memory, tables and the stack.
func memoryBombs() []callBomb {
	const all = bombPages << 16
	time := []runtime.Code{runtime.CodeDeadlineExceeded, runtime.CodeFuelExhausted}
	return []callBomb{
		{"memory.fill of everything", guestOf(bombPages, nil, func(w *writer) {
			w.forever(func() {
				w.i32s(0, 7, all)
				w.Index(wasm.OpMemoryFill, 0)
			})
		}), time},
		{"memory.copy of everything", guestOf(bombPages, nil, func(w *writer) {
			w.forever(func() {
				w.i32s(1, 0, all-1)
				w.Index2(wasm.OpMemoryCopy, 0, 0)
			})
		}), time},
		{"memory.fill beyond the end", guestOf(1, nil, func(w *writer) {
			w.i32s(1, 0, -1)
			w.Index(wasm.OpMemoryFill, 0)
		}), []runtime.Code{runtime.CodeTrapped}},
		{"memory.grow by nothing", guestOf(1, nil, func(w *writer) {
			w.forever(func() {
				w.grow(0)
				w.drop()
			})
		}), time},
		{"memory.grow by everything", guestOf(1, nil, func(w *writer) {
			w.forever(func() {
				w.grow(-1)
				w.drop()
			})
		}), time},
		{"memory.grow to the limit, and to touch it", guestOf(1, nil, func(w *writer) {
			const at = 0
			for range 2000 {
				w.grow(1)
				w.drop()
			}
			w.until(at, 4096, w.ended, func() {
				w.get(at)
				w.Op(wasm.OpI32WrapI64)
				w.I64(1)
				w.store(0)
			})
			w.Op(wasm.OpUnreachable)
		}), []runtime.Code{runtime.CodeMemoryExceeded}},
		{"recursion", guestOf(1, nil, func(w *writer) {
			w.call(0)
			w.drop()
			w.call(0)
			w.drop()
		}), []runtime.Code{runtime.CodeStackExhausted}},
		{"recursion with many locals", with(func(m *wasm.Module) {
			w := &writer{}
			for i := range uint32(4_000) {
				w.call(0) // All of them live at the deepest.
				w.get(i)
				w.drop()
			}
			w.Op(wasm.OpEnd)
			m.Code = []wasm.Body{{Locals: []wasm.Locals{{Count: 4_000, Type: wasm.I64}}, Code: w.Code}}
		}), []runtime.Code{runtime.CodeStackExhausted}},
	}
}

// kernelBombs want much of Extism's functions.
func kernelBombs() []callBomb {
	time := []runtime.Code{runtime.CodeDeadlineExceeded, runtime.CodeFuelExhausted}
	env := func(names ...imported) []imported {
		list := []imported{
			{runtimetest.Extism, "alloc", "I", "I"},
			{runtimetest.Extism, "store_u64", "II", ""},
			{runtimetest.Extism, "free", "I", ""},
		}
		return append(list, names...)
	}
	const alloc, store, free, more = 0, 1, 2, 3
	const block, count = 0, 1
	one := func(w *writer, size int64) {
		w.I64(size)
		w.call(alloc)
		w.set(block)
	}
	varSet, varGet := imported{runtimetest.Extism, "var_set", "II", ""}, imported{runtimetest.Extism, "var_get", "I", "I"}
	output := imported{runtimetest.Extism, "output_set", "II", ""}
	request := `{"url":"http://x"}        `[:24]
	return []callBomb{
		{"alloc without free", guestOf(1, env(), func(w *writer) { w.forever(func() { one(w, 1) }) }), []runtime.Code{runtime.CodeMemoryExceeded}},
		{"alloc of everything", guestOf(1, env(), func(w *writer) { one(w, -1) }), []runtime.Code{runtime.CodeMemoryExceeded}},
		{"alloc and free", guestOf(1, env(), func(w *writer) {
			w.forever(func() {
				one(w, 1<<20)
				w.get(block)
				w.call(free)
			})
		}), time},
		{"the same large variable", guestOf(1, env(varSet), func(w *writer) {
			one(w, 4<<20)
			w.forever(func() {
				w.get(block)
				w.get(block)
				w.call(more)
			})
		}), time},
		{"many variables", guestOf(1, env(varSet), func(w *writer) {
			one(w, 8)
			w.forever(func() {
				w.add(count, 1)
				w.get(block)
				w.get(count)
				w.call(store)
				w.get(block)
				w.get(block)
				w.call(more)
			})
		}), []runtime.Code{runtime.CodeMemoryExceeded}},
		{"variables that are read", guestOf(1, env(varSet, varGet), func(w *writer) {
			one(w, 1<<20)
			w.get(block)
			w.get(block)
			w.call(more)
			w.forever(func() {
				w.get(block)
				w.call(more + 1)
				w.call(free)
			})
		}), time},
		{"large log lines", guestOf(1, env(imported{runtimetest.Extism, "log_info", "I", ""}), func(w *writer) {
			w.forever(func() {
				one(w, 1<<20)
				w.get(block)
				w.call(more)
			})
		}), time},
		{"requests", guestOf(1, env(imported{runtimetest.Extism, "http_request", "II", "I"}), func(w *writer) {
			w.forever(func() {
				one(w, int64(len(request)))
				for i := 0; i < len(request); i += 8 {
					w.get(block)
					w.I64(int64(i))
					w.Op(wasm.OpI64Add)
					w.I64(int64(binary.LittleEndian.Uint64([]byte(request[i:]))))
					w.call(store)
				}
				w.get(block)
				w.I64(1 << 20)
				w.call(alloc)
				w.call(more)
				w.call(free)
			})
		}), time},
		{"output over its cap", guestOf(1, env(output), func(w *writer) {
			one(w, 9<<20)
			w.get(block)
			w.I64(9 << 20)
			w.call(more)
		}), []runtime.Code{runtime.CodeOutputTooLarge}},
		{"output of what was never got", guestOf(1, env(output), func(w *writer) {
			w.I64(128)
			w.I64(1 << 40)
			w.call(more)
		}), []runtime.Code{runtime.CodePluginBug}},
	}
}

// TestBombsEndInTime runs guests that take all they can get, and looks at what
// ended them, when, and at what is left for the next.
func TestBombsEndInTime(t *testing.T) {
	t.Parallel()
	for _, b := range slices.Concat(memoryBombs(), kernelBombs(), wasiBombs()) {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			deadline := 100 * time.Millisecond
			if !slices.Contains(b.codes, runtime.CodeDeadlineExceeded) {
				deadline = 20 * time.Second // It ends by itself.
			}
			module := prepare(t, b.wasm, runtime.Limits{Deadline: deadline, Fuel: 50_000_000_000})
			for range 2 { // The second time in the sandbox that the first has left.
				began := time.Now()
				result, err := module.Call(t.Context(), runtime.Call{Export: "run", Host: answering(httpAnswer)})
				over := time.Since(began) - deadline
				failure, ok := errors.AsType[*runtime.Failure](err)
				if !ok || !slices.Contains(b.codes, failure.Code) {
					t.Fatalf("got %v, want one of %q", err, b.codes)
				}
				if over > time.Second {
					t.Errorf("it was over %s after its deadline", over)
				}
				if limit := int64(64 << 20); result.Usage.MemoryBytes > limit {
					t.Errorf("it had %d bytes of memory; the limit is %d", result.Usage.MemoryBytes, limit)
				}
				if failure.Code == runtime.CodeDeadlineExceeded {
					t.Logf("%s: ended %s after its deadline, with %d units of fuel", b.name, over.Round(time.Microsecond), result.Usage.Fuel)
				}
			}
		})
	}
}

// TestRequestsDoNotSwell has a guest send what JSON writes as six bytes for one.
func TestRequestsDoNotSwell(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	const request = `{"url":"http://a.test/x"}       `
	for name, letters := range map[string]string{"tags": "<&><&><&", "controls": "\x01\x02\x03\x04\x05\x06\x07\x08", "text": "a\nlitle "} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const alloc, store, send = 0, 1, 2
			module := prepare(t, guestOf(1, []imported{
				{runtimetest.Extism, "alloc", "I", "I"},
				{runtimetest.Extism, "store_u64", "II", ""},
				{runtimetest.Extism, "http_request", "II", "I"},
			}, func(w *writer) {
				const block, at, body = 0, 1, 2
				word := func(block uint32, offset func(), s string) {
					w.get(block)
					offset()
					w.Op(wasm.OpI64Add)
					w.I64(int64(binary.LittleEndian.Uint64([]byte(s))))
					w.call(store)
				}
				w.I64(int64(len(request)))
				w.call(alloc)
				w.set(block)
				for i := 0; i+8 <= len(request); i += 8 {
					word(block, func() { w.I64(int64(i)) }, request[i:])
				}
				w.I64(size)
				w.call(alloc)
				w.set(body)
				w.until(at, 8, func() { w.I64(size) }, func() { word(body, func() { w.get(at) }, letters) })
				w.get(block)
				w.get(body)
				w.call(send)
				w.drop()
			}), runtime.Limits{})
			h := answering(httpAnswer)
			if _, err := module.Call(t.Context(), runtime.Call{Export: "run", Host: h}); err != nil {
				t.Fatal(err)
			}
			var got struct {
				Body   string
				Base64 []byte `json:"body_base64"`
			}
			if err := json.Unmarshal([]byte(strings.TrimPrefix(h.asked[0], "http ")), &got); err != nil {
				t.Fatal(err)
			}
			if want := strings.Repeat(letters, size/8); got.Body != want && string(got.Base64) != want {
				t.Errorf("the body arrived as another, of %d bytes", len(got.Body)+len(got.Base64))
			}
			if n := len(h.asked[0]); n > size*3/2 {
				t.Errorf("a body of %d bytes became a request of %d", size, n)
			}
		})
	}
}

// bounds are numbers at, below and above every bound that offsets have.
func bounds() []int64 {
	var all []int64
	for _, n := range []int64{
		0, 8, 80, 88, 128, 136, 144, 160, 176, 208, 4096, 1 << 16, probeKernel, probeKernel + 128, probePages << 16, probeMemory,
		1 << 20, 1 << 31, 1 << 32, 1<<32 + 144, 1 << 48, math.MinInt64, -1 << 32, -65536, -128,
	} {
		all = append(all, n-8, n-7, n-1, n, n+1, n+16)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// offsetFunctions take offsets and lengths.
func offsetFunctions() []imported {
	var list []imported
	for _, f := range []imported{
		{"", "alloc", "I", "I"},
		{"", "free", "I", ""},
		{"", "length", "I", "I"},
		{"", "length_unsafe", "I", "I"},
		{"", "load_u8", "I", "i"},
		{"", "load_u64", "I", "I"},
		{"", "store_u8", "Ii", ""},
		{"", "store_u64", "II", ""},
		{"", "input_load_u8", "I", "i"},
		{"", "input_load_u64", "I", "I"},
		{"", "input_set", "II", ""},
		{"", "output_set", "II", ""},
		{"", "error_set", "I", ""},
		{"", "var_get", "I", "I"},
		{"", "var_set", "II", ""},
		{"", "config_get", "I", "I"},
		{"", "http_request", "II", "I"},
		{"", "log_info", "I", ""},
	} {
		f.module = runtimetest.Extism
		list = append(list, f)
	}
	list = append(list, imported{runtimetest.User, "state_get", "I", "I"})
	for _, f := range []imported{
		{"", "args_sizes_get", "ii", "i"},
		{"", "clock_res_get", "ii", "i"},
		{"", "random_get", "ii", "i"},
		{"", "fd_fdstat_get", "ii", "i"},
		{"", "fd_filestat_get", "ii", "i"},
		{"", "fd_write", "iiii", "i"},
		{"", "fd_read", "iiii", "i"},
		{"", "poll_oneoff", "iiii", "i"},
		{"", "path_open", "iiiiiIIii", "i"},
		{"", "sock_recv", "iiiiii", "i"},
	} {
		f.module = wasi
		list = append(list, f)
	}
	return list
}

// pokes calls one function with numbers from its input, then looks at memory
// outside of which it must not have changed anything.
func pokes(f imported) []byte {
	list := []imported{{runtimetest.Extism, "input_load_u64", "I", "I"}, f}
	return guestOf(probePages, list, func(w *writer) {
		for i, letter := range f.params {
			w.I64(int64(8 * (i % 4)))
			w.call(0)
			if letter == 'i' {
				w.Op(wasm.OpI32WrapI64)
			}
		}
		w.call(1)
		if f.results != "" {
			w.drop()
		}
	})
}

// TestOffsetsAtEveryBound calls every function that takes offsets with numbers at
// and past every bound. Each call must end well, or by the guest's fault.
func TestOffsetsAtEveryBound(t *testing.T) {
	t.Parallel()
	numbers := bounds()
	for _, f := range offsetFunctions() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			limits := probeLimits()
			limits.Fuel = 100_000_000
			module := prepare(t, pokes(f), limits)
			ended := map[runtime.Code]int{}
			var first any
			for i, x := range numbers {
				for _, y := range []int64{0, 1, 8, 48, 129, probeKernel, math.MaxUint32, numbers[(i*7+3)%len(numbers)]} {
					input := binary.LittleEndian.AppendUint64(nil, uint64(x))
					for _, word := range []int64{y, 1 + y%3, x} {
						input = binary.LittleEndian.AppendUint64(input, uint64(word))
					}
					if f.module == wasi && strings.HasPrefix(f.name, "fd_") {
						binary.LittleEndian.PutUint64(input, uint64(i%4)) // A descriptor.
						binary.LittleEndian.PutUint64(input[24:], uint64(x))
						binary.LittleEndian.PutUint64(input[8:], uint64(y))
					}
					result, err := module.Call(t.Context(), runtime.Call{Export: "run", Input: input, Host: answering(httpAnswer)})
					failure, ok := errors.AsType[*runtime.Failure](err)
					if err != nil && !ok {
						t.Fatalf("%s(%d, %d): got %v, want success or a failure of the guest", f.name, x, y, err)
					}
					if ok {
						ended[failure.Code]++
						switch failure.Code {
						case runtime.CodePluginBug, runtime.CodeMemoryExceeded, runtime.CodeFuelExhausted:
						default:
							t.Errorf("%s(%d, %d): got %v", f.name, x, y, err)
						}
					}
					if len(result.Output) > probeKernel {
						t.Errorf("%s(%d, %d): got %d bytes of output", f.name, x, y, len(result.Output))
					}
					first = sameSandbox(t, module, first)
				}
			}
			t.Logf("%d numbers: %v", len(numbers), ended)
		})
	}
}
