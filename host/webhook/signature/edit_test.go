package signature_test

import (
	"bytes"
	"compress/gzip"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"net/url"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/webhook/descriptor"
	"github.com/cofferdam-run/cofferdam/host/webhook/signature"
)

// flip changes a character to another of the same alphabet.
func flip(s string, at int) string {
	to := byte('A')
	switch c := s[at]; {
	case c >= '1' && c <= '9':
		to = '0'
	case c == '0':
		to = '1'
	case c >= 'b' && c <= 'f':
		to = 'a'
	case c == 'a':
		to = 'b'
	case c == 'A':
		to = 'B'
	}
	return s[:at] + string(to) + s[at+1:]
}

func swapped(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 32
		case r >= 'A' && r <= 'Z':
			return r + 32
		case r == '0':
			return '1'
		default:
			return r
		}
	}, s)
}

func zipped(b []byte) []byte {
	var to bytes.Buffer
	w := gzip.NewWriter(&to)
	_, _ = w.Write(b)
	_ = w.Close()
	return to.Bytes()
}

func copied(r signature.Request) signature.Request {
	r.Header = r.Header.Clone()
	r.Body = bytes.Clone(r.Body)
	return r
}

func without(r signature.Request, place string) signature.Request {
	r = copied(r)
	kind, name := descriptor.Place(place)
	switch kind {
	case "header":
		r.Header.Del(name)
	case "query":
		r.Query = queryWith(r.Query, name, nil)
	default:
		var body any
		_ = json.Unmarshal(r.Body, &body)
		remove(body, strings.Split(name[1:], "/"))
		r.Body, _ = json.Marshal(body)
	}
	return r
}

func queryWith(query, name string, f func(string) string) string {
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if key != name {
			kept = append(kept, pair)
		} else if f != nil {
			value, _ = url.QueryUnescape(value)
			kept = append(kept, key+"="+url.QueryEscape(f(value)))
		}
	}
	return strings.Join(kept, "&")
}

func remove(node any, tokens []string) {
	each(node, tokens, func(parent map[string]any, name string) { delete(parent, name) })
}

func each(node any, tokens []string, f func(parent map[string]any, name string)) {
	switch node := node.(type) {
	case map[string]any:
		if len(tokens) == 1 {
			f(node, tokens[0])
			return
		}
		each(node[tokens[0]], tokens[1:], f)
	case []any:
		for i, one := range node {
			if tokens[0] == "*" || tokens[0] == fmt.Sprint(i) {
				each(one, tokens[1:], f)
			}
		}
	}
}

// edited changes a value in its place.
func edited(r signature.Request, place string, f func(string) string) signature.Request {
	r = copied(r)
	kind, name := descriptor.Place(place)
	switch kind {
	case "header":
		r.Header.Set(name, f(r.Header.Get(name)))
	case "query":
		r.Query = queryWith(r.Query, name, f)
	default:
		var body any
		d := json.NewDecoder(bytes.NewReader(r.Body))
		d.UseNumber()
		_ = d.Decode(&body)
		changed := false
		each(body, strings.Split(name[1:], "/"), func(parent map[string]any, name string) {
			if value, ok := parent[name]; ok {
				parent[name], changed = f(fmt.Sprint(value)), true
			}
		})
		if changed {
			r.Body, _ = json.Marshal(body)
		}
	}
	return r
}

func valueAt(r signature.Request, place string) string {
	value := ""
	edited(r, place, func(s string) string {
		value = s
		return s
	})
	return value
}

// hmacText is an HMAC that this package has no part in.
func hmacText(alg, enc, key, text string) string {
	kind := map[string]func() hash.Hash{"hmac-sha1": sha1.New, "hmac-sha256": sha256.New, "hmac-sha512": sha512.New}[alg]
	mac := hmac.New(kind, []byte(key))
	mac.Write([]byte(text))
	if enc == "b64" {
		return base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return hex.EncodeToString(mac.Sum(nil))
}
