package egress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

// opening and closing are around the name of a credential's part.
const opening, closing = "{{connection.", "}}"

// Slots are where in a request a guest may write {{connection.token}} and its like, in
// the place of a part of the credential of the connection that the request names.
type Slots struct {
	// Headers and Query are names of headers, and of parameters of the URL.
	Headers, Query []string
	// JSON are pointers (RFC 6901) to strings of a body of JSON.
	JSON []string
	// Form are names of a form's fields.
	Form []string
}

// Placeable is what Credentials may implement, too, for placeholders.
type Placeable interface {
	// Parts gives the parts of the credential of the connection that the guest calls
	// name, by name, if r goes to one of the connection's hosts. Its errors are as
	// those of Apply. r is left as it is.
	Parts(ctx context.Context, name string, r *http.Request) (map[string]string, error)
}

// mentions says whether text has what begins a placeholder, as it is or escaped for a
// URL.
func mentions(text string) bool {
	if strings.Contains(text, opening) {
		return true
	}
	if !strings.Contains(text, "%") {
		return false
	}
	plain, err := url.QueryUnescape(text)
	return err == nil && strings.Contains(plain, opening)
}

// hasPlaceholder says whether there is one anywhere in a request, in a slot or not.
func (out *outgoing) hasPlaceholder() bool {
	if mentions(out.url.Path) || mentions(out.url.RawQuery) || mentions(out.keyName) || bytes.Contains(out.body, []byte(opening)) {
		return true
	}
	for _, values := range out.header {
		if slices.ContainsFunc(values, mentions) {
			return true
		}
	}
	return kindOf(out.header) == formBody && mentions(string(out.body))
}

// The kinds of bodies.
const (
	otherBody = iota
	jsonBody
	formBody
)

func kindOf(header http.Header) int {
	given := header.Get("Content-Type")
	if given == "application/json" {
		return jsonBody // Without the time that it takes to read all that it may be.
	}
	media, _, err := mime.ParseMediaType(given)
	switch {
	case err != nil:
		return otherBody
	case media == "application/json", strings.HasSuffix(media, "+json"):
		return jsonBody
	case media == "application/x-www-form-urlencoded":
		return formBody
	default:
		return otherBody
	}
}

// place puts the parts of a credential where a request has placeholders for them. The
// request is looked at before the credential is: one with a placeholder where none may
// be leaves it sealed.
func (s *Session) place(ctx context.Context, out *outgoing, r *http.Request) error {
	switch {
	case out.connection == "":
		return invalid("there is a placeholder, and no connection whose credential it stands for: name one, or set \"literal\" if it is text")
	case out.origin.scheme != "https":
		return hostfns.Errorf(hostfns.CodeDenied, "%s is plain http, in which no placeholder is filled: use https", out.origin)
	case s.permissions.Credentials == nil:
		return s.noConnections(out)
	}
	wanted := map[string]string{}
	p := placer{slots: s.permissions.Slots[out.connection], connection: out.connection, part: func(name string) string {
		wanted[name] = ""
		return ""
	}}
	if _, err := p.fill(out); err != nil {
		return err
	}
	c, ok := s.permissions.Credentials.(Placeable)
	if !ok {
		return hostfns.Errorf(hostfns.CodeDenied, "connection %.64q: this host fills no placeholders", out.connection)
	}
	parts, err := c.Parts(ctx, out.connection, r)
	if err != nil {
		return refusalOf(out, err)
	}
	secrets := make([]string, 0, len(wanted))
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		part, ok := parts[name]
		if !ok {
			return invalid("the connection %.64q has no %q: it has %s", out.connection, name, strings.Join(slices.Sorted(maps.Keys(parts)), " and "))
		}
		secrets = append(secrets, part)
	}
	s.know(out, secrets)
	p.part = func(name string) string { return parts[name] }
	full, err := p.fill(out)
	if err != nil {
		return err
	}
	maps.Copy(r.Header, full.header)
	r.URL.RawQuery = full.query
	if out.streamed() {
		return nil // Nobody looks for placeholders in what passes in chunks.
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(full.body)), int64(len(full.body))
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(full.body)), nil }
	if len(full.body) == 0 {
		r.Body, r.GetBody = http.NoBody, nil
	}
	return nil
}

// placer fills the placeholders of one request.
type placer struct {
	slots      Slots
	connection string
	// part gives a part of the credential.
	part func(name string) string
}

// filled is what of a request may have had placeholders.
type filled struct {
	// header has the headers that had some.
	header http.Header
	query  string
	body   []byte
}

func (p placer) fill(out *outgoing) (f filled, err error) {
	switch {
	case mentions(out.url.Path):
		return f, invalid("there is a placeholder in the path of \"url\", where it would end up in logs: none is filled there")
	case mentions(out.keyName):
		return f, invalid("there is a placeholder in \"idempotency_key\", where none is filled")
	}
	if f.header, err = p.headers(out.header); err != nil {
		return f, err
	}
	if f.query, err = p.pairs(out.url.RawQuery, p.slots.Query, "query parameter", "query"); err != nil {
		return f, err
	}
	f.body = out.body
	switch kind := kindOf(out.header); {
	case kind == formBody:
		body, err := p.pairs(string(out.body), p.slots.Form, "form field", "form")
		f.body = []byte(body)
		return f, err
	case !bytes.Contains(out.body, []byte(opening)):
		return f, nil
	case kind == jsonBody:
		f.body, err = p.json(out.body)
		return f, err
	default:
		return f, invalid("there is a placeholder in a body that is neither JSON nor a form, by its header \"content-type\": set that, or set \"literal\" if it is text")
	}
}

