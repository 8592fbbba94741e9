package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/webhook"
)

func hmacSHA256(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

func ExampleSign() {
	headers, err := webhook.Sign("github", "It's a Secret to Everybody", "72d3162e", time.Time{}, []byte("Hello, World!"))
	fmt.Println(headers.Get("X-Hub-Signature-256"), err)
	// Output: sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17 <nil>
}

func TestSchemes(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff([]string{"github", "standard-webhooks"}, webhook.Schemes()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestNewSecretCanBeUsed(t *testing.T) {
	t.Parallel()
	for _, scheme := range webhook.Schemes() {
		first, err := webhook.NewSecret(scheme)
		if err != nil {
			t.Fatal(err)
		}
		if err := webhook.CheckSecret(scheme, first); err != nil {
			t.Errorf("%s: %v", scheme, err)
		}
		if second, err := webhook.NewSecret(scheme); err != nil || second == first {
			t.Errorf("%s: got the same secret twice, or %v", scheme, err)
		}
	}
}

func TestCheckSecret(t *testing.T) {
	t.Parallel()
	whsec := func(n int) string { return "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, n)) }
	tests := []struct{ name, scheme, secret, want string }{
		{"of 8 bytes", "github", "12345678", ""},
		{"of 256 bytes", "github", strings.Repeat("é", 128), ""},
		{"that looks like another scheme's", "github", whsec(24), ""},
		{"empty", "github", "", "8 to 256"},
		{"of 7 bytes", "github", "1234567", "8 to 256"},
		{"of 257 bytes", "github", strings.Repeat("x", 257), "8 to 256"},
		{"with a line break", "github", "12345678\n", "line break"},
		{"with a space before", "github", " 12345678", "space"},
		{"of 24 bytes", "standard-webhooks", whsec(24), ""},
		{"of 64 bytes", "standard-webhooks", whsec(64), ""},
		{"empty", "standard-webhooks", "", "whsec_"},
		{"the prefix alone", "standard-webhooks", "whsec_", "0 bytes"},
		{"of 23 bytes", "standard-webhooks", whsec(23), "23 bytes"},
		{"of 65 bytes", "standard-webhooks", whsec(65), "65 bytes"},
		{"without prefix", "standard-webhooks", whsec(24)[6:], "whsec_"},
		{"a public key", "standard-webhooks", "whpk_" + whsec(32)[6:], "whsec_"},
		{"that is not base64", "standard-webhooks", "whsec_" + strings.Repeat("?", 32), "base64"},
		{"of URL-safe base64", "standard-webhooks", "whsec_" + strings.Repeat("_", 32), "base64"},
		{"without padding", "standard-webhooks", strings.TrimRight(whsec(25), "="), "base64"},
		{"with a line break", "standard-webhooks", whsec(24)[:20] + "\n" + whsec(24)[20:], "line break"},
	}
	for _, tt := range tests {
		t.Run(tt.scheme+"/"+tt.name, func(t *testing.T) {
			t.Parallel()
			got := fault.From(webhook.CheckSecret(tt.scheme, tt.secret))
			if tt.want == "" {
				if got != nil {
					t.Error(got)
				}
				return
			}
			if got == nil || got.Code != "invalid_secret" || !strings.Contains(got.Message, tt.want) {
				t.Fatalf("got %v, want invalid_secret with %q", got, tt.want)
			}
			if len(tt.secret) > 8 && strings.Contains(got.Error(), tt.secret) {
				t.Errorf("the secret is in the error: %v", got)
			}
		})
	}
}

func TestUnknownSchemesAreNamed(t *testing.T) {
	t.Parallel()
	_, newErr := webhook.NewSecret("stripe")
	_, signErr := webhook.Sign("stripe", "12345678", "one", time.Time{}, nil)
	for name, err := range map[string]error{"new": newErr, "check": webhook.CheckSecret("stripe", "12345678"), "sign": signErr} {
		got := fault.From(err)
		if got == nil || got.Code != "unknown_scheme" || !strings.Contains(got.Message, "github and standard-webhooks") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestSignRefusesABadSecret(t *testing.T) {
	t.Parallel()
	if _, err := webhook.Sign("github", "", "one", time.Time{}, nil); err == nil {
		t.Error("signed without a secret")
	}
}
