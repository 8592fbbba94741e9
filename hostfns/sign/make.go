package sign

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // For vendors that still ask for it; HMAC-SHA1 is not broken.
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"time"
)

// digest is what a guest gets for an HMAC.
type digest struct {
	Hex    string `json:"hex"`
	Base64 string `json:"base64"`
}

func (r request) hmac(key Key) (any, error) {
	if key.Secret == nil {
		return nil, r.mismatch("a shared secret")
	}
	var payload []byte
	switch {
	case (r.Payload == nil) == (r.PayloadBase64 == nil):
		return nil, invalid("give either \"payload\" or \"payload_base64\"")
	case r.Payload != nil:
		payload = []byte(*r.Payload)
	default:
		var err error
		if payload, err = base64.StdEncoding.DecodeString(*r.PayloadBase64); err != nil {
			return nil, invalid("\"payload_base64\" is not base64 with padding: %s", err)
		}
	}
	if isToken(payload) {
		return nil, invalid("\"payload\" is a JSON web token without its signature, which this would be: use HS256, HS384 or HS512")
	}
	newHash := map[string]func() hash.Hash{
		"hmac-sha1": sha1.New, "hmac-sha256": sha256.New, "hmac-sha384": sha512.New384, "hmac-sha512": sha512.New,
	}[r.Algorithm]
	sum := mac(newHash, key.Secret, payload)
	return digest{Hex: hex.EncodeToString(sum), Base64: base64.StdEncoding.EncodeToString(sum)}, nil
}

func mac(newHash func() hash.Hash, secret, payload []byte) []byte {
	h := hmac.New(newHash, secret)
	h.Write(payload)
	return h.Sum(nil)
}

// isToken tells what a token is signed over, which would live for as long as the guest
// liked.
func isToken(payload []byte) bool {
	head, rest, found := bytes.Cut(bytes.TrimSpace(payload), []byte("."))
	if !found || bytes.IndexByte(rest, '.') >= 0 {
		return false
	}
	decoded, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(string(head), "="))
	var header map[string]json.RawMessage
	return err == nil && json.Unmarshal(decoded, &header) == nil && header["alg"] != nil
}

// token is what a guest gets for claims.
type token struct {
	Token     string    `json:"token"`
	ExpiresAt time.Time `json:"expires_at"`
}

// maxClaims is more than a header of 8 KiB can carry, when it is base64.
const maxClaims = 6 << 10

func (r request) token(key Key, now time.Time) (any, error) {
	lifetime, err := r.lifetime()
	if err != nil {
		return nil, err
	}
	var claims map[string]json.RawMessage
	if len(r.Claims) > maxClaims || json.Unmarshal(r.Claims, &claims) != nil || claims == nil {
		return nil, invalid("\"claims\" must be a JSON object of at most %d bytes, such as {\"iss\":\"123\"}", maxClaims)
	}
	for _, name := range []string{"exp", "iat", "nbf"} {
		if claims[name] != nil {
			return nil, invalid("\"claims\" has %q, which the host sets: use \"lifetime_s\"", name)
		}
	}
	begin := now.UTC().Truncate(time.Second)
	end := begin.Add(lifetime)
	claims["iat"], claims["exp"] = json.RawMessage(fmt.Sprint(begin.Unix())), json.RawMessage(fmt.Sprint(end.Unix()))
	header := map[string]string{"alg": r.Algorithm, "typ": "JWT"}
	if key.ID != "" {
		header["kid"] = key.ID
	}
	signed, err := segments(header, claims)
	if err != nil {
		return nil, err
	}
	signature, err := r.signature(key, []byte(signed))
	if err != nil {
		return nil, err
	}
	return token{Token: signed + "." + base64.RawURLEncoding.EncodeToString(signature), ExpiresAt: end}, nil
}

func segments(parts ...any) (string, error) {
	encoded := make([]string, len(parts))
	for i, part := range parts {
		doc, err := json.Marshal(part)
		if err != nil {
			return "", fmt.Errorf("encode token: %w", err)
		}
		encoded[i] = base64.RawURLEncoding.EncodeToString(doc)
	}
	return strings.Join(encoded, "."), nil
}

