// Package connectortest runs a connector under plain go test, against a host in
// memory: no sandbox, no server, no network.
//
//	func TestLabel(t *testing.T) {
//		host := connectortest.New(t, hello(), connectortest.Options{
//			Config: Config{Label: "triage"},
//			HTTP:   http.HandlerFunc(api), // Stands in for the third party.
//		})
//		var out LabelOutput
//		err := host.Action("label", LabelInput{Repo: "o/r", Number: 1}, &out)
//		...
//	}
//
// Everything crosses in JSON, as it does in production, and the manifest counts:
// a request to a host that it does not ask for is denied, a connection that was
// not granted is missing, and state and records are kept only when a call
// succeeds. Left out are quotas, DNS, redirects, and the check of configuration
// and input against their schemas.
package connectortest

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
)

// Options are what a test wants its host to be like.
type Options struct {
	// Config is the installation's configuration: anything that has a JSON form.
	// Defaults to an empty object.
	Config any
	// Connections are the granted ones. Defaults to all of the manifest's; an
	// empty slice that is not nil grants none.
	Connections []string
	// Fields are those of connections by name: anything that has the JSON form of an
	// object. Defaults to none.
	Fields map[string]any
	// HTTP answers all requests, whatever their host. A request that names a
	// connection carries Credential of it. Without it, requests fail with the code network.
	HTTP http.Handler
	// Attempt defaults to 1.
	Attempt int
}

// Host is an installation of one connector. It is not for concurrent use.
type Host struct {
	t         testing.TB
	connector connector.Connector
	options   Options
	config    json.RawMessage
	manifest  manifest
	calls     int

	state   map[string]json.RawMessage
	emitted []Emitted
	logs    []Log
	tags    map[string]string
	signed  []Signed
	slept   time.Duration
	// checkpoint is what the next call goes on from.
	checkpoint json.RawMessage
}

// Emitted is a record that a call emitted.
type Emitted struct {
	Name string          `json:"name"`
	Key  string          `json:"key"`
	Data json.RawMessage `json:"data"`
}

// Log is a line that a call logged.
type Log struct {
	// Level is debug, info, warn or error.
	Level   string         `json:"level"`
	Message string         `json:"message"`
	Fields  map[string]any `json:"fields"`
}

// New installs a connector. A connector that the host would refuse fails the test.
func New(t testing.TB, c connector.Connector, options Options) *Host {
	t.Helper()
	h := &Host{t: t, connector: c, options: options, state: map[string]json.RawMessage{}, tags: map[string]string{}}
	if err := json.Unmarshal(h.Describe(), &h.manifest); err != nil {
		t.Fatalf("decode the manifest: %v", err)
	}
	h.config = json.RawMessage(`{}`)
	if options.Config != nil {
		h.config = h.encode("the configuration", options.Config)
	}
	if h.options.Connections == nil {
		for _, conn := range h.manifest.Connections {
			h.options.Connections = append(h.options.Connections, conn.Name)
		}
	}
	h.options.Attempt = max(1, options.Attempt)
	return h
}

// Describe gives the manifest, indented, for a golden file.
func (h *Host) Describe() []byte {
	h.t.Helper()
	raw, err := h.connector.Call(&call{host: h}, "describe", nil)
	if err != nil {
		h.t.Fatalf("describe: %v", err)
	}
	var document json.RawMessage = raw
	indented, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		h.t.Fatalf("indent the manifest: %v", err)
	}
	return append(indented, '\n')
}

// Action calls an action and decodes its output into the value that output
// points to, unless that is nil. The error, if any, is a *connector.Error.
func (h *Host) Action(name string, input, output any) error {
	h.t.Helper()
	return h.run("action", map[string]any{"action": name, "input": input}, output)
}

// Webhook delivers a webhook and gives the execution's output.
func (h *Host) Webhook(name string, d connector.Delivery) (json.RawMessage, error) {
	h.t.Helper()
	var output json.RawMessage
	err := h.run("webhook", map[string]any{"webhook": name, "request": d}, &output)
	return output, err
}

