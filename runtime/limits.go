package runtime

import (
	"fmt"
	"time"

	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// Limits bound a module and each of its calls. The zero value of a field means
// its default.
type Limits struct {
	// ModuleBytes caps the module itself. Defaults to 20 MiB.
	ModuleBytes int
	// MemoryBytes caps the guest's linear memory. Defaults to 64 MiB; at most
	// 64 KiB less than 4 GiB.
	MemoryBytes int64
	// KernelBytes caps what the guest holds in Extism's own memory at once:
	// input, output, variables, requests and answers. Defaults to 32 MiB.
	KernelBytes int64
	// InputBytes and OutputBytes cap what goes in and comes out. Default to 8 MiB.
	InputBytes, OutputBytes int
	// Deadline bounds a call's wall time. Defaults to 30 s.
	Deadline time.Duration
	// Fuel bounds a call's CPU in units of fuel, of which a core burns two to
	// five billion in a second. Defaults to 10 billion.
	Fuel int64
}

const mib = 1 << 20

// WithDefaults returns l with every zero field set to its default.
func (l Limits) WithDefaults() Limits {
	if l.ModuleBytes == 0 {
		l.ModuleBytes = 20 * mib
	}
	if l.MemoryBytes == 0 {
		l.MemoryBytes = 64 * mib
	}
	if l.KernelBytes == 0 {
		l.KernelBytes = 32 * mib
	}
	if l.InputBytes == 0 {
		l.InputBytes = 8 * mib
	}
	if l.OutputBytes == 0 {
		l.OutputBytes = 8 * mib
	}
	if l.Deadline == 0 {
		l.Deadline = 30 * time.Second
	}
	if l.Fuel == 0 {
		l.Fuel = 10_000_000_000
	}
	return l
}

// maxMemoryBytes is a page less than 32 bits can address: of a memory that has them
// all the engine says that its size is 0.
const maxMemoryBytes = 4<<30 - wasm.PageBytes

// checked returns l with its defaults, or what is wrong with it.
func (l Limits) checked() (Limits, error) {
	l = l.WithDefaults()
	l.MemoryBytes = min(l.MemoryBytes, maxMemoryBytes)
	for name, value := range map[string]int64{
		"ModuleBytes": int64(l.ModuleBytes), "MemoryBytes": l.MemoryBytes, "KernelBytes": l.KernelBytes,
		"InputBytes": int64(l.InputBytes), "OutputBytes": int64(l.OutputBytes), "Deadline": int64(l.Deadline), "Fuel": l.Fuel,
	} {
		if value < 0 {
			return l, fmt.Errorf("check limits: %s is %d, and must not be negative", name, value)
		}
	}
	return l, nil
}

// within returns the limits of a call: its own where they are below the module's.
func (l Limits) within(most Limits) Limits {
	return Limits{
		ModuleBytes: most.ModuleBytes,
		KernelBytes: most.KernelBytes,
		MemoryBytes: lesser(l.MemoryBytes, most.MemoryBytes),
		InputBytes:  lesser(l.InputBytes, most.InputBytes),
		OutputBytes: lesser(l.OutputBytes, most.OutputBytes),
		Deadline:    lesser(l.Deadline, most.Deadline),
		Fuel:        lesser(l.Fuel, most.Fuel),
	}
}

// lesser is the lesser of a wish and a limit; what is not above zero is no wish.
func lesser[T int | int64 | time.Duration](wish, limit T) T {
	if wish <= 0 {
		return limit
	}
	return min(wish, limit)
}

// Usage is what a call cost.
type Usage struct {
	// Wall is the time from the call's start to its end.
	Wall time.Duration `json:"wall_ns"`
	// CPU is the time that the guest's own code ran for, host calls and waits
	// left out. It depends on the machine; Fuel does not.
	CPU time.Duration `json:"cpu_ns"`
	// Fuel is the units of fuel that the guest burnt: equal worlds, inputs and
	// answers burn equal fuel.
	Fuel int64 `json:"fuel"`
	// MemoryBytes is the peak of the guest's linear memory.
	MemoryBytes int64 `json:"memory_bytes"`
	// HostCalls counts the crossings of the gate.
	HostCalls int `json:"host_calls"`
	// InputBytes and OutputBytes are the sizes of what went in and came out.
	InputBytes  int `json:"input_bytes"`
	OutputBytes int `json:"output_bytes"`
}
