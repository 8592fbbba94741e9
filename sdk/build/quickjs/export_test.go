package quickjs

import (
	"fmt"

	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// LinkAll links modules that are not the engine's: the first in its place, the last
// in the glue's.
func LinkAll(functions []string, binaries ...[]byte) (*wasm.Module, error) {
	var parts []part
	for i, binary := range binaries {
		parts = append(parts, part{name: fmt.Sprint("part ", i), binary: binary})
	}
	return link(parts, functions)
}
