package oauthtest

import "slices"

// Behaviours are all that there are.
func Behaviours() []Behaviour {
	return slices.Concat(rfc6749(), rfc7636(), rfc8414(), rfc9207(), rfc9700(), rfc8628(), rfc7523(), tokens(), rfc6819(), concurrency())
}

// rfc6749 are those of RFC 6749.
func rfc6749() []Behaviour {
	return []Behaviour{
		{"RFC 6749", "a callback without a state", []string{Client}},
		{"RFC 6749", "a callback with a wrong state", []string{Client}},
		{"RFC 6749", "a state that was used", []string{Client, Fosite}},
		{"RFC 6749", "a state that has expired", []string{Client}},
		{"RFC 6749", "a state of another session", []string{Client}},
		{"RFC 6749", "a state of another tenant", []string{Client}},
		{"RFC 6749", "a code that was used", []string{Client, Fosite}},
		{"RFC 6749", "the seven errors of a callback", []string{Client, Fosite}},
		{"RFC 6749", "an error in an answer of 200", []string{Client}},
		{"RFC 6749", "an answer without an access token", []string{Client}},
		{"RFC 6749", "a token type in any case, or none", []string{Client, Fosite}},
		{"RFC 6749", "a lifetime as text, fraction, negative, zero, absent or huge", []string{Client}},
		{"RFC 6749", "scopes narrowed by the user", []string{Client, Fosite}},
		{"RFC 6749", "scopes that the answer leaves out", []string{Client}},
		{"RFC 6749", "a refresh without a new refresh token keeps the old one", []string{Client}},
		{"RFC 6749", "a refresh with a new refresh token replaces the old one", []string{Client, Fosite}},
		{"RFC 6749", "client_secret_basic with : % + / and UTF-8", []string{Client, Fosite}},
		{"RFC 6749", "client_secret_post", []string{Client, Fosite}},
		{"RFC 6749", "further fields of an answer are kept", []string{Client}},
		{"RFC 6749", "an error that is a page", []string{Client}},
		{"RFC 6749", "an answer of a megabyte and more", []string{Client}},
		{"RFC 6749", "a redirect of a token request", []string{Client}},
	}
}

// rfc7636 are those of RFC 7636.
func rfc7636() []Behaviour {
	return []Behaviour{
		{"RFC 7636", "the challenge of appendix B", []string{Client}},
		{"RFC 7636", "never plain", []string{Client, Fosite}},
		{"RFC 7636", "a verifier of 43 to 128 characters", []string{Client}},
		{"RFC 7636", "a verifier for each flow", []string{Client}},
		{"RFC 7636", "a verifier bound to its state", []string{Client}},
		{"RFC 7636", "an absent verifier", []string{Client, Fosite}},
		{"RFC 7636", "a wrong verifier", []string{Client, Fosite}},
		{"RFC 7636", "a server without PKCE", []string{Client, Fosite}},
		{"RFC 7636", "a downgrade", []string{Client, Fosite}},
	}
}

// rfc8414 are those of RFC 8414.
func rfc8414() []Behaviour {
	return []Behaviour{
		{"RFC 8414", "the issuer is the one that was asked for", []string{Client}},
		{"RFC 8414", "the path of an issuer", []string{Client}},
		{"RFC 8414", "missing endpoints", []string{Client}},
		{"RFC 8414", "http is refused", []string{Client}},
		{"RFC 8414", "endpoints inside are not reached", []string{Client}},
		{"RFC 8414", "metadata is kept for a while", []string{Client}},
		{"RFC 8414", "signed metadata is not read", []string{Client}},
		{"RFC 8414", "PKCE methods are read", []string{Client}},
	}
}

// rfc9207 are those of RFC 9207.
func rfc9207() []Behaviour {
	return []Behaviour{
		{"RFC 9207", "the issuer that was expected", []string{Client}},
		{"RFC 9207", "no issuer, when it was promised", []string{Client}},
		{"RFC 9207", "a wrong issuer", []string{Client}},
		{"RFC 9207", "two issuers", []string{Client}},
		{"RFC 9207", "the issuer of an error", []string{Client}},
		{"RFC 9207", "a mix-up of two servers", []string{Client}},
	}
}

