package golden_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/golden"
	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/trial"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// probe is a connector that has signed what its input says, see sdk/testdata/probe.
func probe(t *testing.T) *trial.Bench {
	t.Helper()
	return open(t, runtimetest.BuildGo(t, filepath.Join("..", "..", "..", "..", "sdk", "tck", "testdata", "probe-go")))
}

const hmacOfA = `{"action": "hmac", "input": {"connection": "shared", "algorithm": "hmac-sha256", "text": "a=1"}, $MORE "expect": {$EXPECT}}`

func signing(test, more, expect string) string {
	return strings.NewReplacer("$MORE", more, "$EXPECT", expect).Replace(test)
}

func whys(r *golden.Result) string {
	var b strings.Builder
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "%s\n%s\n%s\n", p.What, p.Want, p.Got)
	}
	return b.String()
}

// TestSignaturesAreTheSameInEachRun whether or not their algorithm wants randomness.
func TestSignaturesAreTheSameInEachRun(t *testing.T) {
	t.Parallel()
	b := probe(t)
	secret := "credential-of-shared" + strings.Repeat(".", 64-len("credential-of-shared"))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("a=1"))
	want := fmt.Sprintf(`"output": {"hex": %q, "base64": %q}`, hex.EncodeToString(mac.Sum(nil)), base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	if r := run(t, b, "", signing(hmacOfA, "", want)); !r.Passed() {
		t.Errorf("an HMAC:\n%s", whys(r))
	}
	for name, test := range map[string]string{
		"a token of a shared secret": `{"action": "jwt", "input": {"connection": "shared", "algorithm": "HS256", "claims": {"iss": "1"}}, "expect": {}}`,
		"a token of Ed25519":         `{"action": "jwt", "input": {"connection": "app", "algorithm": "EdDSA", "claims": {"iss": "1"}}, "expect": {}}`,
		"a token of ECDSA":           `{"action": "jwt", "input": {"connection": "app", "algorithm": "ES256", "claims": {"iss": "1"}}, "expect": {}}`,
		"a token of RSA":             `{"action": "jwt", "input": {"connection": "app", "algorithm": "RS256", "claims": {"iss": "1"}}, "expect": {}}`,
		"a URL":                      `{"action": "sigv4", "input": {"connection": "aws", "method": "GET", "url": "https://examplebucket.s3.amazonaws.com/a"}, "expect": {}}`,
	} {
		first := run(t, b, "", test)
		if !first.Passed() || first.Report.Output == nil {
			t.Fatalf("%s:\n%s", name, whys(first))
		}
		if again := run(t, b, "", strings.Replace(test, "{}}", `{"output": `+string(first.Report.Output)+`}}`, 1)); !again.Passed() {
			t.Errorf("%s differs in another run:\n%s", name, whys(again))
		}
	}
}

