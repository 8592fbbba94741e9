package provider

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/document"
)

// validate finds what cannot be, in a provider that has its defaults.
func (p Provider) validate(problems *document.Problems) {
	if !isName(p.Name, '-') {
		problems.Add("/name", "is %s: write lower-case letters, digits and hyphens, beginning with a letter, such as \"acme-crm\"", document.Quoted(p.Name))
	}
	if p.Title == "" || len(p.Title) > 80 {
		problems.Add("/title", "is %s: write the name that people know, of at most 80 bytes", document.Quoted(p.Title))
	}
	p.validateDocs(problems)
	p.validateWords(problems)
	p.validateEndpoints(problems)
	p.validateVariables(problems)
	p.validateResponse("/token_response", p.Response, problems)
	p.validateUse(problems)
	p.validateRefresh(problems)
	p.validateLookups(problems)
	p.validateTexts(problems)
}

func (p Provider) validateDocs(problems *document.Problems) {
	if len(p.Docs) == 0 {
		problems.Add("/docs", "is missing: name at least one page of the vendor's that the facts are from")
	}
	for i, page := range p.Docs {
		if u, err := url.Parse(page); err != nil || u.Scheme != "https" || u.Host == "" {
			problems.Add(document.Element("/docs", i), "is %s: write the https URL of a page", document.Quoted(page))
		}
	}
}

// validateWords checks the fields that are one of a few words.
func (p Provider) validateWords(problems *document.Problems) {
	for i, g := range p.Grant {
		word(problems, document.Element("/grant_types_supported", i), g, "authorization_code", "client_credentials", "device_code", "jwt_bearer", "token_exchange")
	}
	word(problems, "/pkce", p.PKCE, "S256", "required", "none")
	auth := []string{"client_secret_basic", "client_secret_basic_raw", "client_secret_post", "private_key_jwt", "tls_client_auth", "none"}
	word(problems, "/token_endpoint_auth_method", p.TokenAuth, auth...)
	word(problems, "/refresh/token_endpoint_auth_method", p.Refresh.TokenAuth, auth...)
	word(problems, "/token_request_body", p.TokenBody, "form", "json", "query")
	word(problems, "/refresh/body", p.Refresh.Body, "form", "json", "query")
	word(problems, "/token_request_method", p.TokenMethod, "POST", "GET")
	word(problems, "/refresh/method", p.Refresh.Method, "POST", "GET")
	word(problems, "/refresh/sends", p.Refresh.Sends, "refresh_token", "access_token")
	bodyless(problems, "/token_request_body", p.TokenMethod, p.TokenBody)
	bodyless(problems, "/refresh/body", p.Refresh.Method, p.Refresh.Body)
}

func word(problems *document.Problems, where, value string, words ...string) {
	if !slices.Contains(words, value) {
		problems.Add(where, "is %s: write %s", document.Quoted(value), document.Or(words))
	}
}

func bodyless(problems *document.Problems, where, method, body string) {
	if method == "GET" && body != "query" {
		problems.Add(where, "is %q, but the request is a GET, which has no body: write query", body)
	}
}

// validateEndpoints checks templates of URLs and of hosts.
func (p Provider) validateEndpoints(problems *document.Problems) {
	if p.Issuer == "" && p.TokenEndpoint == "" {
		problems.Add("/token_endpoint", "is missing: write where tokens are got, or an issuer that has metadata")
	}
	if p.Issuer == "" && p.AuthorizationEndpoint == "" && slices.Contains(p.Grant, "authorization_code") {
		problems.Add("/authorization_endpoint", "is missing: the grant authorization_code needs one, or an issuer")
	}
	if p.Issuer == "" && p.DeviceAuthorizationEndpoint == "" && slices.Contains(p.Grant, "device_code") {
		problems.Add("/device_authorization_endpoint", "is missing: the grant device_code needs one, or an issuer")
	}
	urls := urlsOf(&p)
	for _, field := range slices.Sorted(maps.Keys(urls)) {
		if field == "refresh_endpoint" && p.RefreshEndpoint == p.TokenEndpoint {
			continue // It is that, or said to be so: one problem is enough.
		}
		if template := *urls[field]; template != "" {
			p.validateURL(problems, "/"+field, template)
		}
	}
	if len(p.Hosts) == 0 {
		problems.Add("/hosts", "is missing: name the hosts that the token may be sent to")
	}
	for i, host := range p.Hosts {
		p.validateHost(problems, document.Element("/hosts", i), host)
	}
}

