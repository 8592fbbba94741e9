package connector

import (
	"encoding/json"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
	"github.com/cofferdam-run/cofferdam/sdk/go/internal/schema"
)

// Context is one call of the connector: who it is for, and all that it can
// reach. It is not valid after the call.
type Context struct {
	// Execution is the id of the execution; it is the same when it is run again.
	Execution string
	// Attempt counts from 1.
	Attempt int

	// HTTP reaches the hosts that the manifest asks for and the tenant grants.
	HTTP HTTP
	// State is the installation's own, and outlives the call.
	State State
	// Sign has the host sign with keys that stay outside.
	Sign Sign
	// Log goes to the execution's trace.
	Log *slog.Logger

	client      client
	config      json.RawMessage
	connections granted
	checkpoint  json.RawMessage
	random      *rand.Rand
}

func newContext(host Host, env envelope) *Context {
	c := client{host}
	return &Context{
		Execution:   env.Execution,
		Attempt:     env.Attempt,
		HTTP:        HTTP{c},
		State:       State{c},
		Sign:        Sign{c},
		Log:         c.logger(),
		client:      c,
		config:      env.Config,
		connections: env.Connections,
		checkpoint:  env.Checkpoint,
	}
}

// Config decodes the installation's configuration into the value that v points
// to, with the defaults of the type where the tenant says nothing.
func (c *Context) Config(v any) error {
	if err := schema.Unmarshal(c.config, v); err != nil {
		return Errorf(code.InvalidInput, "read the configuration: %w", err)
	}
	return nil
}

// Connections names the connections that the tenant granted, sorted.
func (c *Context) Connections() []string { return slices.Sorted(maps.Keys(c.connections)) }

// Connection decodes the fields of a connection into the value that v points to, with
// the defaults of the type where the tenant says nothing. A connection that the
// tenant did not grant is an error with code.NoConnection.
func (c *Context) Connection(name string, v any) error {
	fields, ok := c.connections[name]
	if !ok {
		return Errorf(code.NoConnection, "the tenant has granted no connection %q", name)
	}
	if err := schema.Unmarshal(fields, v); err != nil {
		return Errorf(code.InvalidInput, "read the fields of the connection %q: %w", name, err)
	}
	return nil
}

// granted is the fields, which are no secret, of each connection by its name.
type granted map[string]json.RawMessage

// UnmarshalJSON reads a list of names, too, which is what older hosts give.
func (g *granted) UnmarshalJSON(data []byte) error {
	var names []string
	if json.Unmarshal(data, &names) != nil {
		return json.Unmarshal(data, (*map[string]json.RawMessage)(g))
	}
	*g = granted{}
	for _, name := range names {
		(*g)[name] = json.RawMessage(`{}`)
	}
	return nil
}

// Emit makes a record, which becomes an event when the execution succeeds. Of
// records with one key an installation keeps the first; an empty key is none.
func (c *Context) Emit(name, key string, data any) error {
	return c.client.ask("emit", struct {
		Name string `json:"name"`
		Key  string `json:"key,omitempty"`
		Data any    `json:"data"`
	}{name, key, data}, nil)
}

// Tag marks the execution, so that people find it by name=value.
func (c *Context) Tag(name, value string) error {
	return c.client.ask("tag", struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}{name, value}, nil)
}

// Rand is a random stream of this execution, the same when it is run again. Use
// it instead of the functions of math/rand, whose seed is the same in every
// sandbox of a plugin. For secrets use crypto/rand.
func (c *Context) Rand() *rand.Rand {
	if c.random == nil {
		var seed [32]byte
		c.client.host.Random(seed[:])
		c.random = rand.New(rand.NewChaCha8(seed)) //nolint:gosec // Documented as not for secrets.
	}
	return c.random
}

// client asks the host in JSON.
type client struct{ host Host }

// ask sends a request and decodes the result into the value that result points
// to, unless that is nil. The error is an *Error.
func (c client) ask(function string, request, result any) error {
	question, err := json.Marshal(request)
	if err != nil {
		return Errorf(code.PluginBug, "%s: encode the request: %w", function, err)
	}
	return open(function, c.host.Call(function, question), result)
}

// open decodes an answer of the host.
func open(function string, response []byte, result any) error {
	var answer struct {
		Result json.RawMessage `json:"result"`
		Error  *Error          `json:"error"`
	}
	if err := json.Unmarshal(response, &answer); err != nil {
		return Errorf(code.Internal, "%s: decode the host's answer: %w", function, err)
	}
	if answer.Error != nil {
		answer.Error.Message = function + ": " + answer.Error.Message
		return answer.Error
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(answer.Result, result); err != nil {
		return Errorf(code.Internal, "%s: decode the result: %w", function, err)
	}
	return nil
}
