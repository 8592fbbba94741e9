// Package guest has the plugins that benchmarks run on a host.
package guest

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/cofferdam-run/cofferdam/bench/internal/vendor"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// The plugins that ask a vendor far away once, and have it do two things: Orders is
// written in Go with the SDK, and Bare by hand, so that next to nothing is the guest's
// own.
const (
	Orders = "orders"
	Bare   = "bare"
	// OrdersSource is the folder with the source of Orders.
	OrdersSource = "bench/internal/guest/orders"
)

// BuildOrders builds Orders as a version, from its source in dir.
func BuildOrders(ctx context.Context, dir, version string) ([]byte, error) {
	out, err := os.CreateTemp("", "cofferdam-bench-*.wasm")
	if err != nil {
		return nil, fmt.Errorf("make a file for the guest: %w", err)
	}
	defer func() { _ = out.Close(); _ = os.Remove(out.Name()) }()
	cmd := exec.CommandContext(ctx, "go", "build", "-buildmode=c-shared", "-ldflags=-s -w -X main.version="+version, "-trimpath", "-o", out.Name(), ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if said, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the guest in %s: %w\n%s", filepath.Base(dir), err, said)
	}
	return os.ReadFile(out.Name())
}

// BuildBare makes Bare, which calls a vendor at a URL with bodies that have a note.
func BuildBare(url, note string) []byte {
	return Assemble(Bare, Get(url+vendor.SlowPath+"/customer", 1),
		Post(url+vendor.SlowPath+"/charge", note, 1), Post(url+vendor.SlowPath+"/ship", note, 1))
}

// Asked is what a guest asks a host function, so many times.
type Asked struct {
	Function, Request string
	Times             int
}

// Get is a GET.
func Get(url string, times int) Asked {
	return Asked{Function: "http", Request: fmt.Sprintf(`{"method":"GET","url":%q}`, url), Times: times}
}

// Post is a POST of an order, with a note if it is not empty.
func Post(url, note string, times int) Asked {
	body, _ := json.Marshal(struct {
		ID   string `json:"id"`
		Note string `json:"note,omitempty"`
	}{"1001", note})
	return Asked{Function: "http", Times: times, Request: fmt.Sprintf(
		`{"method":"POST","url":%q,"headers":{"Content-Type":["application/json"]},"body":%q}`, url, body)}
}

// Assemble makes a plugin whose one action, run, asks these in turn, and drops the
// answers.
func Assemble(name string, all ...Asked) []byte {
	var b runtimetest.Builder
	m := memory{
		alloc:   b.Import(runtimetest.Extism, "alloc", "I", "I"),
		store8:  b.Import(runtimetest.Extism, "store_u8", "Ii", ""),
		store64: b.Import(runtimetest.Extism, "store_u64", "II", ""),
	}
	output := b.Import(runtimetest.Extism, "output_set", "II", "")
	functions := map[string]uint32{}
	for _, a := range all {
		if _, ok := functions[a.Function]; !ok {
			functions[a.Function] = b.Import(runtimetest.User, a.Function, "I", "I")
		}
	}
	say := func(s string) []byte {
		return slices.Concat(m.place(s), localGet(), runtimetest.I64(int64(len(s))), runtimetest.Invoke(output), runtimetest.I32(0))
	}
	b.Func("describe", "", "i", "I", say(fmt.Sprintf(`{"name":%q,"version":"1.0.0","actions":[{"name":"run"}],
		"config":{"type":"object","properties":{"url":{"type":"string"}}},
		"egress":[{"host":"{config.url}","methods":["GET","POST"]}]}`, name)))
	var run []byte
	for _, a := range all {
		run = append(run, m.place(a.Request)...)
		for range a.Times {
			run = slices.Concat(run, localGet(), runtimetest.Invoke(functions[a.Function]), drop())
		}
	}
	b.Func("action", "", "i", "I", run, say(`{}`))
	return b.Bytes()
}

// Instructions on the one local that a function here has, an i64, and two others.
func localGet() []byte { return runtimetest.Op(0x20, 0) }
func localSet() []byte { return runtimetest.Op(0x21, 0) }
func drop() []byte     { return runtimetest.Op(0x1a) }
func addI64() []byte   { return runtimetest.Op(0x7c) }

// memory has the functions that write Extism's.
type memory struct{ alloc, store8, store64 uint32 }

// place writes s into a new block, whose offset it leaves in the local.
func (m memory) place(s string) []byte {
	code := slices.Concat(runtimetest.I64(int64(len(s))), runtimetest.Invoke(m.alloc), localSet())
	i := 0
	for ; i+8 <= len(s); i += 8 {
		word := binary.LittleEndian.Uint64([]byte(s[i:]))
		code = slices.Concat(code, localGet(), runtimetest.I64(int64(i)), addI64(), runtimetest.I64(int64(word)), runtimetest.Invoke(m.store64))
	}
	for ; i < len(s); i++ {
		code = slices.Concat(code, localGet(), runtimetest.I64(int64(i)), addI64(), runtimetest.I32(int32(s[i])), runtimetest.Invoke(m.store8))
	}
	return code
}