// validateURL checks that a template becomes an https URL whatever the values are, and
// that no variable can choose another owner's domain.
func (p Provider) validateURL(problems *document.Problems, where, template string) {
	pieces, err := split(template)
	if err != nil {
		problems.Add(where, "is %s, which %v", document.Quoted(template), err)
		return
	}
	if pieces[0].variable != (pieces[0].at == inStart) || !pieces[0].variable && !strings.HasPrefix(template, "https://") && !isLocal(template) {
		problems.Add(where, "is %s: write a URL that begins with https://, or with a variable of kind url; for development, one that begins with http://127.0.0.1", document.Quoted(template))
		return
	}
	samples := map[string]string{}
	for _, piece := range pieces {
		if !piece.variable {
			continue
		}
		v, known := p.Variables[piece.text]
		if !known {
			problems.Add(where, "is %s: %q is not in variables: describe it there", document.Quoted(template), piece.text)
			return
		}
		if kinds := kindsAt(piece.at); !slices.Contains(kinds, v.Kind) {
			problems.Add(where, "is %s: {%s} is of kind %s, and here may stand one of kind %s", document.Quoted(template), piece.text, v.Kind, document.Or(kinds))
			return
		}
		samples[piece.text] = sample(v.Kind)
	}
	p.validateAnchor(problems, where, template, pieces)
	if _, err := fill(template, samples); err != nil {
		problems.Add(where, "is %s, which %v: write an https URL of a DNS name, without user, port or fragment", document.Quoted(template), err)
	}
}

func sample(kind string) string {
	switch kind {
	case "host":
		return "sample.example"
	case "url":
		return "https://sample.example"
	default:
		return "sample"
	}
}

// validateAnchor checks that a host with a label of a person's choice ends in a domain
// that one owner has, so not {shop}.com; a whole host of a person's choice is held by
// Under, or said to be Anywhere.
func (p Provider) validateAnchor(problems *document.Problems, where, template string, pieces []piece) {
	last := -1
	for i, piece := range pieces {
		if piece.variable && piece.at == inHost {
			last = i
		}
	}
	if last < 0 {
		return
	}
	tail := ""
	if last+1 < len(pieces) {
		tail = pieces[last+1].text
		if end := strings.IndexAny(tail, "/?"); end >= 0 {
			tail = tail[:end]
		}
	}
	whole := last == 1 && pieces[0].text == "https://" && tail == ""
	if isHost := p.Variables[pieces[last].text].Kind == "host"; isHost != whole {
		problems.Add(where, "is %s: a variable of kind host is a whole name, and a label is part of one", document.Quoted(template))
		return
	}
	if _, domain, _ := strings.Cut(tail, "."); !whole && !owned(domain) {
		problems.Add(where, "is %s: what follows the last variable is %s, in which anybody can have a name: write the domain that the vendor owns", document.Quoted(template), document.Quoted(tail))
	}
}

// owned guesses whether a domain has one owner: it has two labels, or three below a
// country's com, co, org and the like. The list of all such suffixes has 10,000 lines
// and would say no more of the vendors that have descriptors.
func owned(domain string) bool {
	labels := strings.Split(domain, ".")
	if checkHost(domain) != nil {
		return false
	}
	shared := []string{"com", "co", "net", "org", "edu", "gov", "ac", "or", "ne", "go"}
	country := len(labels[len(labels)-1]) == 2
	return len(labels) > 2 || !country || !slices.Contains(shared, labels[0])
}

func (p Provider) validateHost(problems *document.Problems, where, template string) {
	if isLocal("http://"+template) && !strings.ContainsAny(template, "/?") {
		return
	}
	name := strings.TrimPrefix(template, "*.")
	if v, ok := strings.CutPrefix(name, "{"); ok && strings.HasSuffix(v, "}") && p.Variables[strings.TrimSuffix(v, "}")].Kind == "url" {
		return
	}
	if strings.ContainsAny(name, "/:@?#*") {
		problems.Add(where, "is %s: write a host's name, or *. and a domain", document.Quoted(template))
		return
	}
	if name != template && !strings.Contains(name, "{") && !owned(name) {
		problems.Add(where, "is %s: below %s anybody can have a name: write the domain that the vendor owns", document.Quoted(template), document.Quoted(name))
		return
	}
	p.validateURL(problems, where, "https://"+name)
}

