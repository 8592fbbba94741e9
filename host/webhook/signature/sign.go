package signature

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/webhook/descriptor"
)

// Outgoing is a request that is to be signed, as the vendor would.
type Outgoing struct {
	Request
	// Secret is the endpoint's where it is shared. Where a public key verifies, it is the
	// private one: whsk_ and base64 of Ed25519's 64 bytes, its seed in hexadecimal digits, or
	// base64 of PKCS #8.
	Secret     string
	ID         string
	At         time.Time
	Parameters map[string]string
}

// Sign returns the request with its signature. The request that is given stays as it is; a
// scheme whose signature stands in the body writes the body anew.
func (s *Scheme) Sign(o Outgoing) (Request, error) {
	r := o.Request
	r.Header = r.Header.Clone()
	if r.Header == nil {
		r.Header = http.Header{}
	}
	parts := s.Parts[0]
	for _, m := range s.Require {
		if kind, name := descriptor.Place(m.At); kind == "header" && m.Is != "" {
			r.Header.Set(name, m.Is)
		}
	}
	ts := formatTime(s.Timestamp.Unit, o.At)
	for place, value := range map[string]string{parts.ID: o.ID, parts.Timestamp: ts} {
		if place == "" {
			continue
		}
		if err := r.put(place, value); err != nil {
			return Request{}, err
		}
	}
	if parts.ID == "" && len(s.Dedupe.From) > 0 && o.ID != "" {
		if kind, name := descriptor.Place(s.Dedupe.From[0]); kind == "header" && r.Header.Get(name) == "" {
			r.Header.Set(name, o.ID)
		}
	}
	signature, err := s.make(r, o, ts)
	if err != nil {
		return Request{}, err
	}
	err = r.put(parts.Signature[0], s.laidOut(signature, ts))
	return r, err
}

// make makes the signature by the first way that applies and that the secret fits.
func (s *Scheme) make(r Request, o Outgoing, ts string) (string, error) {
	j := s.judge(Case{Request: r, Parameters: o.Parameters, Now: o.At})
	j.id, j.ts = o.ID, ts
	j.parts = s.Parts[0]
	refusal := errors.New("no way of signing applies")
	for _, w := range s.ways {
		if !j.holds(w.when, j.Parameters) {
			continue
		}
		signature, err := j.make(w, o)
		if err == nil {
			return signature, nil
		}
		refusal = err
	}
	if f, ok := errors.AsType[*fault.Error](refusal); ok {
		return "", f
	}
	return "", refusedSecret("the delivery cannot be signed: %w", refusal)
}

func (j *judgement) make(w way, o Outgoing) (string, error) {
	if w.Alg == "jwt" {
		return j.makeToken(w, o)
	}
	if algorithm := w.Alg; algorithm == "ed25519" || algorithm == "ecdsa-p256" || strings.HasPrefix(algorithm, "rsa-") {
		key, err := privateKey(w.Signature, o.Secret)
		if err != nil {
			return "", err
		}
		var text bytes.Buffer
		if err := w.signed.write(&text, j.filling(w, "")); err != nil {
			return "", err
		}
		b, err := signWith(w.Alg, key, text.Bytes())
		return w.Prefix + encode(w.Enc, b), err
	}
	key, err := keyOf(w.Signature, o.Secret)
	if err != nil {
		return "", err
	}
	return j.sum(w, key.([]byte), j.filling(w, o.Secret)) // All other algorithms have shared keys.
}

func signWith(alg string, key crypto.Signer, text []byte) ([]byte, error) {
	if alg == "ed25519" {
		return key.Sign(nil, text, crypto.Hash(0)) //nolint:wrapcheck // It never fails.
	}
	h := hashOf(alg)()
	h.Write(text)
	kind := crypto.SHA256
	if alg == "rsa-pkcs1-sha1" {
		kind = crypto.SHA1
	}
	b, err := key.Sign(rand.Reader, h.Sum(nil), kind)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return b, nil
}

