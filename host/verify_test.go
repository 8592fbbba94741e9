package host_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/webhook"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// verified is a Host that runs, with an endpoint whose deliveries the plugin verifies.
type verified struct {
	*bundle

	endpoint endpoint.Endpoint
	secret   string
}

func setupVerify(t *testing.T) *verified {
	t.Helper()
	v := &verified{bundle: runHost(t, host.Config{Store: openStore(t), PublicURL: "https://hooks.example"})}
	publisher, err := v.h.Plugins.PublisherOf(t.Context(), registry.Viewer{Operator: true})
	if err != nil {
		t.Fatalf("find publisher: %v", err)
	}
	wasm := runtimetest.BuildGo(t, filepath.Join("testdata", "verify"))
	if _, err := v.h.Plugins.Publish(t.Context(), publisher.ID, registry.Upload{Wasm: bytes.NewReader(wasm)}); err != nil {
		t.Fatalf("publish: %v", err)
	}
	v.tenant = v.addTenant(t, "acme", tenant.Limits{})
	if _, err := v.h.Installations.Create(t.Context(), v.tenant.ID, installation.Spec{Plugin: "verify"}); err != nil {
		t.Fatalf("install: %v", err)
	}
	v.endpoint, v.secret, err = v.h.Endpoints.Create(t.Context(), v.tenant.ID, endpoint.Spec{Installation: "verify", Webhook: "acme"})
	if err != nil {
		t.Fatalf("make endpoint: %v", err)
	}
	return v
}

// signed is a delivery as Acme makes it.
func (v *verified) signed(id, body, secret string, at time.Time) webhook.Delivery {
	lines := strings.Split(body, "\n")
	slices.Reverse(lines)
	seconds := strconv.FormatInt(at.Unix(), 10)
	sum := hmac.New(sha256.New, []byte(secret))
	sum.Write([]byte(seconds + "POST" + "https://hooks.example/hooks/" + v.endpoint.ID + strings.Join(lines, "")))
	return webhook.Delivery{
		Endpoint: v.endpoint.ID, Method: http.MethodPost, Path: "/hooks/" + v.endpoint.ID, Body: []byte(body),
		Header: http.Header{
			"X-Acme-Signature": {hex.EncodeToString(sum.Sum(nil))}, "X-Acme-Id": {id}, "X-Acme-Time": {seconds},
		},
	}
}

func (v *verified) events(t *testing.T) []event.Event {
	t.Helper()
	all, err := v.h.Store.Events(t.Context(), v.tenant.ID, event.Filter{Endpoint: v.endpoint.ID, Limit: 200})
	if err != nil {
		t.Fatalf("list events: %v", err)
	}
	return all
}

func TestAPluginVerifiesWhatNoDescriptorCan(t *testing.T) {
	t.Parallel()
	v := setupVerify(t)
	if v.endpoint.Scheme != webhook.ByPlugin || len(v.secret) != 64 {
		t.Fatalf("got an endpoint of the scheme %q with a secret of %d bytes", v.endpoint.Scheme, len(v.secret))
	}
	d := v.signed("d-1", "a\nb\xff", v.secret, time.Now())
	taken, err := v.h.Webhooks.Receive(t.Context(), d)
	if err != nil || taken.Status != http.StatusAccepted || taken.Duplicate {
		t.Fatalf("got %+v, %v", taken, err)
	}
	if done := v.await(t, taken.Execution, execution.Succeeded); string(done.Output) != `{"bytes":4,"id":"d-1"}` {
		t.Errorf("the webhook returned %s", done.Output)
	}
	if again, err := v.h.Webhooks.Receive(t.Context(), d); err != nil || !again.Duplicate || again.Event != taken.Event {
		t.Errorf("the same again: got %+v, %v", again, err)
	}
	if got := v.events(t)[0].Request.Headers; got["x-acme-signature"] != nil || got["x-acme-id"] == nil {
		t.Errorf("stored headers: %v", got)
	}
	shake, err := v.h.Webhooks.Receive(t.Context(), webhook.Delivery{Endpoint: v.endpoint.ID, Method: http.MethodGet, Query: "q=1", Header: http.Header{}})
	if err != nil || shake.Handshake == nil || string(shake.Handshake.Body) != "acme q=1" || shake.Status != http.StatusOK {
		t.Errorf("the handshake: got %+v, %v", shake, err)
	}
	if n := len(v.events(t)); n != 1 {
		t.Errorf("%d events are stored, want 1", n)
	}
}

