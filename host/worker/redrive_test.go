package worker_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
)

func TestRedriveResumesAfterTheLastEffect(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		mode  execution.Mode
		asked []string
	}{
		"resume asks again what comes after it": {execution.Resume, []string{"look", "a", "see", "see"}},
		"restart begins from the start":         {execution.Restart, []string{"look", "a", "see", "look", "a", "see"}},
		"force, too":                            {execution.Force, []string{"look", "a", "see", "look", "a", "see"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mended atomic.Bool
			o := &outside{answer: func(_ context.Context, name string, _ int) (any, error) {
				return map[string]bool{"ok": name != "see" || mended.Load()}, nil
			}}
			b := journaled(t, o)
			got := b.done(script(ask("look", "read"), ask("a", ""), ask("see", "read", `"ok":true`, "invalid_input")))
			if got.State != execution.Dead {
				t.Fatalf("it is %s, want dead", got.State)
			}
			mended.Store(true)
			b.redrive(got.ID, execution.Redriving{Mode: test.mode})
			if got = b.until(got.ID, func(e execution.Execution) bool { return e.State == execution.Succeeded }); got.Mode != "" {
				t.Errorf("its mode is %q still", got.Mode)
			}
			o.wantAsked(t, test.asked...)
		})
	}
}

func TestRedriveOnAnotherVersion(t *testing.T) {
	t.Parallel()
	// The other version asks for b where the first asked for a.
	for name, test := range map[string]struct {
		first string
		want  string
		asked []string
	}{
		"goes on from where it differs":                   {ask("a", "read"), "invalid_input", []string{"a", "b"}},
		"stops where that would drop an effect, and says": {ask("a", ""), "journal_diverged", []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := &outside{answer: fine}
			b := journaled(t, o)
			other := b.publish("other", append(slices.Clone(guest(t)), 0, 2, 1, 'x'), manifest.Manifest{Level: 1, Functions: []string{"probe"}})
			input := `{"calls":[` + test.first + `],"fail":{"code":"invalid_input","message":"no"}}`
			got := b.done(input)
			b.change("ten_a", func(i *installation.Installation) {
				i.VersionID, i.Config = other, json.RawMessage(`{"instead_of_a":"b"}`)
			})
			b.redrive(got.ID, execution.Redriving{Mode: execution.Resume})
			got = b.until(got.ID, func(e execution.Execution) bool { return e.State.Done() && e.Attempt > 0 && e.Claim > 1 })
			if got.Error == nil || got.Error.Code != test.want {
				t.Errorf("it is %s with %v, want %s", got.State, got.Error, test.want)
			}
			if shows := strings.Contains(string(got.Error.Details), `"expected"`); shows != (test.want == "journal_diverged") {
				t.Errorf("the details are %s, want both calls if they differ", got.Error.Details)
			}
			o.wantAsked(t, test.asked...)
		})
	}
}
