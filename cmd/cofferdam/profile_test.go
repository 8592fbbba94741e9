package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"

	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/runtime"
)

func TestSamplesBecomeAProfileOfPprof(t *testing.T) {
	t.Parallel()
	samples := []runtime.Sample{
		{Stack: []string{"run"}, Calls: 1, Fuel: 10},
		{Stack: []string{"leaf", "run"}, Calls: 3, Fuel: 21},
		{Stack: []string{"run", "leaf", "run"}, Calls: 1},
	}
	var file bytes.Buffer
	if err := pprofOf("hello.wasm", "run", samples).Write(&file); err != nil {
		t.Fatal(err)
	}
	read, err := profile.Parse(&file)
	if err != nil {
		t.Fatal(err)
	}
	var got []runtime.Sample
	for _, s := range read.Sample {
		one := runtime.Sample{Calls: s.Value[0], Fuel: s.Value[1]}
		for _, l := range s.Location {
			one.Stack = append(one.Stack, l.Line[0].Function.Name)
		}
		got = append(got, one)
	}
	if diff := cmp.Diff(samples, got); diff != "" {
		t.Errorf("samples differ (-want +got):\n%s", diff)
	}
	if len(read.Function) != 2 || read.DefaultSampleType != "fuel" || read.SampleType[1].Type != "fuel" || read.Mapping[0].File != "hello.wasm" {
		t.Errorf("got %v", read)
	}
}

func TestFunctionsAreSummedUpAndSorted(t *testing.T) {
	t.Parallel()
	p := profiling{file: "p.pb.gz", export: "run"}
	s := p.summarize([]runtime.Sample{
		{Stack: []string{"run"}, Calls: 1, Fuel: 10},
		{Stack: []string{"func[7]", "run"}, Calls: 3, Fuel: 21},
		{Stack: []string{"leaf", "func[7]", "run"}, Calls: 1, Fuel: 5},
		{Stack: []string{"leaf", "run"}, Calls: 2, Fuel: 64},
	}, runtime.Result{Usage: runtime.Usage{Fuel: 100}})
	want := []profiledFunction{{"leaf", 3, 69}, {"func[7]", 3, 21}, {"run", 1, 10}}
	if diff := cmp.Diff(want, s.Functions); diff != "" {
		t.Errorf("functions differ (-want +got):\n%s", diff)
	}
	var text strings.Builder
	printProfiled(&text, s)
	for _, says := range []string{"69    69.0%  3      leaf\n", "run used 100 units of fuel; p.pb.gz has all 4 stacks", "lacks names"} {
		if !strings.Contains(text.String(), says) {
			t.Errorf("%q is not in\n%s", says, text.String())
		}
	}
}

func TestLimitsOfAConnectorAreWords(t *testing.T) {
	t.Parallel()
	for want, l := range map[string]manifest.Limits{
		"no limits of its own":                             {},
		"asks for 128.0 MiB of memory, 1.5s, 20.00 G fuel": {MemoryMiB: 128, TimeoutMS: 1500, Fuel: 20_000_000_000},
		"asks for 20.0 k fuel":                             {Fuel: 20_000},
	} {
		if got := limitsText(l); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
