package channel_test

import (
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/registry/channel"
)

func TestPrereleasesAreNotStable(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]channel.Channel{
		"1.0.0": channel.Stable, "1.0.0+linux": channel.Stable, "0.1.0": channel.Stable,
		"1.0.0-rc.1": channel.Beta, "1.0.0-rc.1+linux": channel.Beta, "2.0.0-0": channel.Beta,
	} {
		if got := channel.Of(version); got != want {
			t.Errorf("%s: got %s, want %s", version, got, want)
		}
	}
}

func TestWhatIsStableIsInBetaToo(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		follows, has channel.Channel
		want         bool
	}{
		{channel.Stable, channel.Stable, true},
		{channel.Stable, channel.Beta, false},
		{channel.Beta, channel.Stable, true},
		{channel.Beta, channel.Beta, true},
		{"", channel.Stable, false},
	} {
		if got := tt.follows.Gives(tt.has); got != tt.want {
			t.Errorf("%q gives %q: got %t, want %t", tt.follows, tt.has, got, tt.want)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"stable", "beta"} {
		if got, err := channel.Parse(name); err != nil || string(got) != name {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "Stable", "latest", strings.Repeat("x", 1000)} {
		if _, err := channel.Parse(name); err == nil || len(err.Error()) > 150 || !strings.Contains(err.Error(), "stable or beta") {
			t.Errorf("%.20q: got %v, want to be told which there are", name, err)
		}
	}
}
