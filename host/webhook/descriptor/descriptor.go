// Package descriptor describes as data how vendors sign the webhooks that they deliver,
// and how they try an endpoint before they deliver to it.
//
// A descriptor is a JSON document, one file for each provider:
//
//	{
//	  "name": "acme",
//	  "title": "Acme",
//	  "docs": ["https://developers.acme.example/webhooks"],
//	  "parts": [{"timestamp": "header:Acme-Timestamp", "signature": ["header:Acme-Signature"]}],
//	  "signatures": [{"prefix": "v1=", "alg": "hmac-sha256", "signed": "{ts}.{body}", "enc": "hex"}],
//	  "timestamp": {"unit": "s", "tolerance_seconds": 300},
//	  "dedupe": {"from": ["body:/id"], "or": "body"}
//	}
//
// Load has those that come with the program; Parse reads one of a user's or a plugin's.
// Package signature verifies and signs by them.
//
// # Places
//
// A place is where a value stands in a request: header:NAME, query:NAME, form:NAME or
// body:/POINTER, a JSON pointer in which * stands for all elements of a list.
//
// # What is signed
//
// Signature.Signed is a template of the signed bytes. What it has in braces:
//
//	{id} {ts}          those parts, as they came
//	{body}             the raw body
//	{body.crc32}       its CRC-32 (IEEE) in decimal
//	{body.escaped}     it, with what is not ASCII written as \uXXXX
//	{method}           the request's method
//	{url}              the endpoint's public URL with the request's query
//	{url.port}         the same, with the scheme's port written out
//	{url.no-port}      the same, without a port
//	{url.hubspot}      the same, with what HubSpot does not escape unescaped
//	{form}             all of a form, sorted, names and values joined by nothing
//	{query}            all of the query but the signature's own, as Signature.Query says
//	{secret}           the secret: for sha256-concat alone
//	{parameter:NAME}   what the endpoint was told
//	{header:NAME}      a header
//	{field:/POINTER}   a value of the JSON body
//	{free:/POINTER}    the same, of a text that may have what separates it
//	{line:/POINTER}    its name, a line break, its value, a line break; nothing without it
//	{free-line:/...}   the same, of a text that may have line breaks
//
// A part that is followed by a text may not have that text in it, for two deliveries would
// then have the same signed bytes; a template of which that cannot be held is refused.
//
// # Sources
//
// Each descriptor names the vendor's own pages that its facts are from.
package descriptor

// Descriptor is what there is to know of how a provider signs. Parse has filled in what the
// document leaves out.
type Descriptor struct {
	// Name is what endpoints and manifests call it: lower case, digits, hyphens.
	Name  string `json:"name"`
	Title string `json:"title"`
	// Docs are the pages that the facts are from. Needed of those that come with the program.
	Docs []string `json:"docs,omitempty"`
	// Notes tell people what no field can.
	Notes []string `json:"notes,omitempty"`
	// Weak says why whoever makes an endpoint has to say that it is wanted nevertheless.
	// Defaults to none.
	Weak string `json:"weak,omitempty"`
	// Secret is who makes the signing secret: ours (any text does), vendor (it can be given
	// later), handshake (the vendor's first request brings it) or none. Defaults to ours.
	Secret string `json:"secret,omitempty"`
	// Parameters are what an endpoint must be told beside the secret.
	Parameters map[string]Parameter `json:"parameters,omitempty"`
	// Parts are where the parts stand. The first set of which any is present is the one, and
	// parts of two sets never mix.
	Parts []Parts `json:"parts"`
	// Parse says how signatures stand in their place.
	Parse Layout `json:"parse,omitzero"`
	// Signatures are the ways of signing: a delivery passes by any that applies to it.
	Signatures []Signature `json:"signatures"`
	Timestamp  Timestamp   `json:"timestamp,omitzero"`
	// Require has to hold of every delivery.
	Require []Match `json:"require,omitempty"`
	Dedupe  Dedupe  `json:"dedupe,omitzero"`
	// Handshakes are requests that try the endpoint, and are not stored.
	Handshakes []Handshake `json:"handshakes,omitempty"`
	// Answer is the status that the vendor wants of what was taken. Defaults to 202.
	Answer int `json:"answer,omitempty"`
	// Silent says that the answer must have no body.
	Silent bool `json:"silent,omitempty"`
}

