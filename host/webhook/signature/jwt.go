package signature

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/cofferdam-run/cofferdam/host/document"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/webhook/descriptor"
)

// maxToken bounds a token: Google's have some 800 bytes.
const maxToken = 8 << 10

// leeway is how far the vendor's clock may be off where a token says when it begins or ends.
const leeway = time.Minute

// token is what has to hold of a JWT, ready for use.
type token struct {
	descriptor.JWT
	url    template
	ask    map[string]template
	claims map[string]template
}

func compileToken(j descriptor.JWT) (*token, error) {
	t := &token{JWT: j, ask: map[string]template{}, claims: map[string]template{}}
	var err error
	if t.url, err = compileTemplate(j.URL); err != nil {
		return nil, err
	}
	for into, from := range map[*map[string]template]map[string]string{&t.ask: j.Ask, &t.claims: j.Claims} {
		for name, text := range from {
			if (*into)[name], err = compileTemplate(text); err != nil {
				return nil, err
			}
		}
	}
	return t, nil
}

// token judges the JWT that came.
func (j *judgement) token(ctx context.Context, w way) error {
	text, ok := strings.CutPrefix(j.given[0], w.Prefix)
	if !ok || len(j.given) != 1 || len(text) > maxToken {
		return invalid("%s is no token", named(j.parts.Signature[0]))
	}
	if !compact(text) {
		return invalid("%s is no token in the compact form", named(j.parts.Signature[0]))
	}
	parsed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(w.jwt.Alg)})
	if err != nil || len(parsed.Headers) != 1 || parsed.Headers[0].KeyID == "" || len(parsed.Headers[0].KeyID) > maxID || !visible(parsed.Headers[0].KeyID) {
		return invalid("%s is no token with a key's id that is signed with %s", named(j.parts.Signature[0]), w.jwt.Alg)
	}
	key, err := j.Vendors.key(ctx, w.jwt, j.fillers(), parsed.Headers[0].KeyID)
	if err != nil {
		return err
	}
	var standard jwt.Claims
	var claims map[string]any
	if parsed.Claims(key, &standard, &claims) != nil {
		return j.wrong()
	}
	if err := j.standard(w.jwt, standard); err != nil {
		return err
	}
	return j.claims(w.jwt, claims)
}

// compact holds the form of RFC 7515 section 3.1: three parts, each as it is encoded. The
// library skips line breaks.
func compact(text string) bool {
	parts := strings.Split(text, ".")
	for _, part := range parts {
		b, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil || len(b) == 0 || base64.RawURLEncoding.EncodeToString(b) != part {
			return false
		}
	}
	return len(parts) == 3
}

// standard judges the claims of RFC 7519 that are about time and who issues.
func (j *judgement) standard(t *token, c jwt.Claims) error {
	if c.Expiry == nil && t.AgeSeconds == 0 {
		return invalid("the token has no end")
	}
	if c.ValidateWithLeeway(jwt.Expected{Time: j.Now}, leeway) != nil {
		return fault.New(fault.Auth, codeTime, "the token is over, or has not begun").WithHint("Compare the clocks.")
	}
	if t.AgeSeconds > 0 {
		limit := time.Duration(t.AgeSeconds) * time.Second
		if c.IssuedAt == nil {
			return invalid("the token has no iat")
		}
		if age := j.Now.Truncate(time.Second).Sub(c.IssuedAt.Time()); age > limit || age < -limit {
			return fault.New(fault.Auth, codeTime, "the token was issued %d s from now, and %d s is the limit", int(age/time.Second), t.AgeSeconds)
		}
	}
	if len(t.Issuers) > 0 && !slices.Contains(t.Issuers, c.Issuer) {
		return invalid("the token is of another issuer")
	}
	return nil
}

