package signature_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/webhook/descriptor"
	"github.com/cofferdam-run/cofferdam/host/webhook/signature"
)

// TestBattery plays the same deliveries to every scheme that there is: those that are right
// in an odd way, and those that are wrong in each way that there is to be wrong.
func TestBattery(t *testing.T) {
	t.Parallel()
	all, err := descriptor.Load()
	if err != nil {
		t.Fatal(err)
	}
	sampled := samples(t)
	var tally struct{ negative, positive, accepted atomic.Int64 }
	t.Run("schemes", func(t *testing.T) {
		for _, d := range all {
			for i := range d.Signatures {
				// Each way of signing for itself, where one does not need another's secret.
				if i > 0 && d.Name != "standard-webhooks" {
					break
				}
				one := d
				one.Signatures = append(slices.Clone(d.Signatures[i:]), d.Signatures[:i]...)
				t.Run(fmt.Sprintf("%s/%d", d.Name, i), func(t *testing.T) {
					t.Parallel()
					b := setup(t, one, sampled[d.Name])
					for _, c := range b.positive(t) {
						tally.positive.Add(1)
						if _, err := b.verify(t, c.request); err != nil {
							t.Errorf("%s: refused: %v", c.name, err)
						}
					}
					for _, c := range b.negative(t) {
						tally.negative.Add(1)
						with := b.caseOf(c.request)
						if c.secrets != nil {
							with.Secrets = c.secrets
						}
						got, err := b.Verify(t.Context(), with)
						if err == nil {
							tally.accepted.Add(1)
							t.Errorf("%s: accepted as %+v", c.name, got)
						}
						b.safe(t, c.name, err)
					}
				})
			}
		}
	})
	t.Logf("%d schemes: %d right deliveries, %d wrong ones, of which %d were accepted", len(all), tally.positive.Load(), tally.negative.Load(), tally.accepted.Load())
	if tally.negative.Load() < 1000 || tally.accepted.Load() != 0 {
		t.Errorf("%d wrong deliveries, of which %d were accepted: want 1000 and none", tally.negative.Load(), tally.accepted.Load())
	}
}

// safe holds that a refusal is a fault that tells nothing.
func (b *bundle) safe(t *testing.T, name string, err error) {
	t.Helper()
	f := fault.From(err)
	if f == nil || f.Code == fault.CodeInternal {
		t.Errorf("%s: got %v, want a fault with words", name, err)
		return
	}
	for _, secret := range append(b.secrets, b.out.Secret) {
		if len(secret) > 7 && strings.Contains(fmt.Sprintf("%+v %s", f, f.Hint), secret) {
			t.Errorf("%s: the secret is in the refusal", name)
		}
	}
}

type delivery struct {
	name    string
	request signature.Request
	secrets []string
}

// covers says whether a scheme's first way covers the raw body.
func (b *bundle) covers() bool {
	pieces, _ := descriptor.Split(b.way.Signed)
	return b.way.JWT.BodySHA256 != "" || slices.ContainsFunc(pieces, func(p descriptor.Piece) bool {
		return strings.HasPrefix(p.Name, "body") || p.Name == "form"
	})
}

// inBody says that parts stand in the body, which is then JSON whatever else it is.
func (b *bundle) inBody() bool {
	p := b.Parts[0]
	return strings.HasPrefix(p.Signature[0], "body:") || strings.HasPrefix(p.Timestamp, "body:") || len(b.Require) > 0 && strings.HasPrefix(b.Require[0].At, "body:")
}