// signature is that of a token: https://www.rfc-editor.org/rfc/rfc7518#section-3.
func (r request) signature(key Key, signed []byte) ([]byte, error) {
	newHash, id := sha256.New, crypto.SHA256
	switch {
	case strings.HasSuffix(r.Algorithm, "384"):
		newHash, id = sha512.New384, crypto.SHA384
	case strings.HasSuffix(r.Algorithm, "512"):
		newHash, id = sha512.New, crypto.SHA512
	}
	if strings.HasPrefix(r.Algorithm, "HS") {
		if key.Secret == nil {
			return nil, r.mismatch("a shared secret")
		}
		// https://www.rfc-editor.org/rfc/rfc7518#section-3.2: a shorter one can be guessed from one token.
		if size := newHash().Size(); len(key.Secret) < size {
			return nil, r.mismatch(fmt.Sprintf("a shared secret of %d bytes and more", size))
		}
		return mac(newHash, key.Secret, signed), nil
	}
	if key.Private == nil {
		return nil, r.mismatch("a private key")
	}
	if r.Algorithm == "EdDSA" {
		if _, ok := key.Private.Public().(ed25519.PublicKey); !ok {
			return nil, r.mismatch("an Ed25519 key")
		}
		return done(key.Private.Sign(nil, signed, crypto.Hash(0)))
	}
	h := newHash()
	h.Write(signed)
	sum := h.Sum(nil)
	if strings.HasPrefix(r.Algorithm, "RS") {
		if _, ok := key.Private.Public().(*rsa.PublicKey); !ok {
			return nil, r.mismatch("an RSA key")
		}
		return done(key.Private.Sign(rand.Reader, sum, id))
	}
	public, ok := key.Private.Public().(*ecdsa.PublicKey)
	if want := map[string]string{"ES256": "P-256", "ES384": "P-384"}[r.Algorithm]; !ok || public.Curve.Params().Name != want {
		return nil, r.mismatch("an ECDSA key on " + want)
	}
	return ecdsaSignature(key.Private, sum, id)
}

func done(signature []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return signature, nil
}

// ecdsaSignature is R and S side by side, each as long as the hash:
// https://www.rfc-editor.org/rfc/rfc7518#section-3.4.
func ecdsaSignature(private crypto.Signer, sum []byte, id crypto.Hash) ([]byte, error) {
	der, err := done(private.Sign(rand.Reader, sum, id))
	if err != nil {
		return nil, err
	}
	var pair struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &pair); err != nil {
		return nil, fmt.Errorf("decode signature: %w", err)
	}
	signature := make([]byte, 2*len(sum))
	pair.R.FillBytes(signature[:len(sum)])
	pair.S.FillBytes(signature[len(sum):])
	return signature, nil
}

// signedURL is what a guest gets for a URL.
type signedURL struct {
	URL       string    `json:"url"`
	ExpiresAt time.Time `json:"expires_at"`
}

func (r request) presign(key Key, now time.Time) (any, error) {
	if key.AWS == nil {
		return nil, r.mismatch("an AWS credential")
	}
	lifetime, err := r.lifetime()
	if err != nil {
		return nil, err
	}
	method := strings.ToUpper(r.Method)
	if !slices.Contains([]string{"GET", "HEAD", "PUT", "POST", "DELETE"}, method) {
		return nil, invalid("\"method\" is %.16q: it must be GET, HEAD, PUT, POST or DELETE", r.Method)
	}
	u, err := url.Parse(r.URL)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Fragment != "" || u.Opaque != "" || len(r.URL) > maxURL {
		return nil, invalid("\"url\" must be an https URL of at most %d bytes, without a user name and a fragment", maxURL)
	}
	if key.Covers == nil || !key.Covers(u) {
		return nil, invalid("\"url\" is not at one of the connection's hosts")
	}
	for name := range u.Query() {
		if strings.HasPrefix(strings.ToLower(name), "x-amz-") {
			return nil, invalid("\"url\" has the parameter %.64q, which the host sets", name)
		}
	}
	now = now.UTC().Truncate(time.Second)
	return signedURL{URL: key.AWS.Presign(method, u, lifetime, now).String(), ExpiresAt: now.Add(lifetime)}, nil
}

// maxURL is what common servers accept.
const maxURL = 8 << 10
