package connector_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/connectortest"
)

// acme verifies by a header that is the HMAC of id, time and body.
func acme() connector.Connector {
	return connector.Connector{
		Name: "acme", Version: "1.0.0",
		Webhooks: []connector.Webhook{{
			Name: "orders",
			Run:  func(*connector.Context, connector.Delivery) (any, error) { return nil, nil },
			Verify: func(ctx *connector.Context, d connector.Incoming) (connector.Verdict, error) {
				id, given := d.Header.Get("X-Id"), d.Header.Get("x-signature")
				switch {
				case d.Method == http.MethodGet:
					return connector.Respond(connector.HandshakeResponse{Status: 200, JSON: map[string]string{"echo": d.Query}}), nil
				case given == "":
					return connector.Refuse(connector.SignatureMissing, "no X-Signature"), nil
				case id == "log":
					ctx.Log.Info("nobody reads it")
					return connector.Verdict{}, ctx.State.Set("a", 1)
				}
				want, err := ctx.Sign.HMAC(connector.SecretHex, "hmac-sha512", append([]byte(id+d.URL), d.Body...))
				if err != nil {
					return connector.Verdict{}, err
				}
				if !want.Is(given) {
					return connector.Refuse(connector.SignatureInvalid, ""), nil
				}
				return connector.Accept(id, d.ReceivedAt), nil
			},
		}},
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	host := connectortest.New(t, acme(), connectortest.Options{})
	var manifest struct{ Webhooks []map[string]any }
	if err := json.Unmarshal(host.Describe(), &manifest); err != nil || manifest.Webhooks[0]["verify"] != true || manifest.Webhooks[0]["scheme"] != nil {
		t.Errorf("the manifest has %v, %v", manifest.Webhooks, err)
	}
	now := time.Unix(1_700_000_000, 0)
	in := connector.Incoming{ReceivedAt: now, URL: "https://a.example/h", Header: connector.Header{"X-Id": {"7"}}, Body: []byte("a\xff")}
	in.Header["X-Signature"] = []string{"0F"}
	// printf '7https://a.example/ha\xff' | openssl dgst -sha512 -mac HMAC -macopt hexkey:00ff
	const right = "3cf4639d678a5537a8923017bbb2541de847c414aa31efc61a1be44cf7c753eaf8883b57b5e7c45c76499a01064f84ce08207ac2f2a6ea617d849f492a36395a"
	if v, err := host.Verify("orders", "00ff", in); err != nil || v.Accepted || v.Code != connector.SignatureInvalid {
		t.Errorf("another signature: got %+v, %v", v, err)
	}
	in.Header["X-Signature"] = []string{right}
	if v, err := host.Verify("orders", "00ff", in); err != nil || !v.Accepted || v.ID != "7" || !v.SignedAt.Equal(now) {
		t.Errorf("the right one: got %+v, %v", v, err)
	}
	in.Body[0]++
	if v, _ := host.Verify("orders", "00ff", in); v.Accepted {
		t.Error("a changed body was accepted")
	}
	if v, err := host.Verify("orders", "00ff", connector.Incoming{}); err != nil || v.Code != connector.SignatureMissing || v.Message == "" {
		t.Errorf("unsigned: got %+v, %v", v, err)
	}
	if v, err := host.Verify("orders", "00ff", connector.Incoming{Method: "GET", Query: "c=1"}); err != nil || !v.Accepted || v.Response == nil || v.Response.Status != 200 {
		t.Errorf("the handshake: got %+v, %v", v, err)
	}
	if _, err := host.Verify("orders", "no hex", in); failureOf(t, err).Code != code.NoConnection {
		t.Errorf("a secret of another form: %v", err)
	}
	in.Header["X-Id"] = []string{"log"}
	if _, err := host.Verify("orders", "00ff", in); failureOf(t, err).Code != code.Denied || len(host.Logs()) != 0 {
		t.Errorf("a write: %v", err)
	}
	if _, err := host.Verify("other", "00ff", in); failureOf(t, err).Code != code.InvalidInput {
		t.Errorf("an unknown webhook: %v", err)
	}
}

func TestAWebhookIsVerifiedInOneWay(t *testing.T) {
	t.Parallel()
	c := acme()
	c.Webhooks[0].Scheme = "github"
	if _, err := c.Call(&script{}, "describe", nil); err == nil || !strings.Contains(err.Error(), "keep one of them") {
		t.Errorf("got %v", err)
	}
}

func TestASignatureIsNotNothing(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]bool{"0a": true, "Cg==": true, "0A": false, "": false, "0": false} {
		if got := (connector.Signature{Hex: "0a", Base64: "Cg=="}).Is(given); got != want {
			t.Errorf("%q is it: %t", given, got)
		}
	}
	if (connector.Signature{}).Is("") {
		t.Error("nothing is the signature of nothing")
	}
}
