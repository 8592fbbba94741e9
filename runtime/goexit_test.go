package runtime_test

import (
	"context"
	goruntime "runtime"
	"testing"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// TestAHostThatEndsItsGoroutineLeavesNothingBehind is about hosts such as those of
// tests, whose t.Fatal does so.
func TestAHostThatEndsItsGoroutineLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	rt, err := runtime.New(t.Context(), runtime.Config{Functions: []string{"state_get"}, Running: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close(t.Context())
	module, err := rt.Prepare(t.Context(), runtimetest.Ask("ask", "state_get", "{}"), runtime.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	quitter := &host{answer: func(context.Context, runtime.Crossing) (runtime.Answer, error) {
		goruntime.Goexit()
		return runtime.Answer{}, nil
	}}
	for range 3 {
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			_, _ = module.Call(t.Context(), runtime.Call{Export: "ask", Host: quitter})
			t.Error("the host's goroutine goes on")
		}()
		<-gone
	}
	if got := len(runtime.Idle(module)); got != 0 {
		t.Errorf("%d sandboxes are kept of which nobody knows what they are", got)
	}
	// The one processor that there is has been given back.
	if _, err := module.Call(t.Context(), runtime.Call{Export: "ask", Host: answering(`{"result":1}`)}); err != nil {
		t.Error(err)
	}
	if err := module.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if runtime.Loaded(module) {
		t.Error("the module is not unloaded: calls are counted that are over")
	}
}
