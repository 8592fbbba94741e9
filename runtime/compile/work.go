package compile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	goruntime "runtime"
	"runtime/debug"
	"runtime/metrics"
	"syscall"
	"time"

	"github.com/tetratelabs/wazero"
)

// Work is the child's side: it bounds its own process, for good, reads a module
// from in, compiles it into the folder of its order and writes what came of it to
// out. The process must end when it returns: a compilation that was given up goes
// on until then. An error says that nothing could be answered.
func Work(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	o, err := parseOrder(args)
	if err != nil {
		return err
	}
	r := carryOut(ctx, o, in)
	r.Protocol, r.Version = protocol, version()
	if len(r.Message) > maxMessageBytes {
		r.Message = r.Message[:maxMessageBytes] + "..."
	}
	if err := json.NewEncoder(out).Encode(r); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

func parseOrder(args []string) (order, error) {
	var o order
	if len(args) != 1 {
		return o, fmt.Errorf("read the order: got %d arguments; this verb is for cofferdam itself, which gives it one", len(args))
	}
	if err := json.Unmarshal([]byte(args[0]), &o); err != nil {
		return o, fmt.Errorf("read the order: this verb is for cofferdam itself: %w", err)
	}
	return o, nil
}

func carryOut(ctx context.Context, o order, in io.Reader) result {
	if o.Protocol != protocol {
		return result{Outcome: outcomeOther}
	}
	if err := bound(o); err != nil {
		return result{Outcome: outcomeFailed, Message: err.Error()}
	}
	cache, engine, err := openCache(o.Dir)
	if err != nil {
		return result{Outcome: outcomeFailed, Message: err.Error()}
	}
	defer cache.Close(ctx)
	if engine != o.Engine {
		return result{Engine: engine, Outcome: outcomeOther}
	}
	done := make(chan result, 1)
	go func() { done <- compileFrom(ctx, o, in, cache) }()
	var r result
	select {
	case r = <-done:
	case r = <-watch(ctx, o):
	case <-ctx.Done():
		r = result{Outcome: outcomeFailed, Message: ctx.Err().Error()}
	}
	r.Engine = engine
	return r
}

// bound bounds this process. What it cannot undo it does not want to.
func bound(o order) error {
	// One core: a compilation is one thread's work, and the garbage collector is not
	// worth a second one.
	goruntime.GOMAXPROCS(1)
	// Collect seldom while there is room, and often before there is none. The rest
	// is for what the collector does not count.
	debug.SetGCPercent(200)
	debug.SetMemoryLimit(o.Memory / 8 * 7)
	debug.SetMaxStack(int(o.Memory / 4))
	debug.SetTraceback("none")
	return boundProcess(o)
}

// watch reports the first limit that the process passes. It never does when ctx
// ends first.
func watch(ctx context.Context, o order) <-chan result {
	// 5 ms cost 0.2 % of a core, and an allocator fills 50 MB meanwhile.
	const every = 5 * time.Millisecond
	over := make(chan result, 1)
	go func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			switch {
			case usedMemory() > o.Memory:
				over <- result{Outcome: outcomeCost, Limit: LimitMemory}
				return
			case usedCPU() > o.CPU:
				over <- result{Outcome: outcomeCost, Limit: LimitCPU}
				return
			}
		}
	}()
	return over
}

// usedMemory is what Go's runtime holds and has not given back.
func usedMemory() int64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64() - samples[1].Value.Uint64())
}

// openCache opens the engine's cache in an empty folder and returns the engine's
// name: the folder that it makes there, which holds its version and the system.
func openCache(dir string) (wazero.CompilationCache, string, error) {
	cache, err := OpenCache(dir)
	if err != nil {
		return nil, "", err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, "", fmt.Errorf("read the cache: %w", err)
	}
	if len(entries) != 1 {
		return nil, "", fmt.Errorf("read the cache: %s holds %d entries, not the engine's one", dir, len(entries))
	}
	return cache, entries[0].Name(), nil
}

// compileFrom reads the module and compiles it. Nothing is instantiated.
func compileFrom(ctx context.Context, o order, in io.Reader, cache wazero.CompilationCache) result {
	wasm := make([]byte, o.ModuleBytes)
	if _, err := io.ReadFull(in, wasm); err != nil {
		return result{Outcome: outcomeFailed, Message: fmt.Sprintf("read the module of %d bytes: %v", o.ModuleBytes, err)}
	}
	err := compileModule(ctx, wasm, cache)
	var broken *brokenError
	switch {
	case err == nil:
		return result{Outcome: outcomeDone}
	case errors.Is(err, syscall.EFBIG):
		return result{Outcome: outcomeCost, Limit: LimitCode}
	case errors.Is(err, syscall.ENOMEM): // Machine code is not of Go's heap.
		return result{Outcome: outcomeCost, Limit: LimitMemory}
	case errors.As(err, &broken):
		return result{Outcome: outcomeModule, Message: err.Error()}
	default:
		return result{Outcome: outcomeFailed, Message: err.Error()}
	}
}

// brokenError is what the compiler has against a module.
type brokenError struct{ error }

func (e *brokenError) Unwrap() error { return e.error }

// compileModule compiles into the cache. It keeps a fault of the compiler's from
// looking like one of the process.
func compileModule(ctx context.Context, wasm []byte, cache wazero.CompilationCache) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case error:
			err = &brokenError{fmt.Errorf("the compiler gave up: %w", p)}
		default:
			err = &brokenError{fmt.Errorf("the compiler gave up: %v", p)}
		}
	}()
	engine, err := NewEngine(ctx, cache)
	if err != nil {
		return err
	}
	_, err = engine.CompileModule(ctx, wasm)
	// The engine's own words are about the module, those of the file system are not.
	if _, io := errors.AsType[*fs.PathError](err); err != nil && !io {
		return &brokenError{err}
	}
	return err
}
