package signature

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/cofferdam-run/cofferdam/host/webhook/descriptor"
)

// template is the text that a signature covers.
type template []descriptor.Piece

func compileTemplate(text string) (template, error) {
	pieces, err := descriptor.Split(text)
	if err != nil {
		return nil, fmt.Errorf("split the template: %w", err)
	}
	return pieces, nil
}

// filling is what templates are filled from.
type filling struct {
	*reading
	id, ts, secret string
	// kid is the id of a token's key.
	kid        string
	parameters map[string]string
	query      descriptor.Query
}

// write writes the signed bytes, part by part, so that the body is not copied.
func (t template) write(to io.Writer, f *filling) error {
	for i, p := range t {
		if p.Name == "" {
			_, _ = io.WriteString(to, p.Text) // It is a hash or a buffer.
			continue
		}
		if p.Name == "body" {
			_, _ = to.Write(f.Body)
			continue
		}
		value, err := f.value(p)
		if err != nil {
			return err
		}
		// "a.1.b" could be id a, time 1 and body b, or id a.1 and so on: whoever gets to write
		// a body could move its front into the id and keep the signature.
		if i+1 < len(t) && t[i+1].Text != "" && p.Strict() && strings.Contains(value, t[i+1].Text) {
			return invalid("{%s} has %q in it, which separates the signed parts", p.Name, t[i+1].Text)
		}
		_, _ = io.WriteString(to, value)
	}
	return nil
}

func (f *filling) value(p descriptor.Piece) (string, error) {
	switch p.Name {
	case "id":
		return f.id, nil
	case "ts":
		return f.ts, nil
	case "secret":
		return f.secret, nil
	case "kid":
		return f.kid, nil
	case "method":
		return f.Method, nil
	case "body.crc32":
		return strconv.FormatUint(uint64(crc32.ChecksumIEEE(f.Body)), 10), nil
	case "body.escaped":
		return escaped(f.Body), nil
	case "url", "url.port", "url.no-port", "url.hubspot":
		return f.url(p.Name)
	case "form":
		return f.sortedForm()
	case "query":
		return f.sortedQuery()
	case "parameter":
		if f.parameters[p.Of] == "" {
			return "", setup("the endpoint was not told its %s, which is part of what is signed", p.Of)
		}
		return f.parameters[p.Of], nil
	case "header":
		return f.one("header:" + p.Of)
	case "line", "free-line":
		return f.line(p)
	default: // field and free.
		return f.one("body:" + p.Of)
	}
}

// line is a name and a value, each on a line of its own.
func (f *filling) line(p descriptor.Piece) (string, error) {
	value, err := f.one("body:" + p.Of)
	if err != nil || value == "" && len(f.nodes(p.Of)) == 0 {
		return "", err
	}
	if p.Name == "line" && strings.Contains(value, "\n") {
		return "", invalid("what the body has at %s has a line break, which separates the signed parts", p.Of)
	}
	return p.Of[strings.LastIndexByte(p.Of, '/')+1:] + "\n" + value + "\n", nil
}

func (f *filling) url(form string) (string, error) {
	base := f.parameters["url"]
	if base == "" {
		base = f.URL
	}
	u, err := url.Parse(base)
	if base == "" || err != nil || u.Host == "" {
		return "", setup("the endpoint does not know its public URL, which is part of what is signed").
			WithHint("Give the endpoint the parameter url, as the vendor has it, or the server its public URL.")
	}
	switch port := map[string]string{"https": ":443", "http": ":80"}[u.Scheme]; {
	case form == "url.port" && u.Port() == "":
		base = strings.Replace(base, u.Host, u.Host+port, 1)
	case form == "url.no-port":
		base = strings.Replace(base, u.Host, strings.TrimSuffix(u.Host, ":"+u.Port()), 1)
	}
	if f.Query != "" {
		base += "?" + f.Query
	}
	if form == "url.hubspot" {
		base = unescapeSome(base)
	}
	return base, nil
}

// unescapeSome undoes the escapes that HubSpot does not make:
// https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation.
func unescapeSome(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			c, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err == nil && strings.IndexByte(":/?@!$'()*,;", byte(c)) >= 0 {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// sortedForm is a form's names, each with its values, all sorted, and nothing between. A body
// that is no form is not covered by it.
func (f *filling) sortedForm() (string, error) {
	f.parseForm()
	if !f.isForm {
		return "", invalid("the body is no form, and nothing that is signed covers it")
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(f.form)) {
		values := slices.Clone(f.form[name])
		slices.Sort(values)
		for _, v := range slices.Compact(values) {
			b.WriteString(name + v)
		}
	}
	return b.String(), nil
}

func (f *filling) sortedQuery() (string, error) {
	if _, err := f.all("query:"); err != nil {
		return "", err
	}
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(f.reading.query)) {
		if !slices.Contains(f.query.Without, name) {
			pairs = append(pairs, name+"="+strings.Join(f.reading.query[name], f.query.Values))
		}
	}
	return strings.Join(pairs, f.query.Join), nil
}

// escaped writes what is not ASCII as JSON may: \uXXXX in lower case, in halves where one
// does not do.
func escaped(body []byte) string {
	if !bytes.ContainsFunc(body, func(r rune) bool { return r > 0x7f }) {
		return string(body)
	}
	var b strings.Builder
	for len(body) > 0 {
		r, n := utf8.DecodeRune(body)
		switch {
		case r < utf8.RuneSelf, r == utf8.RuneError && n == 1:
			b.WriteByte(body[0])
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		body = body[n:]
	}
	return b.String()
}
