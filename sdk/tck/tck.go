package tck

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"slices"
	"testing" //nolint:depguard // It is for tests.

	"github.com/cofferdam-run/cofferdam/hostfns/replay"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/sdk"
)

// Options say what a guest is held to.
type Options struct {
	// Vectors are files in the form of sdk/testdata. Defaults to those of the hello
	// connectors.
	Vectors fs.FS
	// Limits are those of the sandbox. Default to runtime's.
	Limits runtime.Limits
}

// Run holds a guest to the contract. It ends the test where there is no guest to go
// on with.
func Run(t *testing.T, wasm []byte, o Options) {
	t.Helper()
	if o.Vectors == nil {
		o.Vectors = sdk.Vectors("hello")
	}
	g := load(t, wasm, o.Limits)
	t.Run("exports", g.testExports)
	t.Run("manifest", func(t *testing.T) { g.testManifest(t, o.Vectors) })
	vectors, err := readVectors(o.Vectors, g.manifest.Name)
	if err != nil {
		t.Fatal(err)
	}
	for i := range vectors {
		t.Run("vectors/"+vectors[i].Name, func(t *testing.T) { g.testVector(t, &vectors[i]) })
	}
	t.Run("malformed input is an error", g.testMalformed)
	t.Run("nothing is asked at the start", func(t *testing.T) { g.testStart(t, o.Limits) })
	t.Run("no call sees another", func(t *testing.T) { g.testAlone(t, vectors) })
	t.Run("fuel runs out", func(t *testing.T) { g.testFuel(t, vectors) })
	t.Run("memory runs out", g.testMemory)
}

// guest is what is tested.
type guest struct {
	runtime  *runtime.Runtime
	module   *runtime.Module
	wasm     []byte
	digest   string
	manifest manifest.Manifest
	// described is what describe put out.
	described []byte
}

// functions are the built-in functions of a host.
func functions() []string {
	return newHost(&vector{Now: defaultNow()}).gate.Names()
}

func load(t *testing.T, wasm []byte, limits runtime.Limits) *guest {
	t.Helper()
	rt, err := runtime.New(t.Context(), runtime.Config{Functions: functions(), CacheDir: runtimetest.CacheDir(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rt.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	g := &guest{runtime: rt, wasm: wasm, digest: replay.DigestOf(wasm)}
	if g.module, err = rt.Prepare(t.Context(), wasm, limits); err != nil {
		t.Fatalf("the module is refused: %v", err)
	}
	if !slices.Contains(g.module.Exports(), registry.Describe) {
		t.Fatalf("the module does not export %q, so it is no typed connector; it has %q", registry.Describe, g.module.Exports())
	}
	// Nobody answers what describe asks.
	result, err := g.module.Call(t.Context(), runtime.Call{Export: registry.Describe, World: registry.World(sha256.Sum256(wasm))})
	if err != nil {
		t.Fatalf("describe: %v", err)
	}
	g.described = result.Output
	if g.manifest, err = manifest.Parse(result.Output); err != nil {
		t.Fatalf("what describe returns is no manifest: %v\n%s", err, clip(result.Output))
	}
	return g
}

// testExports looks for what every SDK's guest has, and for verify where it is needed.
func (g *guest) testExports(t *testing.T) {
	t.Helper()
	for _, name := range []string{registry.Describe, "action", "webhook", "poll", "test", "confirm"} {
		if !slices.Contains(g.module.Exports(), name) {
			t.Errorf("the module does not export %q of type () -> i32: an SDK's guest has all six, whatever its manifest lists", name)
		}
	}
	asked := slices.ContainsFunc(g.manifest.Webhooks, func(w manifest.Webhook) bool { return w.Verify })
	if asked && !slices.Contains(g.module.Exports(), exportVerify) {
		t.Errorf("the module does not export %q, and a webhook of its manifest says that it does", exportVerify)
	}
}

// testVector makes the call of a vector, and replays it.
func (g *guest) testVector(t *testing.T, v *vector) {
	t.Helper()
	r := g.play(t.Context(), v, runtime.Limits{})
	for _, difference := range compare(r) {
		t.Error(difference)
	}
	if t.Failed() {
		t.Logf("%s: %s", v.Name, v.About)
		return
	}
	if r.host.forced || v.Export == exportVerify {
		return
	}
	report, err := replay.Run(t.Context(), g.module, g.recording(r), replay.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !report.Same() {
		t.Errorf("replayed from its journal it differs: %+v", report.Differences)
	}
}

// testMalformed gives each export what no host would: the guest ends with an error of
// its own.
func (g *guest) testMalformed(t *testing.T) {
	t.Helper()
	exports := []string{"action", "webhook", "poll", "test", "confirm"}
	if slices.Contains(g.module.Exports(), exportVerify) {
		exports = append(exports, exportVerify)
	}
	for _, export := range exports {
		for name, input := range malformed() {
			t.Run(export+"/"+name, func(t *testing.T) {
				r := g.play(t.Context(), &vector{Export: export, Input: input, Now: defaultNow()}, runtime.Limits{})
				if r.failure == nil && g.mayIgnore(export, name) {
					return
				}
				if r.failure == nil || trapped(r.failure) || r.failure.Message == "" {
					t.Errorf("got %s, want an error of the guest's own, such as invalid_input", ended(r))
				}
				if len(r.host.seen) > 0 && !g.mayIgnore(export, name) {
					t.Errorf("the guest asked the host for %s", r.host.seen[0].Func)
				}
			})
		}
	}
}

// mayIgnore says of what is an object without anything in it that an export may not
// need more: test reads nothing.
func (g *guest) mayIgnore(export, name string) bool {
	empty := name == "an empty object" || name == "null" || name == "wrong types"
	return empty && (export == "test" && g.manifest.Test || export == "confirm" && g.manifest.Confirm)
}

func malformed() map[string][]byte {
	deep := func(open, shut string, n int) []byte {
		return []byte(`{"action":"label","webhook":"issues","input":` + repeat(open, n) + "1" + repeat(shut, n) + `}`)
	}
	return map[string][]byte{
		"nothing":         nil,
		"an empty object": []byte(`{}`),
		"null":            []byte(`null`),
		"an array":        []byte(`[]`),
		"a string":        []byte(`"action"`),
		"text":            []byte(`action=label`),
		"cut off":         []byte(`{"execution":"exe_1","action":"lab`),
		"bytes":           {0xff, 0xfe, 0, 1},
		"wrong types":     []byte(`{"execution":5,"attempt":"one","action":{},"webhook":[],"poll":true,"config":[],"connections":7}`),
		"deep arrays":     deep("[", "]", 200_000),
		"deep objects":    deep(`{"a":`, "}", 200_000),
	}
}

func repeat(s string, n int) string {
	var b []byte
	for range n {
		b = append(b, s...)
	}
	return string(b)
}

// trapped says whether a guest ended otherwise than by raising an error.
func trapped(f *runtime.Failure) bool {
	switch f.Code {
	case runtime.CodeTrapped, runtime.CodeStackExhausted, runtime.CodeMemoryExceeded, runtime.CodeFuelExhausted, runtime.CodeDeadlineExceeded, runtime.CodeNoExport:
		return true
	default:
		return false
	}
}

// isFailure says whether an error is the guest's, of one of these codes.
func isFailure(err error, codes ...runtime.Code) bool {
	var f *runtime.Failure
	return errors.As(err, &f) && slices.Contains(codes, f.Code)
}