func (b *bundle) positive(t *testing.T) []delivery {
	t.Helper()
	all := []delivery{{name: "valid", request: b.signed(t)}}
	add := func(name string, r signature.Request) { all = append(all, delivery{name: name, request: r}) }
	for _, at := range b.headers() {
		r := b.signed(t)
		r.Header.Add(at, r.Header.Get(at))
		add(at+" twice with equal values", r)
	}
	if b.Timestamp.ToleranceSeconds > 0 {
		for _, sign := range []int{-1, 1} {
			off := time.Duration(sign*b.Timestamp.ToleranceSeconds) * time.Second
			add(fmt.Sprintf("signed %s from now", off), b.signed(t, func(o *signature.Outgoing) { o.At = now.Add(off) }))
		}
	}
	if b.covers() && !b.inBody() && b.way.Alg != "hmac-sha1" && b.Name != "google-pubsub" || b.Name == "trello" || b.Name == "intercom" {
		for name, body := range map[string][]byte{"an empty body": {}, "a body that is no UTF-8": {0xff, 0xfe}, "a body that ends in CRLF": []byte("{}\r\n"), "a gzipped body": zipped([]byte("{}"))} {
			if b.Dedupe.Or == "refuse" && len(b.Dedupe.From) > 0 && !strings.HasPrefix(b.Dedupe.From[0], "header:") {
				continue
			}
			add(name, b.signed(t, func(o *signature.Outgoing) { o.Body = body }))
		}
	}
	good := b.signed(t)
	switch place := b.Parts[0].Signature[0]; b.Parse.As {
	case "list":
		add("good among bad", edited(good, place, func(s string) string { return "v1,AAAA v9,x " + s + " v1a,BBBB" }))
	case "kv":
		member := b.Parse.Signatures[0] + "=00"
		add("good among bad", edited(good, place, func(s string) string { return member + b.Parse.Separator + s + b.Parse.Separator + "v9=x" }))
	}
	return all
}

// headers are the headers that parts stand in.
func (b *bundle) headers() []string {
	var names []string
	p := b.Parts[0]
	for _, place := range []string{p.ID, p.Timestamp, p.Signature[0]} {
		if kind, name := descriptor.Place(place); kind == "header" {
			names = append(names, name)
		}
	}
	return names
}

func (b *bundle) negative(t *testing.T) []delivery {
	t.Helper()
	var all []delivery
	add := func(name string, r signature.Request, secrets ...string) {
		all = append(all, delivery{name, r, secrets})
	}
	good := b.signed(t)
	b.wrongSignatures(good, add)
	b.wrongParts(t, good, add)
	b.wrongTimes(t, good, add)
	b.wrongBodies(good, add)
	b.wrongKeys(t, good, add)
	for _, m := range b.Require {
		if kind, name := descriptor.Place(m.At); kind == "header" {
			r := edited(good, m.At, func(s string) string { return s + "x" })
			add("another "+name, r)
		}
	}
	return all
}

type adder func(name string, r signature.Request, secrets ...string)

