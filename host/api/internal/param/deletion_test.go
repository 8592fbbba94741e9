package param_test

import (
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
)

func TestGrace(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"7d": 168 * time.Hour, "0s": 0, "0d": 0, "12h": 12 * time.Hour, "-1h": -time.Hour} {
		got, err := param.Grace{Text: text}.Duration()
		if err != nil || got == nil || *got != want {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
	if got, err := (param.Grace{}).Duration(); got != nil || err != nil {
		t.Errorf("got %v, %v for nothing", got, err)
	}
	for _, text := range []string{"7", "d", "-1d", "1.5d", "99999999d", "soon"} {
		if got, err := (param.Grace{Text: text}).Duration(); err == nil {
			t.Errorf("%q: got %v, want an error", text, *got)
		}
	}
}
