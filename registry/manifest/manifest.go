// Package manifest is what a plugin says of itself: the types behind the JSON
// document that describe returns, and the rules that it must keep to. See
// sdk/ABI.md for its meaning.
//
//	m, err := manifest.Parse(output)
//	var problems manifest.Errors
//	if errors.As(err, &problems) { ... } // each with a JSON pointer
//
// What a manifest says of its JSON Schemas, and of things that only a host
// knows, such as signature schemes, is checked by package registry.
package manifest

import "encoding/json"

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
	Egress      []Egress        `json:"egress,omitempty"`
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
	// Scheme names how deliveries are signed.
	Scheme string `json:"scheme"`
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
	// Type is bearer, basic or api_key.
	Type string `json:"type"`
	// Header or Query names where an api_key goes.
	Header string   `json:"header,omitempty"`
	Query  string   `json:"query,omitempty"`
	Hosts  []string `json:"hosts,omitempty"`
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
	// Fuel is the CPU of a call, in units of which a core burns two to five
	// billion in a second.
	Fuel int64 `json:"fuel,omitempty"`
}
