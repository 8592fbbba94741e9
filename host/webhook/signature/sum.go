package signature

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // Twilio, Trello, Intercom and the first version of SNS's sign with it.
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"strings"
)

// hashOf is the hash of an algorithm.
func hashOf(alg string) func() hash.Hash {
	switch alg {
	case "hmac-sha1", "rsa-pkcs1-sha1":
		return sha1.New
	case "hmac-sha512":
		return sha512.New
	default:
		return sha256.New
	}
}

// sum is the signature as it should stand in its place, under a shared secret.
func (j *judgement) sum(w way, key []byte, f *filling) (string, error) {
	if w.Alg == "equal" {
		return w.Prefix + string(key), nil
	}
	var to hash.Hash
	if w.Alg == "sha256-concat" {
		to = sha256.New()
	} else {
		to = hmac.New(hashOf(w.Alg), key)
	}
	if err := w.signed.write(to, f); err != nil {
		return "", err
	}
	return w.Prefix + encode(w.Enc, to.Sum(nil)), nil
}

// public judges the signatures that came by a public key.
func (j *judgement) public(w way, key any) error {
	var text bytes.Buffer
	if err := w.signed.write(&text, j.filling(w, "")); err != nil {
		return err
	}
	for _, one := range j.given {
		encoded, ok := strings.CutPrefix(one, w.Prefix)
		if !ok {
			continue
		}
		if signature, ok := decodeStrictly(w.Enc, encoded); ok && verifies(w.Alg, key, text.Bytes(), signature) {
			return nil
		}
	}
	return j.wrong()
}

func verifies(alg string, key any, text, signature []byte) bool {
	switch key := key.(type) {
	case ed25519.PublicKey:
		return alg == "ed25519" && ed25519.Verify(key, text, signature)
	case *ecdsa.PublicKey:
		digest := sha256.Sum256(text)
		return alg == "ecdsa-p256" && ecdsa.VerifyASN1(key, digest[:], signature)
	case *rsa.PublicKey:
		kind := map[string]crypto.Hash{"rsa-pkcs1-sha1": crypto.SHA1, "rsa-pkcs1-sha256": crypto.SHA256}[alg]
		if kind == 0 {
			return false
		}
		h := hashOf(alg)()
		h.Write(text)
		return rsa.VerifyPKCS1v15(key, kind, h.Sum(nil), signature) == nil
	default:
		return false
	}
}

func encode(enc string, b []byte) string {
	if enc == "b64" {
		return base64.StdEncoding.EncodeToString(b)
	}
	return hex.EncodeToString(b)
}

// decodeStrictly takes only what encode writes: no line breaks, which the decoder would skip,
// no upper-case digits, no padding left out.
func decodeStrictly(enc, s string) ([]byte, bool) {
	var b []byte
	var err error
	if enc == "b64" {
		b, err = base64.StdEncoding.Strict().DecodeString(s)
	} else {
		b, err = hex.DecodeString(s)
	}
	return b, err == nil && len(b) > 0 && encode(enc, b) == s
}

// sameText compares in constant time.
func sameText(a, b string) bool {
	return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}

func sha256Hex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func hmacSum(alg string, key, text []byte) []byte {
	mac := hmac.New(hashOf(alg), key)
	mac.Write(text)
	return mac.Sum(nil)
}
