package connector_test

import (
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

func TestStartAgainDoesNotComeBack(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	host := &script{}
	mustDo(t, host, func(ctx *connector.Context) error {
		got := failureOf(t, ctx.StartAgainAt(at, map[string]int{"page": 7}))
		if got.Code != code.Internal || !strings.Contains(got.Message, "did not end the call") {
			t.Errorf("from a host that goes on: got %v", got)
		}
		for _, v := range []any{nil, make(chan int)} {
			if got := failureOf(t, ctx.StartAgainAt(at, v)); got.Code != code.PluginBug {
				t.Errorf("%v: got %v, want plugin_bug", v, got)
			}
		}
		return nil
	})
	if want := `sleep {"until":"2026-03-02T08:00:00Z","checkpoint":{"page":7}}`; len(host.asked) != 1 || host.asked[0] != want {
		t.Errorf("got %q, want %s", host.asked, want)
	}
}

func TestCheckpointComesWithTheInput(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		input string
		want  int
		found bool
		code  code.Code
	}{
		"none":            {`{"action":"do","input":{}}`, 0, false, ""},
		"null":            {`{"action":"do","input":{},"checkpoint":null}`, 0, false, ""},
		"one":             {`{"action":"do","input":{},"checkpoint":7}`, 7, true, ""},
		"of another type": {`{"action":"do","input":{},"checkpoint":"7"}`, 0, true, code.PluginBug},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var page int
			var found bool
			c := connector.Connector{Name: "a", Version: "1.0.0", Actions: []connector.Action{{
				Name: "do", Run: connector.Func(func(ctx *connector.Context, _ struct{}) (bool, error) {
					var err error
					found, err = ctx.Checkpoint(&page)
					return found, err
				}),
			}}}
			_, err := c.Call(&script{}, "action", []byte(test.input))
			if page != test.want || found != test.found {
				t.Errorf("got %d, %t, want %d, %t", page, found, test.want, test.found)
			}
			if test.code == "" && err != nil || test.code != "" && failureOf(t, err).Code != test.code {
				t.Errorf("got %v, want %q", err, test.code)
			}
		})
	}
}
