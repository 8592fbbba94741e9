package signature

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/webhook/descriptor"
)

// Prefixes of Standard Webhooks' keys: shared, public, private.
const (
	whsec = "whsec_"
	whpk  = "whpk_"
	whsk  = "whsk_"
)

// Lengths of secrets, in bytes. Standard Webhooks says 24 to 64; most vendors take anything,
// and what is shorter than 8 can be guessed. A key of RSA with 4096 bits has 800 as text.
const (
	minKey, maxKey   = 24, 64
	minText, maxText = 8, 256
	maxPublic        = 2048
	minRSA           = 2048 // Bits: https://csrc.nist.gov/pubs/sp/800/131/a/r2/final.
	// secretBytes is what the vendors recommend: as long as SHA-256's output.
	secretBytes = 32
)

const codeSecret = "invalid_secret"

// NeedsSecret says that an endpoint of the scheme has one.
func (s *Scheme) NeedsSecret() bool { return s.Secret != "none" }

// NewSecret makes a signing secret in the form that the scheme wants. It is empty where the
// scheme has none, or where the vendor's first request brings it.
func (s *Scheme) NewSecret() (string, error) {
	if s.Secret == "none" || s.Secret == "handshake" {
		return "", nil
	}
	random := make([]byte, secretBytes)
	rand.Read(random) // It never fails: <https://pkg.go.dev/crypto/rand#Read>.
	switch w := s.ways[0]; {
	case w.Alg == "ed25519", w.Key == "spki":
		return "", fault.New(fault.InvalidInput, codeSecret, "the deliveries of %s are verified with its public key, which only it can make", s.Title).
			At("/secret").WithHint("Copy the key from the vendor's page.")
	case w.Key == "whsec":
		return whsec + base64.StdEncoding.EncodeToString(random), nil
	case w.Key == "b64":
		return base64.StdEncoding.EncodeToString(random), nil
	default:
		return hex.EncodeToString(random), nil
	}
}

// CheckSecret refuses a secret that the scheme cannot use. It never quotes it.
func (s *Scheme) CheckSecret(secret string) error {
	if !s.NeedsSecret() {
		if secret == "" {
			return nil
		}
		return refusedSecret("%s signs with keys of its own: there is no secret", s.Title)
	}
	if strings.ContainsFunc(secret, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f }) || secret != strings.TrimSpace(secret) ||
		strings.Contains(secret, "\n") && !strings.HasPrefix(secret, "-----BEGIN ") {
		return refusedSecret("the secret has a line break, a control character, or a space at an end")
	}
	var refusal error
	for _, w := range s.ways {
		_, err := keyOf(w.Signature, secret)
		if err == nil {
			return nil
		}
		if refusal == nil {
			refusal = err
		}
	}
	return refusedSecret("%s: %w", s.Name, refusal)
}

func refusedSecret(format string, args ...any) error {
	return fault.New(fault.InvalidInput, codeSecret, "%s", fmt.Errorf(format, args...).Error()).At("/secret").
		WithHint("Copy the signing secret from the vendor's page, whole, or leave it out to have one made.")
}

// keyOf decodes a secret: []byte is a shared one.
func keyOf(s descriptor.Signature, secret string) (any, error) {
	switch s.Key {
	case "utf8", "jwks":
		if n := len(secret); n < minText || n > maxText {
			return nil, fmt.Errorf("the secret is %d bytes long: it must have %d to %d", n, minText, maxText)
		}
		return []byte(secret), nil
	case "whsec":
		return prefixed(secret, whsec, minKey, maxKey)
	case "whpk":
		return edwards(prefixed(secret, whpk, ed25519.PublicKeySize, ed25519.PublicKeySize))
	case "spki":
		return subjectKey(s.Alg, secret)
	default:
		b, ok := decodeStrictly(s.Key, strings.ToLower(secret))
		if s.Key == "b64" {
			b, ok = decodeStrictly("b64", secret)
		}
		if !ok {
			return nil, fmt.Errorf("the secret is not %s", map[string]string{"hex": "of hexadecimal digits", "b64": "base64"}[s.Key])
		}
		if s.Alg == "ed25519" {
			return edwards(b, nil)
		}
		if len(b) < minText || len(b) > maxText {
			return nil, fmt.Errorf("the secret decodes to %d bytes: it must be %d to %d", len(b), minText, maxText)
		}
		return b, nil
	}
}

func prefixed(secret, prefix string, least, most int) ([]byte, error) {
	encoded, ok := strings.CutPrefix(secret, prefix)
	if !ok {
		return nil, fmt.Errorf("a secret begins with %s", prefix)
	}
	key, ok := decodeStrictly("b64", encoded)
	if !ok && encoded != "" {
		return nil, fmt.Errorf("what follows %s is not base64", prefix)
	}
	if n := len(key); n < least || n > most {
		return nil, fmt.Errorf("what follows %s decodes to %d bytes: it must be %d to %d", prefix, n, least, most)
	}
	return key, nil
}

func edwards(b []byte, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	if len(b) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("a public key of Ed25519 has %d bytes, and this has %d", ed25519.PublicKeySize, len(b))
	}
	return ed25519.PublicKey(b), nil
}

// subjectKey reads base64 or PEM of a SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).
func subjectKey(alg, secret string) (any, error) {
	if len(secret) > maxPublic {
		return nil, fmt.Errorf("the key has %d bytes: at most %d are allowed", len(secret), maxPublic)
	}
	der, ok := decodeStrictly("b64", secret)
	if block, rest := pem.Decode([]byte(secret)); block != nil && len(strings.TrimSpace(string(rest))) == 0 {
		der, ok = block.Bytes, true
	}
	if !ok {
		return nil, errors.New("the key is neither base64 nor PEM")
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, errors.New("the key is no public key in the form SubjectPublicKeyInfo")
	}
	return key, checkPublic(alg, key)
}

// checkPublic holds that a public key is of an algorithm, and long enough.
func checkPublic(alg string, key any) error {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		if alg == "ecdsa-p256" && key.Curve == elliptic.P256() {
			return nil
		}
	case *rsa.PublicKey:
		if slices.Contains([]string{"rsa-pkcs1-sha1", "rsa-pkcs1-sha256"}, alg) {
			if n := key.N.BitLen(); n < minRSA {
				return fmt.Errorf("the key has %d bits: it must have %d", n, minRSA)
			}
			return nil
		}
	}
	return fmt.Errorf("the key is not one of %s", alg)
}
