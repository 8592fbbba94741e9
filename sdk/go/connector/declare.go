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

// Limits are wishes, which a tenant's grant and the operator can only narrow.
// Zero fields leave it to them.
type Limits struct {
	MemoryMiB int
	Timeout   time.Duration
	// Fuel is the CPU of a call, in units of which a core burns two to five
	// billion in a second.
	Fuel int64
}