// wrongSignatures changes the text of the signature.
func (b *bundle) wrongSignatures(good signature.Request, add adder) {
	place := b.Parts[0].Signature[0]
	// inner changes what stands behind prefix, member name and version.
	inner := func(f func(string) string) func(string) string {
		return func(s string) string {
			at := strings.LastIndex(strings.TrimRight(s, "="), "=") + 1
			if b.Parse.As == "list" {
				at = strings.Index(s, ",") + 1
			} else if b.Parse.As != "kv" {
				at = len(b.way.Prefix)
			}
			return s[:at] + f(s[at:])
		}
	}
	for name, f := range map[string]func(string) string{
		"first bit flipped":      inner(func(s string) string { return flip(s, 0) }),
		"a middle bit flipped":   inner(func(s string) string { return flip(s, len(s)/2) }),
		"last bits flipped":      inner(func(s string) string { return flip(s, len(s)-5) }),
		"truncated":              inner(func(s string) string { return s[:len(s)-1] }),
		"half":                   inner(func(s string) string { return s[:len(s)/2] }),
		"longer":                 inner(func(s string) string { return s + "0" }),
		"twice itself":           inner(func(s string) string { return s + s }),
		"empty":                  func(string) string { return "" },
		"no more than its front": inner(func(string) string { return "" }),
		"white space within":     inner(func(s string) string { return s[:3] + " " + s[3:] }),
		"white space before":     inner(func(s string) string { return " " + s }),
		"a line break within":    inner(func(s string) string { return s[:4] + "\n" + s[4:] }),
		"a line break after":     inner(func(s string) string { return s + "\r\n" }),
		"NUL after":              inner(func(s string) string { return s + "\x00" }),
		"a tab before":           func(s string) string { return "\tx" + s },
		"another front":          func(s string) string { return "x" + s },
		"a front of sha1":        inner(func(s string) string { return "sha1=" + s }),
		"only nulls":             inner(func(s string) string { return strings.Repeat("0", len(s)) }),
		"all letters swapped":    inner(swapped),
		"padded more":            inner(func(s string) string { return s + "=" }),
		"in quotes":              inner(func(s string) string { return `"` + s + `"` }),
		"percent-encoded":        inner(func(s string) string { return "%" + hex.EncodeToString([]byte(s[:1])) + s[1:] }),
	} {
		if b.Name == "google-pubsub" && name == "white space before" {
			name = "two spaces"
		}
		add("signature: "+name, edited(good, place, f))
	}
	add("signature: missing", without(good, place))
	if b.way.Alg != "equal" && b.way.Alg != "jwt" {
		b.wrongEncodings(good, add, inner)
	}
	if b.way.Prefix != "" {
		add("prefix: upper case", edited(good, place, func(s string) string { return strings.ToUpper(s[:len(b.way.Prefix)]) + s[len(b.way.Prefix):] }))
		add("prefix: none", edited(good, place, func(s string) string { return s[len(b.way.Prefix):] }))
		add("prefix: that of SHA-1", edited(good, place, func(s string) string { return "sha1-" + s[len(b.way.Prefix):] }))
		add("version: none that is known", edited(good, place, func(s string) string { return "v9," + s[len(b.way.Prefix):] }))
	}
	if b.Parse.As == "kv" {
		add("version: none that is known", edited(good, place, func(s string) string { return strings.Replace(s, b.Parse.Signatures[0]+"=", "v9=", 1) }))
		add("version: upper case", edited(good, place, func(s string) string {
			return strings.Replace(s, b.Parse.Signatures[0]+"=", strings.ToUpper(b.Parse.Signatures[0])+"=", 1)
		}))
	}
	if kind, name := descriptor.Place(place); kind == "header" {
		r := copied(good)
		r.Header.Add(name, r.Header.Get(name)+"0")
		add("signature: twice with different values", r)
		r = copied(good)
		r.Header.Del(name)
		r.Header.Set("X-"+name, good.Header.Get(name))
		add("signature: under another name", r)
	}
}

// wrongEncodings writes the right bytes in another way.
func (b *bundle) wrongEncodings(good signature.Request, add adder, inner func(func(string) string) func(string) string) {
	place := b.Parts[0].Signature[0]
	raw := func(s string) []byte {
		if b.way.Enc == "b64" {
			sum, _ := base64.StdEncoding.DecodeString(s)
			return sum
		}
		sum, _ := hex.DecodeString(s)
		return sum
	}
	ways := map[string]func([]byte) string{"upper-case hex": func(sum []byte) string { return fmt.Sprintf("%X", sum) }}
	if b.way.Enc == "b64" {
		ways["hex"] = hex.EncodeToString
		ways["unpadded, URL-safe"] = base64.RawURLEncoding.EncodeToString
		ways["with a line break"] = func(sum []byte) string {
			s := base64.StdEncoding.EncodeToString(sum)
			return s[:4] + "\n" + s[4:]
		}
	} else {
		ways["base64"] = base64.StdEncoding.EncodeToString
		ways["0x"] = func(sum []byte) string { return "0x" + hex.EncodeToString(sum) }
	}
	for name, f := range ways {
		r := edited(good, place, inner(func(s string) string { return f(raw(s)) }))
		if name == "unpadded, URL-safe" && len(raw(valueAt(good, place)))%3 == 0 && !strings.ContainsAny(valueAt(good, place), "+/") {
			continue // It is the same text.
		}
		if valueAt(r, place) != valueAt(good, place) {
			add("encoding: "+name, r)
		}
	}
}

