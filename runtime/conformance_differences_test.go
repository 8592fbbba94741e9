package runtime_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	extism "github.com/extism/go-sdk"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// difference is how a call ends on either engine, and why that is as it should be.
type difference struct{ sdk, ours, why string }

// differences are those that are meant, by the name of their scenario.
func differences() map[string]difference {
	const (
		ok      = "returned 0"
		noFiles = "guests have no files, so there is nothing to mount"
		noTrace = "the gate knows no level below debug"
		denial  = "a denial is an answer with status 0, not a trap: the guest may go on without it"
		noEnd   = "guests' clock moves with answers only, so one that looks at it until time has passed looks for ever"
		oneType = "host functions have one type, (i64) -> (i64), and are imported from extism:host/user"
		oneUnit = "a plugin is one module: what is linked is linked before it is uploaded"
		noVars  = "variables have no limit of their own that could be 0: they last for one call, and share its KernelBytes"
	)
	httpDenied := difference{"host: HTTP request to 'https://jsonplaceholder.typicode.com/todos/1' is not allowed", ok, denial}
	notFound := `failed to find a pre-opened file descriptor through which "/mnt/test.txt" could be opened`
	return map[string]difference{
		"fs.wasm run_test mounted":          {ok, "returned 1", noFiles},
		"read_write.wasm try_read mounted":  {ok, "error: Failed to read file: " + notFound, noFiles},
		"read_write.wasm try_write mounted": {"error: Failed to write file: Function not implemented (os error 52)", "error: Failed to read file: " + notFound, noFiles},

		"log.wasm run_test": {ok, ok, noTrace},

		"http.wasm run_test denied":             httpDenied,
		"http.wasm run_test another allowed":    httpDenied,
		"http_headers.wasm http_get denied":     {"host: HTTP request to 'https://extism.org' is not allowed", ok, denial},
		"http_headers.wasm http_get redirect":   {ok, ok, "the SDK follows a redirect to a host that is not allowed"},
		"http_headers.wasm http_get no headers": {ok, ok, "headers are an option of the SDK's, off unless its user turns it on; here they are always there"},
		"sleep.wasm run_test 1 s of 3 s":        {ok, endedDeadline, noEnd},
		"nested.c.instr.wasm _start":            {ok, endedNotLoaded, "it imports the functions of an observer, which are not offered, and its printf_core is over the limits of uploads"},
		"host.wasm run_test":                    {ok, endedNotLoaded, oneType},
		"host.wasm _start as it is":             {ok, endedNotLoaded, oneType},
		"host_memory.wasm run_test":             {ok, endedNotLoaded, oneType},
		"host_memory.wasm _start as it is":      {ok, endedNotLoaded, oneType},
		"main.wasm run_test linked":             {ok, endedNotLoaded, oneUnit},
		"var.wasm run_test no variables":        {"host: Vars are disabled by this host", ok, noVars},
		"var.wasm twice no variables":           {"host: Vars are disabled by this host", ok, noVars},
		"ours grow":                             {"trap: unreachable", endedMemory, "whoever traps after memory was refused is told that this is why"},
	}
}

// TestTheSDKsDefectsAreNotOurs shows what cannot be seen in one call: what the
// SDK gets wrong, which is why it is not what calls go through. It sets the SDK's
// log level, which is the process's: it runs while no other test does.
//
//nolint:paralleltest // See above.
func TestTheSDKsDefectsAreNotOurs(t *testing.T) {
	peer, ours := newPeer(t), newOurs(t, nil)
	for _, test := range []struct {
		name        string
		there, here func(t *testing.T) string
		sdk, ours   string
	}{
		{
			"memory and variables outlive a call",
			peer.secondCall, ours.secondCall,
			`{"count":1,"total":4,"vowels":"aeiouAEIOU"}`, `{"count":1,"total":1,"vowels":"aeiouAEIOU"}`,
		},
		{"randomness is the same in all instances", peer.randomness, ours.randomness, "same", "different"},
		{"an input that is too large arrives as none", peer.largeInput, ours.largeInput, `"" <nil>`, string(runtime.CodeInputTooLarge)},
		{"the caller's context is ignored", peer.cancelled, ours.cancelled, "returned 0", endedCancelled},
		{"the level of logs is the process's", peer.quiet, ours.quiet, "error this is an error log", "debug info warn error"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.there(t); got != test.sdk {
				t.Errorf("the SDK gives %q, want %q: is it mended?", got, test.sdk)
			}
			if got := test.here(t); got != test.ours {
				t.Errorf("this gives %q, want %q", got, test.ours)
			}
		})
	}
}

func countVowels() scenario { return scenario{file: "count_vowels.wasm", export: "count_vowels"} }

func (p *peer) secondCall(t *testing.T) string {
	t.Helper()
	s := countVowels()
	plugin := p.mustLoad(t, s, nil)
	var output []byte
	for _, input := range []string{"aaa", "bbba"} {
		var err error
		if _, output, err = plugin.Call(s.export, []byte(input)); err != nil {
			t.Fatal(err)
		}
	}
	return string(output)
}

func (o *ours) secondCall(t *testing.T) string {
	t.Helper()
	s := countVowels()
	module := o.mustPrepare(t, s, runtime.Limits{})
	var result runtime.Result
	for _, input := range []string{"aaa", "bbba"} {
		var err error
		if result, err = module.Call(t.Context(), runtime.Call{Export: s.export, Input: []byte(input)}); err != nil {
			t.Fatal(err)
		}
	}
	return string(result.Output)
}

