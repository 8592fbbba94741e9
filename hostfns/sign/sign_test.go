package sign_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/sign"
	"github.com/cofferdam-run/cofferdam/hostfns/sign/sigv4"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// keys are a connection's by its name.
type keys map[string]sign.Key

func (k keys) Key(_ context.Context, name string) (sign.Key, error) {
	switch key, ok := k[name]; {
	case name == "broken":
		return key, errors.New("the key file is gone")
	case name == "plain":
		return key, fmt.Errorf("%w: it is a bearer", sign.ErrNoKey)
	case !ok:
		return key, fmt.Errorf("%w: grant one", sign.ErrNoConnection)
	default:
		return key, nil
	}
}

const shared = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func testKeys(t *testing.T) keys {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	e384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(t, err)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	return keys{
		"jefe": {Secret: []byte("Jefe")}, "shared": {Secret: []byte(shared), ID: "k1"},
		"rsa": {Private: r, ID: "k2"}, "p256": {Private: e}, "p384": {Private: e384}, "ed": {Private: ed},
		"aws": {
			AWS:    &sigv4.Signer{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", Region: "us-east-1", Service: "s3"},
			Covers: func(u *url.URL) bool { return u.Host == "examplebucket.s3.amazonaws.com" },
		},
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func now() time.Time { return time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC) }

func setup(t *testing.T) *sign.Session {
	t.Helper()
	allowed := map[string][]string{"jefe": sign.Algorithms()[:5]}
	for _, name := range []string{"shared", "rsa", "p256", "p384", "ed", "aws", "plain", "broken", "gone"} {
		allowed[name] = sign.Algorithms()
	}
	return sign.New(sign.Config{Keys: testKeys(t), Allowed: allowed, Now: now})
}

// answer is what a guest reads.
type answer struct {
	Hex, Base64, Token, URL string
	ExpiresAt               time.Time `json:"expires_at"`
}

func ask(t *testing.T, s *sign.Session, raw string) (answer, *hostfns.Error) {
	t.Helper()
	var a answer
	result, err := s.Funcs()[0].Answer(t.Context(), json.RawMessage(raw))
	if told, ok := errors.AsType[*hostfns.Error](err); ok {
		return a, told
	}
	must(t, err)
	doc, err := json.Marshal(result)
	must(t, err)
	must(t, json.Unmarshal(doc, &a))
	return a, nil
}

// TestSignMakesHMACs as https://www.rfc-editor.org/rfc/rfc4231#section-4.3 and RFC 2202
// have them.
func TestSignMakesHMACs(t *testing.T) {
	t.Parallel()
	for algorithm, want := range map[string]string{
		"hmac-sha1":   "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
		"hmac-sha256": "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
		"hmac-sha384": "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
		"hmac-sha512": "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
	} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			for _, payload := range []string{`"payload":"what do ya want for nothing?"`, `"payload_base64":"d2hhdCBkbyB5YSB3YW50IGZvciBub3RoaW5nPw=="`} {
				a, told := ask(t, s, fmt.Sprintf(`{"connection":"jefe","algorithm":%q,%s}`, algorithm, payload))
				raw, err := base64.StdEncoding.DecodeString(a.Base64)
				if told != nil || a.Hex != want || err != nil || fmt.Sprintf("%x", raw) != want {
					t.Errorf("got %+v, %v, want %s", a, told, want)
				}
			}
		})
	}
}

