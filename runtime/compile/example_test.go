package compile_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/cofferdam-run/cofferdam/runtime/compile"
)

// An upload is compiled by a child, and what is wrong with it is told apart from
// what is wrong with the server.
func ExampleChild() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "cache")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	binary, err := os.Executable() // In this example; elsewhere the path of cofferdam.
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := compile.NewChild(compile.Config{Path: binary, CacheDir: dir})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, upload := range []string{"\x00asm\x01\x00\x00\x00", "a letter"} {
		err := c.Compile(ctx, []byte(upload))
		if broken, ok := errors.AsType[*compile.ModuleError](err); ok {
			fmt.Println("refused:", broken)
		} else {
			fmt.Println("compiled:", err == nil)
		}
	}
	// Output:
	// compiled: true
	// refused: invalid magic number
}
