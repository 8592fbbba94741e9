package oauth

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Metadata is what a server says of itself (RFC 8414, OpenID Connect Discovery 1.0).
// What it signs is not believed more than the rest, and is not read.
type Metadata struct {
	Endpoints Endpoints
	// UserInfo is OpenID Connect's endpoint.
	UserInfo string
	// TokenAuth, Grants and Scopes are what it says that it takes; nil if it does not
	// say.
	TokenAuth, Grants, Scopes []string
}

// remembered is metadata, and until when it is believed.
type remembered struct {
	metadata Metadata
	until    time.Time
}

// Discover gets the metadata of an issuer, from where RFC 8414 puts it, or else where
// OpenID Connect does. It is kept for Config.MetadataTTL; an error is not kept.
//
// The document must be the issuer's own, letter by letter: one that names another could
// send users to a server of somebody else's. Its endpoints must be over https; whether
// they lie inside, the transport sees when they are asked.
func (c *Client) Discover(ctx context.Context, issuer string) (Metadata, error) {
	u, err := c.address(issuer)
	if err != nil {
		return Metadata{}, newError(codeMetadata, "the issuer %.200q %s", issuer, err)
	}
	if u.RawQuery != "" || u.ForceQuery {
		return Metadata{}, newError(codeMetadata, "the issuer %.200q has a query", issuer) // https://www.rfc-editor.org/rfc/rfc8414#section-2
	}
	if kept, ok := c.metadata.Get(issuer); ok && c.config.Now().Before(kept.until) {
		return kept.metadata, nil
	}
	var last error
	for _, place := range wellKnown(u) {
		m, elsewhere, err := c.discoverAt(ctx, place, issuer)
		if err == nil {
			c.metadata.Add(issuer, remembered{metadata: m, until: c.config.Now().Add(c.config.MetadataTTL)})
			return m, nil
		}
		if !elsewhere {
			return Metadata{}, err
		}
		last = err
	}
	e := newError(codeMetadata, "%.200q has no metadata at its /.well-known/ addresses", issuer)
	e.Err = last
	return Metadata{}, e
}

// wellKnown are the places of RFC 8414 section 3.1, of OpenID Connect, and of RFC 8414
// section 5, which differ if an issuer has a path.
func wellKnown(issuer *url.URL) []string {
	const oauth, openid = "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"
	path := strings.TrimSuffix(issuer.EscapedPath(), "/")
	base := issuer.Scheme + "://" + issuer.Host
	places := []string{base + oauth + path, base + path + openid}
	if path != "" {
		places = append(places, base+openid+path)
	}
	return places
}

// discoverAt reads one place. With an error, elsewhere says that the place has no
// metadata at all, and that another may.
func (c *Client) discoverAt(ctx context.Context, place, issuer string) (m Metadata, elsewhere bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, place, http.NoBody)
	if err != nil {
		return Metadata{}, false, newError(codeMetadata, "%.200q is no address", place)
	}
	r.Header.Set("Accept", "application/json")
	got, err := c.do(r, c.config.Transport, nil)
	if err != nil {
		return Metadata{}, got != nil && got.status/100 == 3, err
	}
	if !is2xx(got.status) {
		return Metadata{}, true, got.invalid("answered %d", got.status)
	}
	if err := got.parse(); err != nil {
		return Metadata{}, true, err
	}
	if said := text(at(got.doc, "/issuer")); said != issuer {
		return Metadata{}, false, newError(codeMetadata, "the metadata of %.200q says that it is of %.200q: an issuer is written as its metadata has it", issuer, clean(said, nil))
	}
	m, err = c.metadataOf(got)
	return m, false, err
}

func (c *Client) metadataOf(got *answer) (Metadata, error) {
	field := func(name string) string { return text(at(got.doc, "/"+name)) }
	m := Metadata{
		Endpoints: Endpoints{
			Issuer: field("issuer"), Authorization: field("authorization_endpoint"), Token: field("token_endpoint"),
			Revocation: field("revocation_endpoint"), Introspection: field("introspection_endpoint"),
			DeviceAuthorization: field("device_authorization_endpoint"),
			IssPromised:         field("authorization_response_iss_parameter_supported") == "true",
			PKCEMethods:         list(got.doc, "code_challenge_methods_supported"),
		},
		UserInfo:  field("userinfo_endpoint"),
		TokenAuth: list(got.doc, "token_endpoint_auth_methods_supported"),
		Grants:    list(got.doc, "grant_types_supported"),
		Scopes:    list(got.doc, "scopes_supported"),
	}
	e := m.Endpoints
	for _, endpoint := range []struct{ name, address string }{
		{"authorization_endpoint", e.Authorization},
		{"token_endpoint", e.Token},
		{"revocation_endpoint", e.Revocation},
		{"introspection_endpoint", e.Introspection},
		{"device_authorization_endpoint", e.DeviceAuthorization},
		{"userinfo_endpoint", m.UserInfo},
	} {
		if endpoint.address == "" {
			continue
		}
		if _, err := c.address(endpoint.address); err != nil {
			return Metadata{}, newError(codeMetadata, "the metadata of %.200q has the %s %.200q, which %s", e.Issuer, endpoint.name, clean(endpoint.address, nil), err)
		}
	}
	if e.Token == "" {
		return Metadata{}, newError(codeMetadata, "the metadata of %.200q has no token_endpoint", e.Issuer)
	}
	return m, nil
}

// list is an array of texts, or nil if there is none.
func list(doc any, name string) []string {
	found, ok := at(doc, "/"+name).([]any)
	if !ok {
		return nil
	}
	all := []string{}
	for _, v := range found {
		all = append(all, text(v))
	}
	return all
}
