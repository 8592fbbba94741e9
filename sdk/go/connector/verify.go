package connector

import (
	"crypto/subtle"
	"encoding/json"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

// The names under which Verify has the endpoint's signing secret for Context.Sign.
const (
	// Secret is its text, as it is.
	Secret = "secret"
	// SecretBase64 and SecretHex are what its text is the base64 or the hexadecimal digits
	// of; "whsec_" before base64 is not a part of it.
	SecretBase64 = "secret.base64"
	SecretHex    = "secret.hex"
)

// Incoming is a request that claims to be a delivery.
type Incoming struct {
	// ReceivedAt is now.
	ReceivedAt time.Time
	// Method is POST for a delivery; vendors' handshakes may have others.
	Method string
	// URL is the one that the vendor was given, without a query; it is empty if the host
	// does not know it.
	URL string
	// Query is what follows the question mark, undecoded.
	Query string
	// Header is all that came.
	Header Header
	Body   []byte
}

// Verdict is what Verify decides. Make it with Accept, Refuse or Respond.
type Verdict struct {
	Accepted bool
	// ID is by what a second delivery of the same is known, and SignedAt when the vendor
	// signed it, of an accepted one.
	ID       string
	SignedAt time.Time
	// Code and Message say why it was refused, to the operator.
	Code    code.Code
	Message string
	// Response is the answer to a handshake.
	Response *HandshakeResponse
}

// HandshakeResponse is what a vendor wants to read that tries an endpoint.
type HandshakeResponse struct {
	// Status is from 200 to 299.
	Status int `json:"status"`
	// Text or JSON is the body; at most 2 KiB.
	Text string `json:"text,omitempty"`
	JSON any    `json:"json,omitempty"`
}

// Accept takes the delivery. A second one with the same id is not run again; without an id,
// one with the same body is not. The host refuses what was signed more than five minutes from
// now; a zero time says that the vendor signs none.
func Accept(id string, signedAt time.Time) Verdict {
	return Verdict{Accepted: true, ID: id, SignedAt: signedAt}
}

// Codes of Refuse.
const (
	SignatureMissing  code.Code = "signature_missing"
	SignatureInvalid  code.Code = "signature_invalid"
	DeliveryIDMissing code.Code = "delivery_id_missing"
	DeliveryRefused   code.Code = "delivery_refused"
)

// Refuse refuses the delivery. Whoever sent it is told the code at most, and the message is
// for the operator's log.
func Refuse(why code.Code, message string) Verdict { return Verdict{Code: why, Message: message} }

// Respond answers a handshake, which is no delivery: nothing runs.
func Respond(r HandshakeResponse) Verdict { return Verdict{Accepted: true, Response: &r} }

// Is compares the signature with one that came, in hexadecimal digits or in base64, in
// constant time.
func (s Signature) Is(given string) bool {
	isHex := subtle.ConstantTimeCompare([]byte(s.Hex), []byte(given))
	isBase64 := subtle.ConstantTimeCompare([]byte(s.Base64), []byte(given))
	return s.Hex != "" && isHex|isBase64 == 1
}

// wireIncoming is a request as sdk/ABI.md has it.
type wireIncoming struct {
	Method  string `json:"method"`
	URL     string `json:"url"`
	Query   string `json:"query"`
	Headers Header `json:"headers"`
	wireBody
}

// MarshalJSON gives the form of sdk/ABI.md.
func (d Incoming) MarshalJSON() ([]byte, error) {
	return json.Marshal(wireIncoming{d.Method, d.URL, d.Query, d.Header.lower(), bodyOf(d.Body)})
}

// MarshalJSON gives the form of sdk/ABI.md.
func (v Verdict) MarshalJSON() ([]byte, error) {
	w := struct {
		Accept    bool               `json:"accept"`
		ID        string             `json:"id,omitempty"`
		Timestamp int64              `json:"timestamp,omitempty"`
		Code      code.Code          `json:"code,omitempty"`
		Message   string             `json:"message,omitempty"`
		Respond   *HandshakeResponse `json:"respond,omitempty"`
	}{v.Accepted, v.ID, 0, v.Code, v.Message, v.Response}
	if !v.SignedAt.IsZero() {
		w.Timestamp = v.SignedAt.Unix()
	}
	return json.Marshal(w)
}

func (c Connector) verify(ctx *Context, env envelope) (any, error) {
	i := find(c.Webhooks, env.Verify, Webhook.name)
	if i < 0 {
		return nil, unknown("webhook", env.Verify, c.Webhooks, Webhook.name)
	}
	if c.Webhooks[i].Verify == nil {
		return nil, Errorf(code.InvalidInput, "webhook %q has no Verify", env.Verify)
	}
	var w wireIncoming
	if err := json.Unmarshal(env.Request, &w); err != nil {
		return nil, Errorf(code.InvalidInput, "read the request: %w", err)
	}
	return c.Webhooks[i].Verify(ctx, Incoming{
		ReceivedAt: env.Time, Method: w.Method, URL: w.URL, Query: w.Query, Header: w.Headers.lower(), Body: w.bytes(),
	})
}
