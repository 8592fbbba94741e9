package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/connection"
)

const (
	pemChain = "-----BEGIN CERTIFICATE-----\nAQ==\n-----END CERTIFICATE-----\n"
	pemKey   = "-----BEGIN EC PARAMETERS-----\nAQ==\n-----END EC PARAMETERS-----\n"
)

// credentials as people have them, and their parts.
var credentials = map[string]struct {
	kind   connection.Type
	secret string
	want   string
}{
	"a token":                {connection.Bearer, "{t", `{"token":"{t"}`},
	"a user":                 {connection.Basic, "ada:with:colons", `{"username":"ada","password":"with:colons"}`},
	"an API key":             {connection.APIKey, "k", `{"key":"k"}`},
	"a shared secret":        {connection.HMAC, "k", `{"key":"k"}`},
	"one with an encoding":   {connection.HMAC, `{"key":"6b","key_encoding":"hex","key_id":"1"}`, `{"key":"6b","key_encoding":"hex","key_id":"1"}`},
	"a private key":          {connection.PrivateKey, pemKey, `{"private_key":` + string(textJSON(pemKey)) + `}`},
	"one with a name":        {connection.PrivateKey, "{\n" + `"private_key":"k","key_id":"1"}`, `{"private_key":"k","key_id":"1"}`},
	"AWS":                    {connection.AWS, `{"access_key_id":"a","secret_access_key":"s","region":"r","service":"v","session_token":"t"}`, `{"access_key_id":"a","secret_access_key":"s","session_token":"t","region":"r","service":"v"}`},
	"a certificate":          {connection.Certificate, pemKey + pemChain + "text\n" + pemChain, `{"private_key":` + string(textJSON(pemKey)) + `,"certificate":` + string(textJSON(pemChain+pemChain)) + `}`},
	"a certificate as parts": {connection.Certificate, `{"certificate":"c","private_key":"k"}`, `{"private_key":"k","certificate":"c"}`},
}

func TestCredentialsAreReadAsPeopleHaveThem(t *testing.T) {
	t.Parallel()
	for name, tt := range credentials {
		c, err := credentialOf(tt.kind, tt.secret)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(tt.want, string(credentialBody(c))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestCredentialsComeThroughStandardInput with all their lines, and parts.
func TestCredentialsComeThroughStandardInput(t *testing.T) {
	t.Parallel()
	for name, tt := range credentials {
		a := &app{terminal: terminal{in: strings.NewReader(tt.secret + "\n"), out: io.Discard, err: io.Discard}}
		c, err := a.readCredential(tt.kind)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want, err := credentialOf(tt.kind, strings.TrimRight(tt.secret, "\n"))
		if diff := cmp.Diff(string(credentialBody(want)), string(credentialBody(c))); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestWrongCredentialsAreNotQuoted(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		kind   connection.Type
		secret string
		want   string
	}{
		"a user alone":        {connection.Basic, "hunter2", "USER:PASSWORD"},
		"AWS as text":         {connection.AWS, "hunter2", "is an object of JSON"},
		"another part":        {connection.AWS, `{"hunter2":"hunter2"}`, "is no object of the parts"},
		"another type":        {connection.HMAC, `{"key":["hunter2"]}`, "is no object of the parts"},
		"half an object":      {connection.PrivateKey, `{"private_key":"hunter2`, "is no object of the parts"},
		"more than an object": {connection.Certificate, `{"certificate":"hunter2"} hunter2`, "is no object of the parts"},
	} {
		_, err := credentialOf(tt.kind, tt.secret)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, want %q in it", name, err, tt.want)
		}
		a := &app{terminal: terminal{in: strings.NewReader(tt.secret), out: io.Discard, err: io.Discard}}
		var usage *usageError
		if _, err := a.readCredential(tt.kind); !errors.As(err, &usage) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s, on standard input: got %v, want that it is wrong", name, err)
		}
	}
	a := &app{terminal: terminal{in: bytes.NewReader(nil), out: io.Discard, err: io.Discard}}
	if _, err := a.readCredential(connection.PrivateKey); err == nil || !strings.Contains(err.Error(), "no secret on standard input") {
		t.Errorf("nothing: got %v", err)
	}
}

func FuzzCredentialOf(f *testing.F) {
	for _, tt := range credentials {
		f.Add(string(tt.kind), tt.secret)
	}
	f.Fuzz(func(t *testing.T, kind, secret string) {
		c, err := credentialOf(connection.Type(kind), secret)
		if err == nil && !json.Valid(credentialBody(c)) {
			t.Errorf("%q gives no JSON", secret)
		}
	})
}
