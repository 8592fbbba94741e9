package connectortest_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/connectortest"
)

// signer is a connector whose test does f, with connections that sign.
func signer(f func(ctx *connector.Context) error) connector.Connector {
	hosts := []string{"api.example.com"}
	return connector.Connector{
		Name: "signer", Version: "0.1.0", Test: f,
		Connections: []connector.Connection{
			{Name: "shared", Type: connector.HMAC, Hosts: hosts, Sign: []string{"hmac-sha256", "HS256"}},
			{Name: "body", Type: connector.HMAC, Header: "X-Signature", Hosts: hosts},
			{Name: "app", Type: connector.PrivateKey, Hosts: hosts, Sign: []string{"RS256"}},
			{Name: "aws", Type: connector.AWS, Hosts: hosts, Sign: []string{"aws-sigv4"}},
			{Name: "cert", Type: connector.Certificate, Hosts: hosts},
		},
		Egress: []connector.Egress{{Host: "api.example.com", Methods: []string{"GET"}}},
	}
}

func TestSignaturesAreMadeWithoutKeys(t *testing.T) {
	t.Parallel()
	var digest connector.Signature
	var token, signed string
	var expires time.Time
	host := connectortest.New(t, signer(func(ctx *connector.Context) (err error) {
		if digest, err = ctx.Sign.HMAC("shared", "hmac-sha256", []byte{0xff}); err != nil {
			return err
		}
		if token, expires, err = ctx.Sign.JWT("app", "RS256", map[string]string{"iss": "123"}, time.Minute); err != nil {
			return err
		}
		signed, _, err = ctx.Sign.SigV4("aws", "GET", "https://api.example.com/k?a=1", 0)
		return err
	}), connectortest.Options{})
	if err := host.Test(); err != nil {
		t.Fatal(err)
	}
	if raw, err := hex.DecodeString(digest.Hex); err != nil || string(raw) != connectortest.Signature("shared") {
		t.Errorf("the HMAC: got %+v", digest)
	}
	parts := strings.Split(token, ".")
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	var told struct {
		Iss      string
		Iat, Exp int64
	}
	if err != nil || json.Unmarshal(claims, &told) != nil || told.Iss != "123" || told.Exp-told.Iat != 60 || expires.Unix() != told.Exp {
		t.Errorf("the token: got %s, until %v", claims, expires)
	}
	if want := "https://api.example.com/k?X-Amz-Signature=signature-of-aws&a=1"; signed != want {
		t.Errorf("got %s, want %s", signed, want)
	}
	all := host.Signed()
	if len(all) != 3 || string(all[0].Payload) != "\xff" || string(all[1].Claims) != `{"iss":"123"}` || all[1].Lifetime != time.Minute || all[2].Method != http.MethodGet {
		t.Errorf("got %+v", all)
	}
}

func TestOnlyWhatTheManifestAsksForIsSigned(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		do   func(s connector.Sign) error
		want code.Code
	}{
		"another algorithm": {func(s connector.Sign) error {
			_, err := s.HMAC("shared", "hmac-sha512", nil)
			return err
		}, code.Denied},
		"another connection": {func(s connector.Sign) error {
			_, err := s.HMAC("other", "hmac-sha256", nil)
			return err
		}, code.Denied},
		"what is not granted": {func(s connector.Sign) error {
			_, _, err := s.JWT("app", "RS256", struct{}{}, 0)
			return err
		}, code.NoConnection},
		"claims that the host sets": {func(s connector.Sign) error {
			_, _, err := s.JWT("shared", "HS256", map[string]int{"exp": 1}, 0)
			return err
		}, code.InvalidRequest},
		"claims that are none": {func(s connector.Sign) error {
			_, _, err := s.JWT("shared", "HS256", []int{1}, 0)
			return err
		}, code.InvalidRequest},
		"a day": {func(s connector.Sign) error {
			_, _, err := s.JWT("shared", "HS256", struct{}{}, 24*time.Hour)
			return err
		}, code.InvalidRequest},
		"a moment": {func(s connector.Sign) error {
			_, _, err := s.JWT("shared", "HS256", struct{}{}, time.Millisecond)
			return err
		}, code.InvalidRequest},
		"a URL elsewhere": {func(s connector.Sign) error {
			_, _, err := s.SigV4("aws", "GET", "https://other.example/", 0)
			return err
		}, code.InvalidRequest},
		"a URL in the clear": {func(s connector.Sign) error {
			_, _, err := s.SigV4("aws", "GET", "http://api.example.com/", 0)
			return err
		}, code.InvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host := connectortest.New(t, signer(func(ctx *connector.Context) error { return tt.do(ctx.Sign) }),
				connectortest.Options{Connections: []string{"shared", "aws"}})
			if err := host.Test(); codeOf(t, err) != tt.want || len(host.Signed()) != 0 {
				t.Errorf("got %v, and %+v", err, host.Signed())
			}
		})
	}
}

func TestKeysGoWithRequestsAsTheirTypeSays(t *testing.T) {
	t.Parallel()
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Header.Get("X-Signature")+r.Header.Get("Authorization"))
	})
	for connection, want := range map[string]string{
		"body": "signature-of-body", "aws": "AWS4-HMAC-SHA256 signature-of-aws", "cert": "", "shared": "denied", "app": "denied",
	} {
		var got string
		host := connectortest.New(t, signer(func(ctx *connector.Context) error {
			response, err := ctx.HTTP.Do(connector.Request{Connection: connection, URL: "https://api.example.com/"})
			if err == nil {
				got = string(response.Body)
			}
			return err
		}), connectortest.Options{HTTP: api})
		if err := host.Test(); err != nil {
			got = string(codeOf(t, err))
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", connection, got, want)
		}
	}
}
