// Package code holds the codes of errors: what a connector may say of a failure,
// which decides what follows, and what the host says when it turns a request down.
//
//	return connector.Errorf(code.InvalidInput, "there is no repository %q", name)
package code

// Code is one word for what went wrong. Words of your own are welcome: they are what
// people group and search failures by.
type Code string

// Codes that may pass: the execution goes on after a back-off, or after
// Error.RetryAfter. What it has done is not done twice.
const (
	// RateLimited means that the third party asks for patience.
	RateLimited Code = "rate_limited"
	// UpstreamUnavailable means that the third party is down or overloaded.
	UpstreamUnavailable Code = "upstream_unavailable"
	// Retry means that another try may do, for a reason that has no code.
	Retry Code = "retry"
	// Network means that the third party could not be reached. The host says it too.
	Network Code = "network"
	// Timeout means that an answer did not come in time. The host says it too.
	Timeout Code = "timeout"
)

// Codes that mean that the same would happen again. InvalidInput and PluginBug are a
// dead letter at once; any other is tried from the start at most 3 times, if nothing
// was changed outside.
const (
	// Auth means that the third party refuses the tenant's credential. After a 401 of a
	// connection the execution waits until that has a new one.
	Auth Code = "auth"
	// InvalidInput means that the same input can never succeed.
	InvalidInput Code = "invalid_input"
	// ContractChanged means that the third party's API is not what it was.
	ContractChanged Code = "contract_changed"
	// PluginBug means that the connector is wrong. It is also the code of a plain error and of a panic.
	PluginBug Code = "plugin_bug"
)

// Codes in the host's answers to a request of the connector.
const (
	// Denied means that the manifest does not ask for it, or that the tenant did not grant it.
	Denied Code = "denied"
	// NoConnection means that the installation has no connection of that name.
	NoConnection Code = "no_connection"
	// InvalidRequest means that the host cannot make sense of the request.
	InvalidRequest Code = "invalid_request"
	// LimitExceeded means that a quota of this execution is used up.
	LimitExceeded Code = "limit_exceeded"
	// ResponseTooLarge means that the third party answered with more than is allowed.
	ResponseTooLarge Code = "response_too_large"
	// AddressRefused means that the host name leads to an address that connectors may not reach.
	AddressRefused Code = "address_refused"
	// NotANumber means that State.Add met a value that is not an integer.
	NotANumber Code = "not_a_number"
	// Internal means that the host failed; its operator finds the cause in its log.
	Internal Code = "internal"
)
