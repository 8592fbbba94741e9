// Package peertest_test holds what host/webhook/signature says of vendors against the vendors'
// own libraries: what we sign they accept, what they sign we accept, and neither takes what
// was changed on the way. It is a module of its own, for the libraries are large.
package peertest_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/webhook/signature"
	"github.com/google/go-github/v74/github"
	"github.com/slack-go/slack"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stripe/stripe-go/v82/webhook"
	svix "github.com/svix/svix-webhooks/go"
	twilio "github.com/twilio/twilio-go/client"
)

// peer is a vendor's library.
type peer struct {
	scheme string
	secret func() string
	// accepts verifies a delivery as the vendor's customers do.
	accepts func(r signature.Request, secret string) error
	// signs makes the headers of one, if the library can.
	signs func(body []byte, secret string, at time.Time) (http.Header, error)
	// contentType is that of its deliveries; JSON if it is empty.
	contentType string
}

func random(prefix string) func() string {
	return func() string {
		b := make([]byte, 32)
		rand.Read(b)
		return prefix + base64.StdEncoding.EncodeToString(b)
	}
}

// address is the public URL that vendors were given.
const address = "https://hooks.example/hooks/end_1"

var errRefused = errors.New("refused")

func peers() map[string]peer {
	return map[string]peer{
		"stripe-go": {
			scheme: "stripe", secret: random("whsec_"),
			accepts: func(r signature.Request, secret string) error {
				return webhook.ValidatePayload(r.Body, r.Header.Get("Stripe-Signature"), secret)
			},
			signs: func(body []byte, secret string, at time.Time) (http.Header, error) {
				signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: body, Secret: secret, Timestamp: at})
				return http.Header{"Stripe-Signature": {signed.Header}}, nil
			},
		},
		"standard-webhooks": {
			scheme: "standard-webhooks", secret: random("whsec_"),
			accepts: func(r signature.Request, secret string) error {
				w, err := standardwebhooks.NewWebhook(secret)
				return errors.Join(err, w.Verify(r.Body, r.Header))
			},
			signs: func(body []byte, secret string, at time.Time) (http.Header, error) {
				w, err := standardwebhooks.NewWebhook(secret)
				if err != nil {
					return nil, err
				}
				signed, err := w.Sign("msg_1", at, body)
				return http.Header{"Webhook-Id": {"msg_1"}, "Webhook-Timestamp": {strconv.FormatInt(at.Unix(), 10)}, "Webhook-Signature": {signed}}, err
			},
		},
		"svix": {
			scheme: "standard-webhooks", secret: random("whsec_"),
			accepts: func(r signature.Request, secret string) error {
				w, err := svix.NewWebhook(secret)
				return errors.Join(err, w.Verify(r.Body, r.Header))
			},
			signs: func(body []byte, secret string, at time.Time) (http.Header, error) {
				w, err := svix.NewWebhook(secret)
				if err != nil {
					return nil, err
				}
				signed, err := w.Sign("msg_2", at, body)
				return http.Header{"Svix-Id": {"msg_2"}, "Svix-Timestamp": {strconv.FormatInt(at.Unix(), 10)}, "Svix-Signature": {signed}}, err
			},
		},
		"slack-go": {
			scheme: "slack", secret: rand.Text,
			accepts: func(r signature.Request, secret string) error {
				v, err := slack.NewSecretsVerifier(r.Header, secret)
				if err != nil {
					return err
				}
				_, err = v.Write(r.Body)
				return errors.Join(err, v.Ensure())
			},
		},
		"go-github": {
			scheme: "github", secret: rand.Text,
			accepts: func(r signature.Request, secret string) error {
				return github.ValidateSignature(r.Header.Get(github.SHA256SignatureHeader), r.Body, []byte(secret))
			},
		},
		"twilio-go": {
			scheme: "twilio", secret: rand.Text, contentType: "application/x-www-form-urlencoded",
			accepts: func(r signature.Request, secret string) error {
				v := twilio.NewRequestValidator(secret)
				form, err := url.ParseQuery(string(r.Body))
				params := map[string]string{}
				for name := range form {
					params[name] = form.Get(name)
				}
				if err == nil && !v.Validate(r.URL, params, r.Header.Get("X-Twilio-Signature")) {
					err = errRefused
				}
				return err
			},
		},
		"twilio-go, JSON": {
			scheme: "twilio", secret: rand.Text,
			accepts: func(r signature.Request, secret string) error {
				v := twilio.NewRequestValidator(secret)
				if !v.ValidateBody(r.URL+"?"+r.Query, r.Body, r.Header.Get("X-Twilio-Signature")) {
					return errRefused
				}
				return nil
			},
		},
	}
}