func random() scenario {
	var b runtimetest.Builder
	alloc := b.Import(runtimetest.Extism, "alloc", "I", "I")
	store := b.Import(runtimetest.Extism, "store_u64", "II", "")
	output := b.Import(runtimetest.Extism, "output_set", "II", "")
	draw := b.Import("wasi_snapshot_preview1", "random_get", "ii", "i")
	b.Memory(1)
	b.Func("run", "", "i", "I",
		runtimetest.I64(8), runtimetest.Invoke(alloc), runtimetest.Op(0x21, 0), // local.set 0
		runtimetest.I32(0), runtimetest.I32(8), runtimetest.Invoke(draw), runtimetest.Op(0x1a), // drop
		runtimetest.Op(0x20, 0), runtimetest.I32(0), runtimetest.Op(0x29, 3, 0), runtimetest.Invoke(store), // i64.load
		runtimetest.Op(0x20, 0), runtimetest.I64(8), runtimetest.Invoke(output), runtimetest.I32(0))
	return scenario{file: "random", export: "run", module: b.Bytes()}
}

func compared(one, other []byte) string {
	if len(one) == 8 && slices.Equal(one, other) {
		return "same"
	}
	return "different"
}

func (p *peer) randomness(t *testing.T) string {
	t.Helper()
	var drawn [2][]byte
	for i := range drawn {
		var err error
		if _, drawn[i], err = p.mustLoad(t, random(), nil).Call("run", nil); err != nil {
			t.Fatal(err)
		}
	}
	return compared(drawn[0], drawn[1])
}

func (o *ours) randomness(t *testing.T) string {
	t.Helper()
	var drawn [2]runtime.Result
	module := o.mustPrepare(t, random(), runtime.Limits{})
	for i := range drawn {
		var err error
		drawn[i], err = module.Call(t.Context(), runtime.Call{Export: "run", World: runtime.World{Seed: [32]byte{byte(i)}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	return compared(drawn[0].Output, drawn[1].Output)
}

// tooLarge is larger than what the memories may have that go with it.
func tooLarge() scenario {
	return scenario{
		file: "echo", export: "echo", module: runtimetest.Echo("echo"), input: strings.Repeat("x", 4<<20),
		memory: &extism.ManifestMemory{MaxPages: 20, MaxHttpResponseBytes: -1, MaxVarBytes: -1},
	}
}

func (p *peer) largeInput(t *testing.T) string {
	t.Helper()
	s := tooLarge()
	_, output, err := p.mustLoad(t, s, nil).Call(s.export, []byte(s.input))
	return fmt.Sprintf("%q %v", output, err)
}

func (o *ours) largeInput(t *testing.T) string {
	t.Helper()
	s := tooLarge()
	module := o.mustPrepare(t, s, runtime.Limits{KernelBytes: int64(s.memory.MaxPages) << 16})
	_, err := module.Call(t.Context(), runtime.Call{Export: s.export, Input: []byte(s.input)})
	return string(wantFailure(t, err, runtime.CodeInputTooLarge).Code)
}

func ended(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func (p *peer) cancelled(t *testing.T) string {
	t.Helper()
	code, _, err := p.mustLoad(t, countVowels(), nil).CallWithContext(ended(t), "count_vowels", nil)
	return endedThere(code, err)
}

func (o *ours) cancelled(t *testing.T) string {
	t.Helper()
	module := o.mustPrepare(t, countVowels(), runtime.Limits{})
	_, err := module.Call(ended(t), runtime.Call{Export: "count_vowels"})
	return endedHere(err)
}

// quiet is what a plugin says while another's user wants errors only.
func (p *peer) quiet(t *testing.T) string {
	t.Helper()
	var said []string
	plugin := p.mustLoad(t, scenario{file: "log.wasm"}, func(line string) { said = append(said, line) })
	extism.SetLogLevel(extism.LogLevelError)
	defer extism.SetLogLevel(extism.LogLevelTrace)
	if _, _, err := plugin.Call("run_test", nil); err != nil {
		t.Fatal(err)
	}
	return strings.Join(said, "; ")
}

func (o *ours) quiet(t *testing.T) string {
	t.Helper()
	w := &world{}
	module := o.mustPrepare(t, scenario{file: "log.wasm"}, runtime.Limits{})
	if _, err := module.Call(t.Context(), runtime.Call{Export: "run_test", Host: w}); err != nil {
		t.Fatal(err)
	}
	var levels []string
	for _, line := range w.logs {
		level, _, _ := strings.Cut(line, " ")
		levels = append(levels, level)
	}
	return strings.Join(levels, " ")
}

func (p *peer) mustLoad(t *testing.T, s scenario, add func(line string)) *extism.Plugin {
	t.Helper()
	if add == nil {
		add = func(string) {}
	}
	plugin, err := p.load(t, s, add)
	if err != nil {
		t.Fatalf("load into the SDK: %v", err)
	}
	t.Cleanup(func() { plugin.Close(context.WithoutCancel(t.Context())) })
	return plugin
}

func (o *ours) mustPrepare(t *testing.T, s scenario, l runtime.Limits) *runtime.Module {
	t.Helper()
	module, err := o.prepare(t, s, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { module.Close(context.WithoutCancel(t.Context())) })
	return module
}
