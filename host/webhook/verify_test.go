package webhook_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/webhook"
)

// names are the headers of each scheme, as the vendors' documentation has them.
func names(scheme string) (id, timestamp, signature string) {
	if scheme == "github" {
		return "X-GitHub-Delivery", "", "X-Hub-Signature-256"
	}
	return "webhook-id", "webhook-timestamp", "webhook-signature"
}

func TestPublishedVectors(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name, Scheme, Secret, ID, Body, Signature string
		Timestamp                                 int64
	}
	if err := json.Unmarshal(content, &vectors); err != nil || len(vectors) == 0 {
		t.Fatalf("got %d vectors, %v", len(vectors), err)
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, v.Scheme, v.Secret)
			b.now = time.Unix(v.Timestamp, 0)
			d := b.signed(t, v.ID, []byte(v.Body))
			_, _, signature := names(v.Scheme)
			if got := d.Header.Get(signature); got != v.Signature {
				t.Errorf("signed %s, want %s", got, v.Signature)
			}
			if _, err := b.intake.Receive(t.Context(), d); err != nil {
				t.Error(err)
			}
		})
	}
}

// mutation is one case of the battery that every scheme must pass.
type mutation struct {
	name string
	// change returns false if the case does not exist in the scheme.
	change func(b *bundle, d *webhook.Delivery) bool
	// code is empty for what is accepted.
	code   string
	status int
}

// edit changes the signature's text.
func edit(f func(string) string) func(*bundle, *webhook.Delivery) bool {
	return func(b *bundle, d *webhook.Delivery) bool {
		_, _, name := names(b.scheme)
		d.Header.Set(name, f(d.Header.Get(name)))
		return true
	}
}

// recode changes the encoding of the signature's bytes.
func recode(scheme string, f func(sum []byte) string) func(*bundle, *webhook.Delivery) bool {
	return func(b *bundle, d *webhook.Delivery) bool {
		return b.scheme == scheme && edit(func(s string) string {
			if hexed, ok := strings.CutPrefix(s, "sha256="); ok {
				sum, _ := hex.DecodeString(hexed)
				return "sha256=" + f(sum)
			}
			sum, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, "v1,"))
			return "v1," + f(sum)
		})(b, d)
	}
}

// without drops the id, the timestamp or the signature.
func without(part int) func(*bundle, *webhook.Delivery) bool {
	return func(b *bundle, d *webhook.Delivery) bool {
		id, timestamp, signature := names(b.scheme)
		name := []string{id, timestamp, signature}[part]
		d.Header.Del(name)
		return name != ""
	}
}

// again adds a header a second time, with a suffix to its value.
func again(part int, suffix string) func(*bundle, *webhook.Delivery) bool {
	return func(b *bundle, d *webhook.Delivery) bool {
		id, timestamp, signature := names(b.scheme)
		name := []string{id, timestamp, signature}[part]
		if name == "" {
			return false
		}
		d.Header.Add(name, d.Header.Get(name)+suffix)
		return true
	}
}

func body(f func([]byte) []byte) func(*bundle, *webhook.Delivery) bool {
	return func(_ *bundle, d *webhook.Delivery) bool {
		d.Body = f(d.Body)
		return true
	}
}

