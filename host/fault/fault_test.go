package fault_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

func TestStatusByClass(t *testing.T) {
	t.Parallel()
	tests := map[fault.Class]int{
		fault.Auth:            401,
		fault.RateLimited:     429,
		fault.Upstream:        502,
		fault.ContractChanged: 502,
		fault.Network:         502,
		fault.InvalidInput:    422,
		fault.PluginBug:       502,
		fault.LimitExceeded:   429,
		fault.Conflict:        409,
		fault.Denied:          403,
		fault.AmbiguousEffect: 409,
		fault.Platform:        500,
		"of the future":       500,
	}
	for class, want := range tests {
		t.Run(string(class), func(t *testing.T) {
			t.Parallel()
			if got := fault.Status(fault.New(class, "some_code", "m")); got != want {
				t.Errorf("got %d, want %d", got, want)
			}
		})
	}
	if got := fault.Status(nil); got != 200 {
		t.Errorf("no fault: got %d, want 200", got)
	}
}

func TestStatusByCode(t *testing.T) {
	t.Parallel()
	tests := []struct {
		give *fault.Error
		want int
	}{
		{fault.NotFound("tenant", "acme"), 404},
		{fault.New(fault.InvalidInput, fault.CodeMalformed, "m"), 400},
		{fault.New(fault.InvalidInput, "delivery_id_missing", "m"), 400},
		{fault.New(fault.Auth, "signature_missing", "m"), 401},
		{fault.New(fault.Auth, fault.CodeForbidden, "m"), 403},
		{fault.New(fault.LimitExceeded, fault.CodeBodyTooLarge, "m"), 413},
		{fault.New(fault.Denied, fault.CodeEndpointDisabled, "m"), 410},
		{fault.New(fault.Platform, fault.CodeDatabaseUnreachable, "m"), 503},
		{fault.New(fault.Platform, fault.CodeDatabaseReadOnly, "m"), 503},
		{fault.New(fault.Platform, fault.CodeLoginUnavailable, "m"), 503},
		{fault.New(fault.Platform, "database_full", "m"), 503},
		{fault.New(fault.Platform, "schema_too_new", "m"), 503},
		{fault.New(fault.Platform, "schema_too_old", "m"), 503},
		{fault.New(fault.Platform, fault.CodeInternal, "m"), 500},
	}
	for _, tt := range tests {
		t.Run(tt.give.Code, func(t *testing.T) {
			t.Parallel()
			if got := fault.Status(tt.give); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

func TestErrorSurvivesStorage(t *testing.T) {
	t.Parallel()
	want := fault.New(fault.RateLimited, "rate_limited", "slow down").WithHint("wait").At("/input/id").Because(errors.New("cause"))
	want.RetryAfter = 90 * time.Second
	want.Details = json.RawMessage(`{"limit":10}`)
	want.Problems = []fault.Problem{{Where: "/a", Message: "b"}}
	stored, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got fault.Error
	if err := json.Unmarshal(stored, &got); err != nil {
		t.Fatal(err)
	}
	// The cause is for the log of the process that met it.
	if diff := cmp.Diff(want, &got, cmpopts.IgnoreFields(fault.Error{}, "Err")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got.Err != nil {
		t.Errorf("the cause was stored: %v", got.Err)
	}
}

func TestErrorUnwrapsToItsCause(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	e := fault.New(fault.Platform, "x", "m %d", 1).Because(cause)
	if !errors.Is(e, cause) {
		t.Error("got no cause")
	}
	if got, want := e.Error(), "x: m 1: cause"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := fault.New(fault.Platform, "x", "m").Error(), "x: m"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	printOf := func(message string) string {
		return fault.Fingerprint(fault.New(fault.Upstream, "retry", "%s", message))
	}
	same := []struct{ name, a, b string }{
		{"numbers", "got 502 after 3 tries", "got 503 after 12 tries"},
		{"ids", "no order ord_01J9ZK3V", "no order ord_7777ABCD"},
		{"uuids", "job 0f8fad5b-d9cb-469f-a165-70867728950e failed", "job 7c9e6679-7425-40de-944b-e07fc1f90ae7 failed"},
		{"double quotes", `no customer "Ann"`, `no customer "Bob \"B\" Bee"`},
		{"single quotes", "field 'name' is empty", "field 'title' is empty"},
		{"backquotes", "field `name` is empty", "field `title` is empty"},
		{"addresses", "dial 10.0.0.1:443: refused", "dial 192.168.7.9:8443: refused"},
		{"dates", "expired at 2026-01-02T03:04:05Z", "expired at 2027-11-12T13:14:15.6+02:00"},
		{"space", "a  b\n", "a b"},
	}
	for _, tt := range same {
		t.Run("same but for "+tt.name, func(t *testing.T) {
			t.Parallel()
			if printOf(tt.a) != printOf(tt.b) {
				t.Errorf("%q and %q have different fingerprints", tt.a, tt.b)
			}
		})
	}
	different := []struct{ name, a, b string }{
		{"words", "connection refused", "connection reset"},
		{"words between apostrophes", "can't read, won't write", "can't write, won't read"},
	}
	for _, tt := range different {
		t.Run("different "+tt.name, func(t *testing.T) {
			t.Parallel()
			if printOf(tt.a) == printOf(tt.b) {
				t.Errorf("%q and %q have one fingerprint", tt.a, tt.b)
			}
		})
	}
	base := fault.Fingerprint(fault.New(fault.Upstream, "retry", "m"))
	if base == fault.Fingerprint(fault.New(fault.Network, "retry", "m")) || base == fault.Fingerprint(fault.New(fault.Upstream, "network", "m")) {
		t.Error("class and code do not count")
	}
	// Stored fingerprints outlive the program, so that the value itself must stay.
	if want := "fd230ea51adcb1d0"; base != want {
		t.Errorf("got %s, want %s", base, want)
	}
	if got := fault.Fingerprint(nil); got != "" {
		t.Errorf("no fault: got %q", got)
	}
}

func FuzzFingerprint(f *testing.F) {
	f.Add(`no "x" in 'y' of 12`)
	f.Fuzz(func(t *testing.T, message string) {
		e := fault.New(fault.Upstream, "retry", "%s", message)
		if got := fault.Fingerprint(e); len(got) != 16 || got != fault.Fingerprint(e) {
			t.Errorf("got %q", got)
		}
	})
}
