package oauth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/cofferdam-run/cofferdam/host/oauth"
)

func rfc7523() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"RFC 7523: the audience":                          assertionAudience,
		"RFC 7523: issuer and subject":                    assertionIssuer,
		"RFC 7523: a life of 5 minutes at most":           assertionLife,
		"RFC 7523: an id for each":                        assertionID,
		"RFC 7523: dated back for clocks that are behind": assertionDatedBack,
		"RFC 7523: RS256, ES256 and PS256":                assertionAlgorithms,
		"RFC 7523: the key's id":                          assertionKeyID,
		"RFC 7523: a key that was replaced":               assertionKeyReplaced,
		"RFC 7523: once more by the server's clock":       assertionClock,
		"RFC 7523: alg none is refused":                   assertionNone,
	}
}

// keys are made once: RSA takes its time.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func ecKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func pemOf(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// certified is a client's certificate of its own.
func certified(t *testing.T) oauth.Secret {
	t.Helper()
	key := ecKey(t, elliptic.P256())
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return oauth.Secret{PrivateKey: pemOf(t, key), Certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
}

// signs is a registration whose client signs.
func (b *testBundle) signs(t *testing.T, key any) oauth.Registration {
	t.Helper()
	r := b.registration()
	r.Secret = oauth.Secret{PrivateKey: pemOf(t, key), KeyID: "key-1"}
	r.Wire.TokenAuth = "private_key_jwt"
	return r
}

// verify reads a JWT as a server does that knows the key.
func verify(t *testing.T, token string, public crypto.PublicKey) (jose.Header, map[string]any) {
	t.Helper()
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.ES256, jose.ES384, jose.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	body, err := signed.Verify(public)
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(body, &claims); err != nil {
		t.Fatal(err)
	}
	return signed.Signatures[0].Protected, claims
}

// assertion is the last one that the server got.
func (b *testBundle) assertion(t *testing.T, name string, public crypto.PublicKey) (jose.Header, map[string]any) {
	t.Helper()
	return verify(t, b.requests.last(t).params.Get(name), public)
}

func assertionAudience(t *testing.T) {
	b := setup(t, gives(""))
	key := ecKey(t, elliptic.P256())
	r := b.signs(t, key)
	for audience, want := range map[string]string{"": r.Endpoints.Token, "https://login.acme.example": "https://login.acme.example"} {
		r.Wire.AssertionAudience = audience
		if _, err := b.client.ClientCredentials(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if _, claims := b.assertion(t, "client_assertion", key.Public()); claims["aud"] != want {
			t.Errorf("got %v, want %s", claims["aud"], want)
		}
		if _, err := b.client.JWTBearer(t.Context(), r, oauth.Assertion{}); err != nil {
			t.Fatal(err)
		}
		if _, claims := b.assertion(t, "assertion", key.Public()); claims["aud"] != want {
			t.Errorf("got %v, want %s", claims["aud"], want)
		}
	}
	if _, err := b.client.JWTBearer(t.Context(), r, oauth.Assertion{Audience: "https://own.example"}); err != nil {
		t.Fatal(err)
	}
	if _, claims := b.assertion(t, "assertion", key.Public()); claims["aud"] != "https://own.example" {
		t.Errorf("got %v", claims["aud"])
	}
}

func assertionIssuer(t *testing.T) {
	b := setup(t, gives(""))
	key := ecKey(t, elliptic.P256())
	r := b.signs(t, key)
	if _, err := b.exchange(t, r); err != nil {
		t.Fatal(err)
	}
	_, claims := b.assertion(t, "client_assertion", key.Public())
	sent := b.requests.last(t).params
	if claims["iss"] != "client:1" || claims["sub"] != "client:1" || sent.Get("client_id") != "client:1" ||
		sent.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" || sent.Has("client_secret") {
		t.Errorf("got %v in %v", claims, sent)
	}
	r.Wire.TokenAuth = "none"
	as := oauth.Assertion{Issuer: "robot@acme.example", Subject: "user@acme.example", Claims: map[string]any{"scope": "a b", "iss": "evil", "jti": "mine", "nbf": 1}}
	if _, err := b.client.JWTBearer(t.Context(), r, as); err != nil {
		t.Fatal(err)
	}
	_, claims = b.assertion(t, "assertion", key.Public())
	sent = b.requests.last(t).params
	if claims["iss"] != "robot@acme.example" || claims["sub"] != "user@acme.example" || claims["scope"] != "a b" || claims["jti"] == "mine" || claims["nbf"] != nil {
		t.Errorf("got %v", claims)
	}
	if sent.Has("scope") || sent.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		t.Errorf("got %v: the scope is in the assertion already", sent)
	}
}