func TestSignMakesTokens(t *testing.T) {
	t.Parallel()
	k := testKeys(t)
	s := sign.New(sign.Config{Keys: k, Now: now, Allowed: map[string][]string{"shared": {"HS256", "HS512"}, "rsa": {"RS256", "RS512"}, "p256": {"ES256"}, "p384": {"ES384"}, "ed": {"EdDSA"}}})
	sum256 := func(b []byte) []byte { h := sha256.Sum256(b); return h[:] }
	sum512 := func(b []byte) []byte { h := sha512.Sum512(b); return h[:] }
	sum384 := func(b []byte) []byte { h := sha512.Sum384(b); return h[:] }
	pair := func(sig []byte) (r, s *big.Int) {
		return new(big.Int).SetBytes(sig[:len(sig)/2]), new(big.Int).SetBytes(sig[len(sig)/2:])
	}
	for _, tt := range []struct {
		connection, algorithm, kid string
		verify                     func(signed, signature []byte) bool
	}{
		{"shared", "HS256", "k1", func(b, sig []byte) bool {
			h := hmac.New(sha256.New, []byte(shared))
			h.Write(b)
			return hmac.Equal(h.Sum(nil), sig)
		}},
		{"shared", "HS512", "k1", func(b, sig []byte) bool {
			h := hmac.New(sha512.New, []byte(shared))
			h.Write(b)
			return hmac.Equal(h.Sum(nil), sig)
		}},
		{"rsa", "RS256", "k2", func(b, sig []byte) bool {
			return rsa.VerifyPKCS1v15(k["rsa"].Private.Public().(*rsa.PublicKey), crypto.SHA256, sum256(b), sig) == nil
		}},
		{"rsa", "RS512", "k2", func(b, sig []byte) bool {
			return rsa.VerifyPKCS1v15(k["rsa"].Private.Public().(*rsa.PublicKey), crypto.SHA512, sum512(b), sig) == nil
		}},
		{"p256", "ES256", "", func(b, sig []byte) bool {
			r, s := pair(sig)
			return len(sig) == 64 && ecdsa.Verify(k["p256"].Private.Public().(*ecdsa.PublicKey), sum256(b), r, s)
		}},
		{"p384", "ES384", "", func(b, sig []byte) bool {
			r, s := pair(sig)
			return len(sig) == 96 && ecdsa.Verify(k["p384"].Private.Public().(*ecdsa.PublicKey), sum384(b), r, s)
		}},
		{"ed", "EdDSA", "", func(b, sig []byte) bool {
			return ed25519.Verify(k["ed"].Private.Public().(ed25519.PublicKey), b, sig)
		}},
	} {
		a, told := ask(t, s, fmt.Sprintf(`{"connection":%q,"algorithm":%q,"claims":{"iss":"me","n":[1]},"lifetime_s":60}`, tt.connection, tt.algorithm))
		if told != nil {
			t.Fatalf("%s: %v", tt.algorithm, told)
		}
		parts := strings.Split(a.Token, ".")
		signature, err := base64.RawURLEncoding.DecodeString(parts[2])
		must(t, err)
		if !tt.verify([]byte(parts[0]+"."+parts[1]), signature) {
			t.Errorf("%s: the signature does not verify: %s", tt.algorithm, a.Token)
		}
		var header struct{ Alg, Typ, Kid string }
		var claims struct {
			Iss      string
			N        []int
			Iat, Exp int64
		}
		for i, into := range []any{&header, &claims} {
			doc, err := base64.RawURLEncoding.DecodeString(parts[i])
			must(t, err)
			must(t, json.Unmarshal(doc, into))
		}
		if header.Alg != tt.algorithm || header.Typ != "JWT" || header.Kid != tt.kid || claims.Iss != "me" || len(claims.N) != 1 ||
			claims.Iat != now().Unix() || claims.Exp != now().Unix()+60 || !a.ExpiresAt.Equal(now().Add(time.Minute)) {
			t.Errorf("%s: got %+v %+v until %s", tt.algorithm, header, claims, a.ExpiresAt)
		}
	}
}

func TestSignSignsURLs(t *testing.T) {
	t.Parallel()
	a, told := ask(t, setup(t), `{"connection":"aws","algorithm":"aws-sigv4","method":"get","url":"https://examplebucket.s3.amazonaws.com/test.txt","lifetime_s":3600}`)
	const want = "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request" +
		"&X-Amz-Date=20130524T000000Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host&X-Amz-Signature="
	if told != nil || !strings.HasPrefix(a.URL, want) || len(a.URL) != len(want)+64 || !a.ExpiresAt.Equal(now().Add(time.Hour)) {
		t.Errorf("got %+v, %v", a, told)
	}
}

