package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	extism "github.com/extism/go-sdk"

	"github.com/cofferdam-run/cofferdam/bench/internal/stopwatch"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// document is the order that is mapped: 300 bytes.
const document = `{"id":"1004","at":"2026-01-02T03:04:05Z","customer":{"First":"Ada","Last":"Lovelace","Email":"Ada@Widget.com"},` +
	`"lines":[{"sku":"A-1","quantity":2,"price":19.9,"attributes":{"color":"red"}},` +
	`{"sku":"B-7","quantity":1,"price":5.5,"attributes":{"color":"blue"}},{"sku":"C-3","quantity":12,"price":0.25}]}`

// waitFunction is what the mapper asks its host.
const waitFunction = "wait"

// rounds is in how many turns calls are measured.
const rounds = 15

// fresh measures a call in a sandbox that is as new against go-sdk: an instance
// that is made for the call, and one that is used again, and remembers.
func (s *suite) fresh(ctx context.Context) error {
	mapper, err := s.golang(ctx, "mapper")
	if err != nil {
		return err
	}
	for _, guest := range []struct {
		name   string
		binary []byte
	}{{"go", mapper}, {"tiny", tiny()}} {
		if err := s.freshOf(ctx, guest.name, guest.binary); err != nil {
			return fmt.Errorf("%s: %w", guest.name, err)
		}
	}
	return nil
}

func (s *suite) freshOf(ctx context.Context, name string, binary []byte) (err error) {
	ours, err := newSandbox(ctx, binary, runtime.Limits{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ours.close(ctx)) }()
	peers, err := newPeer(ctx, binary, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, peers.close(ctx)) }()
	// With a time-out go-sdk has what a call of ours always has: an end.
	limited, err := newPeer(ctx, binary, 5*time.Second)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, limited.close(ctx)) }()
	if err := sameOutput(ctx, ours, peers); err != nil {
		return err
	}
	all, err := stopwatch.Interleaved(rounds, s.window/(2*rounds),
		func() error { _, err := ours.call(ctx, "transform"); return err },
		func() error { _, err := peers.fresh(ctx); return err },
		func() error { _, err := peers.reused(ctx); return err },
		func() error { _, err := limited.fresh(ctx); return err },
		func() error { _, err := limited.reused(ctx); return err },
	)
	if err != nil {
		return err
	}
	own := all[0]
	s.print("call_"+name+"_us", stopwatch.Middle(own, stopwatch.ByWall)*1e6, "us", peer("cpu", stopwatch.Middle(own, stopwatch.ByCPU)*1e6))
	for i, how := range []string{"fresh", "reused"} {
		theirs, theirsLimited := all[1+i], all[3+i]
		s.print("fresh_"+name+"_vs_gosdk_"+how, stopwatch.Over(theirs, own, stopwatch.ByWall), "ratio",
			peer("cpu", stopwatch.Over(theirs, own, stopwatch.ByCPU)),
			peer("with_timeout", stopwatch.Over(theirsLimited, own, stopwatch.ByWall)),
			peer("gosdk_us", stopwatch.Middle(theirs, stopwatch.ByWall)*1e6))
	}
	return nil
}

func sameOutput(ctx context.Context, ours *sandbox, theirs *gosdk) error {
	got, err := ours.call(ctx, "transform")
	if err != nil {
		return err
	}
	want, err := theirs.fresh(ctx)
	if err != nil {
		return err
	}
	if !bytes.Equal(got.Output, want) {
		return fmt.Errorf("the output is %s, and go-sdk's is %s", got.Output, want)
	}
	return nil
}

// sandbox is a module on this project's engine.
type sandbox struct {
	runtime *runtime.Runtime
	module  *runtime.Module
	host    runtime.Host
	share   runtime.Share
}

func newSandbox(ctx context.Context, binary []byte, l runtime.Limits) (*sandbox, error) {
	r, err := runtime.New(ctx, runtime.Config{Functions: []string{waitFunction}})
	if err != nil {
		return nil, err
	}
	m, err := r.Prepare(ctx, binary, l)
	if err != nil {
		return nil, errors.Join(err, r.Close(ctx))
	}
	return &sandbox{runtime: r, module: m}, nil
}

func (s *sandbox) call(ctx context.Context, export string) (runtime.Result, error) {
	return s.module.Call(ctx, runtime.Call{
		Export: export,
		Input:  []byte(document),
		World:  runtime.World{Start: time.Unix(1_800_000_000, 0)},
		Host:   s.host,
		Share:  s.share,
	})
}

func (s *sandbox) close(ctx context.Context) error {
	return errors.Join(s.module.Close(ctx), s.runtime.Close(ctx))
}

// gosdk is a module on go-sdk.
type gosdk struct {
	compiled *extism.CompiledPlugin
	kept     *extism.Plugin
}

func newPeer(ctx context.Context, binary []byte, timeout time.Duration) (*gosdk, error) {
	wait := extism.NewHostFunctionWithStack(waitFunction,
		func(context.Context, *extism.CurrentPlugin, []uint64) {},
		[]extism.ValueType{extism.ValueTypeI64}, []extism.ValueType{extism.ValueTypeI64})
	wait.SetNamespace("extism:host/user")
	compiled, err := extism.NewCompiledPlugin(ctx, extism.Manifest{
		Wasm:    []extism.Wasm{extism.WasmData{Data: binary}},
		Timeout: uint64(timeout.Milliseconds()),
	}, extism.PluginConfig{EnableWasi: true}, []extism.HostFunction{wait})
	if err != nil {
		return nil, fmt.Errorf("compile with go-sdk: %w", err)
	}
	g := &gosdk{compiled: compiled}
	if g.kept, err = compiled.Instance(ctx, extism.PluginInstanceConfig{}); err != nil {
		return nil, errors.Join(fmt.Errorf("instantiate with go-sdk: %w", err), compiled.Close(ctx))
	}
	return g, nil
}

// fresh makes an instance for the call, and closes it.
func (g *gosdk) fresh(ctx context.Context) ([]byte, error) {
	p, err := g.compiled.Instance(ctx, extism.PluginInstanceConfig{})
	if err != nil {
		return nil, err
	}
	_, output, err := p.CallWithContext(ctx, "transform", []byte(document))
	return output, errors.Join(err, p.CloseWithContext(ctx))
}

// reused calls the instance that is there, with all that calls before have left
// in it.
func (g *gosdk) reused(ctx context.Context) ([]byte, error) {
	_, output, err := g.kept.CallWithContext(ctx, "transform", []byte(document))
	return output, err
}

func (g *gosdk) close(ctx context.Context) error {
	return errors.Join(g.kept.CloseWithContext(ctx), g.compiled.Close(ctx))
}