func TestSignaturesAreAnsweredAsTheTestSays(t *testing.T) {
	t.Parallel()
	b := probe(t)
	const request = `"request": {"algorithm": "hmac-sha256", "payload": "a=1"}`
	for name, tt := range map[string]struct{ more, expect string }{
		"with its own answer": {`"sign": [{` + request + `, "result": {"hex": "0a", "base64": "Cg=="}}],`, `"output": {"hex": "0a", "base64": "Cg=="}`},
		"whatever is asked":   {`"sign": [{"result": {"hex": "0a", "base64": "Cg=="}}],`, `"output": {"hex": "0a", "base64": "Cg=="}`},
		"with an error": {
			`"sign": [{` + request + `, "error": {"code": "limit_exceeded", "message": "enough"}}],`,
			`"error": {"code": "limit_exceeded", "message": "sign: enough"}`,
		},
		"by a key that the test gives": { // https://www.rfc-editor.org/rfc/rfc4231#section-4.2
			`"credentials": {"shared": {"key": "` + strings.Repeat("0b", 20) + `", "key_encoding": "hex"}}, "sign": [{}],`,
			`"output": {"hex": "` + hmacOf(strings.Repeat("\x0b", 20), "a=1") + `", "base64": "` + hmac64(strings.Repeat("\x0b", 20), "a=1") + `"}`,
		},
		"without a connection": {`"connections": {},`, `"error": {"code": "no_connection"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if r := run(t, b, "", signing(hmacOfA, tt.more, tt.expect)); !r.Passed() {
				t.Error(whys(r))
			}
		})
	}
}

func hmacOf(key, payload string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(payload))
	return hex.EncodeToString(mac.Sum(nil))
}

func hmac64(key, payload string) string {
	raw, _ := hex.DecodeString(hmacOf(key, payload))
	return base64.StdEncoding.EncodeToString(raw)
}

func TestOtherSignaturesFailTheTest(t *testing.T) {
	t.Parallel()
	b := probe(t)
	for name, tt := range map[string]struct{ more, want string }{
		"another payload":       {`"sign": [{"request": {"payload": "a=2"}}],`, "signature 1 differs"},
		"a member that is none": {`"sign": [{"request": {"claims": {}}}],`, "signature 1 differs"},
		"one too many":          {`"sign": [],`, "signature 1 is not among those of the test's sign"},
		"one too few":           {`"sign": [{}, {"request": {"payload": "a=2"}}],`, "signature 2 was not asked for"},
		"an answer that rules forbid": {
			`"connections": {}, "sign": [{"result": {"hex": "0a", "base64": "Cg=="}}],`, `it failed: no_connection: sign: connection "shared"`,
		},
		"a key that is too short":        {`"credentials": {"shared": {"key": "short"}},`, "an HMAC's has at least 16"},
		"a credential of another":        {`"credentials": {"shard": {"key": "short"}},`, `the plugin has no connection "shard"`},
		"a credential without a grant":   {`"connections": {}, "credentials": {"shared": {"key": "0123456789abcdef"}},`, "or the test does not grant it"},
		"a key that signs by another":    {`"credentials": {"app": {"private_key": "none"}},`, "private_key must be one block of PEM"},
		"a credential of another type's": {`"credentials": {"shared": {"token": "0123456789abcdef"}},`, "has no token"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(t, b, "", signing(hmacOfA, tt.more, ""))
			if r.Passed() || !strings.Contains(whys(r), tt.want) {
				t.Errorf("got %s, want %q in it", whys(r), tt.want)
			}
		})
	}
	if _, err := golden.Parse([]byte(signing(hmacOfA, `"sign": [{"result": {}, "error": {"code": "denied"}}],`, ""))); err == nil {
		t.Error("a signature has a result and an error")
	}
}

func TestUpdateWritesWhatIsSigned(t *testing.T) {
	t.Parallel()
	b := probe(t)
	update := func(more string) golden.Test {
		t.Helper()
		updated, r, err := golden.Update(t.Context(), b, golden.Subject{Name: t.Name(), Test: parse(t, signing(hmacOfA, more, ""))})
		if err != nil || !r.Passed() {
			t.Fatalf("%v\n%s", err, whys(r))
		}
		return updated
	}
	want := `[{"request":{"algorithm":"hmac-sha256","connection":"shared","payload":"a=1"}}]`
	for name, tt := range map[string]struct{ more, want string }{
		"where nothing is said": {"", want},
		"where less is said":    {`"sign": [{"request": {"payload": "a=2"}, "result": {"hex": "0a", "base64": "Cg=="}}],`, `[{"request":{"payload":"a=1"},"result":{"hex":"0a","base64":"Cg=="}}]`},
		"where none is wanted":  {`"sign": [],`, want},
	} {
		updated := update(tt.more)
		got, err := json.Marshal(updated.Sign)
		if diff := cmp.Diff(tt.want, string(got)); diff != "" || err != nil {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		encoded, err := golden.Encode(updated)
		if err != nil {
			t.Fatal(err)
		}
		if r := run(t, b, "", string(encoded)); !r.Passed() {
			t.Errorf("%s: what was written fails:\n%s", name, whys(r))
		}
	}
}
