package hostfns_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

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
		"JSON thrice":  func(s string) string { return quoted(quoted(quoted(s))) },
		"units":        units,
		"units in URL": func(s string) string { return url.QueryEscape(units(s)) },
		"URL twice":    func(s string) string { return url.QueryEscape(url.QueryEscape(s)) },
		"URL of all":   func(s string) string { return url.QueryEscape(percent("%%%02X")(s)) },
		"HTML":         html.EscapeString,
		"HTML decimal": runes("&#%d;"),
		"HTML hex":     runes("&#x%x;"),
		"HTML in JSON": func(s string) string { return quoted(html.EscapeString(s)) },
		"JavaScript":   percent("\\x%02x"),
		"every second": func(s string) string {
			var b strings.Builder
			for i, c := range []byte(s) {
				if i%2 == 0 {
					fmt.Fprintf(&b, "%%%02x", c)
				} else {
					b.WriteByte(c)
				}
			}
			return b.String()
		},
		"base64 in lines": func(s string) string {
			return broken(base64.StdEncoding.EncodeToString([]byte("user:"+s)), "\r\n")
		},
		"base64 in lines in JSON": func(s string) string {
			return quoted(broken(base64.StdEncoding.EncodeToString([]byte("user:"+s)), "\n"))
		},
		"base64 in URL": func(s string) string { return url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(s))) },
		"base64 in JSON": func(s string) string {
			return strings.ReplaceAll(quoted(base64.StdEncoding.EncodeToString([]byte(s))), "/", `\/`)
		},
		"reversed": func(s string) string {
			b := []byte(s)
			slices.Reverse(b)
			return string(b)
		},
	}
}

// units writes UTF-16, as JSON of ASCII only does.
func units(s string) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(s)) {
		fmt.Fprintf(&b, "\\u%04x", u)
	}
	return b.String()
}

func runes(format string) func(string) string {
	return func(s string) string {
		var b strings.Builder
		for _, c := range s {
			fmt.Fprintf(&b, format, c)
		}
		return b.String()
	}
}

// broken has lines of 10.
func broken(s, end string) string {
	var b strings.Builder
	for i, c := range []byte(s) {
		if i%10 == 9 {
			b.WriteString(end)
		}
		b.WriteByte(c)
	}
	return b.String()
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

func TestRedactorFindsASecretAcrossWindows(t *testing.T) {
	t.Parallel()
	const secret = "sk_live_0123456789/abcdef"
	r := hostfns.NewRedactor(secret)
	escaped := units(secret)
	// Escapes are undone in windows of some 32 KiB: the secret stands at each place of
	// the second and third.
	for at := 30 << 10; at < 100<<10; at += 61 {
		text := strings.Repeat(`\n`, at/2) + escaped + strings.Repeat("x", 64<<10)
		got := r.String(text)
		if want := strings.Repeat(`\n`, at/2) + "[redacted]" + strings.Repeat("x", 64<<10); got != want {
			t.Fatalf("at %d: the secret is left, or more than it is gone", at)
		}
	}
}

func TestRedactorLeavesNothingOfSecretsThatOverlap(t *testing.T) {
	t.Parallel()
	r := hostfns.NewRedactor("token-of-a", "a-tenant", "of-a-ten")
	if got, want := r.String("x token-of-a-tenant y"), "x [redacted] y"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRedactorReadsBrokenEscapes(t *testing.T) {
	t.Parallel()
	r := hostfns.NewRedactor("hunter22")
	for _, text := range []string{"%", "%4", "%zz", `\`, `\u`, `\u12`, `\ud800`, `\ud800\u0041`, "&", "&;", "&#;", "&#x;", "&#99999999;", "&nbsp;", "\r\n", "a&b=%2"} {
		if got := r.String(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
		if got, want := r.String(text+" hunter22"), text+" [redacted]"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func FuzzRedactor(f *testing.F) {
	f.Add("hunter22", `{"a":"\u0068unter22%22&#x68;"}`)
	f.Add("a b/c+d", "a+b%2Fc%2bd\r\n")
	f.Fuzz(func(t *testing.T, secret, text string) {
		r := hostfns.NewRedactor(secret)
		out := r.String(text + secret)
		if len(secret) >= 4 && !strings.Contains("[redacted]", secret) && !strings.Contains(secret, "[") && !strings.Contains(secret, "]") && strings.Contains(out, secret) {
			t.Errorf("%q is in %q", secret, out)
		}
	})
}
