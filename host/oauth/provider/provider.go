// Package provider describes authorization servers as data: where they are, how
// they read the OAuth specifications, and what they do that no specification has.
//
// A descriptor is a JSON document, one file for each provider. Its fields have the
// names of RFC 6749, RFC 7591 and RFC 8414 where those have one, and what it leaves
// out is as those say: client_secret_basic, forms, scopes apart by spaces, PKCE with
// S256, a bearer token.
//
//	{
//	  "name": "acme",
//	  "title": "Acme",
//	  "docs": ["https://developers.acme.example/oauth"],
//	  "grant_types_supported": ["authorization_code"],
//	  "authorization_endpoint": "https://{shop}.acme.example/oauth/authorize",
//	  "token_endpoint": "https://{shop}.acme.example/oauth/token",
//	  "hosts": ["{shop}.acme.example"],
//	  "variables": {
//	    "shop": {"title": "Shop", "example": "north", "pattern": "^[a-z][a-z0-9-]*$"}
//	  },
//	  "token_endpoint_auth_method": "client_secret_post",
//	  "refresh": {"rotates": true}
//	}
//
// Load has those that come with the program, and Set.With adds others: an
// operator's, a plugin's.
//
//	set, err := provider.Load()
//	acme, err := set.Provider("acme")
//	at, err := acme.Resolve(map[string]string{"shop": "north"})
//	at.TokenEndpoint // https://north.acme.example/oauth/token
//
// # Variables
//
// What a template has in braces is a variable. Some a person enters, some come with
// the callback or the token, some are looked up with the token (Variable.From). A
// value never moves a host to where the descriptor did not say: its kind says what it
// may be at all (a DNS label, unless the descriptor asks for more), its pattern, which
// is anchored, which of those; and the resolved URL is looked at again.
//
// # On this machine
//
// A server in development may be at http://127.0.0.1:9000, which is then among the hosts
// as "127.0.0.1:9000". In production such a descriptor does nothing: package oauth refuses
// its endpoints, and package egress its address, unless an operator allows them.
//
// # Sources
//
// Each descriptor names the vendor's own pages that its facts are from. What those
// do not say is left out, so that the standards' defaults hold.
package provider

// Provider is what there is to know of an authorization server. Parse has filled in
// what the document leaves out, so that no field with a default is empty.
type Provider struct {
	// Name is what connections and apps call it: lower case, digits, hyphens.
	Name  string `json:"name"`
	Title string `json:"title"`
	// Docs are the pages that the facts are from: the vendor's own, at least one.
	Docs []string `json:"docs"`
	// Notes tell people what no field can: limits, settings of the app, traps.
	Notes []string `json:"notes,omitempty"`
	// Grant is how tokens are got: authorization_code, client_credentials,
	// device_code, jwt_bearer, token_exchange. Defaults to authorization_code.
	Grant []string `json:"grant_types_supported,omitempty"`

	// Issuer has metadata by RFC 8414 or OpenID Connect Discovery, which fill in the
	// endpoints that the descriptor leaves out. All of these are templates.
	Issuer                string `json:"issuer,omitempty"`
	AuthorizationEndpoint string `json:"authorization_endpoint,omitempty"`
	TokenEndpoint         string `json:"token_endpoint,omitempty"`
	// RefreshEndpoint is where refresh tokens go. Defaults to TokenEndpoint.
	RefreshEndpoint             string `json:"refresh_endpoint,omitempty"`
	RevocationEndpoint          string `json:"revocation_endpoint,omitempty"`
	IntrospectionEndpoint       string `json:"introspection_endpoint,omitempty"`
	DeviceAuthorizationEndpoint string `json:"device_authorization_endpoint,omitempty"`
	UserInfoEndpoint            string `json:"userinfo_endpoint,omitempty"`
	// Hosts are where the token may be sent: templates of names, which may begin
	// with "*." for any name below.
	Hosts     []string            `json:"hosts"`
	Variables map[string]Variable `json:"variables,omitempty"`

	Scopes ScopeRules `json:"scopes,omitzero"`
	// PKCE is S256 (sent; the server may ignore it), required, or none (not sent:
	// the server refuses it or does not know it). Defaults to S256.
	PKCE string `json:"pkce,omitempty"`
	// TokenAuth is how the client proves itself to the token endpoint:
	// client_secret_basic, client_secret_basic_raw (the same without the form
	// encoding of RFC 6749 section 2.3.1, which many servers do not undo),
	// client_secret_post, private_key_jwt, tls_client_auth, none. Defaults to
	// client_secret_basic.
	TokenAuth string `json:"token_endpoint_auth_method,omitempty"`
	// ClientCertificate says that the token endpoint and the API want a certificate
	// of the client's in the TLS handshake, whatever TokenAuth is.
	ClientCertificate bool `json:"client_certificate,omitempty"`
	// TokenBody is form, json or query. Defaults to form.
	TokenBody string `json:"token_request_body,omitempty"`
	// TokenMethod is POST or GET. Defaults to POST.
	TokenMethod string `json:"token_request_method,omitempty"`
	// Parameters are sent with what the specifications have.
	Parameters Parameters `json:"parameters,omitzero"`
	// Rename has the provider's own names for parameters of requests, such as
	// client_key for client_id.
	Rename map[string]string `json:"rename,omitempty"`
	// TokenHeaders are headers of requests to the token endpoint.
	TokenHeaders map[string]string `json:"token_request_headers,omitempty"`
	Response     Mapping           `json:"token_response,omitzero"`
	Token        TokenUse          `json:"token_use,omitzero"`
	Refresh      RefreshRules      `json:"refresh,omitzero"`
	Callback     CallbackRules     `json:"callback,omitzero"`
	// Lookups are further requests, in this order, once tokens have come.
	Lookups []Lookup `json:"lookups,omitempty"`
}