// Parameter is something that an endpoint must be told.
type Parameter struct {
	Title string `json:"title"`
	// Help says where a person finds the value.
	Help    string `json:"help,omitempty"`
	Example string `json:"example"`
	// Pattern is a regular expression from ^ to $ that a value matches. Defaults to any text.
	Pattern string `json:"pattern,omitempty"`
	// Default is taken if no value is given; without one, a value must be given before the
	// first delivery.
	Default string `json:"default,omitempty"`
	// Secret says that it is sealed, and never shown.
	Secret bool `json:"secret,omitempty"`
}

// Parts are places; an empty one does not exist in the scheme.
type Parts struct {
	ID        string `json:"id,omitempty"`
	Timestamp string `json:"timestamp,omitempty"`
	// Signature has one or more places: a signature in any of them will do.
	Signature []string `json:"signature"`
}

// Layout is how signatures stand in their place.
type Layout struct {
	// As is plain (one signature), list (several, with spaces between) or kv (name=value
	// members). Defaults to plain.
	As string `json:"as,omitempty"`
	// Separator is what stands between the members of a kv. Defaults to a comma.
	Separator string `json:"separator,omitempty"`
	// Timestamp names the member with the timestamp, Signatures those with signatures.
	Timestamp  string   `json:"timestamp,omitempty"`
	Signatures []string `json:"signatures,omitempty"`
}

// Signature is a way of signing.
type Signature struct {
	// Prefix is what the signature begins with.
	Prefix string `json:"prefix,omitempty"`
	// Alg is hmac-sha1, hmac-sha256, hmac-sha512, sha256-concat, ed25519, ecdsa-p256,
	// rsa-pkcs1-sha1, rsa-pkcs1-sha256, jwt or equal (the secret itself comes).
	Alg string `json:"alg"`
	// Key is how the key is written: utf8 (the secret's own bytes), b64, hex, whsec (of
	// Standard Webhooks: "whsec_" and base64), whpk (the same of a public key), spki (base64
	// or PEM of a public key), x509 (in a certificate that the delivery points to), jwks (in
	// a document of the vendor's). Defaults to utf8.
	Key string `json:"key,omitempty"`
	// Signed is the template of the signed bytes.
	Signed string `json:"signed,omitempty"`
	// Enc is hex or b64. Defaults to hex.
	Enc string `json:"enc,omitempty"`
	// When limits it to the deliveries of which all of this holds.
	When []Match `json:"when,omitempty"`
	// BodySHA256 is a place with the body's SHA-256 in hexadecimal digits, for a signature
	// that covers the body by that alone.
	BodySHA256 string `json:"body_sha256,omitempty"`
	// Query is how {query} is written.
	Query       Query       `json:"query,omitzero"`
	Certificate Certificate `json:"certificate,omitzero"`
	JWT         JWT         `json:"jwt,omitzero"`
}

// Query is how the query is signed: sorted by name, as NAME=VALUE.
type Query struct {
	// Join stands between two names, Values between two values of the same. Join defaults
	// to nothing, and Values to a comma.
	Join   string `json:"join,omitempty"`
	Values string `json:"values,omitempty"`
	// Without are the names that are not signed.
	Without []string `json:"without,omitempty"`
}

// Timestamp is how the time is written, and how far from now it may be.
type Timestamp struct {
	// Unit is s, ms, rfc3339 or imf (of RFC 9110, such as Sun, 06 Nov 1994 08:49:37 GMT).
	Unit string `json:"unit,omitempty"`
	// ToleranceSeconds is how far it may be from now, either way.
	ToleranceSeconds int `json:"tolerance_seconds,omitempty"`
}

// Dedupe is how a second delivery of the same is known.
type Dedupe struct {
	// From are places whose values together are the delivery's id. Defaults to the id among
	// the parts.
	From []string `json:"from,omitempty"`
	// Or is what counts where they have nothing: body (its SHA-256), none (every delivery
	// is a new one) or refuse. Defaults to body, and to refuse where the id is one of the parts or
	// comes in headers alone.
	Or string `json:"or,omitempty"`
}
