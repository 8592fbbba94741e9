package hostfns_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

// encodings are how a server may echo a secret.
func encodings() map[string]func(string) string {
	percent := func(format string) func(string) string {
		return func(s string) string {
			var b strings.Builder
			for _, c := range []byte(s) {
				fmt.Fprintf(&b, format, c)
			}
			return b.String()
		}
	}
	quoted := func(s string) string {
		doc, _ := json.Marshal(s)
		return string(doc)
	}
	return map[string]func(string) string{
		"raw":          func(s string) string { return s },
		"base64":       func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
		"base64 + 1":   func(s string) string { return base64.StdEncoding.EncodeToString([]byte("u" + s + "!")) },
		"base64 + 2":   func(s string) string { return base64.URLEncoding.EncodeToString([]byte("u:" + s + "??")) },
		"base64 + 3":   func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte("usr" + s)) },
		"hex":          func(s string) string { return hex.EncodeToString([]byte(s)) },
		"HEX":          func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) },
		"query":        url.QueryEscape,
		"path":         url.PathEscape,
		"lower query":  func(s string) string { return lowerEscapes(url.QueryEscape(s)) },
		"percent":      percent("%%%02x"),
		"JSON":         quoted,
		"JSON in JSON": func(s string) string { return quoted(quoted(s)) },
		"reversed": func(s string) string {
			b := []byte(s)
			slices.Reverse(b)
			return string(b)
		},
	}
}

func lowerEscapes(s string) string {
	parts := strings.Split(s, "%")
	for i := 1; i < len(parts); i++ {
		parts[i] = strings.ToLower(parts[i][:2]) + parts[i][2:]
	}
	return strings.Join(parts, "%")
}

func TestRedactorFindsASecretInItsEncodings(t *testing.T) {
	t.Parallel()
	secret := `s3cr3t/<"tok+en&>=~ü`
	r := hostfns.NewRedactor(secret)
	for name, encode := range encodings() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			encoded := encode(secret)
			for _, text := range []string{encoded, "before " + encoded + " after", encoded + encoded} {
				got := r.String(text)
				if !strings.Contains(got, "[redacted]") {
					t.Errorf("%q: got %q", text, got)
				}
				if b := string(r.Bytes([]byte(text))); b != got {
					t.Errorf("%q: Bytes gives %q, String gives %q", text, b, got)
				}
			}
		})
	}
}

func TestRedactorLeavesTheRest(t *testing.T) {
	t.Parallel()
	r := hostfns.NewRedactor("abc", "", "tok")
	for _, text := range []string{"", "abc tok", "[redacted]", strings.Repeat("x", 1000)} {
		if got := r.String(text); got != text {
			t.Errorf("String(%q) = %q: secrets under 4 bytes are not looked for", text, got)
		}
	}
	var none *hostfns.Redactor
	if got := none.String("text") + string(none.Bytes([]byte("text"))) + string(none.JSON(json.RawMessage(`"text"`))); got != `texttext"text"` {
		t.Errorf("a nil Redactor changed text: %s", got)
	}
}

func TestRedactorKnowsALongerSecretBeforeItsPart(t *testing.T) {
	t.Parallel()
	r := hostfns.NewRedactor("token", "token-of-the-tenant")
	if got, want := r.String("token-of-the-tenant, token"), "[redacted], [redacted]"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRedactorJSONStaysJSON(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ secret, doc, want string }{
		"in a string":      {"hunter2", `{"a":"xhunter2x"}`, `{"a":"x[redacted]x"}`},
		"in a number":      {"1234", `{"id":91234,"n":5}`, `{"id":"9[redacted]","n":5}`},
		"in a key":         {"hunter2", `{"hunter2":[1]}`, `{"[redacted]":[1]}`},
		"a literal":        {"true", `[true,false,null]`, `["[redacted]",false,null]`},
		"through a escape": {"abcd", `["\u00abcd"]`, `["«cd"]`},
		"none":             {"hunter2", `{"a": 1.0e5}`, `{"a": 1.0e5}`},
		"no JSON at all":   {"hunter2", `{"a":hunter2`, `"[redacted]"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := hostfns.NewRedactor(tt.secret).JSON(json.RawMessage(tt.doc))
			if string(got) != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestRedactorProperties(t *testing.T) {
	t.Parallel()
	all := encodings()
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringN(8, 40, -1).Draw(t, "secret")
		r := hostfns.NewRedactor(secret)
		encoded := all[rapid.SampledFrom(names).Draw(t, "encoding")](secret)
		doc, err := json.Marshal(map[string]string{"before": "b", "echo": rapid.String().Draw(t, "head") + encoded})
		if err != nil {
			t.Fatal(err)
		}
		out := r.JSON(doc)
		if !json.Valid(out) {
			t.Fatalf("no JSON: %s", out)
		}
		if strings.Contains(string(out), secret) {
			t.Fatalf("the secret %q is in %s", secret, out)
		}
	})
}
