package build_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cofferdam-run/cofferdam/sdk/build"
)

// What is wrong with a project is an *Error, whose text is for its author.
func Example() {
	dir, err := os.MkdirTemp("", "projects")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	shop := filepath.Join(dir, "shop")
	if err := os.CopyFS(shop, os.DirFS("testdata/example")); err != nil {
		fmt.Println(err)
		return
	}

	plugin, err := build.Project(context.Background(), shop, build.Options{})
	var wrong *build.Error
	switch {
	case errors.As(err, &wrong):
		fmt.Println(wrong)
	case err != nil:
		fmt.Println("cannot build:", err)
	default:
		fmt.Println(plugin.Manifest.Name, plugin.Digest)
	}
	// Output:
	// there is no node_modules in shop: its packages are not installed
	//   hint: run: npm install
}
