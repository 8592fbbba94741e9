package quickjs

import (
	_ "embed"
	"fmt"
	"slices"

	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

//go:generate clang-14 --target=wasm32-unknown-emscripten -mcpu=mvp -std=c11 -Wall -Wextra -Werror -Os -fPIC -fvisibility=hidden -ffreestanding -nostdlib -Wl,-shared,--experimental-pic,--no-entry,-s -o glue/glue.wasm glue/glue.c

//go:embed glue/glue.wasm
var glue []byte

// The files that go into a module, by their roles.
const (
	engineFile = "quickjs.wasm"
	glueName   = "the glue"
)

// exports is what the module has for the host.
func exports() []string {
	return []string{"load", "describe", "action", "webhook", "poll", "test", "confirm"}
}

// Link makes the module of the npm package quickjs-wasi in the folder dir, and of
// the functions of extism:host/user that scripts may call. The same package and
// functions give the same bytes.
func Link(dir string, functions []string) ([]byte, error) {
	parts, err := readPackage(dir)
	if err != nil {
		return nil, err
	}
	functions = slices.Compact(slices.Sorted(slices.Values(functions)))
	m, err := link(append(parts, part{name: glueName, binary: glue}), functions)
	if err != nil {
		return nil, fmt.Errorf("link the engine: %w", err)
	}
	binary := m.Encode()
	if _, err := wasm.Decode(binary, wasm.Limits{}); err != nil {
		return nil, fmt.Errorf("check the linked engine: %w", err)
	}
	return binary, nil
}

// link puts parts together, the engine first and the glue last.
func link(parts []part, functions []string) (*wasm.Module, error) {
	l := &linker{types: map[string]uint32{}, sources: map[symbol]source{}, inTable: map[source]uint32{}}
	for i, p := range parts {
		o, err := newObject(p, i > 0)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", p.name, err)
		}
		l.objects = append(l.objects, o)
	}
	if err := l.link(functions); err != nil {
		return nil, err
	}
	return &l.out, nil
}