// Variable is a name in braces that templates have.
type Variable struct {
	Title string `json:"title"`
	// Help says where a person finds the value.
	Help    string `json:"help,omitempty"`
	Example string `json:"example"`
	// From is input (a person enters it), callback:NAME (a parameter of the
	// callback), token:/POINTER (a place in the token response) or lookup (one of
	// Lookups fills it). Defaults to input.
	From string `json:"from,omitempty"`
	// Kind is what a value may be at all: label (of a DNS name), host (a DNS name),
	// url (https://, a DNS name and perhaps a path), path (segments of a path) or text (in
	// queries and headers only). Defaults to label.
	Kind string `json:"kind,omitempty"`
	// Pattern is a regular expression from ^ to $ that a value matches. Defaults to
	// what Kind allows.
	Pattern string `json:"pattern,omitempty"`
	// Under are the domains that a host or a URL is at, or below.
	Under []string `json:"under,omitempty"`
	// Anywhere says that a host may be any: the customer runs the server.
	Anywhere bool `json:"anywhere,omitempty"`
	// Default is taken if no value is given.
	Default string `json:"default,omitempty"`
	// Options are all the values that there are, if they are known.
	Options []string `json:"options,omitempty"`
	// Of is who knows a value that is entered: account (whoever connects one) or app (who
	// registered it: it is the same for all accounts). Defaults to account, and to app
	// for a host that may be Anywhere: a client's secret goes to where it was registered,
	// and not to where a user says.
	Of string `json:"of,omitempty"`
}

// ScopeRules are how scopes are asked for and told.
type ScopeRules struct {
	// Separator is what stands between two scopes. Defaults to a space.
	Separator string `json:"separator,omitempty"`
	// ResponseSeparator is the same for the scope of token responses, which may also
	// be an array. Defaults to Separator.
	ResponseSeparator string `json:"response_separator,omitempty"`
	// Parameter is the name in the authorization request. Defaults to scope.
	Parameter string `json:"parameter,omitempty"`
	// Default is asked for if an app names none.
	Default []string `json:"default,omitempty"`
	// Offline is the scope without which there is no refresh token.
	Offline string `json:"offline,omitempty"`
	// Required says that the server refuses a request without a scope.
	Required bool `json:"required,omitempty"`
}

// Parameters are extra ones, by request; values may be templates.
type Parameters struct {
	Authorization map[string]string `json:"authorization,omitempty"`
	// Token goes with each exchange for a first token, Refresh with each refresh.
	Token   map[string]string `json:"token,omitempty"`
	Refresh map[string]string `json:"refresh,omitempty"`
}

// Mapping is where a token response has what; places are JSON pointers (RFC 6901).
type Mapping struct {
	// Format is json or form. Defaults to json.
	Format       string `json:"format,omitempty"`
	AccessToken  string `json:"access_token,omitempty"`
	RefreshToken string `json:"refresh_token,omitempty"`
	ExpiresIn    string `json:"expires_in,omitempty"`
	// ExpiresUnit is what ExpiresIn is in: s or ms from now, absolute (a time, in
	// seconds since 1970 or as RFC 3339 has it), or none (no answer has one).
	// Defaults to s.
	ExpiresUnit string `json:"expires_unit,omitempty"`
	// RefreshExpiresIn is the refresh token's lifetime, in the same unit.
	RefreshExpiresIn string `json:"refresh_expires_in,omitempty"`
	Scope            string `json:"scope,omitempty"`
	Error            string `json:"error,omitempty"`
	ErrorDescription string `json:"error_description,omitempty"`
	// ErrorWhen are places and values that make an answer an error whatever its
	// status, such as {"/ok": false}.
	ErrorWhen map[string]any `json:"error_when,omitempty"`
	// ErrorCodes has the meaning of errors that the provider has its own names for, such
	// as {"bad_refresh_token": "invalid_grant"}.
	ErrorCodes map[string]string `json:"error_codes,omitempty"`
}