// rfc9700 are those of RFC 9700.
func rfc9700() []Behaviour {
	return []Behaviour{
		{"RFC 9700", "the redirect URI, letter by letter", []string{Client, Fosite}},
		{"RFC 9700", "no open redirect", []string{Connect}},
		{"RFC 9700", "a state counts once", []string{Client}},
		{"RFC 9700", "a redirect URI for each server", []string{Client}},
		{"RFC 9700", "no referrer and no third party's content on the callback", []string{Connect}},
		{"RFC 9700", "no token in an address", []string{Client}},
		{"RFC 9700", "redirects are 303", []string{Connect}},
		{"RFC 9700", "no code in errors and logs", []string{Client}},
		{"RFC 9700", "refresh tokens rotate, and a reuse ends the family", []string{Fosite}},
		{"RFC 9700", "a token for one audience", []string{Client, Fosite}},
		{"RFC 9700", "no scope that was not asked for", []string{Client, Fosite}},
		{"RFC 9700", "neither passwords nor the implicit grant", []string{Client, Fosite}},
		{"RFC 9700", "a login that another began", []string{Client}},
		{"RFC 9700", "no frame around the consent", []string{Connect}},
		{"RFC 9700", "a parameter that comes twice", []string{Client}},
		{"RFC 9700", "a callback that is too large", []string{Client}},
	}
}

// rfc8628 are those of RFC 8628.
func rfc8628() []Behaviour {
	return []Behaviour{
		{"RFC 8628", "pending", []string{Client}},
		{"RFC 8628", "slow_down", []string{Client}},
		{"RFC 8628", "expired", []string{Client}},
		{"RFC 8628", "denied", []string{Client}},
		{"RFC 8628", "an interval of 5 s if there is none", []string{Client}},
		{"RFC 8628", "longer pauses when nothing answers", []string{Client}},
		{"RFC 8628", "verification_uri_complete", []string{Client}},
		{"RFC 8628", "an end, whatever the server says", []string{Client}},
	}
}

// rfc7523 are those of RFC 7523.
func rfc7523() []Behaviour {
	return []Behaviour{
		{"RFC 7523", "the audience", []string{Client, Fosite}},
		{"RFC 7523", "issuer and subject", []string{Client, Fosite}},
		{"RFC 7523", "a life of 5 minutes at most", []string{Client, Fosite}},
		{"RFC 7523", "an id for each", []string{Client, Fosite}},
		{"RFC 7523", "dated back for clocks that are behind", []string{Client}},
		{"RFC 7523", "RS256, ES256 and PS256", []string{Client, Fosite}},
		{"RFC 7523", "the key's id", []string{Client, Fosite}},
		{"RFC 7523", "a key that was replaced", []string{Client, Fosite}},
		{"RFC 7523", "once more by the server's clock", []string{Client, Fosite}},
		{"RFC 7523", "alg none is refused", []string{Client, Fosite}},
	}
}

// tokens are those of RFC 8693, 8707, 7009 and 7662: what else there is to do with one.
func tokens() []Behaviour {
	return []Behaviour{
		{"RFC 8693, 8707, 7009, 7662", "a resource in the authorization request", []string{Client}},
		{"RFC 8693, 8707, 7009, 7662", "a resource in the token request", []string{Client}},
		{"RFC 8693, 8707, 7009, 7662", "several resources", []string{Client}},
		{"RFC 8693, 8707, 7009, 7662", "a revocation", []string{Client, Fosite}},
		{"RFC 8693, 8707, 7009, 7662", "a revocation that meets a 503", []string{Client}},
		{"RFC 8693, 8707, 7009, 7662", "a revocation of what is revoked", []string{Client, Fosite}},
		{"RFC 8693, 8707, 7009, 7662", "introspection of an active token", []string{Client, Fosite}},
		{"RFC 8693, 8707, 7009, 7662", "introspection of an inactive token", []string{Client, Fosite}},
		{"RFC 8693, 8707, 7009, 7662", "a token exchange", []string{Client}},
	}
}

// rfc6819 are those of RFC 6819.
func rfc6819() []Behaviour {
	return []Behaviour{
		{"RFC 6819", "states are not to be guessed", []string{Client}},
		{"RFC 6819", "a code of another flow", []string{Client, Fosite}},
		{"RFC 6819", "a host that looks like another", []string{Client}},
		{"RFC 6819", "a counterfeit server", []string{Client}},
		{"RFC 6819", "an alarm when a refresh token was stolen", []string{Authorizations}},
		{"RFC 6819", "a flood of callbacks", []string{Client}},
	}
}

// concurrency are those of concurrency.
func concurrency() []Behaviour {
	return []Behaviour{
		{"concurrency", "100 callers", []string{Authorizations}},
		{"concurrency", "3 processes", []string{Authorizations}},
		{"concurrency", "kills in mid-refresh", []string{Authorizations}},
		{"concurrency", "the holder of a lease dies", []string{Authorizations}},
		{"concurrency", "a clock that jumps", []string{Authorizations}},
		{"concurrency", "a provider that answers 429", []string{Authorizations}},
		{"concurrency", "a rotation while it is revoked", []string{Authorizations}},
		{"concurrency", "the grace window", []string{Authorizations}},
		{"concurrency", "two apps of one user", []string{Authorizations}},
		{"concurrency", "a deletion during a refresh", []string{Authorizations}},
	}
}
