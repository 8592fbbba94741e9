package quickjs_test

import (
	"errors"
	"fmt"

	"github.com/cofferdam-run/cofferdam/sdk/build/quickjs"
)

// What is wrong with the engine says what to do about it.
func ExampleLink() {
	_, err := quickjs.Link("node_modules/quickjs-wasi", []string{"http", "log"})
	if broken, ok := errors.AsType[*quickjs.EngineError](err); ok {
		fmt.Println(broken)
	}
	// Output: engine file node_modules/quickjs-wasi/package.json is missing: run npm install
}
