package wasm_test

import (
	"errors"
	"fmt"
	"reflect"
	goruntime "runtime"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// limitTest has modules that are just at a limit, and just above.
type limitTest struct {
	limit    string
	function string
	at       int
	limits   wasm.Limits
	// with returns a module that has n of what is limited.
	with func(n int) []byte
}

func limitTests() []limitTest {
	repeat := strings.Repeat
	return []limitTest{
		{"Types", "", 5, wasm.Limits{Types: 5}, func(n int) []byte { return module(section(1, leb(n)+repeat(nullary, n))) }},
		{"TypeValues", "", 6, wasm.Limits{TypeValues: 6}, func(n int) []byte {
			return module(section(1, vector("\x60\x02\x7f\x7f\x01\x7f", "\x60"+leb(n-3)+repeat("\x7f", n-3)+"\x00")))
		}},
		{"Values", "", 1000, wasm.Limits{}, func(n int) []byte {
			return module(section(1, vector("\x60\x00"+leb(n)+repeat("\x7f", n))))
		}},
		{"Imports", "", 7, wasm.Limits{Imports: 7}, func(n int) []byte {
			return module(section(2, leb(n)+repeat("\x01m\x01g\x03\x7f\x00", n)))
		}},
		{"Functions", "", 50_000, wasm.Limits{}, func(n int) []byte {
			return module(section(1, vector(nullary)), section(3, leb(n)+repeat("\x00", n)), section(10, leb(n)+repeat(body(noLocals, ""), n)))
		}},
		{"Tables", "", 4, wasm.Limits{}, func(n int) []byte {
			return module(section(2, vector("\x01m\x01t\x01\x70\x00\x01")), section(4, leb(n-1)+repeat("\x70\x00\x01", n-1)))
		}},
		{"TableEntries", "", 100_000, wasm.Limits{}, func(n int) []byte { return module(section(4, vector("\x70\x00"+leb(n)))) }},
		{"Globals", "", 10_000, wasm.Limits{}, func(n int) []byte { return module(section(6, leb(n)+repeat("\x7f\x00"+zero, n))) }},
		{"Exports", "", 3, wasm.Limits{Exports: 3}, func(n int) []byte {
			content := leb(n)
			for i := range n {
				content += text(fmt.Sprint(i)) + "\x02\x00"
			}
			return module(section(5, "\x01\x00\x01"), section(7, content))
		}},
		{"ElementSegments", "", 10_000, wasm.Limits{}, func(n int) []byte { return module(section(9, leb(n)+repeat("\x01\x00\x00", n))) }},
		{"Elements", "", 400_000, wasm.Limits{}, func(n int) []byte {
			return module(section(9, vector("\x05\x70\x01\xd0\x70\x0b", "\x05\x70"+leb(n-1)+repeat("\xd0\x70\x0b", n-1))))
		}},
		{"DataSegments", "", 100_000, wasm.Limits{}, func(n int) []byte { return module(section(11, leb(n)+repeat("\x01\x00", n))) }},
		{"BodyBytes", "0", 256 << 10, wasm.Limits{}, func(n int) []byte { return functions(body(noLocals, repeat("\x01", n-2))) }},
		{"Locals", "0", 5_000, wasm.Limits{}, func(n int) []byte { return functions(body("\x02"+leb(n-1)+"\x7f\x01\x7f", "")) }},
		{"LocalsInAll", "200", 1_000_000, wasm.Limits{}, func(n int) []byte {
			bodies := []string{}
			for range 200 {
				bodies = append(bodies, body("\x01"+leb(5000)+"\x7f", ""))
			}
			return functions(append(bodies, body("\x01"+leb(n-1_000_000)+"\x7f", ""))...)
		}},
		{"Blocks", "0", 8_000, wasm.Limits{}, func(n int) []byte { return functions(body(noLocals, repeat("\x41\x00\x0d\x00", n-4))) }},
		{"BlocksSquared", "1", 25 + 36, wasm.Limits{BlocksSquared: 25 + 36}, func(n int) []byte {
			// One block more adds 13: the second function is at 6^2 or 7^2.
			return functions(body(noLocals, "\x02\x40\x0b"), body(noLocals, repeat("\x02\x40\x0b", 2+n-61)))
		}},
		{"LocalsTimesBlocks", "0", 2_500_000, wasm.Limits{}, func(n int) []byte {
			// 1,000 blocks; one variable more adds them all.
			return functions(body("\x01"+leb(2500+n-2_500_000)+"\x7f", repeat("\x41\x00\x0d\x00", 996)))
		}},
		{"Nesting", "0", 2_000, wasm.Limits{}, func(n int) []byte { return functions(body(noLocals, repeat("\x02\x40", n)+repeat(end, n))) }},
		{"BranchTargets", "0", 4096, wasm.Limits{}, func(n int) []byte {
			return functions(body(noLocals, "\x41\x00\x0e"+leb(n)+repeat("\x00", n)+"\x00"))
		}},
		{"BulkOperations", "1", 500, wasm.Limits{}, func(n int) []byte {
			return withCode(repeat("\xfc\x0a\x00\x00", n-3) + "\xfc\x0e\x00\x00\xfc\x0c\x00\x00\xfc\x11\x00")
		}},
		{"PassedValues", "1", 12, wasm.Limits{PassedValues: 12}, func(n int) []byte {
			// Blocks of two results, and branches out of one: a value beyond the first each.
			return withCode("\x02\x02" + repeat("\x0c\x00", 11) + end + repeat("\x03\x02\x0c\x00\x0b", n-12))
		}},
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	for _, test := range limitTests() {
		t.Run(test.limit, func(t *testing.T) {
			t.Parallel()
			if _, err := wasm.Decode(test.with(test.at), test.limits); err != nil {
				t.Errorf("at the limit: got %v", err)
			}
			_, err := wasm.Decode(test.with(test.at+1), test.limits)
			e, ok := errors.AsType[*wasm.LimitError](err)
			if !ok {
				t.Fatalf("above the limit: got %v", err)
			}
			if e.Limit != test.limit || e.Max != uint64(test.at) || e.Value <= e.Max || e.Function != test.function {
				t.Errorf("got %+v, want limit %s of %d in function %q", e, test.limit, test.at, test.function)
			}
			for _, part := range []string{fmt.Sprint(e.Value), fmt.Sprintf("limit %s is %d", e.Limit, e.Max), e.Hint} {
				if part == "" || !strings.Contains(e.Error(), part) {
					t.Errorf("%q does not say %q", e, part)
				}
			}
		})
	}
}

func TestEveryLimitIsTested(t *testing.T) {
	t.Parallel()
	tested := map[string]bool{"NameBytes": true} // TestNames: it is no error.
	for _, test := range limitTests() {
		tested[test.limit] = true
	}
	for field := range reflect.TypeFor[wasm.Limits]().Fields() {
		if !tested[field.Name] {
			t.Errorf("limit %s has no test", field.Name)
		}
	}
}

func TestLimitErrorsNameTheFunction(t *testing.T) {
	t.Parallel()
	binary := append(functions(body(noLocals, ""), body("\x01\x89\x27\x7f", "")), names("\x01\x09main.boom")...)
	_, err := wasm.Decode(binary, wasm.Limits{})
	want := `function 1 ("main.boom") has 5001 parameters and variables; the limit Locals is 5000: ` +
		"split the function, or have the compiler inline less"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestBlocksAreCounted(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, code string
		blocks     int
	}{
		{"nothing", "", 4},
		{"block", "\x02\x40\x0b", 5},
		{"loop", "\x03\x40\x0b", 9},
		{"if", "\x04\x40\x0b", 7},
		{"if and else", "\x04\x40\x05\x0b", 7},
		{"br", "\x0c\x00", 4},
		{"br_if", "\x0d\x00", 5},
		{"br_table", "\x0e\x02\x00\x00\x00", 7},
		{"call", "\x10\x00", 4},
		{"memory.copy", "\xfc\x0a\x00\x00", 8},
		{"memory.fill", "\xfc\x0b\x00", 8},
		{"memory.init", "\xfc\x08\x00\x00", 8},
		{"table.copy", "\xfc\x0e\x00\x00", 8},
		{"table.fill", "\xfc\x11\x00", 8},
		{"table.init", "\xfc\x0c\x00\x00", 8},
		{"table.grow", "\xfc\x0f\x00", 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if _, err := wasm.Decode(withCode(test.code), wasm.Limits{Blocks: test.blocks}); err != nil {
				t.Errorf("got %v, want %d blocks", err, test.blocks)
			}
			if _, err := wasm.Decode(withCode(test.code), wasm.Limits{BlocksSquared: test.blocks*test.blocks - 1}); err == nil {
				t.Errorf("got fewer than %d blocks", test.blocks)
			}
		})
	}
}

//nolint:paralleltest // It measures what is allocated.
func TestBombsAllocateNothing(t *testing.T) {
	const most = "\xff\xff\xff\xff\x0f" // 2^32 - 1.
	for name, binary := range map[string][]byte{
		"types":            module(section(1, most)),
		"imports":          module(section(2, most)),
		"functions":        module(section(3, most)),
		"tables":           module(section(4, most)),
		"table entries":    module(section(4, "\x01\x70\x00"+most)),
		"memories":         module(section(5, most)),
		"pages":            module(section(5, "\x01\x00"+most)),
		"globals":          module(section(6, most)),
		"exports":          module(section(7, most)),
		"element segments": module(section(9, most)),
		"bodies":           module(section(10, most)),
		"data segments":    module(section(11, most)),
		"data count":       module(section(12, most)),
		"locals":           functions(body("\x02"+most+"\x7f"+most+"\x7f", "")),
		"local groups":     functions(body(most, "")),
		"labels":           functions(body(noLocals, "\x0e"+most)),
		"body":             module(section(1, vector(nullary)), section(3, "\x01\x00"), section(10, "\x01"+most)),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after goruntime.MemStats
			goruntime.ReadMemStats(&before)
			_, err := wasm.Decode(binary, wasm.Limits{})
			goruntime.ReadMemStats(&after)
			if err == nil {
				t.Error("it was accepted")
			}
			if got := after.TotalAlloc - before.TotalAlloc; got > 64<<10 {
				t.Errorf("got %d bytes for %d", got, len(binary))
			}
		})
	}
}

//nolint:paralleltest // It measures what is allocated.
func TestLimitsBoundMemory(t *testing.T) {
	for _, test := range limitTests() {
		binary := test.with(test.at)
		var before, after goruntime.MemStats
		goruntime.ReadMemStats(&before)
		_, err := wasm.Decode(binary, test.limits)
		goruntime.ReadMemStats(&after)
		if err != nil {
			t.Errorf("%s: %v", test.limit, err)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 16<<20 {
			t.Errorf("%s: got %d bytes for %d", test.limit, got, len(binary))
		}
	}
}