func battery() []mutation {
	const bad = "signature_invalid"
	return []mutation{
		{"valid", func(*bundle, *webhook.Delivery) bool { return true }, "", 0},
		{"body bit flip", body(func(b []byte) []byte { return append([]byte{b[0] ^ 1}, b[1:]...) }), bad, 401},
		{"body truncated", body(func(b []byte) []byte { return b[:len(b)-1] }), bad, 401},
		{"body longer", body(func(b []byte) []byte { return append(bytes.Clone(b), '\n') }), bad, 401},
		{"body empty", body(func([]byte) []byte { return nil }), bad, 401},
		{"body's keys in another order", body(func([]byte) []byte { return []byte(`{"b":2,"a":1}`) }), bad, 401},
		{"signature bit flip", edit(func(s string) string { return s[:len(s)-4] + string(s[len(s)-4]^1) + s[len(s)-3:] }), bad, 401},
		{"signature truncated", edit(func(s string) string { return s[:len(s)-1] }), bad, 401},
		{"signature longer", edit(func(s string) string { return s + "0" }), bad, 401},
		{"signature empty", edit(func(string) string { return "" }), "signature_missing", 401},
		{"signature is the prefix alone", edit(func(s string) string { return s[:strings.IndexAny(s, "=,")+1] }), bad, 401},
		{"signature without prefix", edit(func(s string) string { return s[strings.IndexAny(s, "=,")+1:] }), bad, 401},
		{"wrong prefix", edit(func(s string) string { return "x" + s }), bad, 401},
		{"upper-case prefix", edit(func(s string) string {
			i := strings.IndexAny(s, "=,")
			return strings.ToUpper(s[:i]) + s[i:]
		}), bad, 401},
		{"sha1 prefix", edit(func(s string) string { return "sha1=" + s[strings.IndexAny(s, "=,")+1:] }), bad, 401},
		{"unknown version only", edit(func(s string) string { return "v9," + s[strings.IndexAny(s, "=,")+1:] }), bad, 401},
		{"inner white space", edit(func(s string) string { return s[:12] + " " + s[12:] }), bad, 401},
		{"white space before", edit(func(s string) string { return "\t" + s }), bad, 401},
		{"hex for base64", recode("standard-webhooks", hex.EncodeToString), bad, 401},
		{"unpadded base64", recode("standard-webhooks", base64.RawStdEncoding.EncodeToString), bad, 401},
		{"base64 for hex", recode("github", base64.StdEncoding.EncodeToString), bad, 401},
		{"upper-case hex", recode("github", func(sum []byte) string { return fmt.Sprintf("%X", sum) }), bad, 401},
		{"no id", without(0), "delivery_id_missing", 400},
		{"no timestamp", without(1), "signature_missing", 401},
		{"no signature", without(2), "signature_missing", 401},
		{"id twice, equal", again(0, ""), "", 0},
		{"timestamp twice, equal", again(1, ""), "", 0},
		{"signature twice, equal", again(2, ""), "", 0},
		{"id twice, different", again(0, "x"), bad, 401},
		{"timestamp twice, different", again(1, "0"), bad, 401},
		{"signature twice, different", again(2, "x"), bad, 401},
		{"another id", func(b *bundle, d *webhook.Delivery) bool {
			id, timestamp, _ := names(b.scheme)
			d.Header.Set(id, "msg_2")
			return timestamp != "" // GitHub does not sign its id.
		}, bad, 401},
	}
}