// Poll runs a poll from a cursor, nil being the first time.
func (h *Host) Poll(name string, cursor any) (connector.Page[json.RawMessage], error) {
	h.t.Helper()
	var page connector.Page[json.RawMessage]
	err := h.run("poll", map[string]any{"poll": name, "cursor": cursor}, &page)
	return page, err
}

// Test checks the installation.
func (h *Host) Test() error {
	h.t.Helper()
	return h.run("test", map[string]any{}, nil)
}

// State is a copy of what the successful calls have stored.
func (h *Host) State() map[string]json.RawMessage { return maps.Clone(h.state) }

// SetState stores a value before a call.
func (h *Host) SetState(key string, value any) {
	h.t.Helper()
	h.state[key] = h.encode("the value of "+key, value)
}

// Emitted are the records of the successful calls, of each key the first.
func (h *Host) Emitted() []Emitted { return slices.Clone(h.emitted) }

// Logs are the lines of all calls.
func (h *Host) Logs() []Log { return slices.Clone(h.logs) }

// Tags are the marks on all executions, the last value of each name.
func (h *Host) Tags() map[string]string { return maps.Clone(h.tags) }

// Slept is how long all calls have asked to sleep. No test waits for it.
func (h *Host) Slept() time.Duration { return h.slept }

// Credential is what the host adds to a request that names a connection: after
// "Bearer ", as the password of the user "user", or as the key. What a connection signs
// requests with is Signature: in the header of an HMAC, and after "AWS4-HMAC-SHA256 " of
// an AWS.
func Credential(connection string) string { return "credential-of-" + connection }

// granted is what a connector is told of its connections.
func (h *Host) granted() map[string]any {
	all := make(map[string]any, len(h.options.Connections))
	for _, name := range h.options.Connections {
		all[name] = struct{}{}
		if fields := h.options.Fields[name]; fields != nil {
			all[name] = fields
		}
	}
	return all
}

// run makes one call and, if it succeeds, keeps what it has done.
func (h *Host) run(export string, envelope map[string]any, output any) error {
	h.t.Helper()
	h.calls++
	one := &call{
		host: h, number: h.calls, state: maps.Clone(h.state), readOnly: export == "confirm",
		sent: map[string]int{}, named: map[string][32]byte{},
	}
	envelope["execution"] = one.execution()
	envelope["attempt"] = h.options.Attempt
	envelope["config"] = h.config
	envelope["connections"] = h.granted()
	if h.checkpoint != nil && export != "confirm" {
		envelope["checkpoint"], h.checkpoint = h.checkpoint, nil
	}
	out, err := h.call(one, export, h.encode("the input of "+export, envelope))
	if err != nil {
		return h.overTheWire(err)
	}
	h.state = one.state
	h.keep(one.emitted)
	if one.again != nil {
		h.checkpoint = one.again.Checkpoint
		return one.again
	}
	if output == nil {
		return nil
	}
	if err := json.Unmarshal(out, output); err != nil {
		h.t.Fatalf("decode the output of %s: %v\n%s", export, err, out)
	}
	return nil
}

// call runs the connector in a goroutine of its own, which a host function can end.
func (h *Host) call(one *call, export string, input []byte) (output []byte, err error) {
	h.t.Helper()
	returned, ended := false, make(chan struct{})
	go func() {
		defer close(ended)
		output, err = h.connector.Call(one, export, input)
		returned = true
	}()
	<-ended
	if !returned && one.again == nil {
		h.t.FailNow() // A handler of the test's has said so.
	}
	return output, err
}

func (h *Host) keep(records []Emitted) {
	for _, r := range records {
		known := r.Key != "" && slices.ContainsFunc(h.emitted, func(e Emitted) bool { return e.Key == r.Key })
		if !known {
			h.emitted = append(h.emitted, r)
		}
	}
}

// overTheWire gives the error as the real host would see it.
func (h *Host) overTheWire(err error) error {
	h.t.Helper()
	received := &connector.Error{}
	if err := json.Unmarshal(h.encode("the error", err), received); err != nil {
		h.t.Fatalf("decode the error: %v", err)
	}
	return received
}

func (h *Host) encode(what string, v any) json.RawMessage {
	h.t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		h.t.Fatalf("encode %s: %v", strings.TrimSpace(what), err)
	}
	return data
}
