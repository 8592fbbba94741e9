package signature_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/cofferdam-run/cofferdam/host/webhook/descriptor"
	"github.com/cofferdam-run/cofferdam/host/webhook/signature"
)

// now is the time of all tests, in the middle of a second.
var now = time.Date(2026, 1, 2, 3, 4, 5, 6e8, time.UTC)

const publicURL = "https://hooks.example.com/hooks/end_1"

type pairs struct {
	rsa *rsa.PrivateKey
	ec  *ecdsa.PrivateKey
	ed  ed25519.PrivateKey
}

// keys are vendors', and strange those of somebody else. They are made once: RSA's take a
// while.
var keys, strange = sync.OnceValue(newPairs), sync.OnceValue(newPairs)

func newPairs() (k pairs) {
	k.rsa, _ = rsa.GenerateKey(rand.Reader, 2048)
	k.ec, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, k.ed, _ = ed25519.GenerateKey(rand.Reader)
	return k
}

// vendor answers as the vendors' servers do, and counts.
type vendor struct {
	mu    sync.Mutex
	asked []string
	// answer, if it is not nil, is what is answered instead.
	answer func(*http.Request) (*http.Response, error)
}

func (v *vendor) RoundTrip(r *http.Request) (*http.Response, error) {
	v.mu.Lock()
	v.asked = append(v.asked, r.Method+" "+r.URL.String())
	answer := v.answer
	v.mu.Unlock()
	if answer != nil {
		return answer(r)
	}
	switch {
	case strings.HasSuffix(r.URL.Host, ".plaid.com"):
		return respond(200, map[string]any{"key": jwk(keys().ec.Public(), "ES256")}), nil
	case r.URL.Host == "www.googleapis.com":
		return respond(200, map[string]any{"keys": []any{jwk(keys().rsa.Public(), "RS256")}}), nil
	default:
		return respond(200, certificate(now.Add(-time.Hour), now.Add(24*time.Hour))), nil
	}
}

func respond(status int, body any) *http.Response {
	b, ok := body.([]byte)
	if !ok {
		b, _ = json.Marshal(body)
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(bytes.NewReader(b))}
}

func jwk(key crypto.PublicKey, alg string) jose.JSONWebKey {
	der, _ := x509.MarshalPKIXPublicKey(key)
	sum := sha256.Sum256(der)
	return jose.JSONWebKey{Key: key, KeyID: hex.EncodeToString(sum[:])[:16], Algorithm: alg, Use: "sig"}
}

func certificate(from, until time.Time) []byte {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "messageverificationcerts.paypal.com"}, NotBefore: from, NotAfter: until,
	}
	der, _ := x509.CreateCertificate(rand.Reader, template, template, keys().rsa.Public(), keys().rsa)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// sample is a delivery of a provider, before it is signed.
type sample struct {
	Query, Body         string
	Headers, Parameters map[string]string
}

func samples(tb testing.TB) map[string]sample {
	tb.Helper()
	data, err := os.ReadFile("testdata/samples.json")
	if err != nil {
		tb.Fatal(err)
	}
	var all map[string]sample
	if err := json.Unmarshal(data, &all); err != nil {
		tb.Fatal(err)
	}
	return all
}

// bundle is a scheme with a delivery that it signs.
type bundle struct {
	*signature.Scheme
	// way is that of its first signature, or of its second for names that say so.
	way     descriptor.Signature
	out     signature.Outgoing
	secrets []string
	vendor  *vendor
	vendors *signature.Vendors
}

func setup(tb testing.TB, d descriptor.Descriptor, s sample) *bundle {
	tb.Helper()
	scheme, err := signature.Compile(d)
	if err != nil {
		tb.Fatal(err)
	}
	b := &bundle{Scheme: scheme, way: d.Signatures[0], vendor: &vendor{}}
	b.vendors = signature.NewVendors(signature.VendorsConfig{
		Transport: b.vendor, Now: func() time.Time { return now }, Check: func([][]byte, time.Time) error { return nil },
	})
	h := http.Header{}
	for name, value := range s.Headers {
		h.Set(name, value)
	}
	body := s.Body
	if body == "" && d.Name != "google-channel" {
		body = `{"a":1,"b":2}`
	}
	b.out = signature.Outgoing{
		Request: signature.Request{Method: "POST", URL: publicURL, Query: s.Query, Header: h, Body: []byte(body)},
		ID:      "72d3162e-cc78-11e3-81ab-4c9367dc0958", At: now, Parameters: s.Parameters,
	}
	b.out.Secret, b.secrets = b.secretsOf(tb, keys())
	return b
}

// secretsOf makes a vendor's secret and the endpoint's.
func (b *bundle) secretsOf(tb testing.TB, k pairs) (theirs string, ours []string) {
	tb.Helper()
	pkcs8 := func(key any) string {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			tb.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(der)
	}
	spki := func(key any) string {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			tb.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(der)
	}
	switch {
	case b.way.Alg == "ed25519" && b.way.Key == "whpk":
		public := k.ed.Public().(ed25519.PublicKey)
		return "whsk_" + base64.StdEncoding.EncodeToString(k.ed), []string{"whpk_" + base64.StdEncoding.EncodeToString(public)}
	case b.way.Alg == "ed25519":
		return hex.EncodeToString(k.ed.Seed()), []string{hex.EncodeToString(k.ed.Public().(ed25519.PublicKey))}
	case b.way.Alg == "ecdsa-p256":
		return pkcs8(k.ec), []string{spki(k.ec.Public())}
	case b.way.Key == "x509" || b.way.Alg == "jwt" && b.way.JWT.Alg == "RS256":
		return pkcs8(k.rsa), nil
	case b.way.Alg == "jwt":
		return pkcs8(k.ec), []string{"the API's secret"}
	default:
		secret, err := b.NewSecret()
		if err != nil {
			tb.Fatal(err)
		}
		if secret == "" { // A handshake would bring it.
			secret = "a-secret-of-a-handshake-" + hex.EncodeToString(k.ed.Seed())
		}
		return secret, []string{secret}
	}
}

// signed is the delivery as the vendor makes it.
func (b *bundle) signed(tb testing.TB, change ...func(*signature.Outgoing)) signature.Request {
	tb.Helper()
	o := b.out
	o.Header = o.Header.Clone()
	for _, f := range change {
		f(&o)
	}
	r, err := b.Sign(o)
	if err != nil {
		tb.Fatalf("sign: %v", err)
	}
	return r
}

func (b *bundle) caseOf(r signature.Request) signature.Case {
	return signature.Case{Request: r, Secrets: b.secrets, Parameters: b.out.Parameters, Now: now, Vendors: b.vendors}
}

func (b *bundle) verify(tb testing.TB, r signature.Request) (signature.Verified, error) {
	tb.Helper()
	return b.Verify(tb.Context(), b.caseOf(r))
}
