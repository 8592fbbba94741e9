package oauth

import (
	"encoding/base64"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// tokenMost is what a header can carry: common servers take 8 KiB, some 16.
	tokenMost = 16 << 10
	// lifetimeMost is what a lifetime is cut to: no token is known to live for longer,
	// and nanoseconds overflow after 292 years.
	lifetimeMost = 10 * 365 * 24 * time.Hour
	// extraMost are how many further fields of an answer are kept, and extraText how
	// long each may be.
	extraMost, extraText = 64, 4 << 10
)

// token reads the answer to a grant: RFC 6749, section 5.
func (a *answer) token(r Registration, asked ask, now time.Time) (Token, error) {
	m := r.Wire.Answer
	if err := a.judged(m, now); err != nil {
		return Token{}, err
	}
	t := Token{ObtainedAt: a.sent, Skew: a.skew, Refresh: asked.refresh}
	var ok bool
	if t.Access, ok = at(a.doc, or(m.AccessToken, "/access_token")).(string); !ok || t.Access == "" {
		return Token{}, a.invalid("answered %d without an access token", a.status)
	}
	for _, secret := range []string{t.Access, text(at(a.doc, or(m.RefreshToken, "/refresh_token")))} {
		if len(secret) > tokenMost || strings.ContainsFunc(secret, func(r rune) bool { return r < ' ' || r > '~' }) {
			return Token{}, a.invalid("answered with a token that no header carries: over %d bytes, or not of visible ASCII", tokenMost)
		}
	}
	if refresh, _ := at(a.doc, or(m.RefreshToken, "/refresh_token")).(string); refresh != "" {
		t.Rotated = asked.refresh != "" && refresh != asked.refresh
		t.Refresh = refresh
	}
	t.Type = tokenType(text(at(a.doc, "/token_type")))
	if slices.Contains([]string{"mac", "dpop", "pop"}, strings.ToLower(t.Type)) {
		// https://www.rfc-editor.org/rfc/rfc6749#section-7.1: not to be used by who does not know how.
		return Token{}, a.invalid("gave a token of the type %.16q, of which each use needs a proof", t.Type)
	}
	a.scopes(&t, r.Wire, asked.requested)
	t.ExpiresAt = a.expiry(m.Unit, at(a.doc, or(m.ExpiresIn, "/expires_in")))
	if t.ExpiresAt.IsZero() && m.Unit != "none" {
		t.ExpiresAt = a.expiryOf(t.Access)
	}
	if m.RefreshExpiresIn != "" {
		t.RefreshExpiresAt = a.expiry(m.Unit, at(a.doc, m.RefreshExpiresIn))
	}
	t.IDToken, t.IssuedType = text(at(a.doc, "/id_token")), text(at(a.doc, "/issued_token_type"))
	t.Extra = a.extra(m)
	return t, nil
}

// tokenType spells Bearer in one way: https://www.rfc-editor.org/rfc/rfc6749#section-5.1
// has it without regard to case, and some leave it out.
func tokenType(said string) string {
	if said == "" || strings.EqualFold(said, "bearer") {
		return "Bearer"
	}
	return clean(said, nil)
}

// scopes are those of the answer, or else those that were asked for.
func (a *answer) scopes(t *Token, w Wire, requested []string) {
	said := at(a.doc, or(w.Answer.Scope, "/scope"))
	switch said := said.(type) {
	case []any:
		t.Scopes = []string{}
		for _, s := range said {
			if s := text(s); s != "" {
				t.Scopes = append(t.Scopes, s)
			}
		}
	case string:
		separator := or(w.Answer.ScopeSeparator, w.ScopeSeparator)
		t.Scopes = strings.FieldsFunc(said, func(r rune) bool {
			return r == ' ' || separator == "" && r == ',' || strings.ContainsRune(separator, r)
		})
	default:
		t.Scopes = slices.Clone(requested)
		return
	}
	for _, s := range requested {
		if !slices.Contains(t.Scopes, s) && (s != w.OfflineScope || t.Refresh == "") {
			t.Missing = append(t.Missing, s)
		}
	}
}

// expiry is when something ends of which the server says in or at how many seconds. A
// lifetime that is none (absent, zero, negative, not a number) is unknown: whoever took
// it for "at once" would refresh for ever, and for "never", not at all.
func (a *answer) expiry(unit string, said any) time.Time {
	written := strings.TrimSpace(text(said))
	if unit == "none" || written == "" {
		return time.Time{}
	}
	if unit == "absolute" {
		if at, err := time.Parse(time.RFC3339, written); err == nil {
			return at.Add(-a.skew)
		}
	}
	n, err := strconv.ParseFloat(written, 64)
	if err != nil || math.IsNaN(n) || n <= 0 {
		return time.Time{}
	}
	switch unit {
	case "absolute":
		return a.moment(n)
	case "ms":
		n /= 1000
	}
	return a.sent.Add(time.Duration(min(n, lifetimeMost.Seconds()) * float64(time.Second)))
}

// moment is a time of the server's, by our clock.
func (a *answer) moment(unix float64) time.Time {
	if latest := a.sent.Add(lifetimeMost); unix > float64(latest.Unix()) {
		return latest
	}
	return time.Unix(int64(unix), 0).UTC().Add(-a.skew)
}

// expiryOf reads the exp of an access token that is a JWT. Nobody has to believe it:
// at worst a token is refreshed too early, or once it is refused.
func (a *answer) expiryOf(token string) time.Time {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	body, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return time.Time{}
	}
	claims, err := decode(body)
	if err != nil {
		return time.Time{}
	}
	return a.expiry("absolute", claims["exp"])
}

// extra are the further fields of an answer, and none of its tokens.
func (a *answer) extra(m Answer) map[string]string {
	extra := map[string]string{}
	object, _ := a.doc.(map[string]any)
	for name, v := range object {
		switch {
		case slices.Contains([]string{"access_token", "refresh_token", "id_token", "token_type", "expires_in", "scope", "issued_token_type"}, name):
		case "/"+name == m.AccessToken, "/"+name == m.RefreshToken:
		case len(extra) < extraMost && len(name) <= 128 && len(text(v)) <= extraText && text(v) != "":
			extra[name] = text(v)
		}
	}
	for name, place := range m.Capture {
		if v := text(at(a.doc, place)); v != "" && len(v) <= extraText {
			extra[name] = v
		}
	}
	if len(extra) == 0 {
		return nil
	}
	return extra
}

// is2xx says whether a status is of success.
func is2xx(status int) bool { return status >= http.StatusOK && status < http.StatusMultipleChoices }
