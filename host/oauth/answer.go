package oauth

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// answer is what a server has sent.
type answer struct {
	host   string
	status int
	header http.Header
	body   []byte
	// sent is when the request was: from then on a lifetime counts, to be safe.
	sent    time.Time
	skew    time.Duration
	secrets []string
	// doc is the body, read.
	doc any
}

// invalid is an answer that nothing can be made of. It never quotes it.
func (a *answer) invalid(format string, args ...any) error {
	e := newError(codeAnswer, "%s "+format, append([]any{a.host}, args...)...)
	e.Status = a.status
	return e
}

// fits refuses what is not even to be read.
func (a *answer) fits(now time.Time) error {
	switch {
	case a.status/100 == 3:
		// What its Location says could have the code or the secret in it.
		return a.invalid("answered %d, a redirect, which is not followed: name the address that it leads to", a.status)
	case len(a.body) > answerMost:
		return a.invalid("answered with more than %d bytes", answerMost)
	case a.header.Get("Content-Encoding") != "" && !strings.EqualFold(a.header.Get("Content-Encoding"), "identity"):
		return a.invalid("answered in the encoding %.40q, which nobody asked for", clean(a.header.Get("Content-Encoding"), a.secrets))
	case a.status < 100 || a.status/100 == 1:
		return a.invalid("answered with the status %d", a.status)
	default:
		return a.overloaded(now)
	}
}

// overloaded tells what proxies and limiters say, in whatever format.
func (a *answer) overloaded(now time.Time) error {
	var e *Error
	switch {
	case a.status == http.StatusTooManyRequests:
		e = newError(codeLimited, "%s takes no more requests for now", a.host)
	case a.status == http.StatusRequestTimeout || a.status == http.StatusTooEarly:
		e = newError(codeBusy, "%s answered %d", a.host, a.status)
	case a.status >= http.StatusInternalServerError:
		e = newError(codeServer, "%s answered %d", a.host, a.status)
	default:
		return nil
	}
	if own := a.said(Answer{}); own != nil && verdictOn(own.Code).retryable {
		e.Code, e.Description, e.Hint = own.Code, own.Description, own.Hint
	}
	e.Status, e.RetryAfter = a.status, retryAfter(a.header, now)
	return e
}

// said is the error that a body has by RFC 6749, or nil if it has none or cannot be
// read.
func (a *answer) said(m Answer) *Error {
	if a.doc == nil {
		if readable := a.parse() == nil; !readable {
			return nil
		}
	}
	return a.refusal(m)
}

// parse reads a body as what it is: some servers call JSON text, or HTML nothing.
func (a *answer) parse() error {
	body := bytes.TrimSpace(bytes.TrimPrefix(a.body, []byte("\xef\xbb\xbf")))
	kind, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
	switch {
	case len(body) == 0:
		return a.invalid("answered %d with nothing", a.status)
	case body[0] == '<' || kind == "text/html":
		return a.invalid("answered %d with a page for people: is this the address of its token endpoint?", a.status)
	case body[0] == '{':
		object, err := decode(body)
		if err != nil {
			return a.invalid("answered %d with JSON that does not parse", a.status)
		}
		a.doc = object
		return nil
	case kind == "application/x-www-form-urlencoded" || kind == "text/plain" || kind == "":
		return a.parseForm(string(body))
	default:
		return a.invalid("answered %d with %.64q, which is neither a JSON object nor a form", a.status, clean(kind, a.secrets))
	}
}

// parseForm reads what Facebook once and GitHub still sends, unless asked for JSON.
func (a *answer) parseForm(body string) error {
	values, err := url.ParseQuery(body)
	if err != nil || !strings.Contains(body, "=") {
		return a.invalid("answered %d with neither a JSON object nor a form", a.status)
	}
	object := make(map[string]any, len(values))
	for name, v := range values {
		if len(v) > 1 {
			return a.invalid("answered %d with a form that has a field twice", a.status)
		}
		object[name] = v[0]
	}
	a.doc = object
	return nil
}

func decode(body []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber() // A float64 would change large ids.
	var object map[string]any
	if err := d.Decode(&object); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more after it")
	}
	return object, nil
}

// refusal is the error that the answer is, by its error field, by what the provider
// says makes an error, or by its status; or nil.
func (a *answer) refusal(m Answer) *Error {
	found := at(a.doc, or(m.Error, "/error"))
	code, description := text(found), text(at(a.doc, or(m.ErrorDescription, "/error_description")))
	if object, ok := found.(map[string]any); ok { // As many APIs have it: {"error":{"code":...,"message":...}}.
		code = firstText(object, "status", "code", "type")
		description = firstText(object, "message", "description")
	}
	failed := code != "" && code != "false" && code != "0"
	for place, value := range m.ErrorWhen {
		if got := at(a.doc, place); got != nil && text(got) == text(value) {
			failed = true
		}
	}
	if !failed && a.status/100 == 2 {
		return nil
	}
	code = cleanCode(or(m.Codes[code], code), a.secrets)
	if code == codeRefused && a.status == http.StatusUnauthorized {
		code = "invalid_client"
	}
	e := newError(code, "%s", clean(description, a.secrets))
	e.Status = a.status
	if e.Description == "" {
		e.Description = "it answered " + strconv.Itoa(a.status) + " and says no more"
	}
	return e
}

func firstText(object map[string]any, names ...string) string {
	for _, name := range names {
		if found := text(object[name]); found != "" {
			return found
		}
	}
	return ""
}

// judged reads an answer that is to be a JSON object or a form, and no error.
func (a *answer) judged(m Answer, now time.Time) error {
	if err := a.parse(); err != nil {
		if a.status != http.StatusUnauthorized {
			return err // Of a gateway, perhaps: it says nothing of the grant.
		}
		e := newError("invalid_client", "%s answered %d, and nothing that can be read", a.host, a.status)
		e.Status, e.Err = a.status, err
		return e
	}
	if e := a.refusal(m); e != nil {
		e.RetryAfter = retryAfter(a.header, now)
		return e
	}
	return nil
}

// at finds what a JSON pointer points to, or nil: RFC 6901.
func at(doc any, pointer string) any {
	if pointer == "" {
		return doc
	}
	if pointer[0] != '/' {
		return nil
	}
	for part := range strings.SplitSeq(pointer[1:], "/") {
		part = strings.ReplaceAll(strings.ReplaceAll(part, "~1", "/"), "~0", "~")
		switch in := doc.(type) {
		case map[string]any:
			doc = in[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(in) {
				return nil
			}
			doc = in[i]
		default:
			return nil
		}
	}
	return doc
}

// text is a JSON value as one: empty for what has none.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	case float64: // In a descriptor's ErrorWhen.
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return ""
	}
}
