package provider

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Quirks says in sentences where the provider is other than the standards' defaults,
// in the order in which a connection meets them, and then its notes.
func (p Provider) Quirks() []string {
	said := slices.Concat(p.quirksOfAuthorization(), p.quirksOfCallback(), p.quirksOfRequests(), p.quirksOfResponse(), p.quirksOfRefresh(), p.quirksOfUse())
	return append(said, p.Notes...)
}

// says collects sentences that hold.
type says []string

func (s *says) when(holds bool, format string, args ...any) {
	if holds {
		*s = append(*s, fmt.Sprintf(format, args...))
	}
}

func (p Provider) quirksOfAuthorization() []string {
	var s says
	s.when(p.PKCE == "required", "PKCE is required.")
	s.when(p.PKCE == "none", "PKCE is not sent.")
	s.when(p.Scopes.Separator != " ", "Scopes are separated by %q.", p.Scopes.Separator)
	s.when(p.Scopes.Parameter != "scope", "Scopes are asked for as %s.", p.Scopes.Parameter)
	s.when(p.Scopes.Offline != "", "The scope %s brings a refresh token.", p.Scopes.Offline)
	s.when(p.Scopes.Required && len(p.Scopes.Default) == 0, "An app has to ask for at least one scope.")
	s.when(len(p.Parameters.Authorization) > 0, "The authorization request has %s.", pairs(p.Parameters.Authorization))
	for _, name := range slices.Sorted(maps.Keys(p.Rename)) {
		s.when(true, "%s is sent as %s.", name, p.Rename[name])
	}
	return s
}

func (p Provider) quirksOfCallback() []string {
	var s says
	s.when(p.Callback.CodeParameter != "code", "The callback has the code in %s.", p.Callback.CodeParameter)
	s.when(p.Callback.HMACParameter != "", "The callback is signed with the client secret, in %s.", p.Callback.HMACParameter)
	s.when(p.Callback.IssParameter, "The callback always has iss (RFC 9207).")
	for _, name := range slices.Sorted(maps.Keys(p.Variables)) {
		parameter, ok := strings.CutPrefix(p.Variables[name].From, "callback:")
		s.when(ok, "The callback brings %s, as %s.", name, parameter)
	}
	return s
}

func (p Provider) quirksOfRequests() []string {
	var s says
	switch p.TokenAuth {
	case "client_secret_post":
		s.when(true, "The token request has the client secret in its body.")
	case "client_secret_basic_raw":
		s.when(true, "The token request has id and secret in HTTP Basic, without form encoding.")
	case "private_key_jwt", "tls_client_auth":
		s.when(true, "The client proves itself by %s.", p.TokenAuth)
	case "none":
		s.when(true, "The client shows no secret to the token endpoint.")
	}
	s.when(p.ClientCertificate, "The client shows a certificate, to the API too.")
	s.when(p.TokenBody == "json", "The token request is JSON.")
	s.when(p.TokenBody == "query", "The token request has its parameters in the query.")
	s.when(p.TokenMethod == "GET", "The token request is a GET.")
	s.when(len(p.Parameters.Token) > 0, "The token request has %s.", pairs(p.Parameters.Token))
	s.when(len(p.TokenHeaders) > 0, "Token requests have the headers %s.", pairs(p.TokenHeaders))
	return s
}