// validateTexts checks that the values of parameters and headers name variables that
// there are.
func (p Provider) validateTexts(problems *document.Problems) {
	for where, texts := range map[string]map[string]string{
		"/parameters/authorization": p.Parameters.Authorization,
		"/parameters/token":         p.Parameters.Token,
		"/parameters/refresh":       p.Parameters.Refresh,
		"/token_request_headers":    p.TokenHeaders,
		"/token_use/headers":        p.Token.Headers,
	} {
		p.validateText(problems, where, texts)
	}
	for name, theirs := range p.Rename {
		if theirs == "" || checkText(theirs) != nil {
			problems.Add(document.Pointer("/rename", name), "is %s: write the name that the provider has for it", document.Quoted(theirs))
		}
	}
}

func (p Provider) validateText(problems *document.Problems, where string, texts map[string]string, also ...string) {
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		at := document.Pointer(where, name)
		if err := checkText(texts[name]); err != nil {
			problems.Add(at, "is %s, which %v", document.Quoted(texts[name]), err)
			continue
		}
		pieces, err := split(texts[name])
		if err != nil {
			problems.Add(at, "is %s, which %v", document.Quoted(texts[name]), err)
			continue
		}
		for _, v := range variablesOf(pieces) {
			if _, known := p.Variables[v]; !known && !slices.Contains(also, v) {
				problems.Add(at, "is %s: %q is not in variables: describe it there", document.Quoted(texts[name]), v)
			}
		}
	}
}

func (p Provider) validateUse(problems *document.Problems) {
	if p.Token.Header != "" && p.Token.Query != "" {
		problems.Add("/token_use", "has a header and a query: the token is sent in one of them")
	}
	if len(p.Scopes.Separator) > 3 {
		problems.Add("/scopes/separator", "is %s: write what stands between two scopes, such as \",\"", document.Quoted(p.Scopes.Separator))
	}
}

func (p Provider) validateRefresh(problems *document.Problems) {
	for name, n := range map[string]int{
		"grace_seconds": p.Refresh.GraceSeconds, "idle_days": p.Refresh.IdleDays, "life_days": p.Refresh.LifeDays,
		"max_live": p.Refresh.MaxLive, "margin_seconds": p.Refresh.MarginSeconds,
	} {
		if n < 0 {
			problems.Add("/refresh/"+name, "is %d: write a number above 0, or leave it out", n)
		}
	}
	if p.Refresh.GraceSeconds > 0 && !p.Refresh.Rotates {
		problems.Add("/refresh/grace_seconds", "is %d, but refresh tokens do not rotate: set rotates too", p.Refresh.GraceSeconds)
	}
}

func (p Provider) validateResponse(where string, m Mapping, problems *document.Problems) {
	word(problems, where+"/format", m.Format, "json", "form")
	word(problems, where+"/expires_unit", m.ExpiresUnit, "s", "ms", "absolute", "none")
	for name, place := range map[string]string{
		"access_token": m.AccessToken, "refresh_token": m.RefreshToken, "expires_in": m.ExpiresIn, "refresh_expires_in": m.RefreshExpiresIn,
		"scope": m.Scope, "error": m.Error, "error_description": m.ErrorDescription,
	} {
		if !document.IsPointer(place) {
			problems.Add(where+"/"+name, "is %s: write a JSON pointer, such as \"/data/token\"", document.Quoted(place))
		}
	}
	for name, code := range m.ErrorCodes {
		if name == "" || code == "" || checkText(code) != nil || strings.Contains(code, " ") {
			problems.Add(document.Pointer(where+"/error_codes", name), "is %s: write the code of RFC 6749 that it means, such as \"invalid_grant\"", document.Quoted(code))
		}
	}
	for place, value := range m.ErrorWhen {
		at := document.Pointer(where+"/error_when", place)
		if !document.IsPointer(place) || place == "" {
			problems.Add(at, "is no JSON pointer: write one such as \"/ok\"")
		}
		switch value.(type) {
		case string, bool, float64:
		default:
			problems.Add(at, "is %v: write a text, a number, true or false", fmt.Sprint(value))
		}
	}
}
