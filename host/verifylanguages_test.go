package host_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/webhook"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/sdk/build"
	"github.com/cofferdam-run/cofferdam/sdk/build/buildtest"
)

// TestPluginsOfEachLanguageVerify has the probes of the SDKs judge deliveries at a real
// endpoint: sdk/testdata/probe says what they do.
func TestPluginsOfEachLanguageVerify(t *testing.T) {
	t.Parallel()
	for _, language := range []string{"go", "rust", "c"} { // TypeScript's runs the same in sdk/tck.
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			switch language {
			case "rust":
				buildtest.NeedRust(t)
			case "c":
				buildtest.Need(t, "clang")
			}
			v := setupProbe(t, language, host.Config{})
			for name, tt := range v.deliveries(t) {
				_, err := v.h.Webhooks.Receive(t.Context(), tt.give)
				if f := fault.From(err); tt.code == "" && err != nil || tt.code != "" && (f == nil || f.Code != tt.code || fault.Status(f) != 401) {
					t.Errorf("%s: got %v, want %q", name, err, tt.code)
				}
			}
		})
	}
}

func setupProbe(t *testing.T, language string, c host.Config) *verified {
	t.Helper()
	c.Store, c.PublicURL = openStore(t), "https://hooks.example"
	v := &verified{bundle: runHost(t, c)}
	publisher, err := v.h.Plugins.PublisherOf(t.Context(), registry.Viewer{Operator: true})
	if err != nil {
		t.Fatalf("find publisher: %v", err)
	}
	plugin, err := build.Project(t.Context(), "../sdk/tck/testdata/probe-"+language, build.Options{
		NoCheck: true, CacheDir: runtimetest.CacheDir(t), Schemes: webhook.Schemes(),
	})
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	if _, err := v.h.Plugins.Publish(t.Context(), publisher.ID, registry.Upload{Wasm: bytes.NewReader(plugin.Wasm)}); err != nil {
		t.Fatalf("publish: %v", err)
	}
	v.tenant = v.addTenant(t, "acme", tenant.Limits{})
	if _, err := v.h.Installations.Create(t.Context(), v.tenant.ID, installation.Spec{Plugin: "probe-" + language}); err != nil {
		t.Fatalf("install: %v", err)
	}
	v.endpoint, v.secret, err = v.h.Endpoints.Create(t.Context(), v.tenant.ID, endpoint.Spec{Installation: "probe-" + language, Webhook: "signed"})
	if err != nil {
		t.Fatalf("make endpoint: %v", err)
	}
	return v
}

// judged is a delivery, and the code with which it is refused.
type judged struct {
	give webhook.Delivery
	code string
}

// deliveries are a right one, and what a plugin or a sender may do wrong.
func (v *verified) deliveries(t *testing.T) map[string]judged {
	t.Helper()
	const body = "a\xff\x00b"
	path := "/hooks/" + v.endpoint.ID
	sum := hmac.New(sha256.New, []byte(v.secret))
	sum.Write([]byte("Hello|POST|https://hooks.example" + path + "||" + body))
	right := hex.EncodeToString(sum.Sum(nil))
	with := func(header http.Header) webhook.Delivery {
		return webhook.Delivery{Endpoint: v.endpoint.ID, Method: http.MethodPost, Path: path, Header: header, Body: []byte(body)}
	}
	all := map[string]judged{
		"right":   {with(http.Header{"X-Signature": {right}, "X-Id": {"d-1"}}), ""},
		"wrong":   {with(http.Header{"X-Signature": {strings.Repeat("0", 64)}, "X-Id": {"d-2"}}), "signature_invalid"},
		"missing": {with(http.Header{"X-Id": {"d-3"}}), "signature_missing"},
		"an unknown key": {
			with(http.Header{"X-Signature": {right}, "X-Secret": {"other"}}), "verify_failed",
		},
		"of another time": {with(http.Header{"X-Signature": {right}, "X-Time": {"1"}}), "timestamp_out_of_range"},
	}
	for _, what := range []string{"http", "state", "token", "bug", "spin"} {
		all[what] = judged{with(http.Header{"X-Signature": {right}, "X-Do": {what}}), "verify_failed"}
	}
	return all
}
