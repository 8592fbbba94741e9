package fault_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/runtime"
)

func TestFromFailure(t *testing.T) {
	t.Parallel()
	tests := []struct {
		code   runtime.Code
		class  fault.Class
		status int
		retry  bool
		hint   string
	}{
		{runtime.CodeFuelExhausted, fault.LimitExceeded, 422, false, "limits.fuel"},
		{runtime.CodeMemoryExceeded, fault.LimitExceeded, 422, false, "limits.memory_mib"},
		{runtime.CodeDeadlineExceeded, fault.LimitExceeded, 504, false, "limits.timeout_ms"},
		{runtime.CodeStackExhausted, fault.LimitExceeded, 422, false, "recurs"},
		{runtime.CodeOutputTooLarge, fault.LimitExceeded, 422, false, "Return less"},
		{runtime.CodeInputTooLarge, fault.LimitExceeded, 413, false, "Send less"},
		{runtime.CodeTrapped, fault.PluginBug, 502, false, "trace"},
		{runtime.CodeNoExport, fault.PluginBug, 502, false, "manifest"},
		{runtime.CodePluginBug, fault.PluginBug, 502, false, ""},
		{runtime.CodeDenied, fault.Denied, 403, false, "grant"},
		{runtime.CodeKilled, fault.Platform, 503, false, ""},
		{"auth", fault.Auth, 502, false, "connection"},
		{"rate_limited", fault.RateLimited, 429, true, ""},
		{"upstream_unavailable", fault.Upstream, 502, true, ""},
		{"retry", fault.Upstream, 502, true, ""},
		{"network", fault.Network, 502, true, ""},
		{"timeout", fault.Network, 504, true, ""},
		{"invalid_input", fault.InvalidInput, 422, false, ""},
		{"contract_changed", fault.ContractChanged, 502, false, ""},
		{"conflict", fault.Conflict, 409, false, ""},
		{"out_of_cheese", fault.PluginBug, 502, false, ""},
		{"not_found", fault.PluginBug, 502, false, ""}, // A guest's own word, which is no 404 of ours.
		{"endpoint_disabled", fault.PluginBug, 502, false, ""},
		{"", fault.PluginBug, 502, false, ""},
	}
	for _, tt := range tests {
		t.Run(string(tt.code), func(t *testing.T) {
			t.Parallel()
			cause := &runtime.Failure{Code: tt.code, Message: "it broke"}
			got := fault.From(fmt.Errorf("call action: %w", cause))
			if got.Class != tt.class || got.Code != string(tt.code) || got.Message != "it broke" {
				t.Errorf("got %s %s %q, want %s %s", got.Class, got.Code, got.Message, tt.class, tt.code)
			}
			if got, want := fault.Status(got), tt.status; got != want {
				t.Errorf("status: got %d, want %d", got, want)
			}
			if got, want := fault.Retryable(tt.code), tt.retry; got != want {
				t.Errorf("retryable: got %t, want %t", got, want)
			}
			if !strings.Contains(got.Hint, tt.hint) || (tt.hint == "") != (got.Hint == "") {
				t.Errorf("got hint %q, want one with %q", got.Hint, tt.hint)
			}
			if !errors.Is(got, cause) {
				t.Error("the cause is lost")
			}
		})
	}
}

func TestFromFailureBoundsWhatAGuestSays(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		give runtime.Failure
		want fault.Error
	}{
		{
			"keeps what fits",
			runtime.Failure{Message: "m", RetryAfter: time.Minute, Details: json.RawMessage(`{"a":1}`)},
			fault.Error{Message: "m", RetryAfter: time.Minute, Details: json.RawMessage(`{"a":1}`)},
		},
		{"names an empty message", runtime.Failure{}, fault.Error{Message: "the plugin gave no message"}},
		{
			"cuts a long message",
			runtime.Failure{Message: strings.Repeat("é", 4096)},
			fault.Error{Message: strings.Repeat("é", 2043) + " ... (cut)"},
		},
		{"replaces invalid UTF-8 and NUL", runtime.Failure{Message: "a\xffb\x00"}, fault.Error{Message: "a\uFFFDb\uFFFD"}},
		{"drops details that are not JSON", runtime.Failure{Message: "m", Details: json.RawMessage(`{"a"`)}, fault.Error{Message: "m"}},
		{
			"drops details that are too large",
			runtime.Failure{Message: "m", Details: json.RawMessage(`"` + strings.Repeat("a", 1<<20) + `"`)},
			fault.Error{Message: "m"},
		},
		{"ignores a negative wish to wait", runtime.Failure{Message: "m", RetryAfter: -time.Second}, fault.Error{Message: "m"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.give.Code, tt.want.Class, tt.want.Code = "retry", fault.Upstream, "retry"
			got := fault.From(&tt.give)
			got.Err = nil
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if _, err := json.Marshal(got); err != nil {
				t.Errorf("cannot be stored: %v", err)
			}
		})
	}
}