func (b *bundle) wrongParts(t *testing.T, good signature.Request, add adder) {
	t.Helper()
	p := b.Parts[0]
	id := p.ID
	if id == "" {
		return
	}
	add("id: missing", without(good, id))
	add("id: empty", edited(good, id, func(string) string { return "" }))
	add("id: with white space", edited(good, id, func(s string) string { return s + " x" }))
	add("id: too long", edited(good, id, func(s string) string { return s + strings.Repeat("x", 257) }))
	if kind, name := descriptor.Place(id); kind == "header" {
		r := copied(good)
		r.Header.Add(name, "another")
		add("id: twice with different values", r)
	}
	if strings.Contains(b.way.Signed, "{id}") || strings.Contains(b.way.Signed, "/MessageId") {
		add("id: another", edited(good, id, func(s string) string { return s + "x" }))
	}
	if strings.Contains(b.way.Signed, "{id}.") {
		o := b.out
		o.Header, o.ID = o.Header.Clone(), "a.b"
		if _, err := b.Sign(o); err == nil {
			t.Error("signed an id with a full stop")
		}
		// What was signed as id a, time T and body, come as id a.T.
		ts := valueAt(good, p.Timestamp)
		add("id: with the time in it", edited(good, id, func(s string) string { return s + "." + ts }))
	}
}

func (b *bundle) wrongTimes(t *testing.T, good signature.Request, add adder) {
	t.Helper()
	tolerance := time.Duration(b.Timestamp.ToleranceSeconds) * time.Second
	if tolerance == 0 {
		return
	}
	for _, off := range []time.Duration{-tolerance - time.Second, tolerance + time.Second, -1000 * time.Hour, 1000 * time.Hour} {
		add(fmt.Sprintf("time: signed %s from now", off), b.signed(t, func(o *signature.Outgoing) { o.At = now.Add(off) }))
	}
	for name, f := range map[string]func(string) string{
		"empty":             func(string) string { return "" },
		"negative":          func(s string) string { return "-" + s },
		"with a plus":       func(s string) string { return "+" + s },
		"leading zeros":     func(s string) string { return "00" + s },
		"float":             func(s string) string { return s + ".0" },
		"exponent":          func(s string) string { return s + "e0" },
		"2^63":              func(string) string { return "9223372036854775808" },
		"too precise":       func(s string) string { return s + "000" },
		"hexadecimal":       func(string) string { return "0x6957359d" },
		"white space":       func(s string) string { return s + " " },
		"white space first": func(s string) string { return " " + s },
		"other digits":      func(s string) string { return strings.Replace(s, "0", "٠", 1) },
		"text":              func(string) string { return "yesterday" },
		"zero":              func(string) string { return "0" },
		"another second":    func(string) string { return nextSecond(b.Timestamp.Unit) },
	} {
		if b.way.Signed == "{body}" && name == "another second" {
			continue // It is in the body, and another test.
		}
		add("time: "+name, b.timed(good, f))
	}
	if b.Parts[0].Timestamp != "" {
		add("time: missing", without(good, b.Parts[0].Timestamp))
		if kind, name := descriptor.Place(b.Parts[0].Timestamp); kind == "header" {
			r := copied(good)
			r.Header.Add(name, "1")
			add("time: twice with different values", r)
		}
		return
	}
	place, member := b.Parts[0].Signature[0], b.Parse.Timestamp+"="
	add("time: missing", edited(good, place, func(s string) string { return strings.Replace(s, member, "x=", 1) }))
	add("time: twice with different values", edited(good, place, func(s string) string { return s + b.Parse.Separator + member + "1" }))
}

// nextSecond is a time that is near, and not the one that was signed.
func nextSecond(unit string) string {
	at := now.Add(time.Second)
	switch unit {
	case "ms":
		return fmt.Sprint(at.UnixMilli())
	case "rfc3339":
		return at.Format(time.RFC3339)
	case "imf":
		return at.Format("Mon, 02 Jan 2006 15:04:05 GMT")
	default:
		return fmt.Sprint(at.Unix())
	}
}