func TestWhatAPluginDoesNotAcceptIsRefused(t *testing.T) {
	t.Parallel()
	v := setupVerify(t)
	now := time.Now()
	do := func(what string) webhook.Delivery {
		d := v.signed("d", "a", v.secret, now)
		d.Header.Set("X-Do", what)
		return d
	}
	changed := v.signed("d", "a", v.secret, now)
	changed.Body = []byte("b")
	unsigned := v.signed("d", "a", v.secret, now)
	unsigned.Header.Del("X-Acme-Signature")
	odd := v.signed("d", "a", v.secret, now)
	odd.Header.Set("X-Acme-Time", "now")
	long := v.signed(strings.Repeat("x", 257), "a", v.secret, now)
	tests := map[string]struct {
		give   webhook.Delivery
		code   string
		status int
		// says is in the operator's reason.
		says string
	}{
		"a changed body":       {changed, "signature_invalid", 401, "another"},
		"another secret":       {v.signed("d", "a", "another-secret", now), "signature_invalid", 401, "another"},
		"no signature":         {unsigned, "signature_missing", 401, "no X-Acme-Signature"},
		"a code of its own":    {odd, "delivery_refused", 401, "acme_time"},
		"of yesterday":         {v.signed("d", "a", v.secret, now.Add(-24*time.Hour)), "timestamp_out_of_range", 401, "from now"},
		"of tomorrow":          {v.signed("d", "a", v.secret, now.Add(24*time.Hour)), "timestamp_out_of_range", 401, "from now"},
		"a long id":            {long, "delivery_id_invalid", 400, "257"},
		"a panic":              {do("panic"), "verify_failed", 401, "oh no"},
		"an endless loop":      {do("spin"), "verify_failed", 401, "fuel_exhausted"},
		"an error":             {do("fail"), "verify_failed", 401, "tired"},
		"a request":            {do("http"), "verify_failed", 401, "denied"},
		"a write":              {do("state"), "verify_failed", 401, "denied"},
		"a record":             {do("emit"), "verify_failed", 401, "denied"},
		"a token":              {do("token"), "verify_failed", 401, "denied"},
		"a connection":         {do("connection"), "verify_failed", 401, "denied"},
		"a hundred signatures": {do("signs"), "verify_failed", 401, "16"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			taken, err := v.h.Webhooks.Receive(t.Context(), tt.give)
			if f := fault.From(err); f == nil || f.Code != tt.code || fault.Status(f) != tt.status {
				t.Errorf("got %+v, %v, want %s with %d", taken, err, tt.code, tt.status)
			}
			if f := fault.From(err); f == nil || !strings.Contains(fault.From(f.Err).Message, tt.says) {
				t.Errorf("the operator reads %v, want %q in it", err, tt.says)
			}
			if err != nil && strings.Contains(err.Error(), v.secret) {
				t.Errorf("the secret is in the error: %v", err)
			}
		})
	}
	t.Cleanup(func() {
		if all := v.h.Webhooks.Refused(v.endpoint.ID); len(all) < 6 || all[0].Count < 1 || all[0].Reason == "" {
			t.Errorf("remembered refusals: %+v", all)
		}
	})
}

func TestAReplacedSecretCountsForPluginsToo(t *testing.T) {
	t.Parallel()
	v := setupVerify(t)
	_, fresh, err := v.h.Endpoints.Rotate(t.Context(), v.tenant.ID, v.endpoint.ID, "", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for id, secret := range map[string]string{"old": v.secret, "new": fresh} {
		if taken, err := v.h.Webhooks.Receive(t.Context(), v.signed(id, "a", secret, time.Now())); err != nil || taken.Execution == "" {
			t.Errorf("signed with the %s secret: got %+v, %v", id, taken, err)
		}
	}
	if _, _, err := v.h.Endpoints.Rotate(t.Context(), v.tenant.ID, v.endpoint.ID, "", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := v.h.Webhooks.Receive(t.Context(), v.signed("late", "a", fresh, time.Now())); fault.From(err) == nil {
		t.Error("a secret that counts no more was taken")
	}
}

func TestASampleIsJudgedByThePlugin(t *testing.T) {
	t.Parallel()
	v := setupVerify(t)
	d := v.signed("d-9", "a", v.secret, time.Now())
	for name, want := range map[string]bool{"as it came": true, "changed": false} {
		s := webhook.Sample{Endpoint: v.endpoint.ID}
		s.Method, s.Header, s.Body = http.MethodPost, d.Header, d.Body
		if !want {
			s.Body = []byte("b")
		}
		report, err := v.h.Webhooks.Try(t.Context(), v.tenant.ID, s)
		if err != nil || report.Verified != want || len(report.Steps) != 1 || want != (report.DeliveryID == "d-9") {
			t.Errorf("%s: got %+v, %v", name, report, err)
		}
	}
	if n := len(v.events(t)); n != 0 {
		t.Errorf("%d events are stored", n)
	}
	if _, err := v.h.Webhooks.SignSample(t.Context(), v.tenant.ID, v.endpoint.ID, "d", webhook.Sample{}.Request); fault.From(err) == nil || fault.From(err).Code != "cannot_sign" {
		t.Errorf("a sample was signed: %v", err)
	}
}
