package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/connection"
)

// credentialOf reads a credential as people have it: a token, a key, USER:PASSWORD, PEM
// or, of a type with several parts, an object of JSON with those. Its errors never
// quote it.
func credentialOf(t connection.Type, secret string) (connection.Credential, error) {
	switch t {
	case connection.Basic:
		user, password, ok := strings.Cut(secret, ":")
		if !ok {
			return connection.Credential{}, errors.New("a basic credential is USER:PASSWORD")
		}
		return connection.Credential{Username: user, Password: password}, nil
	case connection.APIKey:
		return connection.Credential{Key: secret}, nil
	case connection.HMAC, connection.PrivateKey, connection.AWS, connection.Certificate:
		return keyOf(t, secret)
	default:
		return connection.Credential{Token: secret}, nil
	}
}

// keyOf reads a credential that signs, or is shown in a handshake.
func keyOf(t connection.Type, secret string) (connection.Credential, error) {
	var c connection.Credential
	if strings.HasPrefix(strings.TrimSpace(secret), "{") {
		d := json.NewDecoder(strings.NewReader(secret))
		d.DisallowUnknownFields()
		if d.Decode(&c) != nil || len(bytes.TrimSpace([]byte(secret)[d.InputOffset():])) > 0 { // Without the error, which may quote what it met.
			return connection.Credential{}, fmt.Errorf("it begins as JSON, and is no object of the parts that a credential has: %s", partsOf(t))
		}
		return c, nil
	}
	switch t {
	case connection.HMAC:
		return connection.Credential{Key: secret}, nil
	case connection.PrivateKey:
		return connection.Credential{PrivateKey: secret}, nil
	case connection.Certificate:
		c.Certificate, c.PrivateKey = splitPEM(secret)
		return c, nil
	default:
		return c, fmt.Errorf("a credential of type %s is an object of JSON: %s", t, partsOf(t))
	}
}

// partsOf shows an object of JSON with the parts of a type.
func partsOf(t connection.Type) string {
	return map[connection.Type]string{
		connection.HMAC:        `{"key":"...","key_encoding":"hex or base64, if it is","key_id":"..."}`,
		connection.PrivateKey:  `{"private_key":"-----BEGIN ...","key_id":"..."}`,
		connection.AWS:         `{"access_key_id":"...","secret_access_key":"...","region":"eu-west-1","service":"s3"}`,
		connection.Certificate: `{"certificate":"-----BEGIN ...","private_key":"-----BEGIN ..."}`,
	}[t]
}

// splitPEM tells a chain of certificates from its key, in whatever order they are.
func splitPEM(text string) (chain, key string) {
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return chain, key
		}
		encoded := string(pem.EncodeToMemory(block))
		if block.Type == "CERTIFICATE" {
			chain += encoded
		} else {
			key += encoded
		}
	}
}
