package signature_test

import (
	"net/http"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/webhook/descriptor"
	"github.com/cofferdam-run/cofferdam/host/webhook/signature"
)

// FuzzVerify gives every scheme what nobody has signed: it must neither panic nor accept. The
// secrets are new, so that no input can have been signed with them.
func FuzzVerify(f *testing.F) {
	all, err := descriptor.Load()
	if err != nil {
		f.Fatal(err)
	}
	sampled := samples(f)
	bundles := make([]*bundle, len(all))
	for i, d := range all {
		bundles[i] = setup(f, d, sampled[d.Name])
		r := bundles[i].signed(f)
		parts := d.Parts[0]
		id, ts := "", ""
		if parts.ID != "" {
			id = valueAt(r, parts.ID)
		}
		if parts.Timestamp != "" {
			ts = valueAt(r, parts.Timestamp)
		}
		f.Add(uint8(i), valueAt(r, parts.Signature[0]), ts, id, r.Query, r.Body)
	}
	f.Fuzz(func(t *testing.T, which uint8, given, ts, id, query string, body []byte) {
		b := bundles[int(which)%len(bundles)]
		r := signature.Request{Method: http.MethodPost, URL: publicURL, Query: query, Header: b.out.Header.Clone(), Body: body}
		parts := b.Parts[0]
		for place, value := range map[string]string{parts.Signature[0]: given, parts.Timestamp: ts, parts.ID: id} {
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
		c.Secrets = []string{"a-secret-that-no-seed-was-signed-with"} // Seeds are right under another one.
		c.Vendors = nil
		if got, err := b.Verify(t.Context(), c); err == nil {
			t.Errorf("%s accepted %+v as %+v", b.Name, r, got)
		}
		_ = b.Explain(t.Context(), c)
		_, _ = b.Unsigned(c)
	})
}