func assertionLife(t *testing.T) {
	b := setup(t, gives(""))
	key := ecKey(t, elliptic.P256())
	r := b.signs(t, key)
	for life, want := range map[time.Duration]float64{0: 300, time.Hour: 300, time.Minute: 90, 290 * time.Second: 300, -time.Minute: 300} {
		if _, err := b.client.JWTBearer(t.Context(), r, oauth.Assertion{Lifetime: life, Claims: map[string]any{"exp": 1 << 40, "iat": 0}}); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"assertion", "client_assertion"} {
			_, claims := b.assertion(t, name, key.Public())
			got := claims["exp"].(float64) - claims["iat"].(float64)
			if name == "assertion" && got != want || got > 300 {
				t.Errorf("%s of %s: got %v s, want %v", name, life, got, want)
			}
		}
	}
}

func assertionID(t *testing.T) {
	b := setup(t, gives(""))
	key := ecKey(t, elliptic.P256())
	r := b.signs(t, key)
	seen := map[any]bool{}
	for range 20 {
		if _, err := b.client.JWTBearer(t.Context(), r, oauth.Assertion{}); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"assertion", "client_assertion"} {
			_, claims := b.assertion(t, name, key.Public())
			if id, _ := claims["jti"].(string); len(id) != 43 || seen[id] {
				t.Fatalf("got the id %q", id)
			}
			seen[claims["jti"]] = true
		}
	}
}

func assertionDatedBack(t *testing.T) {
	b := setup(t, gives(""))
	key := ecKey(t, elliptic.P256())
	if _, err := b.client.ClientCredentials(t.Context(), b.signs(t, key)); err != nil {
		t.Fatal(err)
	}
	_, claims := b.assertion(t, "client_assertion", key.Public())
	if got, want := int64(claims["iat"].(float64)), b.clock.Now().Add(-30*time.Second).Unix(); got != want {
		t.Errorf("got %d, want %d", got, want)
	}
}

func assertionAlgorithms(t *testing.T) {
	b := setup(t, gives(""))
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		key       crypto.Signer
		algorithm string
		want      string
	}{
		{rsaKey(), "", "RS256"},
		{rsaKey(), "RS256", "RS256"},
		{rsaKey(), "PS256", "PS256"},
		{rsaKey(), "RS512", "RS512"},
		{ecKey(t, elliptic.P256()), "", "ES256"},
		{ecKey(t, elliptic.P384()), "", "ES384"},
		{edwards, "", "EdDSA"},
	} {
		r := b.signs(t, tt.key)
		r.Wire.Algorithm = tt.algorithm
		if _, err := b.client.ClientCredentials(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		header, _ := b.assertion(t, "client_assertion", tt.key.Public())
		if header.Algorithm != tt.want || header.ExtraHeaders["typ"] != "JWT" {
			t.Errorf("got %s %v, want %s", header.Algorithm, header.ExtraHeaders["typ"], tt.want)
		}
	}
	for algorithm, key := range map[string]crypto.Signer{"ES256": rsaKey(), "RS256": edwards, "ES384": ecKey(t, elliptic.P256()), "": ecKey(t, elliptic.P224())} {
		r := b.signs(t, key)
		r.Wire.Algorithm = algorithm
		_, err := b.client.ClientCredentials(t.Context(), r)
		wantError(t, err, "registration_invalid")
	}
}

