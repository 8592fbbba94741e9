package runtime_test

import (
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// TestTheLargestMemoryHasAnImage: 4 GiB have a size of 0 in 32 bits, and what has
// that size has no content.
func TestTheLargestMemoryHasAnImage(t *testing.T) {
	t.Parallel()
	var b runtimetest.Builder
	b.Memory(1)
	b.Data(8, []byte{42})
	b.Func("grow", "", "i", "", runtimetest.I32(1<<16-1), runtimetest.Op(0x40, 0)) // All that 32 bits can address.
	b.Func("look", "", "i", "", runtimetest.I32(8), runtimetest.Op(0x2d, 0, 0), runtimetest.I32(42), runtimetest.Op(0x47))
	module := prepare(t, b.Bytes(), runtime.Limits{MemoryBytes: 1 << 40})
	for _, export := range []string{"look", "grow", "look"} {
		_, err := module.Call(t.Context(), runtime.Call{Export: export})
		if refused := err != nil && strings.HasSuffix(err.Error(), "returned -1 and set no error"); refused != (export == "grow") {
			t.Errorf("%s: got %v", export, err)
		}
	}
}

// TestLoadingIsNotTheGuestsCPU has a clock that moves a second whenever somebody
// looks.
func TestLoadingIsNotTheGuestsCPU(t *testing.T) {
	t.Parallel()
	var seconds atomic.Int64
	rt := newRuntime(t, runtime.Config{Now: func() time.Time { return time.Unix(seconds.Add(1), 0) }})
	module, err := rt.Prepare(t.Context(), runtimetest.Echo("echo"), runtime.Limits{Deadline: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	usage := func() runtime.Usage {
		result, err := module.Call(t.Context(), runtime.Call{Export: "echo"})
		if err != nil {
			t.Fatal(err)
		}
		return result.Usage
	}
	made := usage()
	if again := usage(); made.CPU > again.CPU {
		t.Errorf("a call in a new sandbox had %s of CPU, and in one that was there %s", made.CPU, again.CPU)
	}
	if err := runtime.DropIdle(t.Context(), module); err != nil {
		t.Fatal(err)
	}
	seconds.Add(3600)
	if err := rt.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if runtime.Loaded(module) {
		t.Fatal("the module was not unloaded")
	}
	if loaded := usage(); loaded.CPU >= loaded.Wall/2 {
		t.Errorf("a call that loaded its module had %s of CPU in %s", loaded.CPU, loaded.Wall)
	}
}

func TestARefusalNamesFewExports(t *testing.T) {
	t.Parallel()
	var b runtimetest.Builder
	for n := range 1000 {
		b.Func(strings.Repeat("é", 5000)+strconv.Itoa(n), "", "", "")
	}
	_, err := prepare(t, b.Bytes(), runtime.Limits{}).Call(t.Context(), runtime.Call{Export: "none"})
	failure := wantFailure(t, err, runtime.CodeNoExport)
	if n := len(failure.Message); n > 4<<10 || !strings.Contains(failure.Message, "and 980 more") {
		t.Errorf("got a message of %d bytes: %.300s", n, failure.Message)
	}
}