func (j *judgement) claims(t *token, claims map[string]any) error {
	for name, want := range t.claims {
		var text strings.Builder
		if err := want.write(&text, j.fillers()); err != nil {
			return err
		}
		got := document.Text(claims[name])
		if list, ok := claims[name].([]any); ok && name == "aud" && len(list) == 1 { // RFC 7519 section 4.1.3.
			got = document.Text(list[0])
		}
		if text.Len() == 0 || !sameText(got, text.String()) {
			return invalid("the claim %s of the token is not what the endpoint wants", name)
		}
	}
	if t.BodySHA256 != "" && !sameText(document.Text(claims[t.BodySHA256]), sha256Hex(j.reading.Body)) {
		return invalid("the claim %s of the token is not the SHA-256 of the body", t.BodySHA256)
	}
	return nil
}

func (j *judgement) fillers() *filling {
	secret := ""
	if len(j.Secrets) > 0 {
		secret = j.Secrets[0]
	}
	return j.filling(way{}, secret)
}

// key is the vendor's key of an id.
func (v *Vendors) key(ctx context.Context, t *token, f *filling, id string) (any, error) {
	f.kid = url.PathEscape(id)
	var at strings.Builder
	if err := t.url.write(&at, f); err != nil {
		return nil, err
	}
	if u, err := url.Parse(at.String()); err != nil || u.Scheme != "https" || u.User != nil || u.Port() != "" || u.Host != u.Hostname() {
		return nil, setup("the vendor's keys have no https address")
	}
	f.kid = id
	body, err := question(t, f)
	if err != nil {
		return nil, err
	}
	u, _ := url.Parse(at.String()) // It was parsed above.
	req, cacheKey := get(u), "keys "+at.String()
	if body != nil {
		req, cacheKey = post(at.String(), body), cacheKey+" "+sha256Hex(body)
	}
	for {
		value, err := v.answer(ctx, cacheKey, req, func(answer []byte) (any, time.Time, error) { return readKeys(t, answer) })
		if err != nil {
			return nil, err
		}
		for _, k := range value.(*jose.JSONWebKeySet).Keys { // Only readKeys fills it.
			if k.KeyID == id && fits(t.Alg, k) {
				return k.Key, nil
			}
		}
		if !v.refresh(cacheKey) {
			return nil, invalid("the vendor has no key of the token's id")
		}
	}
}

// question is the body of the question, or nil for a GET.
func question(t *token, f *filling) ([]byte, error) {
	if len(t.ask) == 0 {
		return nil, nil
	}
	members := map[string]string{}
	for name, template := range t.ask {
		var text strings.Builder
		if err := template.write(&text, f); err != nil {
			return nil, err
		}
		members[name] = text.String()
	}
	body, err := json.Marshal(members)
	if err != nil {
		return nil, fmt.Errorf("write a question for keys: %w", err)
	}
	return body, nil
}

// readKeys reads a set of keys, or the one key at the pointer.
func readKeys(t *token, answer []byte) (any, time.Time, error) {
	var set jose.JSONWebKeySet
	if t.At == "" {
		if err := json.Unmarshal(answer, &set); err != nil {
			return nil, time.Time{}, unavailable("the vendor's keys cannot be read").Because(err)
		}
		return &set, time.Time{}, nil
	}
	var all any
	if err := json.Unmarshal(answer, &all); err != nil {
		return nil, time.Time{}, unavailable("the vendor's key cannot be read").Because(err)
	}
	found, _ := document.At(all, t.At)
	one, err := json.Marshal(found)
	if err != nil {
		return nil, time.Time{}, unavailable("the vendor's key cannot be read").Because(err)
	}
	var key jose.JSONWebKey
	if err := json.Unmarshal(one, &key); err != nil {
		return nil, time.Time{}, unavailable("the vendor's key cannot be read").Because(err)
	}
	set.Keys = append(set.Keys, key)
	return &set, time.Time{}, nil
}

// fits holds that a key is for signatures of an algorithm.
func fits(alg string, k jose.JSONWebKey) bool {
	if k.Use != "" && k.Use != "sig" || k.Algorithm != "" && k.Algorithm != alg {
		return false
	}
	switch key := k.Key.(type) {
	case *ecdsa.PublicKey:
		return alg == "ES256" && checkPublic("ecdsa-p256", key) == nil
	case *rsa.PublicKey:
		return alg == "RS256" && checkPublic("rsa-pkcs1-sha256", key) == nil
	default:
		return false
	}
}
