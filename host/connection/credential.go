package connection

import (
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
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

// part is a part of a credential, by the name that users know.
type part struct{ name, value string }

func (c Credential) parts() []part {
	return []part{
		{"token", c.Token},
		{"username", c.Username},
		{"password", c.Password},
		{"key", c.Key},
		{"key_encoding", c.KeyEncoding},
		{"private_key", c.PrivateKey},
		{"key_id", c.KeyID},
		{"certificate", c.Certificate},
		{"access_key_id", c.AccessKeyID},
		{"secret_access_key", c.SecretAccessKey},
		{"session_token", c.SessionToken},
		{"region", c.Region},
		{"service", c.Service},
	}
}

// Parts names the parts of a type's credential: those that it needs, and those that it
// may lack. A password that is needed may be empty.
func Parts(t Type) (needed, optional []string) { return partsOf(t) }

// partsOf names the parts that a type of credential has: those that it needs, and those
// that it may lack.
func partsOf(t Type) (needed, optional []string) {
	switch t {
	case Bearer:
		return []string{"token"}, nil
	case Basic:
		return []string{"username", "password"}, nil
	case APIKey:
		return []string{"key"}, nil
	case HMAC:
		return []string{"key"}, []string{"key_encoding", "key_id"}
	case PrivateKey:
		return []string{"private_key"}, []string{"key_id"}
	case AWS:
		return []string{"access_key_id", "secret_access_key", "region", "service"}, []string{"session_token"}
	case Certificate:
		return []string{"certificate", "private_key"}, nil
	default:
		return nil, nil
	}
}

// problems says why c cannot be t's credential. It never quotes c.
func (c Credential) problems(t Type) []fault.Problem {
	var found []fault.Problem
	say := func(part, format string, args ...any) {
		found = append(found, fault.Problem{Where: "/credential/" + part, Message: fmt.Sprintf(format, args...)})
	}
	if t == OAuth2 {
		return c.unneeded()
	}
	needed, optional := partsOf(t)
	for _, p := range c.parts() {
		wanted := slices.Contains(needed, p.name)
		lines := p.name == "private_key" || p.name == "certificate" // PEM has them.
		switch {
		case p.value == "" && wanted && p.name != "password": // Stripe's users are keys without a password.
			say(p.name, "a connection of type %s needs a %s", t, p.name)
		case p.value != "" && !wanted && !slices.Contains(optional, p.name):
			say(p.name, "a connection of type %s has no %s: it has %s", t, p.name, strings.Join(slices.Concat(needed, optional), " and "))
		case len(p.value) > maxCredential:
			say(p.name, "the %s is %d bytes long, and %d is the limit", p.name, len(p.value), maxCredential)
		case lines:
		case strings.ContainsFunc(p.value, isControl):
			say(p.name, "the %s has a line break or another control character: was it copied whole, and nothing else?", p.name)
		case p.name != "password" && p.value != strings.TrimSpace(p.value):
			say(p.name, "the %s begins or ends with a space: was it copied with one?", p.name)
		}
	}
	if len(found) == 0 {
		found = c.keyProblems(t)
	}
	if strings.Contains(c.Username, ":") {
		// https://www.rfc-editor.org/rfc/rfc7617#section-2
		say("username", "the username has a colon, which basic authentication cannot send")
	}
	if (t == Bearer || t == APIKey) && !isASCII(c.Token+c.Key) {
		say(needed[0], "the %s has a character that is not ASCII, which a header cannot carry", needed[0])
	}
	return found
}

// unneeded says of the parts of a credential that an OAuth2 has none.
func (c Credential) unneeded() []fault.Problem {
	var found []fault.Problem
	for _, p := range c.parts() {
		if p.value != "" {
			found = append(found, fault.Problem{
				Where:   "/credential/" + p.name,
				Message: fmt.Sprintf("a connection of type %s has no %s: its tokens come from its provider, once somebody has agreed", OAuth2, p.name),
			})
		}
	}
	return found
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > '~' })
}

// apply adds c to r as conn says, and returns what must not come back to the
// guest.
func (c Credential) apply(conn Connection, r *http.Request, now func() time.Time) (secrets []string, err error) {
	switch {
	case conn.Type == HMAC && conn.Header != "":
		return c.applyHMAC(conn, r)
	case conn.Type == HMAC, conn.Type == PrivateKey:
		return nil, fmt.Errorf("%w: its key signs, and goes with no request; ask for a signature with it", egress.ErrHostNotAllowed)
	case conn.Type == AWS:
		return c.applyAWS(r, now())
	case conn.Type == Certificate:
		return c.applyCertificate(r)
	case conn.Type == Bearer, conn.Type == OAuth2: // One that is Held.
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
		return append(words(c.Key), c.Key), nil
	case conn.Type == APIKey && conn.Query != "":
		escaped := setQuery(r, conn.Query, c.Key)
		return []string{c.Key, escaped}, nil
	default:
		return nil, fmt.Errorf("apply connection %s: its type is %q, which this program does not know", conn.ID, conn.Type)
	}
}

// placeable are the parts of c that a guest's placeholders may stand for: those that are
// sent as they are.
func (c Credential) placeable(conn Connection) (map[string]string, error) {
	switch conn.Type {
	case Bearer:
		return map[string]string{"token": c.Token}, nil
	case Basic:
		return map[string]string{"username": c.Username, "password": c.Password}, nil
	case APIKey:
		return map[string]string{"key": c.Key}, nil
	case OAuth2: // One that is Held.
		return map[string]string{accessPart: c.Token}, nil
	default:
		return nil, fmt.Errorf("%w: it is a %s, whose key stays outside, and fills no placeholder", egress.ErrHostNotAllowed, conn.Type)
	}
}

// words are the parts of a key such as "Token abc" that could be echoed by themselves.
func words(key string) []string {
	const telling = 8 // "Bearer" is none.
	if !strings.Contains(key, " ") {
		return nil
	}
	return slices.DeleteFunc(strings.Fields(key), func(w string) bool { return len(w) < telling })
}

// setHeader replaces a header however the guest spelt it. Some servers read "_" as "-".
func setHeader(h http.Header, name, value string) {
	plain := strings.NewReplacer("_", "-")
	for given := range h {
		if strings.EqualFold(plain.Replace(given), plain.Replace(name)) {
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
