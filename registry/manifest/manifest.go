// Package manifest is what a plugin says of itself: the types behind the JSON
// document that describe returns, and the rules that it must keep to. See
// sdk/ABI.md for its meaning.
//
//	m, err := manifest.Parse(output)
//	var problems manifest.Errors
//	if errors.As(err, &problems) { ... } // each with a JSON pointer
//
// What a manifest says of its JSON Schemas, and of things that only a host
// knows, such as signature schemes and OAuth providers, is checked by package registry.
package manifest

import (
	"encoding/json"
	"slices"
)

// Manifest describes one version of a plugin.
type Manifest struct {
	Name        string          `json:"name"`
	Version     string          `json:"version"`
	Title       string          `json:"title,omitempty"`
	Description string          `json:"description,omitempty"`
	Config      json.RawMessage `json:"config,omitempty"`
	Actions     []Action        `json:"actions,omitempty"`
	Webhooks    []Webhook       `json:"webhooks,omitempty"`
	Polls       []Poll          `json:"polls,omitempty"`
	Connections []Connection    `json:"connections,omitempty"`
	// Providers are descriptors of authorization servers that connections name and that
	// hosts need not know, in the form of package provider.
	Providers []json.RawMessage `json:"providers,omitempty"`
	Egress    []Egress          `json:"egress,omitempty"`
	// Idempotency and NotDone decide what may be sent again.
	Idempotency []Idempotency `json:"idempotency,omitempty"`
	NotDone     []NotDone     `json:"not_done,omitempty"`
	Functions   []string      `json:"functions,omitempty"`
	Limits      Limits        `json:"limits,omitzero"`
	// Level is 1 for a typed connector, 0 for a plain Extism plugin, whose
	// actions are its exports, bytes in and bytes out.
	Level int `json:"level"`
	// Test says that the plugin exports test.
	Test bool `json:"test,omitempty"`
	// Confirm says that the plugin exports confirm.
	Confirm bool `json:"confirm,omitempty"`
}

// Action is something that a tenant can have done.
type Action struct {
	Name        string          `json:"name"`
	Title       string          `json:"title,omitempty"`
	Description string          `json:"description,omitempty"`
	Input       json.RawMessage `json:"input,omitempty"`
	Output      json.RawMessage `json:"output,omitempty"`
	Idempotent  bool            `json:"idempotent,omitempty"`
}

// Webhook is a kind of delivery that the plugin takes.
type Webhook struct {
	Name        string `json:"name"`
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
	// Scheme names how deliveries are signed, Descriptor says how, where it is none that hosts
	// know, and Verify that the plugin's export of that name decides: one of the three.
	Scheme     string          `json:"scheme,omitempty"`
	Descriptor json.RawMessage `json:"descriptor,omitempty"`
	Verify     bool            `json:"verify,omitempty"`
}

// Signed says in few words how deliveries are verified.
func (w Webhook) Signed() string {
	switch {
	case w.Verify:
		return "verified by the plugin"
	case len(w.Descriptor) > 0:
		return "signed as its descriptor says"
	default:
		return "signed as " + w.Scheme
	}
}

// Verifies says that the plugin decides of some deliveries whether they are authentic.
func (m Manifest) Verifies() bool {
	return slices.ContainsFunc(m.Webhooks, func(w Webhook) bool { return w.Verify })
}

// Poll fetches what is new.
type Poll struct {
	Name        string `json:"name"`
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
	Every       string `json:"every,omitempty"`
}

// Connection is a kind of account that the plugin needs.
type Connection struct {
	Name  string `json:"name"`
	Title string `json:"title,omitempty"`
	// Description says how a tenant comes by the credential.
	Description string `json:"description,omitempty"`
	// Type is bearer, basic, api_key, oauth2, hmac, private_key, aws_sigv4 or
	// client_certificate.
	Type string `json:"type"`
	// Provider is whom the user of an oauth2 agrees with, by its name, and Scopes are what
	// the plugin cannot do without.
	Provider string   `json:"provider,omitempty"`
	Scopes   []string `json:"scopes,omitempty"`
	// Header or Query names where an api_key goes, and Header where an hmac does.
	Header string `json:"header,omitempty"`
	Query  string `json:"query,omitempty"`
	// Hosts may be left out for an oauth2: then they are its provider's.
	Hosts []string `json:"hosts,omitempty"`
	// Fields is the JSON Schema of what else there is to know of an account, such as
	// its id at the vendor's: the plugin reads it, so it is nothing secret.
	Fields json.RawMessage `json:"fields,omitempty"`
	// Sign are the algorithms that the plugin may have things signed with.
	Sign []string `json:"sign,omitempty"`
	// Slots are where the plugin may have parts of the credential written.
	Slots Slots `json:"slots,omitzero"`
	// Rate is what its vendor allows with one account, by default: a connection may have
	// one of its own.
	Rate Rate `json:"rate,omitzero"`
}

// Rate is how many requests there may be.
type Rate struct {
	PerSecond float64 `json:"per_second"`
	// Burst is how many that were not made can be made up for at once. Zero is as many as
	// come in a tenth of a second, and one at least.
	Burst int `json:"burst,omitempty"`
}

// Signs are the algorithms that the plugin may have things signed with, by connection.
func (m Manifest) Signs() map[string][]string {
	all := map[string][]string{}
	for _, c := range m.Connections {
		if len(c.Sign) > 0 {
			all[c.Name] = c.Sign
		}
	}
	return all
}

// Egress is a wish for HTTP.
type Egress struct {
	Host    string   `json:"host"`
	Methods []string `json:"methods"`
}

// Limits are wishes. Zero means the operator's default.
type Limits struct {
	MemoryMiB int `json:"memory_mib,omitempty"`
	TimeoutMS int `json:"timeout_ms,omitempty"`
	// StreamMiB is the most of one body that passes in chunks, in either direction.
	StreamMiB int `json:"stream_mib,omitempty"`
	// Fuel is the CPU of a call, in units of which a core burns two to five
	// billion in a second.
	Fuel int64 `json:"fuel,omitempty"`
}