func TestSignRefuses(t *testing.T) {
	t.Parallel()
	unsigned := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"exp":99999999999}`))
	const aws = `{"connection":"aws","algorithm":"aws-sigv4","method":"GET","url":`
	for name, tt := range map[string]struct {
		request string
		code    hostfns.Code
		want    string
	}{
		"an algorithm that is none":     {`{"connection":"rsa","algorithm":"none","claims":{}}`, "invalid_request", `"algorithm" is "none": it must be one of hmac-sha1`},
		"one that was not asked for":    {`{"connection":"jefe","algorithm":"RS256","claims":{}}`, "denied", `may not sign with RS256: name it under "sign"`},
		"a connection nobody names":     {`{"connection":"other","algorithm":"RS256","claims":{}}`, "denied", "may not sign"},
		"one that is not granted":       {`{"connection":"gone","algorithm":"RS256","claims":{}}`, "no_connection", "grant one"},
		"one without a key":             {`{"connection":"plain","algorithm":"HS256","claims":{}}`, "no_connection", "it is a bearer"},
		"no payload":                    {`{"connection":"jefe","algorithm":"hmac-sha256"}`, "invalid_request", `either "payload" or`},
		"two payloads":                  {`{"connection":"jefe","algorithm":"hmac-sha256","payload":"","payload_base64":""}`, "invalid_request", `either "payload" or`},
		"a payload that is no base64":   {`{"connection":"jefe","algorithm":"hmac-sha256","payload_base64":"*"}`, "invalid_request", "not base64"},
		"a token as a payload":          {`{"connection":"jefe","algorithm":"hmac-sha256","payload":"` + unsigned + `"}`, "invalid_request", "use HS256"},
		"a token in bytes":              {`{"connection":"jefe","algorithm":"hmac-sha256","payload_base64":"` + base64.StdEncoding.EncodeToString([]byte(unsigned)) + `"}`, "invalid_request", "use HS256"},
		"a payload for a token":         {`{"connection":"rsa","algorithm":"RS256","payload":"x"}`, "invalid_request", `"payload" has no use with RS256`},
		"claims for an HMAC":            {`{"connection":"jefe","algorithm":"hmac-sha256","payload":"x","claims":{}}`, "invalid_request", `"claims" has no use`},
		"a lifetime of an HMAC":         {`{"connection":"jefe","algorithm":"hmac-sha256","payload":"x","lifetime_s":1}`, "invalid_request", `"lifetime_s" has no use`},
		"no claims":                     {`{"connection":"rsa","algorithm":"RS256"}`, "invalid_request", "must be a JSON object"},
		"claims that are a list":        {`{"connection":"rsa","algorithm":"RS256","claims":[]}`, "invalid_request", "must be a JSON object"},
		"claims that are null":          {`{"connection":"rsa","algorithm":"RS256","claims":null}`, "invalid_request", "must be a JSON object"},
		"claims of 7 KiB":               {`{"connection":"rsa","algorithm":"RS256","claims":{"a":"` + strings.Repeat("x", 7<<10) + `"}}`, "invalid_request", "at most 6144 bytes"},
		"an end of its own":             {`{"connection":"rsa","algorithm":"RS256","claims":{"exp":99999999999}}`, "invalid_request", `has "exp", which the host sets`},
		"a beginning of its own":        {`{"connection":"rsa","algorithm":"RS256","claims":{"iat":1}}`, "invalid_request", `has "iat"`},
		"a token for two hours":         {`{"connection":"rsa","algorithm":"RS256","claims":{},"lifetime_s":7200}`, "invalid_request", "from 1 to 3600"},
		"a token for no time":           {`{"connection":"rsa","algorithm":"RS256","claims":{},"lifetime_s":0}`, "invalid_request", "from 1 to 3600"},
		"a shared secret for RS256":     {`{"connection":"shared","algorithm":"RS256","claims":{}}`, "no_connection", "RS256 takes a private key"},
		"a private key for HS256":       {`{"connection":"rsa","algorithm":"HS256","claims":{}}`, "no_connection", "HS256 takes a shared secret"},
		"a private key for an HMAC":     {`{"connection":"rsa","algorithm":"hmac-sha256","payload":"x"}`, "no_connection", "takes a shared secret"},
		"a secret that is too short":    {`{"connection":"jefe","algorithm":"HS256","claims":{}}`, "no_connection", "a shared secret of 32 bytes and more"},
		"an RSA key for ES256":          {`{"connection":"rsa","algorithm":"ES256","claims":{}}`, "no_connection", "an ECDSA key on P-256"},
		"another curve":                 {`{"connection":"p384","algorithm":"ES256","claims":{}}`, "no_connection", "an ECDSA key on P-256"},
		"an ECDSA key for RS256":        {`{"connection":"p256","algorithm":"RS256","claims":{}}`, "no_connection", "an RSA key"},
		"an ECDSA key for EdDSA":        {`{"connection":"p256","algorithm":"EdDSA","claims":{}}`, "no_connection", "an Ed25519 key"},
		"a private key for AWS":         {`{"connection":"rsa","algorithm":"aws-sigv4","method":"GET","url":"https://x.example"}`, "no_connection", "an AWS credential"},
		"another host":                  {aws + `"https://evil.example/"}`, "invalid_request", "not at one of the connection's hosts"},
		"plain http":                    {aws + `"http://examplebucket.s3.amazonaws.com/"}`, "invalid_request", "must be an https URL"},
		"a user":                        {aws + `"https://a@examplebucket.s3.amazonaws.com/"}`, "invalid_request", "must be an https URL"},
		"parameters of the signature":   {aws + `"https://examplebucket.s3.amazonaws.com/?x-amz-expires=999999"}`, "invalid_request", "which the host sets"},
		"a method that is none":         {`{"connection":"aws","algorithm":"aws-sigv4","method":"OPTIONS","url":"https://examplebucket.s3.amazonaws.com/"}`, "invalid_request", `"method" is "OPTIONS"`},
		"a URL for a week":              {aws + `"https://examplebucket.s3.amazonaws.com/","lifetime_s":604800}`, "invalid_request", "from 1 to 3600"},
		"a member that nobody knows":    {`{"name":"jefe"}`, "invalid_request", "unknown field"},
		"something that is not JSON":    {`hello`, "invalid_request", "not JSON"},
		"no algorithm":                  {`{"connection":"jefe"}`, "invalid_request", `"algorithm" is ""`},
		"an algorithm in other letters": {`{"connection":"shared","algorithm":"hs256","claims":{}}`, "invalid_request", `"algorithm" is "hs256"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, told := ask(t, setup(t), tt.request)
			if told == nil || told.Code != tt.code || !strings.Contains(told.Message, tt.want) {
				t.Errorf("got %+v, %v\nwant %s: ...%s...", a, told, tt.code, tt.want)
			}
		})
	}
	t.Run("without connections", func(t *testing.T) {
		t.Parallel()
		s := sign.New(sign.Config{Allowed: map[string][]string{"c": {"HS256"}}, Now: now})
		if _, told := ask(t, s, `{"connection":"c","algorithm":"HS256","claims":{}}`); told == nil || told.Code != hostfns.CodeNoConnection {
			t.Errorf("got %v", told)
		}
	})
	t.Run("over the quota", func(t *testing.T) {
		t.Parallel()
		s := sign.New(sign.Config{Keys: testKeys(t), Allowed: map[string][]string{"jefe": {"hmac-sha1"}}, Calls: 1, Now: now})
		const raw = `{"connection":"jefe","algorithm":"hmac-sha1","payload":"x"}`
		if _, told := ask(t, s, raw); told != nil {
			t.Fatal(told)
		}
		if _, told := ask(t, s, raw); told == nil || told.Code != hostfns.CodeLimitExceeded {
			t.Errorf("got %v", told)
		}
	})
	t.Run("what the host cannot do ends the call", func(t *testing.T) {
		t.Parallel()
		if _, err := setup(t).Funcs()[0].Answer(t.Context(), json.RawMessage(`{"connection":"broken","algorithm":"HS256","claims":{}}`)); err == nil || err.Error() != "the key file is gone" {
			t.Errorf("got %v", err)
		}
	})
}

