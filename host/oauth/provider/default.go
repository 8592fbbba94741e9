package provider

import "cmp"

// withDefaults fills in what a document leaves out.
func (p Provider) withDefaults() Provider {
	if len(p.Grant) == 0 {
		p.Grant = []string{"authorization_code"}
	}
	if p.RefreshEndpoint == "" {
		p.RefreshEndpoint = p.TokenEndpoint
	}
	p.PKCE = cmp.Or(p.PKCE, "S256")
	p.TokenAuth = cmp.Or(p.TokenAuth, "client_secret_basic")
	p.TokenBody = cmp.Or(p.TokenBody, "form")
	p.TokenMethod = cmp.Or(p.TokenMethod, "POST")
	p.Scopes.Separator = cmp.Or(p.Scopes.Separator, " ")
	p.Scopes.ResponseSeparator = cmp.Or(p.Scopes.ResponseSeparator, p.Scopes.Separator)
	p.Scopes.Parameter = cmp.Or(p.Scopes.Parameter, "scope")
	p.Response = p.Response.withDefaults()
	if p.Token.Header == "" && p.Token.Query == "" {
		p.Token.Header = "Authorization"
		p.Token.Prefix = cmp.Or(p.Token.Prefix, "Bearer ")
	}
	p.Refresh.GrantType = cmp.Or(p.Refresh.GrantType, "refresh_token")
	p.Refresh.Sends = cmp.Or(p.Refresh.Sends, "refresh_token")
	p.Refresh.Method = cmp.Or(p.Refresh.Method, p.TokenMethod)
	p.Refresh.Body = cmp.Or(p.Refresh.Body, p.TokenBody)
	p.Refresh.TokenAuth = cmp.Or(p.Refresh.TokenAuth, p.TokenAuth)
	p.Callback.CodeParameter = cmp.Or(p.Callback.CodeParameter, "code")
	for name, v := range p.Variables {
		v.From = cmp.Or(v.From, "input")
		v.Kind = cmp.Or(v.Kind, "label")
		if v.From == "input" && v.Of == "" {
			v.Of = "account"
			if v.Anywhere {
				v.Of = "app"
			}
		}
		p.Variables[name] = v
	}
	for i, l := range p.Lookups {
		l.Method = cmp.Or(l.Method, "GET")
		p.Lookups[i] = l
	}
	return p
}

func (m Mapping) withDefaults() Mapping {
	m.Format = cmp.Or(m.Format, "json")
	m.AccessToken = cmp.Or(m.AccessToken, "/access_token")
	m.RefreshToken = cmp.Or(m.RefreshToken, "/refresh_token")
	m.ExpiresUnit = cmp.Or(m.ExpiresUnit, "s")
	if m.ExpiresUnit != "none" {
		m.ExpiresIn = cmp.Or(m.ExpiresIn, "/expires_in")
	}
	m.Scope = cmp.Or(m.Scope, "/scope")
	m.Error = cmp.Or(m.Error, "/error")
	m.ErrorDescription = cmp.Or(m.ErrorDescription, "/error_description")
	return m
}