// TokenUse is how requests to the API carry the token.
type TokenUse struct {
	// Header carries it, after Prefix. Defaults to Authorization and "Bearer ".
	Header string `json:"header,omitempty"`
	Prefix string `json:"prefix,omitempty"`
	// Query carries it instead, as the parameter of this name.
	Query string `json:"query,omitempty"`
	// Headers go with it on each request; values may be templates.
	Headers map[string]string `json:"headers,omitempty"`
}

// RefreshRules are what becomes of tokens.
type RefreshRules struct {
	// NeverExpires says that a token without a lifetime has none, so that there is
	// nothing to refresh. Without it, the lifetime is unknown.
	NeverExpires bool `json:"never_expires,omitempty"`
	// Rotates says that each refresh brings a new refresh token and ends the old one.
	Rotates bool `json:"rotates,omitempty"`
	// GraceSeconds is for how long the old refresh token works after that.
	GraceSeconds int `json:"grace_seconds,omitempty"`
	// IdleDays ends a refresh token that is not used for so long, LifeDays any.
	IdleDays int `json:"idle_days,omitempty"`
	LifeDays int `json:"life_days,omitempty"`
	// MaxLive is how many refresh tokens a user has for one client before the oldest
	// ends.
	MaxLive int `json:"max_live,omitempty"`
	// MarginSeconds is how long before the end a token is to be refreshed. Defaults
	// to 0: whoever refreshes knows best.
	MarginSeconds int `json:"margin_seconds,omitempty"`
	// GrantType is the grant_type of the request. Defaults to refresh_token.
	GrantType string `json:"grant_type,omitempty"`
	// Sends is what is sent, and the parameter that it is sent as: refresh_token, or
	// access_token where there are no refresh tokens and a token that still works is
	// refreshed itself. Defaults to refresh_token.
	Sends string `json:"sends,omitempty"`
	// Method, Body and TokenAuth default to those of the token endpoint.
	Method    string `json:"method,omitempty"`
	Body      string `json:"body,omitempty"`
	TokenAuth string `json:"token_endpoint_auth_method,omitempty"`
	// PlainResponse says that the answer has its token, and what is said of it, where
	// RFC 6749 does, though that to a code has them elsewhere.
	PlainResponse bool `json:"plain_response,omitempty"`
}

// CallbackRules are what the browser brings back.
type CallbackRules struct {
	// CodeParameter has the code. Defaults to code.
	CodeParameter string `json:"code_parameter,omitempty"`
	// HMACParameter is a hexadecimal HMAC-SHA256 by the client secret over all other
	// parameters, sorted, as NAME=VALUE with & between.
	HMACParameter string `json:"hmac_parameter,omitempty"`
	// IssParameter says that iss is always there (RFC 9207), so that a callback
	// without it is refused.
	IssParameter bool `json:"authorization_response_iss_parameter_supported,omitempty"`
}

// Lookup is a request that is made with a new token: to learn variables, or because
// what the token endpoint gave is only good for getting the real token.
type Lookup struct {
	// URL is a template, whose variables may be those of the Lookups before.
	URL string `json:"url"`
	// Method is GET or POST, with Parameters in the query or in a form. Defaults to GET.
	Method string `json:"method,omitempty"`
	// Parameters may be templates of variables and of {access_token}, {client_id} and
	// {client_secret}. With {access_token} among them or in URL, no header carries it.
	Parameters map[string]string `json:"parameters,omitempty"`
	// Items is the place of a list of which the user chooses one, by what Label is of
	// each; the empty place is the answer itself. Defaults to no list.
	Items *string `json:"items,omitempty"`
	Label string  `json:"label,omitempty"`
	// Variables are filled from places in the answer, or in the chosen item.
	Variables map[string]string `json:"variables,omitempty"`
	// Token is where the answer has a token that replaces the one before; what it
	// leaves out stays as it was.
	Token *Mapping `json:"token_response,omitempty"`
	// Each says that it is made after each refresh too.
	Each bool `json:"each,omitempty"`
}
