package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// Each verb has an example in its help, and the example names the verb.
func TestEachVerbShowsAnExample(t *testing.T) {
	t.Parallel()
	settings, err := loadSettings()
	if err != nil {
		t.Fatal(err)
	}
	verbs := 0
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		if c.HasSubCommands() || c.Name() == "help" || c.Parent() != nil && c.Parent().Name() == "completion" {
			return
		}
		verbs++
		if !strings.Contains(c.Example, c.CommandPath()) {
			t.Errorf("%s: the example does not show it: %q", c.CommandPath(), c.Example)
		}
		if c.Short == "" {
			t.Errorf("%s: no short description", c.CommandPath())
		}
	}
	walk(newRoot(&settings, terminal{in: strings.NewReader(""), out: &bytes.Buffer{}, err: &bytes.Buffer{}}))
	if verbs < 30 {
		t.Errorf("found %d verbs: the walk is broken", verbs)
	}
}

func TestSizesAreRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]byteSize{"0": 0, "1024": 1024, "5KiB": 5 << 10, "500 MiB": 500 << 20, "1GiB": 1 << 30, "8TiB": 8 << 40} {
		var got byteSize
		if err := got.Set(text); err != nil || got != want {
			t.Errorf("%s: got %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "GiB", "-1", "1.5GiB", "1GB", "1gib", "9999999TiB", "99999999999999999999", "1GiBx"} {
		got := byteSize(7)
		if err := got.UnmarshalText([]byte(text)); err == nil || got != 7 || !strings.Contains(err.Error(), "500MiB") {
			t.Errorf("%q: got %d, %v, want it refused with an example", text, got, err)
		}
	}
}

func TestDurationsAndSizesAreRounded(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 5 << 20: "5.0 MiB", 3 << 30: "3.0 GiB"} {
		if got := byteCount(n); got != want {
			t.Errorf("byteCount(%d): got %s, want %s", n, got, want)
		}
	}
	for n, want := range map[int64]string{
		0: "0", 999: "999", 1_000: "1.0 k", 12_345_678: "12.3 M", 10_000_000_000: "10.00 G", 3_600_000_000_000: "3.60 T",
	} {
		if got := fuelCount(n); got != want {
			t.Errorf("fuelCount(%d): got %s, want %s", n, got, want)
		}
	}
	for d, want := range map[int64]string{999: "1µs", 1_234_567: "1.23ms", 2_345_678_901: "2.35s"} {
		if got := duration(time.Duration(d)); got != want {
			t.Errorf("duration(%d): got %s, want %s", d, got, want)
		}
	}
}
