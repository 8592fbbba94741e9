package connector

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

// Connector is everything that the host needs to know of a connector, and the
// functions that it calls. Only Name and Version must be set.
type Connector struct {
	// Name is lower-case letters, digits and hyphens, at most 63.
	Name string
	// Version is a semantic version, <https://semver.org>.
	Version     string
	Title       string
	Description string
	// Config is a value of the struct type that holds an installation's
	// configuration, such as Config{}; its fields' values do not matter. Read
	// the real one with Context.Config. Nil means that nothing can be configured.
	Config any

	Connections []Connection
	// Providers are descriptors of authorization servers that hosts need not know, as JSON:
	// an OAuth2 names one by its name. `//go:embed acme.json` and a string will do.
	Providers   []json.RawMessage
	Egress      []Egress
	Idempotency []Idempotency
	NotDone     []NotDone
	Actions     []Action
	Webhooks    []Webhook
	Polls       []Poll
	// Test checks an installation: credentials, reachability. It should change nothing.
	Test func(ctx *Context) error
	// Confirm finds out whether a request had its effect that was sent and not
	// answered, and that must not be made twice. It may look, and change nothing: read
	// over HTTP, not state.
	Confirm func(ctx *Context, d Doubt) (Confirmation, error)
	// WarmUp does once what every call would do again: compile expressions, fill
	// tables. It runs when the connector is uploaded, and every call begins in the
	// memory that it leaves, package variables included. It can ask the host for
	// nothing, and what it draws at random is the same for everybody.
	WarmUp func()

	// Functions names host functions that the host app offers beyond the built-in ones.
	Functions []string
	Limits    Limits
}

// Define makes c the connector of this program. Call it once, from package main:
//
//	var _ = connector.Define(hello())
//
// Under go test it panics when c is not a valid connector. In the sandbox the
// same message is the error of describe, so that whoever uploads it reads it.
func Define(c Connector) Connector {
	define(c)
	return c
}

// Host is what a connector asks for everything that is not its own. The sandbox
// has the real one, package connectortest one for unit tests.
type Host interface {
	// Call asks a host function of sdk/ABI.md: JSON in, JSON out.
	Call(function string, request []byte) (answer []byte)
	// Random fills p from the execution's random stream.
	Random(p []byte)
}

// envelope is the input of every export but describe.
type envelope struct {
	Execution   string          `json:"execution"`
	Attempt     int             `json:"attempt"`
	Config      json.RawMessage `json:"config"`
	Connections granted         `json:"connections"`
	Checkpoint  json.RawMessage `json:"checkpoint"`

	Action string          `json:"action"`
	Input  json.RawMessage `json:"input"`

	Webhook string          `json:"webhook"`
	Request json.RawMessage `json:"request"`

	Verify string    `json:"verify"`
	Time   time.Time `json:"time"`

	Poll   string          `json:"poll"`
	Cursor json.RawMessage `json:"cursor"`
}

// Call runs an export of sdk/ABI.md: describe, action, webhook,
// poll, test, confirm or verify.
// The sandbox and connectortest call it; connectors have no need to. The error,
// if any, is an *Error. It never panics.
func (c Connector) Call(host Host, export string, input []byte) (output []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			output, err = nil, caught(host, export, p)
		}
	}()
	if export == "describe" {
		output, err = c.describe()
	} else {
		output, err = c.run(host, export, input)
	}
	if err != nil {
		return nil, asError(err)
	}
	return output, nil
}

// caught turns a panic into an error, and logs where it came from. During
// describe there is nobody to log to: it may ask the host for nothing.
func caught(host Host, export string, panicked any) error {
	if export == "describe" {
		return Errorf(code.PluginBug, "panic: %v\n%s", panicked, debug.Stack())
	}
	client{host}.logger().Error("the connector panicked", slog.Any("panic", panicked), slog.String("stack", string(debug.Stack())))
	return Errorf(code.PluginBug, "panic: %v", panicked)
}

func (c Connector) run(host Host, export string, input []byte) ([]byte, error) {
	var env envelope
	if err := json.Unmarshal(input, &env); err != nil {
		return nil, Errorf(code.InvalidInput, "read the input of %s: %w", export, err)
	}
	ctx := newContext(host, env)
	var result any
	var err error
	if export == "confirm" {
		result, err = c.confirm(ctx, input)
	} else {
		result, err = c.dispatch(ctx, export, env)
	}
	if err != nil {
		return nil, err
	}
	output, err := json.Marshal(result)
	if err != nil {
		return nil, fmt.Errorf("encode the output: %w", err)
	}
	return output, nil
}

func (c Connector) dispatch(ctx *Context, export string, env envelope) (any, error) {
	switch export {
	case "action":
		if i := find(c.Actions, env.Action, Action.name); i >= 0 {
			return c.Actions[i].Run.call(ctx, env.Input)
		}
		return nil, unknown("action", env.Action, c.Actions, Action.name)
	case "webhook":
		if i := find(c.Webhooks, env.Webhook, Webhook.name); i >= 0 {
			return c.Webhooks[i].run(ctx, env.Request)
		}
		return nil, unknown("webhook", env.Webhook, c.Webhooks, Webhook.name)
	case "verify":
		return c.verify(ctx, env)
	case "poll":
		if i := find(c.Polls, env.Poll, Poll.name); i >= 0 {
			return c.Polls[i].Run.call(ctx, env.Cursor)
		}
		return nil, unknown("poll", env.Poll, c.Polls, Poll.name)
	case "test":
		if c.Test == nil {
			return nil, Errorf(code.InvalidInput, "connector %q has no test", c.Name)
		}
		return struct{}{}, c.Test(ctx)
	default:
		return nil, Errorf(code.InvalidInput, "there is no export %q", export)
	}
}

func find[T any](all []T, name string, nameOf func(T) string) int {
	for i, one := range all {
		if nameOf(one) == name {
			return i
		}
	}
	return -1
}

func unknown[T any](kind, name string, all []T, nameOf func(T) string) error {
	var names []string
	for _, one := range all {
		names = append(names, nameOf(one))
	}
	return Errorf(code.InvalidInput, "there is no %s %q; this connector has %q", kind, name, names)
}

// asError finds the code of whatever a function of the connector returned.
func asError(err error) *Error {
	var e *Error
	if found := errors.As(err, &e); found && e == nil {
		return Errorf(code.PluginBug, "Run returned a nil *connector.Error as its error: return a plain nil, or declare the variable as error")
	} else if !found {
		return &Error{Code: code.PluginBug, Message: err.Error(), cause: err}
	}
	if error(e) == err { //nolint:errorlint // Identity is meant: nobody wrapped it.
		return e
	}
	wrapped := *e
	wrapped.Message, wrapped.cause = err.Error(), err
	return &wrapped
}