// bodies are of the peer's content type.
func (p peer) bodies() [][]byte {
	if p.contentType != "" {
		return [][]byte{[]byte("Body=caf%C3%A9+%2B1&From=%2B15551234567"), []byte("A=&a=1&B=x%26y")}
	}
	return [][]byte{
		[]byte(`{"id":"evt_1","type":"test"}`), []byte("{\n  \"id\": \"é\\u00e9\",\r\n\t\"n\": 1.0\n}\r\n"),
		fmt.Appendf(nil, `{"id":"evt_2","text":%q}`, strings.Repeat("x", 100_000)),
	}
}

// outgoing is a delivery that is to be signed.
func (p peer) outgoing(t *testing.T, name string, body []byte, secret string, at time.Time) signature.Outgoing {
	t.Helper()
	o := signature.Outgoing{
		Request: signature.Request{Method: http.MethodPost, URL: address, Header: http.Header{"Content-Type": {"application/json"}}, Body: body},
		Secret:  secret, ID: "72d3162e", At: at,
	}
	if p.contentType != "" {
		o.Header.Set("Content-Type", p.contentType)
	}
	if strings.HasSuffix(name, ", JSON") {
		o.Query = "bodySHA256=" + fmt.Sprintf("%x", sha256.Sum256(body))
	}
	return o
}

func TestWhatWeSignTheVendorsLibraryAccepts(t *testing.T) {
	t.Parallel()
	for name, p := range allPeers(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scheme, secret := find(t, p.scheme), p.secret()
			for _, body := range p.bodies() {
				r, err := scheme.Sign(p.outgoing(t, name, body, secret, time.Now()))
				if err != nil {
					t.Fatal(err)
				}
				if err := p.accepts(r, secret); err != nil {
					t.Errorf("%.40q: the library says %v", body, err)
				}
				if err := verify(t, scheme, r, secret, time.Now()); err != nil {
					t.Errorf("%.40q: we say %v", body, err)
				}
				if p.accepts(r, p.secret()) == nil || verify(t, scheme, r, p.secret(), time.Now()) == nil {
					t.Errorf("%.40q: somebody took another secret", body)
				}
				for _, at := range []int{0, len(body) / 2, len(body) - 1} {
					changed := r
					changed.Body = bytes.Clone(body)
					changed.Body[at] ^= 1
					if p.accepts(changed, secret) == nil {
						t.Errorf("%.40q: the library took a change of byte %d", body, at)
					}
					if verify(t, scheme, changed, secret, time.Now()) == nil {
						t.Errorf("%.40q: we took a change of byte %d", body, at)
					}
				}
			}
		})
	}
}

func TestWhatTheVendorsLibrarySignsWeAccept(t *testing.T) {
	t.Parallel()
	for name, p := range allPeers(t) {
		if p.signs == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scheme, secret, now := find(t, p.scheme), p.secret(), time.Now()
			for _, body := range p.bodies() {
				for off, want := range map[time.Duration]bool{0: true, -299 * time.Second: true, -302 * time.Second: false} {
					header, err := p.signs(body, secret, now.Add(off))
					if err != nil {
						t.Fatal(err)
					}
					if p.contentType != "" {
						header.Set("Content-Type", p.contentType)
					}
					r := signature.Request{Method: http.MethodPost, URL: address, Header: header, Body: body}
					want := want || scheme.Timestamp.ToleranceSeconds == 0 // Some sign no time.
					if got := verify(t, scheme, r, secret, now); (got == nil) != want {
						t.Errorf("%.40q of %s ago: %v", body, -off, got)
					}
					r.Body = append(bytes.Clone(body), ' ')
					if verify(t, scheme, r, secret, now) == nil {
						t.Errorf("%.40q: a byte more was taken", body)
					}
				}
			}
		})
	}
}

func find(t *testing.T, name string) *signature.Scheme {
	t.Helper()
	s, err := signature.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func verify(t *testing.T, s *signature.Scheme, r signature.Request, secret string, now time.Time) error {
	t.Helper()
	_, err := s.Verify(t.Context(), signature.Case{Request: r, Secrets: []string{secret}, Now: now})
	return err
}
