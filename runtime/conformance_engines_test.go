package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log" //nolint:depguard // The SDK writes to it.
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	extism "github.com/extism/go-sdk"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/sys"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

const (
	endedNotLoaded = "not loaded"
	endedNoExport  = "no such export"
	endedDeadline  = "deadline"
	endedCancelled = "cancelled"
	endedMemory    = "out of memory"
)

// lines turns writes into log lines, as the abi does.
type lines struct {
	level string
	add   func(line string)
	rest  string
}

func (l *lines) Write(p []byte) (int, error) {
	l.rest += string(p)
	for {
		line, rest, found := strings.Cut(l.rest, "\n")
		if !found {
			return len(p), nil
		}
		l.add(l.level + " " + line)
		l.rest = rest
	}
}

// peer is the SDK.
type peer struct {
	dir   string
	cache wazero.CompilationCache
}

// setUpSDK sets what the SDK has for the whole process: its level of logs, and where
// those go that have no logger yet.
var setUpSDK = sync.OnceFunc(func() {
	extism.SetLogLevel(extism.LogLevelTrace)
	log.SetOutput(io.Discard)
})

func newPeer(t *testing.T) *peer {
	t.Helper()
	setUpSDK()
	cache, err := wazero.NewCompilationCacheWithDir(runtimetest.CacheDir(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cache.Close(context.WithoutCancel(t.Context())) })
	return &peer{dir: filepath.Join(sdkFolder(t), "wasm"), cache: cache}
}

// load instantiates a scenario's module. The caller closes it.
func (p *peer) load(t *testing.T, s scenario, add func(line string)) (*extism.Plugin, error) {
	t.Helper()
	m := extism.Manifest{
		Config: s.config, AllowedHosts: s.hosts, AllowedPaths: s.paths, Memory: s.memory, Timeout: s.timeout,
	}
	if m.Config == nil {
		m.Config = map[string]string{}
	}
	for _, file := range s.further {
		m.Wasm = append(m.Wasm, extism.WasmFile{Path: filepath.Join(p.dir, file), Name: strings.TrimSuffix(file, ".wasm")})
	}
	if s.module != nil {
		m.Wasm = append(m.Wasm, extism.WasmData{Data: s.module, Name: "main"})
	} else {
		m.Wasm = append(m.Wasm, extism.WasmFile{Path: filepath.Join(p.dir, s.file), Name: "main"})
	}
	plugin, err := extism.NewPlugin(t.Context(), m, extism.PluginConfig{
		EnableWasi:                true,
		EnableHttpResponseHeaders: s.headers,
		RuntimeConfig:             wazero.NewRuntimeConfig().WithCompilationCache(p.cache),
		ModuleConfig: wazero.NewModuleConfig().WithSysWalltime().WithSysNanotime().
			WithStdout(&lines{level: "info", add: add}).WithStderr(&lines{level: "warn", add: add}),
	}, hostFunctions())
	if err != nil {
		return nil, err
	}
	plugin.SetLogger(func(level extism.LogLevel, message string) {
		if !fromSDK.MatchString(message) {
			add(strings.ToLower(level.String()) + " " + message)
		}
	})
	return plugin, nil
}

// fromSDK is what the SDK itself says in a plugin's log.
var fromSDK = regexp.MustCompile(`^(Calling function : |Initializing runtime for |Calling (_initialize|__wasm_call_ctors)$|Initialized Haskell language runtime)`)

// hostFunctions are those that the SDK's tests give their guests, the ones for an
// observer among them.
func hostFunctions() []extism.HostFunction {
	say := func(name string, answer func(request string) string) extism.HostFunction {
		return extism.NewHostFunctionWithStack(name, func(_ context.Context, plugin *extism.CurrentPlugin, stack []uint64) {
			request, err := plugin.ReadString(stack[0])
			if err == nil {
				stack[0], err = plugin.WriteString(answer(request))
			}
			if err != nil {
				panic(err)
			}
		}, []extism.ValueType{extism.ValueTypePTR}, []extism.ValueType{extism.ValueTypePTR})
	}
	upper := say("to_upper", strings.ToUpper)
	upper.SetNamespace("host")
	multiply := extism.NewHostFunctionWithStack("mult", func(_ context.Context, _ *extism.CurrentPlugin, stack []uint64) {
		stack[0] = extism.EncodeI32(extism.DecodeI32(stack[0]) * extism.DecodeI32(stack[1]))
	}, []extism.ValueType{extism.ValueTypePTR, extism.ValueTypePTR}, []extism.ValueType{extism.ValueTypePTR})
	all := []extism.HostFunction{upper, multiply}
	for _, name := range []string{"instrument_enter", "instrument_exit", "instrument_memory_grow"} {
		observe := extism.NewHostFunctionWithStack(name, func(context.Context, *extism.CurrentPlugin, []uint64) {}, []extism.ValueType{extism.ValueTypeI32}, nil)
		observe.SetNamespace("dylibso_observe")
		all = append(all, observe)
	}
	for name, color := range greetings() {
		all = append(all, say(name, func(request string) string { return color + request }))
	}
	return all
}

