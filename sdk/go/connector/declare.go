package connector

import "time"

// Types of connections.
const (
	// Bearer sends the credential as Authorization: Bearer.
	Bearer = "bearer"
	// Basic sends a user name and password as Authorization: Basic.
	Basic = "basic"
	// APIKey sends the credential in the header or query parameter that Connection names.
	APIKey = "api_key"
	// OAuth2 is an account at a provider, whose user agrees that the host keeps and renews
	// tokens for it.
	OAuth2 = "oauth2"
	// HMAC is a shared secret: in the header that Connection names, if it does, requests
	// carry the HMAC-SHA256 of their body.
	HMAC = "hmac"
	// PrivateKey signs, and is not sent.
	PrivateKey = "private_key"
	// AWS signs requests with AWS's Signature Version 4.
	AWS = "aws_sigv4"
	// Certificate is shown in the TLS handshake.
	Certificate = "client_certificate"
)

// Connection is a kind of account at a third party. A tenant connects one; the
// connector names it in Request.Connection and never sees what is in it.
type Connection struct {
	// Name has the form of an action's name.
	Name  string `json:"name"`
	Title string `json:"title,omitempty"`
	// Description says how a tenant comes by the credential.
	Description string `json:"description,omitempty"`
	// Type is one of those above.
	Type string `json:"type"`
	// Provider is whom the user of an OAuth2 agrees with: one that the host knows by this
	// name, such as "github", or one of Connector.Providers. Scopes are what the connector
	// cannot do without.
	Provider string   `json:"provider,omitempty"`
	Scopes   []string `json:"scopes,omitempty"`
	// Header or Query names where an APIKey goes; one of the two. An HMAC may have a
	// Header.
	Header string `json:"header,omitempty"`
	Query  string `json:"query,omitempty"`
	// Hosts are the only ones that the credential is sent to. Those of an OAuth2 default to
	// its provider's.
	Hosts []string `json:"hosts,omitempty"`
	// Sign lists the algorithms that Context.Sign is asked for. An HMAC has hmac-sha1,
	// hmac-sha256, hmac-sha384, hmac-sha512, HS256, HS384 and HS512; a PrivateKey RS256,
	// RS384, RS512, ES256, ES384 and EdDSA; an AWS aws-sigv4. Defaults to none.
	Sign []string `json:"sign,omitempty"`
	// Slots are where requests may have a placeholder such as {{connection.token}},
	// which the host fills; for a Bearer (token), a Basic (username, password), an
	// APIKey (key) and an OAuth2 (access_token). Defaults to none.
	Slots Slots `json:"slots,omitzero"`
	// Rate is what the vendor allows with one account. The host keeps to it over all its
	// processes and all connectors, unless the tenant gives the connection a rate of its
	// own; a request whose turn is not soon ends the run, which is made again then. Defaults
	// to none.
	Rate Rate `json:"rate,omitzero"`
	// Fields is a value of the struct type of what else the connector wants to know of
	// the account, such as its id; the JSON Schema that tenants must fit is made from
	// it. Nothing in it is secret. Context.Connection reads it. Defaults to nothing.
	Fields any `json:"-"`
}

// Slots are places in a request. With a placeholder in it, a request has its credential
// nowhere else.
type Slots struct {
	// Headers and Query are names of headers, and of parameters of the URL.
	Headers []string `json:"headers,omitempty"`
	Query   []string `json:"query,omitempty"`
	// JSON are pointers (RFC 6901) to strings in a body of JSON, such as /auth/token.
	JSON []string `json:"json,omitempty"`
	// Form are names of a form's fields.
	Form []string `json:"form,omitempty"`
}

// Rate is how many requests there may be.
type Rate struct {
	// PerSecond is from 1 in a day, 1.0 / 86400, to 100,000.
	PerSecond float64 `json:"per_second"`
	// Burst is how many that were not made can be made up for at once, up to 100,000.
	// Defaults to as many as come in a tenth of a second, and one at least.
	Burst int `json:"burst,omitempty"`
}

// Egress is a wish to make HTTP requests.
type Egress struct {
	// Host is a host name, "*." and a host name, or "{config.name}": the host of
	// the URL in that property of the configuration.
	Host    string   `json:"host"`
	Methods []string `json:"methods"`
}

// Idempotency says that a host knows a request that comes again by a key in a header.
// The host of the connector sets it; what may have been done already can then be sent
// again, as long as the key is younger than TTL.
type Idempotency struct {
	// Host is as that of an Egress.
	Host string
	// Header is where the key goes, such as Idempotency-Key.
	Header string
	// TTL is how long the host knows a key, from 5 minutes to 366 days.
	TTL time.Duration
}

// NotDone says which answers of a host mean that it did not accept the request, so
// that it may be sent again. 429 always does, and 401 where a connection was used.
type NotDone struct {
	// Host is as that of an Egress.
	Host string `json:"host"`
	// Status is from 400 to 599.
	Status []int `json:"status"`
}

// Limits are wishes, which a tenant's grant and the operator can only narrow.
// Zero fields leave it to them.
type Limits struct {
	MemoryMiB int
	Timeout   time.Duration
	// StreamMiB is the most of one body that is streamed, in either direction.
	StreamMiB int
	// Fuel is the CPU of a call, in units of which a core burns two to five
	// billion in a second.
	Fuel int64
}