// headers gives those with placeholders, filled.
func (p placer) headers(given http.Header) (http.Header, error) {
	full := http.Header{}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		values := given[name]
		if !slices.ContainsFunc(values, mentions) {
			continue
		}
		if !slices.ContainsFunc(p.slots.Headers, func(slot string) bool { return strings.EqualFold(slot, name) }) {
			return nil, p.misplaced("header", strings.ToLower(name), "headers", p.slots.Headers)
		}
		for _, value := range values {
			value, err := p.expand(value)
			if err != nil {
				return nil, err
			}
			if !isFieldValue(value) {
				return nil, invalid("the credential of the connection %.64q has a character that a header cannot carry", p.connection)
			}
			full[name] = append(full[name], value)
		}
	}
	return full, nil
}

// pairs fills the values of a query or of a form, and leaves all others as they are
// written, for some servers sign them.
func (p placer) pairs(raw string, slots []string, what, list string) (string, error) {
	if !mentions(raw) {
		return raw, nil
	}
	parts := strings.Split(raw, "&")
	for i, part := range parts {
		if !mentions(part) {
			continue
		}
		key, value, _ := strings.Cut(part, "=")
		name, err := url.QueryUnescape(key)
		if err != nil || strings.Contains(name, opening) {
			return "", invalid("there is a placeholder in the name of a %s, where none is filled", what)
		}
		if !slices.Contains(slots, name) {
			return "", p.misplaced(what, name, list, slots)
		}
		if value, err = url.QueryUnescape(value); err != nil {
			return "", invalid("the %s %.64q, in which there is a placeholder, is not escaped as it has to be", what, name)
		}
		if value, err = p.expand(value); err != nil {
			return "", err
		}
		parts[i] = key + "=" + url.QueryEscape(value)
	}
	return strings.Join(parts, "&"), nil
}

// expand puts parts in the place of a text's placeholders.
func (p placer) expand(text string) (string, error) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, opening)
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		name, after, closed := strings.Cut(rest, closing)
		if !closed || !isPart(name) {
			return "", invalid("a placeholder is like %stoken%s, with the name of a part of the credential, and this is %s%.16s: set \"literal\" if it is text",
				opening, closing, opening, rest)
		}
		b.WriteString(p.part(name))
		text = after
	}
}

func isPart(name string) bool {
	return name != "" && len(name) <= 32 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") == ""
}

// misplaced says of a placeholder which slot the manifest would have to name.
func (p placer) misplaced(what, name, list string, slots []string) error {
	named := "none"
	if len(slots) > 0 {
		named = strings.Join(slots, ", ")
	}
	return invalid("the %s %.64q has a placeholder, and is no slot of the connection %.64q: the manifest would have to name it under its \"slots\".%q, which has %s; set \"literal\" if it is text",
		what, name, p.connection, list, named)
}

// shed takes from a request that goes on elsewhere all that had a placeholder: what a
// server names was not meant.
func (out *outgoing) shed(next *outgoing) error {
	if next.method != http.MethodGet && next.method != http.MethodHead {
		return hostfns.Errorf(hostfns.CodeDenied,
			"%s redirects the %s, whose placeholders were filled for the first URL alone: call the final one", out.origin, next.method)
	}
	next.placeholder, next.connection, next.body = false, "", nil
	maps.DeleteFunc(next.header, func(_ string, values []string) bool { return slices.ContainsFunc(values, mentions) })
	if mentions(next.url.RawQuery) || mentions(next.url.Path) {
		return hostfns.Errorf(hostfns.CodeDenied, "%s redirects to a URL with a placeholder, which is not followed", out.origin)
	}
	return nil
}

// know has the run's redactor look for secrets, which are about to be sent.
func (s *Session) know(out *outgoing, secrets []string) {
	if s.permissions.Pool == "" {
		s.permissions.Secrets.Add(secrets...)
	} else {
		s.permissions.Secrets.AddForms(s.egress.forms.of(s.accountOf(out), secrets))
	}
	s.credentialed = true
}

// refusalOf says why Credentials gave none.
func refusalOf(out *outgoing, err error) error {
	switch {
	case errors.Is(err, ErrNoConnection):
		return hostfns.Errorf(hostfns.CodeNoConnection, "connection %.64q: %s", out.connection, err)
	case errors.Is(err, ErrStreamed):
		return invalid("the connection %.64q signs the body, and one that is streamed cannot be signed before it is sent: send it as \"body\"", out.connection)
	case errors.Is(err, ErrHostNotAllowed):
		return hostfns.Errorf(hostfns.CodeDenied, "connection %.64q at %s: %s", out.connection, out.origin, err)
	default:
		return fmt.Errorf("apply credential: %w", err)
	}
}
