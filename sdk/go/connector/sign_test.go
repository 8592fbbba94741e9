package connector_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

// signing is a host that has sign by itself, as the sandbox does.
type signing struct{ script }

func (s *signing) Sign(request []byte) []byte { return s.Call("sign", request) }

func TestSignaturesAreAskedAsTheContractSays(t *testing.T) {
	t.Parallel()
	until := time.Date(2026, 1, 2, 3, 9, 5, 0, time.UTC)
	tests := map[string]struct {
		answer, want string
		do           func(s connector.Sign) error
	}{
		"an HMAC of text": {
			`{"hex":"0a","base64":"Cg=="}`, `sign {"connection":"shop","algorithm":"hmac-sha256","payload":"a=1"}`,
			func(s connector.Sign) error {
				got, err := s.HMAC("shop", "hmac-sha256", []byte("a=1"))
				if got != (connector.Signature{Hex: "0a", Base64: "Cg=="}) {
					t.Errorf("got %+v", got)
				}
				return err
			},
		},
		"an HMAC of nothing": {
			`{}`, `sign {"connection":"shop","algorithm":"hmac-sha1","payload":""}`,
			func(s connector.Sign) error {
				_, err := s.HMAC("shop", "hmac-sha1", nil)
				return err
			},
		},
		"an HMAC of bytes": {
			`{}`, `sign {"connection":"shop","algorithm":"hmac-sha512","payload_base64":"/w=="}`,
			func(s connector.Sign) error {
				_, err := s.HMAC("shop", "hmac-sha512", []byte{0xff})
				return err
			},
		},
		"a token": {
			`{"token":"a.b.c","expires_at":"2026-01-02T03:09:05Z"}`, `sign {"connection":"app","algorithm":"RS256","claims":{"iss":"123"}}`,
			func(s connector.Sign) error {
				token, expires, err := s.JWT("app", "RS256", map[string]string{"iss": "123"}, 0)
				if token != "a.b.c" || !expires.Equal(until) {
					t.Errorf("got %q, %v", token, expires)
				}
				return err
			},
		},
		"a token for a while": {
			`{"token":"a.b.c","expires_at":"2026-01-02T03:09:05Z"}`, `sign {"connection":"app","algorithm":"ES256","claims":{},"lifetime_s":600}`,
			func(s connector.Sign) error {
				_, _, err := s.JWT("app", "ES256", struct{}{}, 10*time.Minute)
				return err
			},
		},
		"a URL": {
			`{"url":"https://b.example/k?X-Amz-Signature=1","expires_at":"2026-01-02T03:09:05Z"}`,
			`sign {"connection":"aws","algorithm":"aws-sigv4","method":"PUT","url":"https://b.example/k","lifetime_s":60}`,
			func(s connector.Sign) error {
				signed, expires, err := s.SigV4("aws", "PUT", "https://b.example/k", time.Minute)
				if signed != "https://b.example/k?X-Amz-Signature=1" || !expires.Equal(until) {
					t.Errorf("got %q, %v", signed, expires)
				}
				return err
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plain := &script{answers: map[string]string{"sign": `{"result":` + tt.answer + `}`}}
			own := &signing{script{answers: plain.answers}}
			mustDo(t, plain, func(ctx *connector.Context) error { return tt.do(ctx.Sign) })
			mustDo(t, own, func(ctx *connector.Context) error { return tt.do(ctx.Sign) })
			for _, asked := range [][]string{plain.asked, own.asked} {
				if !slices.Equal(asked, []string{tt.want}) {
					t.Errorf("got  %q\nwant %q", asked, tt.want)
				}
			}
		})
	}
}

func TestRefusedSignaturesSayWhy(t *testing.T) {
	t.Parallel()
	host := &signing{script{answers: map[string]string{"sign": `{"error":{"code":"no_connection","message":"connection \"app\": grant one"}}`}}}
	mustDo(t, host, func(ctx *connector.Context) error {
		_, _, err := ctx.Sign.JWT("app", "RS256", struct{}{}, 0)
		if got := failureOf(t, err); got.Code != code.NoConnection || got.Message != `sign: connection "app": grant one` {
			t.Errorf("got %v", got)
		}
		_, _, err = ctx.Sign.JWT("app", "RS256", func() {}, 0)
		if got := failureOf(t, err); got.Code != code.PluginBug || !strings.HasPrefix(got.Message, "sign: encode the request") {
			t.Errorf("claims without a JSON form: got %v", got)
		}
		return nil
	})
}
