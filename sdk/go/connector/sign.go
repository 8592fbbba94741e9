package connector

import (
	"encoding/base64"
	"time"
	"unicode/utf8"
)

// Sign has the host sign with the key of a connection, which the connector never sees.
// The algorithm is one that the connection has under Connection.Sign, in the same
// words. A connection that is not granted, or has no such key, is an error with
// code.NoConnection; an algorithm that the manifest does not ask for is code.Denied.
type Sign struct{ client client }

// Signature is an HMAC, written in two ways.
type Signature struct {
	Hex    string `json:"hex"`
	Base64 string `json:"base64"`
}

// HMAC signs a payload with a shared secret, by hmac-sha1, hmac-sha256, hmac-sha384 or
// hmac-sha512. It takes a connection of the type HMAC.
func (s Sign) HMAC(connection, algorithm string, payload []byte) (Signature, error) {
	r := signRequest{Connection: connection, Algorithm: algorithm}
	if text := string(payload); utf8.Valid(payload) {
		r.Payload = &text
	} else {
		r.PayloadBase64 = base64.StdEncoding.EncodeToString(payload)
	}
	var signature Signature
	err := s.client.sign(r, &signature)
	return signature, err
}

// JWT makes a JSON web token of claims, which are anything with the JSON form of an
// object. The host adds iat and exp. A lifetime of 0 is the host's, five minutes; an
// hour is the most. It takes a connection of the type PrivateKey, or HMAC for HS256,
// HS384 and HS512.
func (s Sign) JWT(connection, algorithm string, claims any, lifetime time.Duration) (token string, expires time.Time, err error) {
	var result struct {
		Token     string    `json:"token"`
		ExpiresAt time.Time `json:"expires_at"`
	}
	err = s.client.sign(signRequest{Connection: connection, Algorithm: algorithm, Claims: claims, LifetimeS: seconds(lifetime)}, &result)
	return result.Token, result.ExpiresAt, err
}

// SigV4 makes a URL that AWS takes as signed, for whoever has it. It is at one of the
// connection's hosts; the lifetime is as that of a token. It takes a connection of the
// type AWS, which needs none of this for its own requests: the host signs them.
func (s Sign) SigV4(connection, method, url string, lifetime time.Duration) (signed string, expires time.Time, err error) {
	var result struct {
		URL       string    `json:"url"`
		ExpiresAt time.Time `json:"expires_at"`
	}
	err = s.client.sign(signRequest{Connection: connection, Algorithm: "aws-sigv4", Method: method, URL: url, LifetimeS: seconds(lifetime)}, &result)
	return result.URL, result.ExpiresAt, err
}

type signRequest struct {
	Connection    string  `json:"connection"`
	Algorithm     string  `json:"algorithm"`
	Payload       *string `json:"payload,omitempty"`
	PayloadBase64 string  `json:"payload_base64,omitempty"`
	Claims        any     `json:"claims,omitempty"`
	Method        string  `json:"method,omitempty"`
	URL           string  `json:"url,omitempty"`
	LifetimeS     *int64  `json:"lifetime_s,omitempty"`
}

func seconds(lifetime time.Duration) *int64 {
	if lifetime == 0 {
		return nil
	}
	s := int64(lifetime / time.Second)
	return &s
}

// signer is a Host with the function by itself. What is called by its name in Host.Call
// is an import of every connector; this one is linked only into those that sign, for
// hosts that have no such function run the others.
type signer interface {
	Sign(request []byte) (answer []byte)
}

func (c client) sign(request signRequest, result any) error {
	if s, ok := c.host.(signer); ok {
		return client{signs{c.host, s}}.ask("sign", request, result)
	}
	return c.ask("sign", request, result)
}

// signs is a Host all of whose calls sign.
type signs struct {
	Host

	signer signer
}

func (s signs) Call(_ string, request []byte) []byte { return s.signer.Sign(request) }
