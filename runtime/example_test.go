package runtime_test

import (
	"context"
	"fmt"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// greeter is a Host with one function.
type greeter struct{}

func (greeter) Call(_ context.Context, c runtime.Crossing) (runtime.Answer, error) {
	if c.Func != "greet" {
		return runtime.Answer{Response: []byte(`{"error":{"code":"denied","message":"not granted"}}`)}, nil
	}
	return runtime.Answer{Response: fmt.Appendf(nil, `{"result":"hello, %s"}`, c.Request)}, nil
}

func Example() {
	ctx := context.Background()
	rt, err := runtime.New(ctx, runtime.Config{Functions: []string{"greet"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer rt.Close(ctx)

	// A guest that asks "greet" with the request "world", and outputs the answer.
	wasm := runtimetest.Ask("action", "greet", "world")
	module, err := rt.Prepare(ctx, wasm, runtime.Limits{MemoryBytes: 16 << 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := module.Call(ctx, runtime.Call{Export: "action", Host: greeter{}})
	fmt.Println(string(result.Output), result.Usage.HostCalls, err)

	_, err = module.Call(ctx, runtime.Call{Export: "webhook", Host: greeter{}})
	fmt.Println(err)
	// Output:
	// {"result":"hello, world"} 1 <nil>
	// no_export: there is no export "webhook" of type () -> i32 or () -> (); there is: action
}