// greetings are the host functions that both engines have.
func greetings() map[string]string {
	return map[string]string{"hostGreenMessage": "🟢:", "hostPurpleMessage": "🟣:"}
}

func (p *peer) call(t *testing.T, s scenario) outcome {
	t.Helper()
	var o outcome
	plugin, err := p.load(t, s, func(line string) { o.Logs = append(o.Logs, line) })
	if err != nil {
		return outcome{Ended: endedNotLoaded}
	}
	defer plugin.Close(context.WithoutCancel(t.Context()))
	code, output, err := plugin.CallWithContext(t.Context(), s.export, []byte(s.input))
	o.Ended, o.Output = endedThere(code, err), string(output)
	return o
}

func endedThere(code uint32, err error) string {
	if exit, ok := errors.AsType[*sys.ExitError](err); ok {
		if exit.ExitCode() == sys.ExitCodeDeadlineExceeded {
			return endedDeadline
		}
		return fmt.Sprintf("exit %d", exit.ExitCode())
	}
	if err == nil {
		return fmt.Sprintf("returned %d", int32(code))
	}
	message, _, _ := strings.Cut(err.Error(), "\nwasm stack trace:\n\t")
	if message == "stack overflow" {
		return "trap: " + message // The one that wazero words otherwise.
	}
	if reason, ok := strings.CutPrefix(message, "wasm error: "); ok {
		return "trap: " + reason
	}
	if reason, ok := strings.CutSuffix(message, " (recovered by wazero)"); ok {
		return "host: " + reason
	}
	if strings.HasPrefix(message, "unknown function: ") {
		return endedNoExport
	}
	return "error: " + message
}

// ours is this engine, in an app that has the host functions of the SDK's tests
// as far as they can be had.
type ours struct {
	dir string
	rt  *runtime.Runtime
	web *http.Client
}

func newOurs(t *testing.T, web *http.Client) *ours {
	t.Helper()
	var functions []string
	for name := range greetings() {
		functions = append(functions, name)
	}
	rt, err := runtime.New(t.Context(), runtime.Config{Functions: functions, CacheDir: runtimetest.CacheDir(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rt.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return &ours{dir: filepath.Join(sdkFolder(t), "wasm"), rt: rt, web: web}
}

func (o *ours) prepare(t *testing.T, s scenario, l runtime.Limits) (*runtime.Module, error) {
	t.Helper()
	binary := s.module
	if binary == nil {
		var err error
		if binary, err = os.ReadFile(filepath.Join(o.dir, s.file)); err != nil {
			t.Fatal(err)
		}
	}
	return o.rt.Prepare(t.Context(), binary, l)
}

func (o *ours) call(t *testing.T, s scenario) outcome {
	t.Helper()
	limits := runtime.Limits{Deadline: time.Duration(s.timeout) * time.Millisecond}
	if s.memory != nil {
		limits.MemoryBytes = int64(s.memory.MaxPages) << 16
	}
	module, err := o.prepare(t, s, limits)
	if err != nil {
		t.Logf("here: %v", err)
		return outcome{Ended: endedNotLoaded}
	}
	defer module.Close(context.WithoutCancel(t.Context()))
	w := &world{web: o.web, hosts: s.hosts}
	result, err := module.Call(t.Context(), runtime.Call{
		Export: s.export, Input: []byte(s.input), Host: w,
		World: runtime.World{Config: s.config, Start: time.Now()},
	})
	if err != nil {
		t.Logf("here: %v", err)
	}
	return outcome{Ended: endedHere(err), Output: string(result.Output), Logs: w.logs}
}

var (
	exited   = regexp.MustCompile(`^the guest exited with code (\d+)$`)
	returned = regexp.MustCompile(`^the export returned (-?\d+) and set no error$`)
)

func endedHere(err error) string {
	var f *runtime.Failure
	switch {
	case err == nil:
		return "returned 0"
	case errors.Is(err, context.Canceled):
		return endedCancelled
	case !errors.As(err, &f):
		return err.Error()
	}
	switch f.Code {
	case runtime.CodeDeadlineExceeded:
		return endedDeadline
	case runtime.CodeNoExport:
		return endedNoExport
	case runtime.CodeMemoryExceeded:
		return endedMemory
	case runtime.CodeStackExhausted:
		return "trap: stack overflow"
	case runtime.CodeTrapped:
		reason, _, _ := strings.Cut(strings.TrimPrefix(f.Message, "the guest crashed: "), ": ")
		return "trap: " + reason
	case runtime.CodePluginBug:
		if found := exited.FindStringSubmatch(f.Message); found != nil {
			return "exit " + found[1]
		}
		if found := returned.FindStringSubmatch(f.Message); found != nil {
			return "returned " + found[1]
		}
		return "error: " + f.Message
	default:
		return f.Error()
	}
}