// TestSignLeavesNoTrace: neither what was signed, nor where it is used.
func TestSignLeavesNoTrace(t *testing.T) {
	t.Parallel()
	secrets := hostfns.NewRedactor()
	s := sign.New(sign.Config{Keys: testKeys(t), Allowed: map[string][]string{"shared": {"hmac-sha256", "HS256"}}, Secrets: secrets, Now: now})
	echo := hostfns.Func{Name: "http", Answer: func(_ context.Context, raw json.RawMessage) (any, error) { return raw, nil }}
	gate := hostfns.NewGate(hostfns.GateConfig{Funcs: append(s.Funcs(), echo), Secrets: secrets, Now: now})
	call := func(name, raw string) string {
		a, err := gate.Call(t.Context(), runtime.Crossing{Func: name, Request: []byte(raw)})
		must(t, err)
		return string(a.Response)
	}
	var made struct{ Result answer }
	must(t, json.Unmarshal([]byte(call("sign", `{"connection":"shared","algorithm":"HS256","claims":{"sub":"somebody"}}`)), &made))
	sent := call("http", `{"headers":{"authorization":["Bearer `+made.Result.Token+`"]},"body":"`+shared+`"}`)
	if !strings.Contains(sent, made.Result.Token) {
		t.Errorf("the guest cannot use it: %s", sent)
	}
	if strings.Contains(sent, shared) {
		t.Errorf("the key came back: %s", sent)
	}
	steps := fmt.Sprintf("%+v", gate.Steps())
	if strings.Contains(steps, made.Result.Token) || strings.Contains(steps, "somebody") || strings.Contains(steps, shared) {
		t.Errorf("the trace shows it: %s", steps)
	}
	if !strings.Contains(steps, "HS256 with shared") {
		t.Errorf("the trace does not say what was done: %s", steps)
	}
	if got := s.Funcs()[0].Effect(nil); got != hostfns.Read {
		t.Errorf("got %s, want what a journal keeps, and may ask again", got)
	}
}