func (p Provider) quirksOfResponse() []string {
	var s says
	r := p.Response
	s.when(r.Format == "form", "The token response is a form.")
	s.when(r.AccessToken != "/access_token", "The token is at %s of the response.", r.AccessToken)
	s.when(r.RefreshToken != "/refresh_token", "The refresh token is at %s of the response.", r.RefreshToken)
	s.when(r.ExpiresIn != "/expires_in" && r.ExpiresUnit != "none", "The lifetime is at %s of the response.", r.ExpiresIn)
	s.when(r.ExpiresUnit == "ms", "The lifetime is in milliseconds.")
	s.when(r.ExpiresUnit == "absolute", "The lifetime is a time, not a number of seconds from now.")
	s.when(r.ExpiresUnit == "none" && !p.Refresh.NeverExpires, "The response has no lifetime.")
	s.when(r.Scope != "/scope", "The scopes are at %s of the response.", r.Scope)
	s.when(p.Scopes.ResponseSeparator != p.Scopes.Separator, "The response separates scopes by %q.", p.Scopes.ResponseSeparator)
	for _, place := range slices.Sorted(maps.Keys(r.ErrorWhen)) {
		s.when(true, "An answer in which %s is %v is an error, whatever its status.", place, r.ErrorWhen[place])
	}
	for _, name := range slices.Sorted(maps.Keys(r.ErrorCodes)) {
		s.when(true, "The error %s means %s.", name, r.ErrorCodes[name])
	}
	for _, name := range slices.Sorted(maps.Keys(p.Variables)) {
		place, ok := strings.CutPrefix(p.Variables[name].From, "token:")
		s.when(ok, "The token response brings %s, at %s.", name, place)
	}
	for _, l := range p.Lookups {
		host, _, _ := strings.Cut(strings.TrimPrefix(l.URL, "https://"), "?")
		again := ""
		if l.Each {
			again = ", after each refresh too"
		}
		s.when(len(l.Variables) > 0, "A request to %s brings %s%s.", host, strings.Join(slices.Sorted(maps.Keys(l.Variables)), " and "), again)
		s.when(l.Items != nil, "The user may have several of those, and chooses one.")
		s.when(l.Token != nil, "The token is exchanged for another at %s%s.", host, again)
	}
	return s
}

func (p Provider) quirksOfRefresh() []string {
	var s says
	r := p.Refresh
	s.when(r.NeverExpires, "A token without a lifetime never expires.")
	s.when(p.RefreshEndpoint != p.TokenEndpoint, "Tokens are refreshed at another endpoint, %s.", p.RefreshEndpoint)
	s.when(r.Method != p.TokenMethod, "The refresh is a %s.", r.Method)
	s.when(r.Body != p.TokenBody, "The refresh has its parameters as %s.", r.Body)
	s.when(r.TokenAuth != p.TokenAuth && r.TokenAuth != "none", "The client proves itself to the refresh by %s.", r.TokenAuth)
	s.when(r.TokenAuth != p.TokenAuth && r.TokenAuth == "none", "The refresh has no client secret.")
	s.when(r.GrantType != "refresh_token", "The refresh has the grant_type %s.", r.GrantType)
	s.when(r.PlainResponse, "The refresh's answer has its values where RFC 6749 has them.")
	s.when(r.Sends == "access_token", "There are no refresh tokens: the token is refreshed while it works.")
	s.when(len(p.Parameters.Refresh) > 0, "The refresh has %s.", pairs(p.Parameters.Refresh))
	s.when(r.Rotates && r.GraceSeconds == 0, "Refresh tokens rotate: each is good for one use.")
	s.when(r.Rotates && r.GraceSeconds > 0, "Refresh tokens rotate; the old one works for %d s more.", r.GraceSeconds)
	s.when(r.IdleDays > 0, "A refresh token ends after %d days without use.", r.IdleDays)
	s.when(r.LifeDays > 0, "A refresh token ends after %d days, used or not.", r.LifeDays)
	s.when(r.MaxLive > 0, "A user has %d refresh tokens for one client at most; another ends the oldest.", r.MaxLive)
	return s
}

func (p Provider) quirksOfUse() []string {
	var s says
	s.when(p.Token.Query != "", "The API takes the token in the query, as %s.", p.Token.Query)
	s.when(p.Token.Query == "" && (p.Token.Header != "Authorization" || p.Token.Prefix != "Bearer "),
		"The API takes the token in the header %s, as %q.", p.Token.Header, p.Token.Prefix+"TOKEN")
	s.when(len(p.Token.Headers) > 0, "Requests to the API have the headers %s.", pairs(p.Token.Headers))
	return s
}

func pairs(m map[string]string) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		all = append(all, name+"="+m[name])
	}
	return strings.Join(all, ", ")
}