func TestFromRefusals(t *testing.T) {
	t.Parallel()
	tests := []struct {
		give   error
		class  fault.Class
		status int
	}{
		{&runtime.InvalidModule{Code: "not_wasm"}, fault.InvalidInput, 422},
		{&runtime.InvalidModule{Code: "import_not_offered"}, fault.InvalidInput, 422},
		{&runtime.InvalidModule{Code: "invalid_module"}, fault.InvalidInput, 422},
		{&runtime.InvalidModule{Code: "module_too_large"}, fault.LimitExceeded, 413},
		{&runtime.InvalidModule{Code: "memory_too_large"}, fault.LimitExceeded, 422},
		{&registry.Error{Code: registry.CodeNotFound}, fault.InvalidInput, 404},
		{&registry.Error{Code: registry.CodeVersionExists}, fault.Conflict, 409},
		{&registry.Error{Code: registry.CodeVersionInUse}, fault.Conflict, 409},
		{&registry.Error{Code: registry.CodeYanked}, fault.Conflict, 409},
		{&registry.Error{Code: registry.CodeAmbiguous}, fault.InvalidInput, 422},
		{&registry.Error{Code: registry.CodeInvalidManifest}, fault.InvalidInput, 422},
		{&registry.Error{Code: registry.CodeDescribeFailed}, fault.InvalidInput, 422},
		{&registry.Error{Code: registry.CodeSecretInConfig}, fault.InvalidInput, 422},
		{&registry.Error{Code: registry.CodeDenied}, fault.Denied, 403},
		{&registry.Error{Code: "module_too_large"}, fault.LimitExceeded, 413},
	}
	for _, tt := range tests {
		t.Run(tt.give.Error(), func(t *testing.T) {
			t.Parallel()
			got := fault.From(fmt.Errorf("publish: %w", tt.give))
			if got.Class != tt.class || fault.Status(got) != tt.status {
				t.Errorf("got %s %d, want %s %d", got.Class, fault.Status(got), tt.class, tt.status)
			}
		})
	}
}

func TestFromKeepsWordsOfARefusal(t *testing.T) {
	t.Parallel()
	r := &registry.Error{Code: registry.CodeSecretInConfig, Message: "m", Hint: "h", Where: "manifest/config/properties/token"}
	r.Problems = []manifest.Problem{{Where: "/config/properties/token", Message: "p"}}
	want := &fault.Error{Class: fault.InvalidInput, Code: "secret_in_config", Message: "m", Hint: "h", Where: "manifest/config/properties/token", Err: r}
	want.Problems = []fault.Problem{{Where: "manifest/config/properties/token", Message: "p"}}
	if diff := cmp.Diff(want, fault.From(r)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestFromHostGivesNothingAway(t *testing.T) {
	t.Parallel()
	const secret = "dial tcp 10.0.0.3:5432: password=hunter2"
	tests := []struct {
		name, code string
		give       error
		status     int
	}{
		{"unknown", fault.CodeInternal, errors.New(secret), 500},
		{"deadline", "timed_out", fmt.Errorf("%s: %w", secret, context.DeadlineExceeded), 504},
		{"cancelled", "cancelled", fmt.Errorf("%s: %w", secret, context.Canceled), 503},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := fault.From(tt.give)
			if got.Class != fault.Platform || got.Code != tt.code || fault.Status(got) != tt.status {
				t.Errorf("got %s %s %d, want platform %s %d", got.Class, got.Code, fault.Status(got), tt.code, tt.status)
			}
			shown, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(shown), "hunter2") {
				t.Errorf("users see the cause: %s", shown)
			}
			if !strings.Contains(got.Error(), "hunter2") {
				t.Errorf("operators do not see the cause: %v", got)
			}
		})
	}
}

func TestFromLeavesFaultsAlone(t *testing.T) {
	t.Parallel()
	want := fault.NotFound("tenant", "acme")
	if got := fault.From(fmt.Errorf("find: %w", want)); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := fault.From(nil); got != nil {
		t.Errorf("got %v for no error", got)
	}
}
