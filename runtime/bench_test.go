package runtime_test

import (
	"testing"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

func BenchmarkCall(b *testing.B) {
	input := make([]byte, 300)
	for name, module := range map[string]*runtime.Module{
		"tiny": prepare(b, runtimetest.Echo("echo"), runtime.Limits{}),
		"go":   engine.guest(b),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := module.Call(b.Context(), runtime.Call{Export: "echo", Input: input}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