func FuzzSign(f *testing.F) {
	f.Add(`{"connection":"jefe","algorithm":"hmac-sha256","payload":"a.b"}`)
	f.Add(`{"connection":"shared","algorithm":"HS256","claims":{"a":1},"lifetime_s":5}`)
	f.Fuzz(func(t *testing.T, raw string) {
		s := sign.New(sign.Config{
			Keys:    keys{"jefe": {Secret: []byte("Jefe")}, "shared": {Secret: []byte(shared)}},
			Allowed: map[string][]string{"jefe": sign.Algorithms(), "shared": sign.Algorithms()}, Now: now,
		})
		if result, err := s.Funcs()[0].Answer(t.Context(), json.RawMessage(raw)); err == nil {
			doc, err := json.Marshal(result)
			if err != nil || strings.Contains(string(doc), shared) {
				t.Errorf("got %s, %v", doc, err)
			}
		}
	})
}

func ExampleSession() {
	session := sign.New(sign.Config{
		Keys:    keys{"app": {Secret: []byte("Jefe")}},
		Allowed: map[string][]string{"app": {"hmac-sha1"}},
		Now:     now,
	})
	for _, f := range session.Funcs() {
		result, err := f.Answer(context.Background(), json.RawMessage(`{"connection":"app","algorithm":"hmac-sha1","payload":"what do ya want for nothing?"}`))
		fmt.Println(f.Name, result, err)
	}
	// Output: sign {effcdf6ae5eb2fa2d27416d5f184df9c259a7c79 7/zfauXrL6LSdBbV8YTfnCWafHk=} <nil>
}
