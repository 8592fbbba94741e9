package oauth

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
)

// Identity is whose a token is, as an ID token or the UserInfo endpoint of OpenID Connect
// tells. Nobody has looked at a signature: it came from the server itself, over TLS, which
// is what OpenID Connect Core 3.1.3.7 asks of who has it from there. It tells one login
// from another, and proves nobody's.
type Identity struct {
	Issuer  string `json:"iss,omitempty"`
	Subject string `json:"sub,omitempty"`
	// Name is what a person knows the login by, such as an address.
	Name string `json:"name,omitempty"`
}

// Identity is whose the token is, or zero if the server has not said.
func (t Token) Identity() Identity {
	if said := identityOf(t.IDToken); said.Subject != "" {
		return said
	}
	return t.Who
}

// UserInfo asks an OpenID provider whose a token is.
func (c *Client) UserInfo(ctx context.Context, r Registration, address string, token Token) (Identity, error) {
	if err := c.check(r); err != nil {
		return Identity{}, err
	}
	endpoint, err := c.endpoint(r, "userinfo", address)
	if err != nil {
		return Identity{}, err
	}
	got, err := c.look(ctx, r, Lookup{Prefix: "Bearer "}, token, endpoint)
	if err != nil {
		return Identity{}, err
	}
	if err := got.judgedAny(r.Wire.Answer); err != nil {
		return Identity{}, err
	}
	said := func(name string) string { return clean(text(at(got.doc, "/"+name)), got.secrets) }
	i := Identity{Subject: said("sub"), Name: cmp.Or(said("email"), said("preferred_username"), said("name"))}
	if i.Subject == "" || len(i.Subject) > extraText {
		return Identity{}, got.invalid("answered without sub, at %q", "/sub")
	}
	return i, nil
}

// Differs says that two are surely not the same: both are known.
func (i Identity) Differs(other Identity) bool {
	if i.Subject == "" || other.Subject == "" {
		return false
	}
	return i.Subject != other.Subject || i.Issuer != other.Issuer && i.Issuer != "" && other.Issuer != ""
}

// identityOf reads the claims of an ID token.
func identityOf(idToken string) Identity {
	parts := strings.Split(idToken, ".")
	if len(parts) != 3 {
		return Identity{}
	}
	body, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return Identity{}
	}
	var said struct {
		Iss, Sub, Email, Name string
		Preferred             string `json:"preferred_username"`
	}
	if json.Unmarshal(body, &said) != nil || said.Sub == "" {
		return Identity{}
	}
	return Identity{Issuer: said.Iss, Subject: said.Sub, Name: clean(cmp.Or(said.Email, said.Preferred, said.Name), nil)}
}