// timed changes the time, wherever it stands.
func (b *bundle) timed(r signature.Request, f func(string) string) signature.Request {
	if place := b.Parts[0].Timestamp; place != "" {
		return edited(r, place, f)
	}
	return edited(r, b.Parts[0].Signature[0], func(s string) string {
		members := strings.Split(s, b.Parse.Separator)
		for i, m := range members {
			if value, ok := strings.CutPrefix(m, b.Parse.Timestamp+"="); ok {
				members[i] = b.Parse.Timestamp + "=" + f(value)
			}
		}
		return strings.Join(members, b.Parse.Separator)
	})
}

func (b *bundle) wrongBodies(good signature.Request, add adder) {
	pieces, _ := descriptor.Split(b.way.Signed)
	for _, p := range pieces {
		if p.Of == "" || p.Name == "parameter" || p.Name == "header" {
			continue
		}
		if r := edited(good, "body:"+p.Of, func(s string) string { return s + "1" }); !bytes.Equal(r.Body, good.Body) {
			add("body: another "+p.Of, r)
		}
	}
	for _, p := range pieces {
		if strings.HasPrefix(p.Name, "url") || p.Name == "query" {
			r := copied(good)
			r.Query += "&extra=1"
			add("query: longer", r)
			if p.Name != "query" {
				r = copied(good)
				r.URL += "x"
				add("URL: another", r)
			} else {
				all := good.Query
				r = copied(good)
				r.Query = strings.Replace(all, "extra=1", "extra=3", 1)
				add("query: another value", r)
			}
		}
		if p.Name == "method" {
			r := copied(good)
			r.Method = "PUT"
			add("method: another", r)
		}
	}
	if !b.covers() {
		return
	}
	for name, f := range map[string]func([]byte) []byte{
		"first bit flipped":     func(b []byte) []byte { return append([]byte{b[0] ^ 1}, b[1:]...) },
		"a bit flipped":         func(s []byte) []byte { return []byte(flip(string(s), len(s)/2)) },
		"truncated":             func(b []byte) []byte { return b[:len(b)-1] },
		"longer":                func(b []byte) []byte { return append(bytes.Clone(b), 'x') },
		"a line break after":    func(b []byte) []byte { return append(bytes.Clone(b), '\n') },
		"empty":                 func([]byte) []byte { return nil },
		"twice":                 func(b []byte) []byte { return append(bytes.Clone(b), b...) },
		"gzipped":               zipped,
		"no UTF-8":              func(b []byte) []byte { return append([]byte{0xff}, b...) },
		"keys in another order": func([]byte) []byte { return []byte(`{"b":2,"a":1}`) },
		"NUL after":             func(b []byte) []byte { return append(bytes.Clone(b), 0) },
	} {
		r := copied(good)
		r.Body = f(good.Body)
		add("body: "+name, r)
	}
}

func (b *bundle) wrongKeys(t *testing.T, good signature.Request, add adder) {
	t.Helper()
	if err := b.CheckSecret(""); b.NeedsSecret() && err == nil {
		t.Error("an empty secret was taken")
	}
	if len(b.secrets) == 0 || b.way.Alg == "jwt" {
		return
	}
	other, err := b.NewSecret()
	if err != nil || other == "" {
		other = "another-secret-of-a-handshake"
	}
	if b.way.Alg == "ed25519" || b.way.Key == "spki" {
		other = flip(b.secrets[0], len(b.secrets[0])-9)
	}
	add("secret: another", good, other)
	add("secret: a longer one", good, b.secrets[0]+"x")
	add("secret: a shorter one", good, b.secrets[0][:len(b.secrets[0])-1])
	add("secret: empty", good, "")
	with := b.caseOf(good)
	with.Secrets = []string{other, b.secrets[0]}
	if _, err := b.Verify(t.Context(), with); err != nil {
		t.Errorf("secrets in rotation: %v", err)
	}
}
