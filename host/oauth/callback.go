package oauth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// Arrived is a callback that belongs to its flow. It prints as "[redacted]": it has the
// code.
type Arrived struct {
	Flow   Flow
	Values url.Values
}

const (
	// callbackMost bounds all of a callback's parameters: servers take URLs of 8 KiB,
	// and forms of some more.
	callbackMost = 16 << 10
	// callbackParams is twice what the largest that is known has.
	callbackParams = 32
)

// Accept judges a callback that came to redirectURI, from the browser and for the
// tenant of starter. It ends the flow, whatever it says: the same callback again is
// CodeState. With an error that comes after the flow was known, the server's own or
// issuer_mismatch, Arrived.Flow says which flow that was.
//
// What is too large or is no state costs no look into the store.
func (c *Client) Accept(ctx context.Context, starter Starter, redirectURI string, callback url.Values) (Arrived, error) {
	if err := fits(callback); err != nil {
		return Arrived{}, err
	}
	state := callback.Get("state")
	if decoded, err := base64.RawURLEncoding.DecodeString(state); err != nil || len(decoded) != secretBytes {
		return Arrived{}, newError(CodeState, "the callback has no state, or none of ours")
	}
	if c.config.Flows == nil {
		return Arrived{}, newError(codeRegistration, "nothing keeps flows: set Config.Flows")
	}
	f, known, err := c.config.Flows.TakeFlow(ctx, flowID(state))
	if err != nil {
		return Arrived{}, fmt.Errorf("take the flow: %w", err)
	}
	// One text for all: whoever tries states of others learns nothing from it.
	if !known || !same(f.ID, flowID(state)) || !same(f.Starter.Tenant, starter.Tenant) || !same(f.Starter.Session, starter.Session) ||
		starter == (Starter{}) || !c.config.Now().Before(f.ExpiresAt) {
		return Arrived{}, newError(CodeState, "the callback belongs to nothing that was begun here and is still open")
	}
	a := Arrived{Flow: f, Values: maps.Clone(callback)}
	if redirectURI != f.RedirectURI {
		return Arrived{Flow: f}, newError(codeCallback, "the callback came to %.200q, and its flow is for %.200q", withoutQuery(redirectURI), f.RedirectURI)
	}
	if err := f.checkIssuer(callback); err != nil {
		return Arrived{Flow: f}, err
	}
	if callback.Has("error") {
		return Arrived{Flow: f}, refusal(callback, []string{state, f.Verifier})
	}
	if callback.Has("access_token") || callback.Has("id_token") {
		return Arrived{Flow: f}, newError(codeCallback, "the callback has a token, which nobody asked for: tokens in addresses are read by others")
	}
	return a, nil
}

// fits refuses a callback that is too large, or has a parameter twice, of which two
// readers could take another one each.
func fits(callback url.Values) error {
	size := 0
	for name, values := range callback {
		for _, v := range values {
			size += len(name) + len(v)
		}
	}
	if size > callbackMost || len(callback) > callbackParams {
		return newError(codeCallback, "the callback has %d parameters of %d bytes: %d and %d are the limits", len(callback), size, callbackParams, callbackMost)
	}
	for _, name := range slices.Sorted(maps.Keys(callback)) {
		if n := len(callback[name]); n > 1 {
			return newError(codeCallback, "the callback has the parameter %.64q %d times", name, n)
		}
	}
	return nil
}

// checkIssuer is RFC 9207, section 2.4. It is for answers with errors too.
func (f Flow) checkIssuer(callback url.Values) error {
	iss, there := callback.Get("iss"), callback.Has("iss")
	switch {
	case !there && f.IssPromised:
		return newError(codeIssuer, "the callback does not say which server it is from, and %.200q always does", f.Issuer)
	case !there:
		return nil
	case f.Issuer != "" && iss == f.Issuer:
		return nil
	case f.Issuer == "" && sameHost(iss, f.Authorization):
		// A server that begins to send iss, and that nobody knows the issuer of.
		return nil
	default:
		return newError(codeIssuer, "the callback is from %.200q, and the user was sent to %.200q", withoutQuery(iss), or(f.Issuer, f.Authorization))
	}
}

func sameHost(a, b string) bool {
	first, err := url.Parse(a)
	second, err2 := url.Parse(b)
	return err == nil && err2 == nil && first.Host != "" && strings.EqualFold(first.Host, second.Host) && first.Scheme == second.Scheme
}

// withoutQuery is what of an address can be shown.
func withoutQuery(text string) string {
	text, _, _ = strings.Cut(text, "?")
	text, _, _ = strings.Cut(text, "#")
	return clean(text, nil)
}

// refusal is the error that a callback brings: RFC 6749, section 4.1.2.1.
func refusal(callback url.Values, secrets []string) error {
	e := newError(cleanCode(callback.Get("error"), secrets), "%s", clean(callback.Get("error_description"), secrets))
	// The user can try again; nobody does it for him.
	e.Retryable = false
	return e
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// code finds the code of a, for the registration that its flow began with.
func (a Arrived) code(r Registration) (string, error) {
	f := a.Flow
	for _, part := range []struct{ name, began, now string }{
		{"issuer", f.Issuer, r.Endpoints.Issuer},
		{"authorization endpoint", f.Authorization, r.Endpoints.Authorization},
		{"token endpoint", f.Token, r.Endpoints.Token},
		{"client id", f.ClientID, r.ClientID},
		{"redirect URI", f.RedirectURI, r.RedirectURI},
	} {
		if comes := part.name == "token endpoint" && r.Endpoints.TokenComes && f.Token == ""; part.began != part.now && !comes {
			return "", newError(codeIssuer, "the flow began with the %s %.200q, and the registration has %.200q now: the code is not sent there", part.name, part.began, part.now)
		}
	}
	if err := a.checkHMAC(r); err != nil {
		return "", err
	}
	code := a.Values.Get(or(r.Wire.CodeParameter, "code"))
	if code == "" {
		return "", newError(codeCallback, "the callback has neither a %q nor an error", or(r.Wire.CodeParameter, "code"))
	}
	return code, nil
}

// checkHMAC checks a callback that the server signs with the client secret.
func (a Arrived) checkHMAC(r Registration) error {
	name := r.Wire.CallbackHMAC
	if name == "" {
		return nil
	}
	var pairs []string
	for _, param := range slices.Sorted(maps.Keys(a.Values)) {
		if param != name {
			pairs = append(pairs, param+"="+a.Values.Get(param))
		}
	}
	sum := hmac.New(sha256.New, []byte(r.Secret.ClientSecret))
	sum.Write([]byte(strings.Join(pairs, "&")))
	given, err := hex.DecodeString(a.Values.Get(name))
	if err != nil || r.Secret.ClientSecret == "" || !hmac.Equal(given, sum.Sum(nil)) {
		return newError(codeCallback, "the callback's %q is not of the client secret: it was changed on its way, or is not the provider's", name)
	}
	return nil
}
