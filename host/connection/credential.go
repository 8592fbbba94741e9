package connection

import (
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

const redacted = "[redacted]"

// String implements fmt.Stringer.
func (Credential) String() string { return redacted }

// Format implements fmt.Formatter, so that no verb prints a Credential: not even
// %#v or %d.
func (Credential) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, redacted) // The writer is fmt's own buffer.
}

// LogValue implements slog.LogValuer.
func (Credential) LogValue() slog.Value { return slog.StringValue(redacted) }

// LogValue implements slog.LogValuer: a handler that encodes a Spec as JSON would
// not ask its Credential.
func (s Spec) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("name", s.Name), slog.String("type", string(s.Type)), slog.Any("hosts", s.Hosts),
		slog.String("credential", redacted))
}

// maxCredential bounds each part of a credential. Common servers take 8 KiB for
// all the headers, so that a longer one could never be sent.
const maxCredential = 8 << 10

// parts are the parts of a credential by the names that users know.
func (c Credential) parts() map[string]string {
	return map[string]string{"token": c.Token, "username": c.Username, "password": c.Password, "key": c.Key}
}

// partsOf names the parts that a type of credential has.
func partsOf(t Type) []string {
	switch t {
	case Bearer:
		return []string{"token"}
	case Basic:
		return []string{"username", "password"}
	case APIKey:
		return []string{"key"}
	default:
		return nil
	}
}

// problems says why c cannot be t's credential. It never quotes c.
func (c Credential) problems(t Type) []fault.Problem {
	var found []fault.Problem
	say := func(part, format string, args ...any) {
		found = append(found, fault.Problem{Where: "/credential/" + part, Message: fmt.Sprintf(format, args...)})
	}
	wanted := map[string]bool{}
	for _, part := range partsOf(t) {
		wanted[part] = true
	}
	values := c.parts()
	for _, part := range []string{"token", "username", "password", "key"} {
		value := values[part]
		switch {
		case value == "" && wanted[part] && part != "password": // Stripe's users are keys without a password.
			say(part, "a connection of type %s needs a %s", t, part)
		case value != "" && !wanted[part]:
			say(part, "a connection of type %s has no %s: it has %s", t, part, strings.Join(partsOf(t), " and "))
		case len(value) > maxCredential:
			say(part, "the %s is %d bytes long, and %d is the limit", part, len(value), maxCredential)
		case strings.ContainsFunc(value, isControl):
			say(part, "the %s has a line break or another control character: was it copied whole, and nothing else?", part)
		case part != "password" && value != strings.TrimSpace(value):
			say(part, "the %s begins or ends with a space: was it copied with one?", part)
		}
	}
	if strings.Contains(c.Username, ":") {
		// https://www.rfc-editor.org/rfc/rfc7617#section-2
		say("username", "the username has a colon, which basic authentication cannot send")
	}
	if (t == Bearer || t == APIKey) && !isASCII(c.Token+c.Key) {
		say(partsOf(t)[0], "the %s has a character that is not ASCII, which a header cannot carry", partsOf(t)[0])
	}
	return found
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > '~' })
}

// apply adds c to r as conn says, and returns what must not come back to the
// guest.
func (c Credential) apply(conn Connection, r *http.Request) (secrets []string, err error) {
	switch {
	case conn.Type == Bearer:
		setHeader(r.Header, "Authorization", "Bearer "+c.Token)
		return []string{c.Token}, nil
	case conn.Type == Basic:
		pair := base64.StdEncoding.EncodeToString([]byte(c.Username + ":" + c.Password))
		setHeader(r.Header, "Authorization", "Basic "+pair)
		if c.Password == "" {
			return []string{c.Username, pair}, nil // Then the username is the secret.
		}
		return []string{c.Password, pair}, nil
	case conn.Type == APIKey && conn.Header != "":
		setHeader(r.Header, conn.Header, c.Key)
		return []string{c.Key}, nil
	case conn.Type == APIKey && conn.Query != "":
		escaped := setQuery(r, conn.Query, c.Key)
		return []string{c.Key, escaped}, nil
	default:
		return nil, fmt.Errorf("apply connection %s: its type is %q, which this program does not know", conn.ID, conn.Type)
	}
}

// setHeader replaces a header however the guest spelt it.
func setHeader(h http.Header, name, value string) {
	for given := range h {
		if strings.EqualFold(given, name) {
			delete(h, given)
		}
	}
	h.Set(name, value)
}

// setQuery replaces a query parameter and leaves the others as the guest wrote
// them, for some servers sign them. It returns the value as it is sent. The
// caller's URL stays as it is.
func setQuery(r *http.Request, name, value string) string {
	var kept []string
	for part := range strings.SplitSeq(r.URL.RawQuery, "&") {
		key, _, _ := strings.Cut(part, "=")
		if given, err := url.QueryUnescape(key); part != "" && (err != nil || given != name) {
			kept = append(kept, part)
		}
	}
	escaped := url.QueryEscape(value)
	u := *r.URL
	u.RawQuery = strings.Join(append(kept, url.QueryEscape(name)+"="+escaped), "&")
	r.URL = &u
	return escaped
}
