package trial

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
	"github.com/cofferdam-run/cofferdam/host/webhook"
	"github.com/cofferdam-run/cofferdam/host/worker"
	"github.com/cofferdam-run/cofferdam/hostfns/replay"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/compile"
)

// Options say how a Bench prepares a plugin.
type Options struct {
	// Limits are the most that its calls get. Default to runtime's, which are those
	// of a server.
	Limits runtime.Limits
	// CacheDir and Compiler are as in runtime.Config.
	CacheDir string
	Compiler compile.Compiler
}

// Bench is a plugin that is ready to be run.
type Bench struct {
	*runtime.Module

	// Manifest is a typed connector's; that of any other Extism plugin has the level
	// 0 and nothing else.
	Manifest manifest.Manifest
	// Digest is the module's.
	Digest string

	runtime *runtime.Runtime
	limits  runtime.Limits
}

// Open prepares a plugin, and has a typed connector describe itself. The caller
// closes it. A plugin that a server would refuse gives a *runtime.InvalidModule or a
// *registry.Error.
func Open(ctx context.Context, wasm []byte, o Options) (_ *Bench, err error) {
	functions, err := replay.Functions(wasm)
	if err != nil {
		functions = nil // Prepare says what is wrong, in better words.
	}
	names := slices.Concat(worker.Functions(nil), functions)
	slices.Sort(names)
	b := &Bench{limits: o.Limits.WithDefaults(), Digest: replay.DigestOf(wasm)}
	b.runtime, err = runtime.New(ctx, runtime.Config{Functions: slices.Compact(names), CacheDir: o.CacheDir, Compiler: o.Compiler})
	if err != nil {
		return nil, fmt.Errorf("start the runtime: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close(ctx))
		}
	}()
	if b.Module, err = b.runtime.Prepare(ctx, wasm, b.limits); err != nil {
		return nil, err
	}
	if !b.Typed() {
		return b, nil
	}
	rules := registry.New(registry.Config{Functions: functions, Schemes: webhook.Schemes(), Provider: provider.Set{}.Check, Descriptor: webhook.CheckDescriptor, Limits: o.Limits})
	b.Manifest, err = rules.Examine(ctx, b.Module, sha256.Sum256(wasm), registry.Upload{})
	return b, err
}

// Typed says whether the plugin describes itself.
func (b *Bench) Typed() bool { return slices.Contains(b.Exports(), registry.Describe) }

// Wishes are the limits that the manifest asks for, and no more than the Bench has.
func (b *Bench) Wishes() runtime.Limits {
	l, wish := b.limits, b.Manifest.Limits
	if n := int64(wish.MemoryMiB) << 20; n > 0 {
		l.MemoryBytes = min(l.MemoryBytes, n)
	}
	if wish.Fuel > 0 {
		l.Fuel = min(l.Fuel, wish.Fuel)
	}
	if d := time.Duration(wish.TimeoutMS) * time.Millisecond; d > 0 {
		l.Deadline = min(l.Deadline, d)
	}
	return l
}

// Close releases the plugin. No run may be in flight.
func (b *Bench) Close(ctx context.Context) error { return b.runtime.Close(ctx) }
