package oauth

import "time"

// Token is what a server has given. It prints as "[redacted]"; encoded as JSON it is
// whole, to be sealed.
type Token struct {
	Access string `json:"access_token"`
	// Refresh is the refresh token, or empty if there is none. A refresh that brings
	// none leaves the one that was sent.
	Refresh string `json:"refresh_token,omitempty"`
	// Rotated says that Refresh is another than the one that was sent, which is then
	// not to be sent again.
	Rotated bool `json:"rotated,omitempty"`
	// Type is "Bearer" however the server spells it, and if it says nothing; else what
	// the server says, such as Slack's "user".
	Type string `json:"token_type"`
	// Scopes are those that were given. Nil says that they are as before: a refresh
	// need not repeat them.
	Scopes []string `json:"scopes,omitempty"`
	// Missing are scopes that were asked for and not given: the user took them out, or
	// the server does not have them.
	Missing []string `json:"missing,omitempty"`
	// ExpiresAt is when the access token ends, by this machine's clock. Zero says that
	// nobody knows: neither the answer nor the token said. That is not never.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// RefreshExpiresAt is the same for the refresh token.
	RefreshExpiresAt time.Time `json:"refresh_expires_at,omitzero"`
	ObtainedAt       time.Time `json:"obtained_at"`
	// Skew is by how much the server's clock is ahead of ours, by its Date header, as
	// far as that tells: less than 2 s is none.
	Skew time.Duration `json:"skew_ns,omitempty"`
	// IDToken is as it came: nobody has looked at its signature.
	IDToken string `json:"id_token,omitempty"`
	// Who is what the UserInfo endpoint says, if there is no IDToken: see Identity.
	Who Identity `json:"who,omitzero"`
	// IssuedType is the issued_token_type of a token exchange.
	IssuedType string `json:"issued_token_type,omitempty"`
	// Extra are the answer's further fields that are texts, numbers or booleans, by
	// name, and what Answer.Capture asks for.
	Extra map[string]string `json:"extra,omitempty"`
}
