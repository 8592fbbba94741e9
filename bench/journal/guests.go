package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// The plugins. That of the goals is orders, which is written in Go with the SDK; the
// others are written by hand, so that next to nothing is the guest's own.
const (
	orders = "orders"
	// bare does what orders does.
	bare = "bare"
	// silent asks for nothing, gets makes calls GETs, and posts as many POSTs.
	silent, gets, posts = "silent", "gets", "posts"
	// sleeper makes recorded GETs, and then sleeps for more than a second.
	sleeper = "sleeper"

	calls, recorded = 10, 100
)

// buildOrders builds the Go guest as a version.
func buildOrders(ctx context.Context, dir, version string) ([]byte, error) {
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

// handmade are the other plugins, which call a vendor at a URL.
func handmade(url string) [][]byte {
	get := func(path string) string { return fmt.Sprintf(`{"method":"GET","url":%q}`, url+path) }
	post := func(path string) string {
		return fmt.Sprintf(`{"method":"POST","url":%q,"headers":{"Content-Type":["application/json"]},"body":"{\"id\":\"1001\"}"}`, url+path)
	}
	http := func(request string, times int) asked { return asked{function: "http", request: request, times: times} }
	return [][]byte{
		assemble(bare, http(get("/slow/customer"), 1), http(post("/slow/charge"), 1), http(post("/slow/ship"), 1)),
		assemble(silent),
		assemble(gets, http(get("/now"), calls)),
		assemble(posts, http(post("/now"), calls)),
		assemble(sleeper, http(get("/now"), recorded), asked{function: "sleep", request: `{"ms":1100}`, times: 1}),
	}
}

// asked is what a guest asks a host function, so many times.
type asked struct {
	function, request string
	times             int
}

// assemble makes a plugin whose one action asks these in turn, and drops the answers.
func assemble(name string, all ...asked) []byte {
	var b runtimetest.Builder
	m := memory{
		alloc:   b.Import(runtimetest.Extism, "alloc", "I", "I"),
		store8:  b.Import(runtimetest.Extism, "store_u8", "Ii", ""),
		store64: b.Import(runtimetest.Extism, "store_u64", "II", ""),
	}
	output := b.Import(runtimetest.Extism, "output_set", "II", "")
	functions := map[string]uint32{}
	for _, a := range all {
		if _, ok := functions[a.function]; !ok {
			functions[a.function] = b.Import(runtimetest.User, a.function, "I", "I")
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
		run = append(run, m.place(a.request)...)
		for range a.times {
			run = slices.Concat(run, localGet(), runtimetest.Invoke(functions[a.function]), drop())
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