func assertionKeyID(t *testing.T) {
	b := setup(t, gives(""))
	key := ecKey(t, elliptic.P256())
	for _, id := range []string{"key-2026", ""} {
		r := b.signs(t, key)
		r.Secret.KeyID = id
		if _, err := b.client.ClientCredentials(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if header, _ := b.assertion(t, "client_assertion", key.Public()); header.KeyID != id {
			t.Errorf("got %q, want %q", header.KeyID, id)
		}
	}
}

func assertionKeyReplaced(t *testing.T) {
	b := setup(t, gives(""))
	old, replaced := ecKey(t, elliptic.P256()), rsaKey()
	for id, key := range map[string]crypto.Signer{"old": old, "new": replaced} {
		r := b.signs(t, key)
		r.Secret.KeyID = id
		if _, err := b.client.ClientCredentials(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if header, _ := b.assertion(t, "client_assertion", key.Public()); header.KeyID != id {
			t.Errorf("got %q, want %q", header.KeyID, id)
		}
	}
}

func assertionClock(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	for _, tt := range []struct {
		ahead  time.Duration
		code   string
		bearer bool
		asked  int
	}{
		{10 * time.Minute, "invalid_client", false, 2},
		{-10 * time.Minute, "invalid_client", false, 2},
		{10 * time.Minute, "invalid_grant", true, 2},
		{10 * time.Minute, "invalid_grant", false, 1}, // A code or refresh token may be used up.
		{10 * time.Minute, "server_error", true, 2},   // As fosite answers.
		{10 * time.Minute, "server_error", false, 1},  // It may have been used up, too.
		{10 * time.Second, "invalid_client", false, 1},
		{10 * time.Minute, "invalid_scope", true, 1},
	} {
		b := setup(t, gives(""))
		skewed := b.clock.Now().Add(tt.ahead)
		asked := 0
		b.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", skewed.Format(http.TimeFormat))
			if err := r.ParseForm(); err != nil {
				panic(err)
			}
			asked++
			name := map[bool]string{true: "assertion", false: "client_assertion"}[tt.bearer]
			_, claims := verify(t, r.Form.Get(name), key.Public())
			if iat, exp := int64(claims["iat"].(float64)), int64(claims["exp"].(float64)); iat > skewed.Unix() || exp <= skewed.Unix() || tt.asked == 1 {
				status := http.StatusBadRequest
				if tt.code == "server_error" {
					status = http.StatusInternalServerError
				}
				says(status, `{"error":"`+tt.code+`"}`)(w, r)
				return
			}
			gives("")(w, r)
		})
		r := b.signs(t, key)
		var token oauth.Token
		var err error
		if tt.bearer {
			r.Wire.TokenAuth = "none"
			token, err = b.client.JWTBearer(t.Context(), r, oauth.Assertion{})
		} else {
			token, err = b.client.Refresh(t.Context(), r, "rt-0")
		}
		if asked != tt.asked || (err == nil) != (tt.asked == 2) {
			t.Errorf("%+v: got %v after %d requests", tt, err, asked)
		}
		if tt.code == "server_error" && !tt.bearer {
			// From then on the server's clock is known.
			tt.asked = 2
			if _, err := b.client.Refresh(t.Context(), r, "rt-0"); err != nil {
				t.Errorf("%+v: the second time: %v", tt, err)
			}
		}
		if err == nil && (token.Skew-tt.ahead).Abs() > time.Second {
			t.Errorf("%+v: got a skew of %s", tt, token.Skew)
		}
	}
}

func assertionNone(t *testing.T) {
	b := setup(t, gives(""))
	for _, algorithm := range []string{"none", "None", "HS256", "HS512", "RSA1_5"} {
		r := b.signs(t, rsaKey())
		r.Wire.Algorithm = algorithm
		_, err := b.client.ClientCredentials(t.Context(), r)
		wantError(t, err, "registration_invalid")
		_, err = b.client.JWTBearer(t.Context(), r, oauth.Assertion{})
		wantError(t, err, "registration_invalid")
	}
	if b.requests.count() != 0 {
		t.Error("something was sent")
	}
}

func TestAKeyThatIsNoneSaysWhy(t *testing.T) {
	t.Parallel()
	b := setup(t, gives(""))
	weak, err := x509.ParsePKCS1PrivateKey(weakKey(t))
	if err != nil {
		t.Fatal(err)
	}
	for want, key := range map[string]string{
		"no private key":    "",
		"no private key in": "not pem",
		"does not parse":    "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"CERTIFICATE":       "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"1024 bits":         pemOf(t, weak),
	} {
		r := b.registration()
		r.Wire.TokenAuth, r.Secret = "private_key_jwt", oauth.Secret{PrivateKey: key}
		_, err := b.client.ClientCredentials(t.Context(), r)
		if e := wantError(t, err, "registration_invalid"); !strings.Contains(e.Description, want) {
			t.Errorf("got %s, want %s", e.Description, want)
		}
	}
	for name, block := range map[string]*pem.Block{
		"RSA PRIVATE KEY": {Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey())},
		"EC PRIVATE KEY":  {Type: "EC PRIVATE KEY", Bytes: ecDER(t)},
	} {
		r := b.registration()
		r.Wire.TokenAuth, r.Secret = "private_key_jwt", oauth.Secret{PrivateKey: "\n " + string(pem.EncodeToMemory(block))}
		if _, err := b.client.ClientCredentials(t.Context(), r); err != nil {
			t.Error(fmt.Errorf("%s: %w", name, err))
		}
	}
}

func ecDER(t *testing.T) []byte {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(ecKey(t, elliptic.P256()))
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// weakKey is an RSA key of 1024 bits, which crypto/rsa makes for nobody any more.
func weakKey(t *testing.T) []byte {
	t.Helper()
	p, err := rand.Prime(rand.Reader, 512)
	if err != nil {
		t.Fatal(err)
	}
	q, err := rand.Prime(rand.Reader, 512)
	if err != nil {
		t.Fatal(err)
	}
	one, e := big.NewInt(1), big.NewInt(65537)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	d := new(big.Int).ModInverse(e, phi)
	if d == nil {
		return weakKey(t)
	}
	key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 65537}, D: d, Primes: []*big.Int{p, q}}
	return x509.MarshalPKCS1PrivateKey(key)
}
