package param_test

import (
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/api/internal/param"
)

func TestPatience(t *testing.T) {
	t.Parallel()
	const longest = 30 * time.Second
	for _, test := range []struct {
		name string
		wait param.Wait
		want time.Duration
		bad  bool
	}{
		{name: "nothing said", want: longest},
		{name: "a timeout", wait: param.Wait{Timeout: "1500ms"}, want: 1500 * time.Millisecond},
		{name: "a timeout goes before a preference", wait: param.Wait{Timeout: "2s", Prefer: "wait=9"}, want: 2 * time.Second},
		{name: "a timeout that is too long", wait: param.Wait{Timeout: "31s"}, bad: true},
		{name: "a timeout of nothing", wait: param.Wait{Timeout: "0s"}, bad: true},
		{name: "a timeout without a unit", wait: param.Wait{Timeout: "10"}, bad: true},
		{name: "asynchronous", wait: param.Wait{Mode: "async", Timeout: "10s"}, want: 0},
		{name: "a preference", wait: param.Wait{Prefer: "handling=lenient, Wait=5"}, want: 5 * time.Second},
		{name: "a preference not to wait", wait: param.Wait{Prefer: "wait=5;x, respond-async"}, want: 0},
		{name: "a preference to wait too long", wait: param.Wait{Prefer: "wait=99999999999"}, want: longest},
		{name: "a preference that is none", wait: param.Wait{Prefer: "wait=-1, wait, =,"}, want: longest},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := test.wait.Patience(longest)
			if (err != nil) != test.bad || got != test.want && !test.bad {
				t.Errorf("%s, %v; want %s", got, err, test.want)
			}
		})
	}
}

func TestCursor(t *testing.T) {
	t.Parallel()
	const id = "exe_01J9ZP4X0E8V3T6B2M5N7Q1R0S"
	for cursor, ok := range map[string]bool{"": true, id: true, id[:29]: false, "evt_" + id[4:]: false, "e": false} {
		got, err := param.Page{Cursor: cursor}.After("exe_")
		if (err == nil) != ok || ok && got != cursor {
			t.Errorf("%q: %q, %v", cursor, got, err)
		}
	}
}

func TestRef(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]param.OnePlugin{
		"hello":      {Plugin: "hello"},
		"octo/hello": {Plugin: "hello", Publisher: "octo"},
	} {
		if got := p.Ref(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
