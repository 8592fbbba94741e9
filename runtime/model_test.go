package runtime_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/abi"
	"github.com/cofferdam-run/cofferdam/runtime/meter"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// What runs are under a Model.
const (
	knownModel = 1_002
	knownRuns  = "360c195ebbd513a30bcfef7f6048d8a913401cb6c4cf93f5eaf6d7350a3148ba"
)

// universal is a guest that outputs randomness and what its clocks show, after an
// answer, and has drawn some when it started.
func universal() []byte {
	var b runtimetest.Builder
	random := b.Import(abi.WASIModule, "random_get", "ii", "i")
	clock := b.Import(abi.WASIModule, "clock_time_get", "iIi", "i")
	alloc := b.Import(runtimetest.Extism, "alloc", "I", "I")
	store := b.Import(runtimetest.Extism, "store_u64", "II", "")
	output := b.Import(runtimetest.Extism, "output_set", "II", "")
	ask := b.Import(runtimetest.User, "state_get", "I", "I")
	b.Memory(1)
	drop, get, tee := runtimetest.Op(0x1a), runtimetest.Op(0x20, 0), runtimetest.Op(0x22, 0)
	draw := [][]byte{
		runtimetest.I32(0), runtimetest.I32(16), runtimetest.Invoke(random), drop,
		runtimetest.I32(0), runtimetest.I64(0), runtimetest.I32(16), runtimetest.Invoke(clock), drop,
		runtimetest.I32(1), runtimetest.I64(0), runtimetest.I32(24), runtimetest.Invoke(clock), drop,
	}
	b.Func("_initialize", "", "", "", draw...)
	run := append([][]byte{runtimetest.I64(8), runtimetest.Invoke(alloc), runtimetest.Invoke(ask), drop}, draw...)
	run = append(run, runtimetest.I64(32), runtimetest.Invoke(alloc), tee, drop)
	for at := range int32(4) {
		run = append(run, get, runtimetest.I64(int64(8*at)), runtimetest.Op(0x7c), // i64.add
			runtimetest.I32(8*at), runtimetest.Op(0x29, 3, 0), runtimetest.Invoke(store)) // i64.load
	}
	run = append(run, get, runtimetest.I64(32), runtimetest.Invoke(output), runtimetest.I32(0))
	b.Func("run", "", "i", "I", run...)
	return b.Bytes()
}

// TestModelIsRaisedWhenRunsChange: what is kept of a run is only gone on with under the
// Model that it was begun under, so that a change of ours must not go unnoticed.
func TestModelIsRaisedWhenRunsChange(t *testing.T) {
	t.Parallel()
	if got := runtime.Model % 1000; got != meter.Version {
		t.Errorf("Model ends in %d, and the meter's version is %d", got, meter.Version)
	}
	world := runtime.World{Seed: [32]byte{1, 2, 3}, Start: time.Unix(1e9, 5), Config: map[string]string{probeName: "a"}}
	var runs strings.Builder
	for _, run := range []struct {
		module *runtime.Module
		call   runtime.Call
	}{
		{prepare(t, universal(), runtime.Limits{}), runtime.Call{Export: "run"}},
		{prepare(t, probe(false), probeLimits()), runtime.Call{Export: "work"}},
		{prepare(t, probe(false), probeLimits()), runtime.Call{Export: "digest", Input: []byte("input")}},
		{prepare(t, probe(true), probeLimits()), runtime.Call{Export: "work"}},
	} {
		run.call.World = world
		h := &host{answer: func(context.Context, runtime.Crossing) (runtime.Answer, error) {
			return runtime.Answer{Response: []byte(httpAnswer), At: time.Unix(2e9, 0)}, nil
		}}
		facts := run.module.Facts()
		fmt.Fprintln(&runs, facts.ImageDigest, facts.StartFuel, witnessed(t.Context(), run.module, run.call, h))
	}
	switch got := fmt.Sprintf("%x", sha256.Sum256([]byte(runs.String()))); {
	case runtime.Model != knownModel:
		t.Errorf("Model is %d: keep here what runs are under it: %s", runtime.Model, got)
	case got != knownRuns:
		t.Errorf("runs differ from those of Model %d: raise it, and keep here what they are: %s\n%s", knownModel, got, &runs)
	}
}