func TestBattery(t *testing.T) {
	t.Parallel()
	for _, scheme := range webhook.Schemes() {
		for _, tt := range battery() {
			t.Run(scheme+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				b := setup(t, scheme, "")
				d := b.signed(t, "msg_1", []byte(`{"a":1,"b":2}`))
				if !tt.change(b, &d) {
					return
				}
				if tt.code != "" {
					b.refused(t, d, tt.code, tt.status)
				} else if _, err := b.intake.Receive(t.Context(), d); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestBodiesAreVerifiedAsTheyCame(t *testing.T) {
	t.Parallel()
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	w.Write([]byte(`{"a":1}`))
	w.Close()
	for _, scheme := range webhook.Schemes() {
		for name, body := range map[string][]byte{
			"none": nil, "empty": {}, "invalid UTF-8": {0xff, 0xfe, 0}, "CRLF at the end": []byte("{}\r\n"),
			"gzip": zipped.Bytes(), "form": []byte("payload=%7B%7D"), "1 MiB": bytes.Repeat([]byte("x"), 1<<20),
		} {
			t.Run(scheme+"/"+name, func(t *testing.T) {
				t.Parallel()
				b := setup(t, scheme, "")
				if _, err := b.intake.Receive(t.Context(), b.signed(t, "msg_1", body)); err != nil {
					t.Fatal(err)
				}
				if got := b.events.kept[0].Body; !bytes.Equal(got, body) {
					t.Errorf("got %d bytes, want %d", len(got), len(body))
				}
			})
		}
	}
}

func TestSHA1IsNoSignature(t *testing.T) {
	t.Parallel()
	b := setup(t, "github", "It's a Secret to Everybody")
	d := b.signed(t, "one", []byte("Hello, World!"))
	d.Header.Del("X-Hub-Signature-256")
	// A right SHA-1 signature, as GitHub still sends beside the other one.
	d.Header.Set("X-Hub-Signature", "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59")
	b.refused(t, d, "signature_missing", 401)
}

func TestTimestamps(t *testing.T) {
	t.Parallel()
	b := setup(t, "standard-webhooks", "")
	now := b.now.Unix()
	const bad, late = "signature_invalid", "timestamp_out_of_range"
	tests := []struct{ name, timestamp, code string }{
		{"now", strconv.FormatInt(now, 10), ""},
		{"300 s ago", strconv.FormatInt(now-300, 10), ""},
		{"301 s ago", strconv.FormatInt(now-301, 10), late},
		{"in 300 s", strconv.FormatInt(now+300, 10), ""},
		{"in 301 s", strconv.FormatInt(now+301, 10), late},
		{"milliseconds", strconv.FormatInt(now*1000, 10), bad},
		{"zero", "0", late},
		{"negative", strconv.FormatInt(-now, 10), bad},
		{"a plus", "+" + strconv.FormatInt(now, 10), bad},
		{"leading zeros", "00" + strconv.FormatInt(now, 10), bad},
		{"a fraction", strconv.FormatInt(now, 10) + ".0", bad},
		{"an exponent", "1e9", bad},
		{"hexadecimal", "0x69573be5", bad},
		{"underscores", "1_767_323_045", bad},
		{"a space", strconv.FormatInt(now, 10) + " ", bad},
		{"other digits", "١٧٦٧٣٢٣٠٤٥", bad},
		{"2^63", "9223372036854775808", bad},
		{"RFC 3339", b.now.Format(time.RFC3339), bad},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			// Signed as it stands, by whoever has the secret: only the form is wrong.
			b := setup(t, "standard-webhooks", "")
			d := b.signed(t, "msg_1", []byte("{}"))
			d.Header.Set("webhook-timestamp", tt.timestamp)
			d.Header.Set("webhook-signature", b.signatureOf(t, "msg_1."+tt.timestamp+".{}"))
			if tt.code != "" {
				b.refused(t, d, tt.code, 401)
			} else if _, err := b.intake.Receive(t.Context(), d); err != nil {
				t.Error(err)
			}
		})
	}
}

// signatureOf signs any text with a secret of Standard Webhooks.
func (b *bundle) signatureOf(t *testing.T, text string) string {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(b.secret, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	return "v1," + base64.StdEncoding.EncodeToString(hmacSHA256(key, text))
}

func TestIDs(t *testing.T) {
	t.Parallel()
	tests := []struct {
		scheme, name, id, code string
		status                 int
	}{
		{"github", "of 256 bytes", strings.Repeat("a", 256), "", 0},
		{"github", "of 257 bytes", strings.Repeat("a", 257), "delivery_id_invalid", 400},
		{"github", "with a full stop", "a.b", "", 0},
		{"github", "with a space", "a b", "delivery_id_invalid", 400},
		{"github", "outside of ASCII", "é", "delivery_id_invalid", 400},
		{"standard-webhooks", "of 256 bytes", strings.Repeat("a", 256), "", 0},
		// It could be another delivery's body that was moved into the id.
		{"standard-webhooks", "with a full stop", "msg_1.1767323045", "delivery_id_invalid", 400},
	}
	for _, tt := range tests {
		t.Run(tt.scheme+"/"+tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, tt.scheme, "")
			d := b.signed(t, tt.id, []byte("{}"))
			if tt.code != "" {
				b.refused(t, d, tt.code, tt.status)
			} else if _, err := b.intake.Receive(t.Context(), d); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestListsOfSignatures(t *testing.T) {
	t.Parallel()
	const junk = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	const foreign = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
	tests := []struct {
		name string
		list func(right string) string
		ok   bool
	}{
		{"first", func(s string) string { return s + " " + junk }, true},
		{"last", func(s string) string { return junk + " " + s }, true},
		{"beside another version", func(s string) string { return foreign + " " + s }, true},
		{"16th", func(s string) string { return strings.Repeat(junk+" ", 15) + s }, true},
		{"17th", func(s string) string { return strings.Repeat(junk+" ", 16) + s }, false},
		{"none", func(string) string { return junk + " " + foreign }, false},
		{"spaces alone", func(string) string { return "   " }, false},
		{"commas for spaces", func(s string) string { return junk + "," + s }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, "standard-webhooks", "")
			d := b.signed(t, "msg_1", []byte("{}"))
			d.Header.Set("webhook-signature", tt.list(d.Header.Get("webhook-signature")))
			if !tt.ok {
				b.refused(t, d, "signature_invalid", 401)
			} else if _, err := b.intake.Receive(t.Context(), d); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSvixHeadersAreAllOrNothing(t *testing.T) {
	t.Parallel()
	legacy := func(h http.Header) http.Header {
		svix := http.Header{}
		for name, values := range h {
			svix[strings.Replace(name, "Webhook-", "Svix-", 1)] = values
		}
		return svix
	}
	b := setup(t, "standard-webhooks", "")
	d := b.signed(t, "msg_1", []byte("{}"))
	modern := d.Header
	d.Header = legacy(modern)
	if _, err := b.intake.Receive(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"} {
		t.Run("mixed with "+name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, "standard-webhooks", b.secret)
			d := b.signed(t, "msg_1", []byte("{}"))
			value := d.Header[name]
			d.Header = legacy(d.Header)
			d.Header[name] = value
			delete(d.Header, strings.Replace(name, "Webhook-", "Svix-", 1))
			if _, err := b.intake.Receive(t.Context(), d); err == nil {
				t.Error("parts of two sets were mixed")
			}
		})
	}
}
