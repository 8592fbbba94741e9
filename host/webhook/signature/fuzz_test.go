package signature_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/webhook/descriptor"
	"github.com/cofferdam-run/cofferdam/host/webhook/signature"
)

var verifyExecutions = flag.Int("verify.executions", 50_000, "deliveries that nobody has signed, over all schemes; each must be refused")

// forgery is a delivery that nobody has signed, by what its maker may choose.
type forgery struct {
	signature, timestamp, id, query string
	body                            []byte
}

// forged is what somebody signs who knows all but the vendor's secret.
func (b *bundle) forged(tb testing.TB) forgery {
	tb.Helper()
	secret, _ := b.secretsOf(tb, strange())
	r, parts := b.signed(tb, func(o *signature.Outgoing) { o.Secret = secret }), b.Parts[0]
	f := forgery{signature: valueAt(r, parts.Signature[0]), query: r.Query, body: r.Body}
	if parts.ID != "" {
		f.id = valueAt(r, parts.ID)
	}
	if parts.Timestamp != "" {
		f.timestamp = valueAt(r, parts.Timestamp)
	}
	return f
}

// refuses gives a forgery to a scheme, which must neither panic nor accept.
func (b *bundle) refuses(ctx context.Context, f forgery) error {
	parts := b.Parts[0]
	r := signature.Request{Method: http.MethodPost, URL: publicURL, Query: f.query, Header: b.out.Header.Clone(), Body: f.body}
	for place, value := range map[string]string{parts.Signature[0]: f.signature, parts.Timestamp: f.timestamp, parts.ID: f.id} {
		if kind, name := descriptor.Place(place); kind == "header" {
			r.Header.Set(name, value)
		}
	}
	for _, m := range b.Require {
		if kind, name := descriptor.Place(m.At); kind == "header" && m.Is != "" {
			r.Header.Set(name, m.Is)
		}
	}
	c := b.caseOf(r)
	if got, err := b.Verify(ctx, c); err == nil {
		return fmt.Errorf("%s accepted %+v as %+v", b.Name, r, got)
	}
	_ = b.Explain(ctx, c)
	_, _ = b.Unsigned(c)
	return nil
}

func bundles(tb testing.TB) []*bundle {
	tb.Helper()
	all, err := descriptor.Load()
	if err != nil {
		tb.Fatal(err)
	}
	sampled := samples(tb)
	list := make([]*bundle, len(all))
	for i, d := range all {
		list[i] = setup(tb, d, sampled[d.Name])
	}
	return list
}

// FuzzVerify gives every scheme what nobody has signed.
func FuzzVerify(f *testing.F) {
	list := bundles(f)
	for i, b := range list {
		x := b.forged(f)
		f.Add(uint8(i), x.signature, x.timestamp, x.id, x.query, x.body)
	}
	f.Fuzz(func(t *testing.T, which uint8, given, ts, id, query string, body []byte) {
		if err := list[int(which)%len(list)].refuses(t.Context(), forgery{given, ts, id, query, body}); err != nil {
			t.Error(err)
		}
	})
}

// TestNoForgeryIsAccepted makes forgeries at random from one that is well made, much faster than a
// fuzzer does, if blindly: a failure's seed makes the same ones again.
func TestNoForgeryIsAccepted(t *testing.T) {
	t.Parallel()
	var tried atomic.Int64
	list := bundles(t)
	t.Run("schemes", func(t *testing.T) {
		for i, b := range list {
			t.Run(b.Name, func(t *testing.T) {
				t.Parallel()
				seed := rand.Uint64()
				m := mutator{Rand: rand.New(rand.NewPCG(seed, uint64(i)))}
				made := b.forged(t)
				for range (*verifyExecutions + len(list) - 1) / len(list) {
					if err := b.refuses(t.Context(), m.forgery(made)); err != nil {
						t.Fatalf("seed %d: %v", seed, err)
					}
					tried.Add(1)
				}
			})
		}
	})
	t.Logf("%d forgeries of %d schemes, 0 accepted", tried.Load(), len(list))
}

// mutator edits at random.
type mutator struct{ *rand.Rand }

// tokens are what parsers of signatures stumble over.
func tokens() []string {
	return []string{
		"", "\x00", " ", "\t", ",", ";", "=", "==", ".", ":", "\"", "\\", "{", "}", "[]", "null", "true", "0", "-1", "1e309", "18446744073709551616",
		"v0=", "v1=", "v1,", "v1a,", "t=", "sha1=", "sha256=", "sha512=", "Bearer ", "keyId=", "alg=none", `{"alg":"none"}`, "eyJhbGciOiJub25lIn0.", "%00", "%2f", "+", "&", "a=b&a=c",
		"\xff\xfe", "é", "-----BEGIN CERTIFICATE-----", "https://sns.us-east-1.amazonaws.com/x.pem", "2026-01-02T03:04:05Z", "1767323045",
	}
}

// forgery edits one part of another, or several.
func (m mutator) forgery(f forgery) forgery {
	for range 1 + m.IntN(4) {
		switch m.IntN(5) {
		case 0:
			f.signature = string(m.edit([]byte(f.signature)))
		case 1:
			f.timestamp = string(m.edit([]byte(f.timestamp)))
		case 2:
			f.id = string(m.edit([]byte(f.id)))
		case 3:
			f.query = string(m.edit([]byte(f.query)))
		default:
			f.body = m.edit(f.body)
		}
	}
	return f
}

// edit returns other bytes, of about the length.
func (m mutator) edit(b []byte) []byte {
	at, to := 0, 0
	if len(b) > 0 {
		at = m.IntN(len(b))
		to = at + m.IntN(min(len(b)-at, 16)+1)
	}
	list := tokens()
	insert := []byte(list[m.IntN(len(list))])
	switch m.IntN(6) {
	case 0: // A bit.
		if len(b) > 0 {
			to, insert = at+1, []byte{b[at] ^ 1<<m.IntN(8)}
		}
	case 1: // What is cut out.
		insert = nil
	case 2: // What comes twice.
		insert = append(append([]byte{}, b[at:to]...), b[at:to]...)
	case 3: // All that follows is gone.
		to = len(b)
	case 4: // Put in, and nothing gone.
		to = at
	default: // One for another.
	}
	return append(append(append(make([]byte, 0, len(b)+len(insert)), b[:at]...), insert...), b[to:]...)
}