// privateKey reads the other half of what keyOf reads.
func privateKey(s descriptor.Signature, secret string) (crypto.Signer, error) {
	if s.Alg == "ed25519" {
		b, ok := decodeStrictly("b64", strings.TrimPrefix(secret, whsk))
		if s.Key == "hex" {
			var err error
			b, err = hex.DecodeString(secret)
			ok = err == nil
		}
		switch {
		case ok && len(b) == ed25519.PrivateKeySize:
			return ed25519.PrivateKey(b), nil
		case ok && len(b) == ed25519.SeedSize:
			return ed25519.NewKeyFromSeed(b), nil
		}
		return nil, errors.New("the private key of Ed25519 has 32 or 64 bytes")
	}
	der, ok := decodeStrictly("b64", secret)
	if !ok {
		return nil, errors.New("the private key is not base64")
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("the private key is not PKCS #8")
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("the private key cannot sign")
	}
	switch signer.(type) {
	case *ecdsa.PrivateKey, *rsa.PrivateKey:
		return signer, nil
	default:
		return nil, errors.New("the private key is of another algorithm")
	}
}

// makeToken makes a JWT. Its key's id is made of the key.
func (j *judgement) makeToken(w way, o Outgoing) (string, error) {
	key, err := privateKey(w.Signature, o.Secret)
	if err != nil {
		return "", err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return "", fmt.Errorf("write the public key: %w", err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(w.jwt.Alg), Key: jose.JSONWebKey{Key: key, KeyID: sha256Hex(public)[:16]}}, nil)
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	claims := map[string]any{"iat": o.At.Unix(), "exp": o.At.Add(5 * time.Minute).Unix()}
	if len(w.jwt.Issuers) > 0 {
		claims["iss"] = w.jwt.Issuers[0]
	}
	for name, template := range w.jwt.claims {
		var text strings.Builder
		if err := template.write(&text, j.fillers()); err != nil {
			return "", err
		}
		claims[name] = text.String()
	}
	if w.jwt.BodySHA256 != "" {
		claims[w.jwt.BodySHA256] = sha256Hex(j.reading.Body)
	}
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return w.Prefix + text, nil
}

// laidOut is the signature as it stands in its place.
func (s *Scheme) laidOut(signature, ts string) string {
	if s.Parse.As != "kv" {
		return signature
	}
	text := s.Parse.Signatures[0] + "=" + signature
	if s.Parse.Timestamp != "" {
		text = s.Parse.Timestamp + "=" + ts + s.Parse.Separator + text
	}
	return text
}

// put puts a value at a place.
func (r *Request) put(place, value string) error {
	kind, name := descriptor.Place(place)
	switch kind {
	case "header":
		r.Header.Set(name, value)
	case "query", "form":
		// Added at the end, for what stands before may be signed in its order.
		if r.Query != "" {
			r.Query += "&"
		}
		r.Query += url.QueryEscape(name) + "=" + url.QueryEscape(value)
	default:
		return r.putJSON(name, value)
	}
	return nil
}

// putJSON writes the body anew with a value at a pointer, in every element where that has *.
func (r *Request) putJSON(pointer, value string) error {
	body, ok := decode(r.Body)
	if !ok {
		return fault.New(fault.InvalidInput, "body_not_json", "the signature stands in the body at %s, and the body is not JSON", pointer)
	}
	unescape := strings.NewReplacer("~1", "/", "~0", "~")
	tokens := strings.Split(pointer[1:], "/")
	if err := place(body, tokens, value, unescape); err != nil {
		return err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(body); err != nil {
		return fmt.Errorf("write the body: %w", err)
	}
	r.Body = bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	return nil
}

func place(node any, tokens []string, value string, unescape *strings.Replacer) error {
	name := unescape.Replace(tokens[0])
	switch node := node.(type) {
	case map[string]any:
		if len(tokens) == 1 {
			node[name] = value
			return nil
		}
		if node[name] == nil {
			node[name] = map[string]any{}
		}
		return place(node[name], tokens[1:], value, unescape)
	case []any:
		if len(tokens) == 1 {
			break
		}
		if found := step(node, name); len(found) > 0 {
			for _, one := range found {
				if err := place(one, tokens[1:], value, unescape); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return fault.New(fault.InvalidInput, "body_lacks_a_place", "the body has no place for its signature: it lacks %q", name)
}
