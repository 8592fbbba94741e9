// Package fault says what went wrong in two voices: a class, code, message and
// hint that users see, and a cause that operators see. It maps; it decides
// nothing.
package fault

import (
	"encoding/json"
	"fmt"
	"time"
)

// Class answers an operator's question: bad data, an API that changed, the
// network, or a bug?
type Class string

// The classes.
const (
	Auth            Class = "auth"
	RateLimited     Class = "rate_limited"
	Upstream        Class = "upstream"
	ContractChanged Class = "contract_changed"
	Network         Class = "network"
	InvalidInput    Class = "invalid_input"
	PluginBug       Class = "plugin_bug"
	LimitExceeded   Class = "limit_exceeded"
	Conflict        Class = "conflict"
	Denied          Class = "denied"
	AmbiguousEffect Class = "ambiguous_effect"
	Platform        Class = "platform"
)

// Error is a fault as a user sees it, wrapped around its cause.
type Error struct {
	Class Class `json:"class"`
	// Code is stable and for programs: not_found, config_invalid, ...
	Code    string `json:"code"`
	Message string `json:"message"`
	// Hint says what to do.
	Hint string `json:"hint,omitempty"`
	// Where is a JSON pointer into the request or the name of a parameter.
	Where string `json:"where,omitempty"`
	// RetryAfter is when it is worth trying again, or zero.
	RetryAfter time.Duration `json:"retry_after_ns,omitempty"`
	// Details is a JSON document for the user, or nil.
	Details json.RawMessage `json:"details,omitempty"`
	// Problems are further faults of the same request, such as every property
	// that breaks a schema.
	Problems []Problem `json:"problems,omitempty"`
	// Err is the cause. It is never shown to users.
	Err error `json:"-"`
}

// Problem is one of several faults of a request.
type Problem struct {
	Where   string `json:"where"`
	Message string `json:"message"`
}

// Error implements error.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Err)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Message)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New returns an *Error.
func New(class Class, code, format string, args ...any) *Error {
	return &Error{Class: class, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Codes that more than one package gives, or that Status knows by name. A code
// that only one package gives is written where it is given.
const (
	// CodeNotFound: the thing does not exist, or not for whoever asks.
	CodeNotFound = "not_found"
	// CodeMalformed: the request cannot be read, so that it was not even judged.
	CodeMalformed = "malformed_request"
	// CodeForbidden: whoever asks is known, and may not.
	CodeForbidden = "forbidden"
	// CodeBodyTooLarge: the request's body is over its cap.
	CodeBodyTooLarge = "body_too_large"
	// CodeEndpointDisabled: the webhook endpoint takes no deliveries for now.
	CodeEndpointDisabled = "endpoint_disabled"
	// CodeDatabaseUnreachable and CodeDatabaseReadOnly: the store cannot be used;
	// trying again later may help.
	CodeDatabaseUnreachable = "database_unreachable"
	CodeDatabaseReadOnly    = "database_read_only"
	// CodeSchemaTooNew and CodeSchemaTooOld: the database's schema is not one that
	// this program works with, or lacks what was asked for.
	CodeSchemaTooNew = "schema_too_new"
	CodeSchemaTooOld = "schema_too_old"
	// CodeKeeperUnavailable and CodeKeeperRefused: what holds the key that all keys are
	// wrapped with does not answer, or says no.
	CodeKeeperUnavailable = "keeper_unavailable"
	CodeKeeperRefused     = "keeper_refused"
	// CodeLoginUnavailable: the provider that knows who logs in does not answer.
	CodeLoginUnavailable = "login_unavailable"
	// CodeOverloaded and CodeQueueFull: too much comes at once, or is queued.
	CodeOverloaded = "overloaded"
	CodeQueueFull  = "queue_full"
	// CodeInternal: an error that nobody gave words for users to.
	CodeInternal = "internal"
)

// hintNotFound gives away nothing: it is the same whether the thing exists or not.
const hintNotFound = "Check the id or name. What belongs to somebody else is not found either."

// NotFound says that there is no such thing: kind is a word such as "tenant".
func NotFound(kind, id string) *Error {
	return New(InvalidInput, CodeNotFound, "there is no %s %q", kind, id).
		WithHint(hintNotFound)
}

// WithHint returns e with a hint.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// At returns e with a place.
func (e *Error) At(where string) *Error {
	e.Where = where
	return e
}

// Because returns e with a cause, which operators see and users do not.
func (e *Error) Because(cause error) *Error {
	e.Err = cause
	return e
}
