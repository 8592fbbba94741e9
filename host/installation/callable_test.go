package installation_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/installation"
)

func TestCallable(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, plugin string
		kind         event.Kind
		called       string
		input        string
		code         string
		where        []string
		hint         string
	}{
		{"an action", "issues", event.Action, "label", `{"repo":"a/b","n":1}`, "", nil, ""},
		{"an action without a schema", "issues", event.Action, "sync", `[1]`, "", nil, ""},
		{"an action without input", "issues", event.Action, "sync", ``, "", nil, ""},
		{"every fault of an input", "issues", event.Action, "label", `{"n":"sekret"}`, "input_invalid", []string{"/n", "/repo"}, ""},
		{"no input where some is needed", "issues", event.Action, "label", ``, "input_invalid", []string{"/repo"}, ""},
		{"an input that is not JSON", "issues", event.Action, "label", `sekret`, "input_invalid", []string{""}, ""},
		{"an action that is not there", "issues", event.Action, "lable", `{}`, "no_such_action", nil, "It has label, sync."},
		{"any bytes for a plain plugin", "echo", event.Action, "run", "\xff\x00", "", nil, ""},
		{"an export that a plain plugin lacks", "echo", event.Action, "walk", "", "no_such_action", nil, "It has run."},
		{"a poll", "issues", event.Poll, "issues", `null`, "", nil, ""},
		{"a poll with input", "issues", event.Poll, "issues", `{"a":1}`, "input_invalid", nil, "Leave the input out."},
		{"a poll that is not there", "echo", event.Poll, "issues", ``, "no_such_poll", nil, "It has none."},
		{"a webhook", "issues", event.Webhook, "issues", `anything`, "", nil, ""},
		{"a webhook that is not there", "issues", event.Webhook, "push", ``, "no_such_webhook", nil, "It has issues."},
		{"a test", "issues", event.Test, "", ` { } `, "", nil, ""},
		{"a test with input", "issues", event.Test, "", `1`, "input_invalid", nil, ""},
		{"a test that is not there", "echo", event.Test, "", ``, "no_test", nil, `"test": true`},
		{"a record", "issues", event.Record, "x", ``, "kind_invalid", nil, "an action"},
		{"a kind that is none", "issues", "party", "x", ``, "kind_invalid", nil, "an action"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			i := b.install(t, tt.plugin, "")
			got, err := b.Callable(t.Context(), tenant, tt.plugin, tt.kind, tt.called, json.RawMessage(tt.input))
			if tt.code == "" {
				if err != nil || got.ID != i.ID {
					t.Errorf("got %s, %v, want %s", got.ID, err, i.ID)
				}
				return
			}
			refused := checkFault(t, err, tt.code, tt.where...)
			if !strings.Contains(refused.Hint, tt.hint) {
				t.Errorf("got hint %q, want %q in it", refused.Hint, tt.hint)
			}
			for _, p := range refused.Problems {
				if strings.Contains(p.Message, "sekret") {
					t.Errorf("%q shows a value", p.Message)
				}
			}
		})
	}
}

func TestCallableByState(t *testing.T) {
	t.Parallel()
	tests := []struct {
		state installation.State
		code  string
	}{
		{installation.Active, ""}, {installation.Paused, ""}, {installation.Broken, ""}, {installation.Removed, "installation_removed"},
	}
	for _, tt := range tests {
		t.Run(string(tt.state), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			i := b.install(t, "issues", "")
			b.store.all[0].State = tt.state
			_, err := b.Callable(t.Context(), tenant, i.ID, event.Action, "sync", nil)
			if tt.code == "" {
				if err != nil {
					t.Errorf("got %v", err)
				}
				return
			}
			checkFault(t, err, tt.code)
		})
	}
}

func TestCallableIsBoundToTheTenant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.install(t, "issues", "")
	_, err := b.Callable(t.Context(), "ten_2", i.ID, event.Action, "sync", nil)
	checkFault(t, err, fault.CodeNotFound)
}

func TestCallableAsksForAVersionOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.install(t, "issues", "")
	before := b.versions.asked
	for range 3 {
		if _, err := b.Callable(t.Context(), tenant, i.ID, event.Action, "sync", nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.versions.asked - before; got != 1 {
		t.Errorf("got %d look-ups of a version that cannot change, want 1", got)
	}
}

func TestWebhook(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.install(t, "issues", "")
	id, scheme, err := b.Webhook(t.Context(), tenant, "issues", "issues")
	if err != nil || id != i.ID || scheme != "github" {
		t.Errorf("got %s, %s, %v, want %s, github", id, scheme, err, i.ID)
	}
	_, _, err = b.Webhook(t.Context(), tenant, "issues", "push")
	checkFault(t, err, "no_such_webhook")
	_, _, err = b.Webhook(t.Context(), "ten_2", i.ID, "issues")
	checkFault(t, err, fault.CodeNotFound)
}
