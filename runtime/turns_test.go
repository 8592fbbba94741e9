package runtime_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// TestModulesThatBecomeOneAreLoadedOneAtATime: what tells these modules apart is
// dropped before they are compiled, so that to the engine they are one. It shows
// what it loads before it is whole, and has not made all of the entries for 500
// types when another looks.
func TestModulesThatBecomeOneAreLoadedOneAtATime(t *testing.T) {
	t.Parallel()
	var b runtimetest.Builder
	for n := range 500 {
		b.Func("", strings.Repeat("i", n%200), "", "")
	}
	b.Func("run", "", "i", "", runtimetest.I32(0))
	dir := t.TempDir()
	for range 4 { // The first compiles, the others load.
		rt := newRuntime(t, runtime.Config{CacheDir: dir})
		var group sync.WaitGroup
		for n := range 8 {
			group.Go(func() {
				custom := fmt.Sprintf("\x01x%d", n)
				module, err := rt.Prepare(t.Context(), slices.Concat(b.Bytes(), []byte{0, byte(len(custom))}, []byte(custom)), runtime.Limits{})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := module.Call(t.Context(), runtime.Call{Export: "run"}); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
	}
}
