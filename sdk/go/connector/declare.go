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
)

// Connection is a kind of account at a third party. A tenant connects one; the
// connector names it in Request.Connection and never sees what is in it.
type Connection struct {
	// Name has the form of an action's name.
	Name  string `json:"name"`
	Title string `json:"title,omitempty"`
	// Type is Bearer, Basic or APIKey.
	Type string `json:"type"`
	// Header or Query names where an APIKey goes; one of the two.
	Header string `json:"header,omitempty"`
	Query  string `json:"query,omitempty"`
	// Hosts are the only ones that the credential is sent to.
	Hosts []string `json:"hosts,omitempty"`
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
	// Fuel is the CPU of a call, in units of which a core burns two to five
	// billion in a second.
	Fuel int64
}
