package egress_test

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

// FuzzPlaceholders looks for a request in which a part of a credential lands elsewhere
// than in a slot, or changes what is around it.
func FuzzPlaceholders(f *testing.F) {
	const mark = "{{connection.token}}"
	f.Add(mark, "sig="+mark+"&a=%41", "application/json", `{"auth":{"token":"`+mark+`"},"x":[1,"y"]}`, `a"b\&=%`)
	f.Add("v1 "+mark, "sig=%7B%7Bconnection.token}}", "application/x-www-form-urlencoded", "client_secret="+mark+"&b=c", "s3cret&x=y")
	f.Add("", "q="+mark, "text/plain", mark, "x")
	f.Add("", "", "application/json", `{"auth":{"token":"`+mark+mark+`","token":"{{connection."},"`+mark+`":{}}`, "\u2028<>")
	f.Fuzz(func(t *testing.T, header, query, kind, body, secret string) {
		// What a secret says cannot be told from what the guest does.
		if len(secret) < 6 || strings.Contains(header+query+kind+body, secret) {
			return
		}
		r, err := egress.Place(allSlots()["c"], header, query, kind, []byte(body), map[string]string{"token": secret})
		if err != nil {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error has the secret: %v", err)
			}
			return
		}
		if strings.Contains(r.Path, secret) || strings.ContainsAny(r.Header, "\r\n\x00") {
			t.Errorf("got the path %q and the header %q", r.Path, r.Header)
		}
		before, err1 := url.ParseQuery(query)
		after, err2 := url.ParseQuery(r.Query)
		if err1 == nil {
			if err2 != nil {
				t.Fatalf("the query %q became %q: %v", query, r.Query, err2)
			}
			samePairs(t, before, after, "sig", secret)
		}
		switch kind {
		case "application/json":
			sameDocument(t, []byte(body), r.Body, secret)
		case "application/x-www-form-urlencoded":
			before, err1 := url.ParseQuery(body)
			after, err2 := url.ParseQuery(string(r.Body))
			if err1 == nil && err2 == nil {
				samePairs(t, before, after, "client_secret", secret)
			}
		default:
			if string(r.Body) != body {
				t.Errorf("the body %q became %q", body, r.Body)
			}
		}
	})
}

// samePairs compares all but a slot, which may differ by what is in it.
func samePairs(t *testing.T, before, after url.Values, slot, secret string) {
	t.Helper()
	if len(before) != len(after) {
		t.Fatalf("%v became %v", before, after)
	}
	for name, values := range before {
		for i := range values {
			want := values[i]
			if name == slot {
				want = strings.ReplaceAll(want, "{{connection.token}}", secret)
			}
			if len(after[name]) != len(values) || after[name][i] != want {
				t.Errorf("%s: %q became %q, want %q", name, values, after[name], want)
			}
		}
	}
}

// sameDocument compares the strings of two documents.
func sameDocument(t *testing.T, before, after []byte, secret string) {
	t.Helper()
	var a, b any
	if json.Unmarshal(before, &a) != nil {
		if string(before) != string(after) {
			t.Errorf("what is not JSON became %q", after)
		}
		return
	}
	if err := json.Unmarshal(after, &b); err != nil {
		t.Fatalf("%s became %s: %v", before, after, err)
	}
	sameValue(t, a, b, "", secret)
}

func sameValue(t *testing.T, a, b any, at, secret string) {
	t.Helper()
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(b) != len(a) {
			t.Fatalf("%s: %v became %v", at, a, b)
		}
		for name := range a {
			sameValue(t, a[name], b[name], at+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(name), secret)
		}
	case []any:
		b, ok := b.([]any)
		if !ok || len(b) != len(a) {
			t.Fatalf("%s: %v became %v", at, a, b)
		}
		for i := range a {
			sameValue(t, a[i], b[i], at+"/"+string(rune('0'+i)), secret)
		}
	case string:
		want := a
		if slices.Contains(allSlots()["c"].JSON, at) {
			want = strings.ReplaceAll(a, "{{connection.token}}", secret)
		}
		if b != strings.ToValidUTF8(want, "\ufffd") && b != want {
			t.Errorf("%s: %q became %q, want %q", at, a, b, want)
		}
	default:
		if a != b {
			t.Errorf("%s: %v became %v", at, a, b)
		}
	}
}
