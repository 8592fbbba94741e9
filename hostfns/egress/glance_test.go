package egress_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

// requests are documents, and whether they are read quickly.
func requests() map[string]bool {
	return map[string]bool{
		`{"method":"GET","url":"https://a.example"}`: true,
		` { "method" : "POST" , "url":"u","body":"{\"a\":[1,\"\\u00e9\"]}\n","headers":{"x":["1","2"],"y":[]},"timeout_ms":50,"connection":"c","idempotency_key":"k"} `: true,
		`{"body_base64":"AAAA","timeout_ms":0}`: true,
		`{}`:                                    true,
		`{"body":"grüße \u0041\u0000\/\b\f\n\r\t"}`: true,
		`{"headers":{}}`:                    true,
		`{"Method":"GET"}`:                  false, // encoding/json takes capitals for the same.
		`{"method":"GET","method":"POST"}`:  false,
		`{"method":"GET","METHOD":"POST"}`:  false,
		`{"m\u0065thod":"GET"}`:             false,
		`{"method":null}`:                   false,
		`{"body":"\ud83d\ude00"}`:           false,
		`{"body":"\ud83d"}`:                 false,
		`{"body":"` + "\x01" + `"}`:         false,
		`{"body":"` + "\xff" + `"}`:         false,
		`{"body":"\x"}`:                     false,
		`{"body":"\u00+1"}`:                 false,
		`{"body":"\`:                        false,
		`{"headers":{"a":["1"],"a":["2"]}}`: false,
		`{"headers":{"a":"1"}}`:             false,
		`{"headers":{"a":["1",]}}`:          false,
		`{"headers":{"a":["1"],}}`:          false,
		`{"headers":{,"a":["1"]}}`:          false,
		`{"headers":{"a":null}}`:            false,
		`{"timeout_ms":-1}`:                 false,
		`{"timeout_ms":01}`:                 false,
		`{"timeout_ms":1e3}`:                false,
		`{"timeout_ms":1.5}`:                false,
		`{"timeout_ms":9999999999999999}`:   false,
		`{"timeout_ms":}`:                   false,
		`{"method":"GET",}`:                 false,
		`{"method":"GET"`:                   false,
		`{"method":"GET"}x`:                 false,
		`{"other":1}`:                       false,
		``:                                  false,
		`[]`:                                false,
		`{"method" "GET"}`:                  false,
		`{"headers":{"a":["1"]`:             false,
		`{"headers":{"a" ["1"]}}`:           false,
	}
}

func TestRequestsAreReadQuicklyAndAlike(t *testing.T) {
	t.Parallel()
	for raw, want := range requests() {
		t.Run(raw, func(t *testing.T) {
			t.Parallel()
			if taken := same(t, []byte(raw)); taken != want {
				t.Errorf("read quickly: %v, want %v", taken, want)
			}
		})
	}
}

// FuzzRequest looks for a document of which the quick reader and encoding/json
// understand different things.
func FuzzRequest(f *testing.F) {
	for raw := range requests() {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) { same(t, raw) })
}

func same(t *testing.T, raw []byte) (taken bool) {
	t.Helper()
	slow, quick, taken, err := egress.Decodings(raw)
	if !taken {
		return false
	}
	if err != nil {
		t.Fatalf("%q: it is read quickly, and refused by encoding/json: %v", raw, err)
	}
	if diff := cmp.Diff(slow, quick, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%q (-encoding/json +quick):\n%s", raw, diff)
	}
	return true
}
