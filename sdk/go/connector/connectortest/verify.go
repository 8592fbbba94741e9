package connectortest

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"hash"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

// Verify asks a webhook's Verify of a request, for an endpoint with a signing secret. Unlike
// what connections sign here, its signatures are real: a vendor's examples can be tried. It
// can do nothing but have things signed, as in production.
func (h *Host) Verify(webhook, secret string, d connector.Incoming) (connector.Verdict, error) {
	h.t.Helper()
	if d.Method == "" {
		d.Method = "POST"
	}
	if d.ReceivedAt.IsZero() {
		d.ReceivedAt = time.Now()
	}
	h.calls++
	one := &call{host: h, number: h.calls, endpoint: &secret}
	out, err := h.call(one, "verify", h.encode("the input of verify", map[string]any{
		"verify": webhook, "time": d.ReceivedAt.UTC(), "request": d, "config": h.config,
	}))
	if err != nil {
		return connector.Verdict{}, h.overTheWire(err)
	}
	var v struct {
		Accept    bool
		ID        string
		Timestamp int64
		Code      code.Code
		Message   string
		Respond   *connector.HandshakeResponse
	}
	if err := json.Unmarshal(out, &v); err != nil {
		h.t.Fatalf("decode the output of verify: %v\n%s", err, out)
	}
	verdict := connector.Verdict{Accepted: v.Accept, ID: v.ID, Code: v.Code, Message: v.Message, Response: v.Respond}
	if v.Timestamp != 0 {
		verdict.SignedAt = time.Unix(v.Timestamp, 0)
	}
	return verdict, nil
}

// verifies answers what Verify asks.
func (c *call) verifies(function string, request []byte) (any, *failure) {
	if function != "sign" {
		return nil, refuse(code.Denied, "verify can ask for sign, and for nothing else: %q is denied", function)
	}
	return with(request, c.signDelivery)
}

// signDelivery signs with the endpoint's secret.
func (c *call) signDelivery(r signRequest) (any, *failure) {
	key, err := []byte(*c.endpoint), error(nil)
	switch r.Connection {
	case connector.Secret:
	case connector.SecretBase64:
		key, err = base64.StdEncoding.DecodeString(strings.TrimPrefix(*c.endpoint, "whsec_"))
	case connector.SecretHex:
		key, err = hex.DecodeString(*c.endpoint)
	default:
		return nil, refuse(code.Denied, "verify signs with %q, %q or %q", connector.Secret, connector.SecretBase64, connector.SecretHex)
	}
	if err != nil {
		return nil, refuse(code.NoConnection, "connection %q: the endpoint's secret is not of that form", r.Connection)
	}
	algorithms := map[string]func() hash.Hash{"hmac-sha1": sha1.New, "hmac-sha256": sha256.New, "hmac-sha384": sha512.New384, "hmac-sha512": sha512.New}
	algorithm := algorithms[r.Algorithm]
	if algorithm == nil {
		return nil, refuse(code.Denied, "verify signs by hmac-sha1, hmac-sha256, hmac-sha384 or hmac-sha512")
	}
	payload := r.PayloadBase64
	if r.Payload != nil {
		payload = []byte(*r.Payload)
	}
	sum := hmac.New(algorithm, key)
	sum.Write(payload)
	signature := sum.Sum(nil)
	return connector.Signature{Hex: hex.EncodeToString(signature), Base64: base64.StdEncoding.EncodeToString(signature)}, nil
}
