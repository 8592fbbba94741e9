package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/dop251/goja"
	"github.com/evanw/esbuild/pkg/api"

	"github.com/cofferdam-run/cofferdam/bench/internal/stopwatch"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// The functions that connectors are linked with.
func functions() []string {
	return []string{"http", "log", "emit", "tag", "sleep", "state_get", "state_set", "state_delete", "state_cas", "state_add", "state_list"}
}

// guest is a module that is called.
type guest struct {
	module *runtime.Module
	fuel   int64
}

// action calls one, with the input of an action.
func (g *guest) action(ctx context.Context, input []byte) ([]byte, error) {
	result, err := g.module.Call(ctx, runtime.Call{Export: "action", Input: input, World: runtime.World{Start: time.Unix(1_700_000_000, 0)}, Host: host{}})
	g.fuel = result.Usage.Fuel
	return result.Output, err
}

// host has nothing to give.
type host struct{}

func (host) Call(context.Context, runtime.Crossing) (runtime.Answer, error) {
	return runtime.Answer{Response: []byte(`{"result":{}}`)}, nil
}

func envelope(action string, input any) ([]byte, error) {
	return json.Marshal(map[string]any{
		"execution": "exe_bench", "attempt": 1, "action": action, "input": input,
		"config": map[string]any{},
	})
}

// guests are the connectors in TypeScript and Go.
type guests struct {
	runtime    *runtime.Runtime
	ts, golang *guest
}

func (g *guests) close(ctx context.Context) error { return g.runtime.Close(ctx) }

func (s *suite) guests(ctx context.Context) (*guests, error) {
	scripted, err := s.typescript(ctx)
	if err != nil {
		return nil, err
	}
	compiled, err := s.golang(ctx)
	if err != nil {
		return nil, err
	}
	rt, err := runtime.New(ctx, runtime.Config{Functions: functions(), CacheDir: s.cache()})
	if err != nil {
		return nil, err
	}
	g := &guests{runtime: rt, ts: &guest{}, golang: &guest{}}
	if g.ts.module, err = rt.Prepare(ctx, scripted, runtime.Limits{}); err == nil {
		g.golang.module, err = rt.Prepare(ctx, compiled, runtime.Limits{})
	}
	if err != nil {
		return nil, errors.Join(err, g.close(ctx))
	}
	return g, nil
}

// call measures the smallest action: a sandbox that is as new, and one call in it.
func (s *suite) call(ctx context.Context) (err error) {
	g, err := s.guests(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.close(ctx)) }()
	input, err := envelope("hello", map[string]any{"name": "Ada"})
	if err != nil {
		return err
	}
	run := func(one *guest) func() error {
		return func() error {
			output, err := one.action(ctx, input)
			if want := `{"text":"Hello, Ada!"}`; err == nil && string(output) != want {
				return fmt.Errorf("the connector says %s instead of %s", output, want)
			}
			return err
		}
	}
	times, err := stopwatch.Interleaved(rounds, s.window/rounds, run(g.ts), run(g.golang))
	if err != nil {
		return err
	}
	s.print("ts_call_us", stopwatch.Middle(times[0], stopwatch.ByWall)*1e6, "us", peer("go", stopwatch.Middle(times[1], stopwatch.ByWall)*1e6),
		peer("fuel", float64(g.ts.fuel)), peer("go_fuel", float64(g.golang.fuel)))
	return nil
}

// records are what mappings work on: 170 KB of JSON for a thousand.
func records(n int) []map[string]any {
	all := make([]map[string]any, n)
	for i := range all {
		all[i] = map[string]any{
			"id": i, "first_name": fmt.Sprintf("Ada %d", i), "last_name": fmt.Sprintf("Lovelace-Müller %d", i),
			"email": fmt.Sprintf("Ada.%d@Example.com", i), "amount": fmt.Sprintf("%d.%02d", i*7, i%100),
			"created": "2024-02-29T12:00:00Z", "tags": []string{"vip", "eu"}[:i%3],
		}
	}
	return all
}

// mapping measures a thousand records: parsed, mapped, and written as JSON.
func (s *suite) mapping(ctx context.Context) (err error) {
	const many = 1000
	g, err := s.guests(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.close(ctx)) }()
	input, err := envelope("map", map[string]any{"records": records(many)})
	if err != nil {
		return err
	}
	native, err := s.goja(string(input))
	if err != nil {
		return err
	}
	if err := agree(ctx, input, g, native); err != nil {
		return err
	}
	run := func(one *guest) func() error {
		return func() error { _, err := one.action(ctx, input); return err }
	}
	times, err := stopwatch.Interleaved(rounds, s.window/rounds, run(g.ts), run(g.golang), func() error { _, err := native(); return err })
	if err != nil {
		return err
	}
	s.print("ts_map_vs_go", stopwatch.Over(times[0], times[1], stopwatch.ByWall), "x", peer("goja", stopwatch.Over(times[0], times[2], stopwatch.ByWall)),
		peer("ms", stopwatch.Middle(times[0], stopwatch.ByWall)*1e3), peer("go_ms", stopwatch.Middle(times[1], stopwatch.ByWall)*1e3), peer("goja_ms", stopwatch.Middle(times[2], stopwatch.ByWall)*1e3),
		peer("fuel", float64(g.ts.fuel)), peer("go_fuel", float64(g.golang.fuel)))
	return nil
}

// agree says where the peers do not do the same.
func agree(ctx context.Context, input []byte, g *guests, native func() (string, error)) error {
	scripted, err := g.ts.action(ctx, input)
	if err != nil {
		return err
	}
	compiled, err := g.golang.action(ctx, input)
	if err != nil {
		return err
	}
	text, err := native()
	if err != nil {
		return err
	}
	if string(scripted) != text || string(compiled) != text {
		return fmt.Errorf("TypeScript, Go and goja map differently:\n%.200s\n%.200s\n%.200s", scripted, compiled, text)
	}
	return nil
}

// goja runs the same source natively, without a sandbox and without the SDK, in an
// engine that is ready and that remembers.
func (s *suite) goja(input string) (func() (string, error), error) {
	bundle := api.Build(api.BuildOptions{
		EntryPoints: []string{s.source + "/project/src/map.ts"}, Bundle: true, Format: api.FormatIIFE, GlobalName: "bundle",
		Target: api.ES2017,
	})
	if len(bundle.Errors) > 0 {
		return nil, fmt.Errorf("bundle for goja: %s", bundle.Errors[0].Text)
	}
	vm := goja.New()
	if _, err := vm.RunString(string(bundle.OutputFiles[0].Contents)); err != nil {
		return nil, fmt.Errorf("load into goja: %w", err)
	}
	f, ok := goja.AssertFunction(vm.Get("bundle").ToObject(vm).Get("whole"))
	if !ok {
		return nil, errors.New("load into goja: there is no function")
	}
	return func() (string, error) {
		v, err := f(goja.Undefined(), vm.ToValue(input))
		if err != nil {
			return "", fmt.Errorf("run in goja: %w", err)
		}
		return v.String(), nil
	}, nil
}
