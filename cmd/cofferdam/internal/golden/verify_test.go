package golden_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/golden"
)

// judgedBody is a test of the probe's verify; what $MORE and $EXPECT stand for can be put in.
const judgedBody = `{"verify": "signed", "secret": "s3cret-of-nobody", "body": {"id": "o-1"}, $MORE "expect": {$EXPECT}}`

func signatureOf(secret, text string) string {
	sum := hmac.New(sha256.New, []byte(secret))
	sum.Write([]byte(text))
	return hex.EncodeToString(sum.Sum(nil))
}

func TestAVerdictIsTheOutput(t *testing.T) {
	t.Parallel()
	b := probe(t)
	const text = `Hello|POST|https://hooks.example/hooks/end_00000000000000000000000001||{"id":"o-1"}`
	right := signatureOf("s3cret-of-nobody", text)
	for name, tt := range map[string]struct{ more, expect string }{
		"a right signature":  {`"headers": {"X-Signature": "` + right + `", "X-Id": "d-1"},`, `"output": {"accept": true, "id": "d-1"}`},
		"another word":       {`"headers": {"X-Signature": "` + right + `"}, "config": {"word": "Ahoy"},`, `"output": {"accept": false, "code": "signature_invalid", "message": "it is another, at 2026-01-02T03:04:05Z"}`},
		"another address":    {`"headers": {"X-Signature": "` + right + `"}, "url": "https://a.test/",`, `"output": {"accept": false, "code": "signature_invalid", "message": "it is another, at 2026-01-02T03:04:05Z"}`},
		"no signature":       {``, `"output": {"accept": false, "code": "signature_missing", "message": "there is no x-signature"}`},
		"a handshake":        {`"method": "GET", "query": "a=b",`, `"output": {"accept": true, "respond": {"status": 200, "text": "a=b"}}`},
		"a request":          {`"headers": {"X-Do": "http"},`, `"error": {"code": "denied"}`},
		"one without an end": {`"headers": {"X-Do": "spin"},`, `"error": {"code": "fuel_exhausted"}`},
		"what is signed": {
			`"headers": {"X-Signature": "` + right + `"}, "sign": [{"request": {"connection": "secret", "algorithm": "hmac-sha256"}}],`, `"output": {"accept": true}`,
		},
		"a key that is refused": {
			`"headers": {"X-Signature": "a"}, "sign": [{"error": {"code": "no_connection", "message": "no"}}],`, `"error": {"code": "no_connection", "message": "sign: no"}`,
		},
	} {
		if r := run(t, b, "", signing(judgedBody, tt.more, tt.expect)); !r.Passed() {
			t.Errorf("%s:\n%s", name, whys(r))
		}
	}
	for name, tt := range map[string]struct{ test, says string }{
		"another output":        {signing(judgedBody, "", `"output": {"accept": true}`), "the output differs"},
		"a webhook of a scheme": {strings.Replace(signing(judgedBody, "", ""), "signed", "any", 1), "does not verify the webhook \"any\""},
		"no webhook":            {strings.Replace(signing(judgedBody, "", ""), "signed", "none", 1), "the plugin has no webhook \"none\""},
		"nothing signed":        {signing(judgedBody, `"sign": [{}],`, ""), "signature 1 was not asked for"},
	} {
		if r := run(t, b, "", tt.test); r.Passed() || !strings.Contains(whys(r), tt.says) {
			t.Errorf("%s:\n%s", name, whys(r))
		}
	}
}

func TestAVerdictIsWrittenDown(t *testing.T) {
	t.Parallel()
	b := probe(t)
	test := parse(t, signing(judgedBody, "", ""))
	updated, r, err := golden.Update(t.Context(), b, golden.Subject{Name: "a", Test: test})
	if err != nil || !r.Passed() {
		t.Fatalf("%v\n%s", err, whys(r))
	}
	got, err := json.Marshal(updated.Expect)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(`{"output":{"accept":false,"code":"signature_missing","message":"there is no x-signature"}}`, string(got)); diff != "" {
		t.Errorf("what is expected (-want +got):\n%s", diff)
	}
}

func TestTestsOfVerifyThatCannotBe(t *testing.T) {
	t.Parallel()
	for test, want := range map[string]string{
		`{"verify": "a", "webhook": "a", "secret": "s", "expect": {}}`:             "2 of action, webhook, verify",
		`{"verify": "a", "expect": {}}`:                                            "a verify needs a secret",
		`{"webhook": "a", "secret": "s", "expect": {}}`:                            "are for a verify",
		`{"verify": "a", "secret": "s", "state": {"a": 1}, "expect": {}}`:          "nothing else",
		`{"verify": "a", "secret": "s", "http": [{"response": {}}], "expect": {}}`: "nothing else",
		`{"verify": "a", "secret": "s", "expect": {"records": []}}`:                "leaves nothing behind",
		`{"verify": "a", "secret": "s", "input": {}, "expect": {}}`:                "an input is an action's",
	} {
		if _, err := golden.Parse([]byte(test)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", test, err, want)
		}
	}
}
