package main

import (
	"io"
	"regexp"
	"testing"

	"github.com/spf13/pflag"
)

// Each flag of serve that says by which variable it is set, is.
func TestVariablesSetTheirFlags(t *testing.T) {
	values := map[string][2]string{
		"string": {"x", "x"}, "stringSlice": {"x,y", "[x,y]"}, "int": {"7", "7"}, "int64": {"7", "7"}, "float64": {"0.7", "0.7"},
		"bool": {"true", "true"}, "duration": {"7s", "7s"}, "size": {"7KiB", "7168"}, "time": {"7d", "7d"},
	}
	named := regexp.MustCompile(`COFFERDAM_[A-Z_]+`)
	serve := func() *pflag.FlagSet {
		s, err := loadSettings()
		if err != nil {
			t.Fatal(err)
		}
		c, _, err := newRoot(&s, terminal{out: io.Discard, err: io.Discard}).Find([]string{"serve"})
		if err != nil {
			t.Fatal(err)
		}
		return c.Flags()
	}
	want := map[string]string{}
	serve().VisitAll(func(f *pflag.Flag) {
		variable := named.FindString(f.Usage)
		if variable == "" {
			return
		}
		value, ok := values[f.Value.Type()]
		if !ok {
			t.Fatalf("--%s is a %s, which this test has no value for", f.Name, f.Value.Type())
		}
		t.Setenv(variable, value[0])
		want[f.Name] = value[1]
	})
	got := serve()
	for name, value := range want {
		if f := got.Lookup(name); f.Value.String() != value {
			t.Errorf("--%s is %q, want %q, as its variable says", name, f.Value.String(), value)
		}
	}
	if len(want) < 30 {
		t.Errorf("%d flags name a variable: this proves nothing", len(want))
	}
}
